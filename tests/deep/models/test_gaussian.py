"""The oracle of the sampler tests has tests of its own: each network is the regression that it
says it is.
"""

import numpy as np
import pytest
import torch

from deep.models.ddpm import DDPM
from tests.support.gaussian_images import (
    Denoiser,
    NoisePredictor,
    Velocity,
    assert_drawn_from,
    correlated,
)

N = 20_000


def residual_is_uncorrelated(residual, x):
    """E[target | x] is linear here, so that target − E[target | x] has mean 0 and no correlation
    with x.
    """
    residual, x = residual.flatten(1).numpy(), x.flatten(1).double().numpy()
    joined = np.concatenate(
        [residual, residual[:, :, None].repeat(4, 2).reshape(len(x), -1) * np.tile(x, 4)], axis=1
    )
    z = joined.mean(axis=0) / (joined.std(axis=0) / np.sqrt(len(x)))
    # 20 comparisons of sums of products, whose tails are heavier than normal
    assert np.abs(z).max() < 6.5


@pytest.mark.parametrize("kind", ["denoiser", "noise predictor", "velocity", "optimal velocity"])
def test_networks_are_regressions(kind, rng):
    g = correlated(
        rng, 0.4, {"denoiser": Denoiser, "noise predictor": NoisePredictor}.get(kind, Velocity)
    )
    y = g.draw(N, rng)
    e = torch.from_numpy(rng.standard_normal((N, *g.shape)))
    if kind == "denoiser":
        x = y + 0.7 * e
        residual = y - g(x, torch.tensor([0.7]))
    elif kind == "noise predictor":
        alpha = DDPM().alphas_cumprod[300]
        x = np.sqrt(alpha) * y + np.sqrt(1 - alpha) * e
        residual = e - g(x, torch.full((N,), 300))
    else:
        if kind == "optimal velocity":
            g.optimal = True
            e = g.apply(lambda s: s**-0.5, g.centred(y))
        x = 0.25 * y + 0.75 * e
        residual = y - e - g(torch.full((N,), 0.25), x)
    if kind == "optimal velocity":
        assert residual.abs().max() < 1e-9
    else:
        residual_is_uncorrelated(residual, x)


def test_the_comparison_of_laws_sees_a_variance_that_is_off_by_a_tenth(rng):
    g = correlated(rng, 0.4, Denoiser)
    samples = g.draw(N, rng).flatten(1)
    assert_drawn_from(samples, g.mean, g.covariance)
    with pytest.raises(AssertionError):
        assert_drawn_from(samples, g.mean, 1.1 * g.covariance)
    with pytest.raises(AssertionError):
        assert_drawn_from(samples, g.mean + 0.1, g.covariance)
