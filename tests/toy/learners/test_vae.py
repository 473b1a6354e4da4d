import numpy as np
import pytest
import torch
from torch.distributions import Normal, kl_divergence

from stability import TrainingSet
from tests.support.learners_2d import moons, rngs
from toy.learners.settings import VAEConfig
from toy.learners.vae import VAELearner

SMALL = VAEConfig(epochs=4, batch=32, width=8)


def trained(settings=SMALL):
    vae = VAELearner(2, settings)
    vae.reset(rngs(2, 0))
    vae.fit(moons(64, 40), rngs(2, 1))
    return vae


def test_the_loss_is_the_negative_evidence_bound(rng):
    """Against torch's distributions, with the same draw of z."""
    vae = trained()
    x, noise = (
        torch.from_numpy(rng.standard_normal((2, 7, 2), dtype=np.float32)) for _ in range(2)
    )
    loss = vae._loss(vae.theta, torch.cat([x, torch.zeros(2, 7, 1)], dim=2), noise)
    mean, log_sd = vae.encoder.forward(vae.encoder.layers(), x).chunk(2, dim=2)
    posterior = Normal(mean, log_sd.exp())
    z = mean + log_sd.exp() * noise
    decoded = Normal(
        vae.decoder.forward(vae.decoder.layers(), z), vae.theta[:, -1].exp()[:, None, None]
    )
    expected = kl_divergence(posterior, Normal(0.0, 1.0)).sum(dim=2) - decoded.log_prob(x).sum(
        dim=2
    )
    torch.testing.assert_close(loss, expected)


def test_samples_are_decoded_latents_with_the_decoder_s_noise():
    vae = trained()
    with torch.no_grad():
        vae.theta[:, -1] = -20  # no noise
    normal = np.stack([rng.standard_normal((5, 4), dtype=np.float32) for rng in rngs(2, 3)])
    expected = vae.decoder.forward(vae.decoder.layers(), torch.from_numpy(normal[..., :2]))
    for x, y in zip(vae.sample([5, 5], rngs(2, 3)), expected, strict=True):
        np.testing.assert_allclose(x, y, atol=1e-5)


def test_it_learns_a_gaussian(rng):
    """The best decoder of N(μ, Σ) is linear: probabilistic principal components, with mean and
    covariance exact.
    """
    root = np.array([[1.0, 0.0], [0.5, 0.4]])
    data = TrainingSet(
        (rng.standard_normal((2000, 2)) @ root.T + (1.0, -1.0)).astype(np.float32), 2000
    )
    vae = VAELearner(1, VAEConfig(epochs=40, batch=200, width=16, learning_rate=5e-3))
    vae.reset(rngs(1, 0))
    vae.fit([data], rngs(1, 1))
    (x,) = vae.sample([4000], rngs(1, 2))
    # training is short and stochastic: 15 % of the scale, where an untrained one is off by 100 %
    np.testing.assert_allclose(x.mean(axis=0), data.points.mean(axis=0), atol=0.2)
    np.testing.assert_allclose(np.cov(x.T), np.cov(data.points.T), atol=0.25)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"epochs": 0}, "epochs must be >= 1, got 0"),
        ({"learning_rate": -1.0}, "learning_rate must be finite and > 0"),
    ],
)
def test_bad_settings(setting, message):
    with pytest.raises(ValueError, match=message):
        VAEConfig(**setting)
