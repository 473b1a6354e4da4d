from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.stats import norm

from stability import TrainingSet
from stability.diffusion.heun import Heun
from stability.diffusion.multistep import DPMSolver2M, UniPC
from stability.diffusion.schedules import edm_noise_levels
from tests.conftest import FALSE_ALARM
from tests.support.gaussian_data import VARIANCES, assert_moments, denoiser
from tests.support.plain_networks import plain_mlp
from toy.densities.shapes import eight_gaussians
from toy.learners.denoising import blocks
from toy.learners.edm import EDMLearner
from toy.learners.settings import EDMConfig

SMALL = EDMConfig(epochs=3, batch=16, width=8, sampler_steps=5)


def data_of(*sizes):
    return [TrainingSet(eight_gaussians(n, np.random.default_rng(n)), real=n) for n in sizes]


def rngs(count, seed=0):
    return [np.random.default_rng([seed, r]) for r in range(count)]


def trained(data, settings=SMALL, fits=1, **options):
    learner = EDMLearner(len(data), settings, **options)
    learner.reset(rngs(len(data), seed=1))
    for fit in range(fits):
        learner.fit(data, rngs(len(data), seed=2 + fit))
    return learner


@pytest.mark.parametrize(("steps", "churn"), [(10, 0.0), (18, 0.0), (40, 0.0), (18, 10.0)])
def test_samples_of_gaussian_data_with_the_exact_score(steps, churn, rng, monkeypatch):
    """The learner's own `sample`, with the true denoiser for its network: moments by the width
    map.
    """
    learner = EDMLearner(2, EDMConfig(width=4, sampler_steps=steps, churn=churn))
    monkeypatch.setattr(learner, "denoise", lambda x, sigma: denoiser(1.0, sigma)(x))
    samples = learner.sample([20_000, 1], rng.spawn(2))
    assert_moments(samples[0], Heun(edm_noise_levels(steps), churn).variance(VARIANCES))


@pytest.mark.parametrize(("sampler", "solver"), [("dpm++2m", DPMSolver2M()), ("unipc", UniPC())])
def test_other_samplers_with_the_exact_score(sampler, solver, rng, monkeypatch):
    learner = EDMLearner(2, EDMConfig(width=4, sampler=sampler, sampler_steps=9))
    monkeypatch.setattr(learner, "denoise", lambda x, sigma: denoiser(1.0, sigma)(x))
    samples = learner.sample([20_000, 1], rng.spawn(2))
    assert_moments(samples[0], solver.along(edm_noise_levels(9)).variance(VARIANCES))


def test_the_preconditioning():
    """Karras et al., table 1, for one chain and its plain network: D = c_skip x + c_out F(c_in
    x, ln σ/4).
    """
    learner = trained(data_of(20), replace(SMALL, sigma_data=0.7))
    module, data = plain_mlp(learner.network, 0), 0.7
    x = torch.tensor([[[0.3, -2.0], [5.0, 0.1]]])
    for sigma in (0.002, 0.3, 80.0):
        total = sigma**2 + data**2
        net = module(torch.cat([x[0] / total**0.5, torch.full((2, 1), np.log(sigma) / 4)], dim=1))
        expected = data**2 / total * x[0] + sigma * data / total**0.5 * net
        torch.testing.assert_close(learner.denoise(x, sigma)[0], expected, rtol=1e-4, atol=1e-5)


def test_the_noise_levels_and_weights_of_training(rng):
    learner, n = EDMLearner(1, EDMConfig(width=4, sigma_data=0.7)), 20_000
    x0 = eight_gaussians(n, rng)[None]
    inputs, targets, weights = learner._corrupt(x0, rng)
    sigma = inputs[0, :, 2].astype(float)
    np.testing.assert_array_equal(targets, x0)
    np.testing.assert_allclose(weights[0], (sigma**2 + 0.49) / (0.7 * sigma) ** 2, rtol=1e-4)
    eps = (inputs[0, :, :2] - x0[0]) / sigma[:, None]
    for z in ((np.log(sigma) + 1.2) / 1.2, *eps.T):
        # mean and mean square of standard normals
        assert abs(z.mean()) * n**0.5 < norm.isf(FALSE_ALARM / 12)
        # 1.1: skewness of χ²
        assert abs((z**2).mean() - 1) * (n / 2) ** 0.5 < 1.1 * norm.isf(FALSE_ALARM / 12)


def test_chains_train_as_plain_networks_do_one_at_a_time():
    """Different lengths, two fits, the loss as EDM writes it: λ(σ)·(D − x₀)², λ = (σ² + σ_d²)/(σ
    σ_d)².
    """
    data = data_of(35, 16, 50)
    together, start = trained(data, fits=2), trained(data, fits=0)
    for chain in range(3):
        module = plain_mlp(start.network, chain)
        adam = torch.optim.Adam(module.parameters(), lr=SMALL.learning_rate)
        for fit in range(2):
            stream, points = np.random.default_rng([2 + fit, chain]), [data[chain].points]
            for block in blocks(points, [stream], SMALL.epochs, SMALL.batch, True, start._corrupt):
                for step in range(block.steps[0]):
                    size = int((block.weights[step, 0] > 0).sum())
                    inputs, x0 = (
                        torch.from_numpy(x[step, 0, :size]) for x in (block.inputs, block.targets)
                    )
                    noisy, sigma = inputs[:, :2], inputs[:, 2:]
                    total = sigma**2 + 1
                    net = module(torch.cat([noisy / total.sqrt(), sigma.log() / 4], dim=1))
                    denoised = noisy / total + sigma / total.sqrt() * net
                    adam.zero_grad()
                    (total / sigma**2 * (denoised - x0) ** 2).mean().backward()
                    adam.step()
        expected = torch.cat([p.detach().flatten() for p in module.parameters()])
        torch.testing.assert_close(together.network.theta[chain], expected, rtol=1e-3, atol=2e-5)


def test_going_on_from_a_state_is_exact():
    data = data_of(20, 32)
    whole, first, second = trained(data, fits=2), trained(data), EDMLearner(2, SMALL)
    second.load_state_dict(first.state_dict())
    second.fit(data, rngs(2, seed=3))
    assert torch.equal(second.network.theta, whole.network.theta)
    for one, two in zip(second.sample([5, 3], rngs(2)), whole.sample([5, 3], rngs(2)), strict=True):
        np.testing.assert_array_equal(one, two)


def test_training_approaches_the_exact_denoiser():
    points = np.random.default_rng(0).standard_normal((2000, 2)).astype(np.float32) * 0.5
    data = [TrainingSet(points, real=2000)]
    errors = []
    for fits in (0, 1):
        learner = trained(
            data, EDMConfig(epochs=20, batch=100, width=16, learning_rate=3e-3), fits=fits
        )
        error = 0.0
        for sigma in np.geomspace(0.05, 2, 10):
            x = torch.from_numpy(points[:500])[None] + sigma
            with torch.no_grad():
                gap = learner.denoise(x, float(sigma)) - 0.25 / (0.25 + sigma**2) * x
            error += float(gap.square().mean()) * (1 + 1 / sigma**2)
        errors.append(error)
    assert errors[1] < 0.3 * errors[0]


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"epochs": 0}, "epochs must be >= 1, got 0"),
        ({"batch": 0}, "batch must be >= 1"),
        ({"width": 0}, "width must be >= 1"),
        ({"sampler_steps": 1}, "sampler_steps must be >= 2, got 1"),
        ({"learning_rate": -1.0}, "learning_rate must be finite and > 0"),
        ({"sigma_data": 0.0}, "sigma_data must be finite and > 0"),
        ({"log_sigma_sd": 0.0}, "log_sigma_sd must be finite and > 0"),
        ({"log_sigma_mean": float("nan")}, "log_sigma_mean must be finite, got nan"),
        ({"churn": -1.0}, "churn must be finite and >= 0, got -1.0"),
        ({"churn": 1.0, "sampler": "unipc"}, "churn has no meaning for sampler unipc"),
    ],
)
def test_bad_settings(setting, message):
    with pytest.raises(ValueError, match=message):
        EDMConfig(**setting)
