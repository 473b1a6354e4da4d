from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.stats import chi2, norm

from stability import TrainingSet
from stability.diffusion.multistep import DPMSolver2M, UniPC
from stability.diffusion.schedules import linear_alphas_cumprod, spaced_times
from stability.diffusion.step_samplers import DDIM, StepSampler
from stability.diffusion.width_map import SAMPLERS
from tests.conftest import FALSE_ALARM, FIXTURES
from tests.support.gaussian_data import VARIANCES, assert_moments, denoiser
from tests.support.plain_networks import plain_temporal
from toy.densities.shapes import eight_gaussians
from toy.learners.ddpm import DDPMLearner
from toy.learners.denoising import blocks
from toy.learners.settings import DDPMConfig

SMALL = DDPMConfig(epochs=3, batch=16, width=8, layers=2, diffusion_steps=10)
SCHEDULE = linear_alphas_cumprod()
ONE_DIMENSIONAL = {
    "fixed-large": SAMPLERS["DDPM 100, fixed-large"],
    "fixed-small": SAMPLERS["DDPM 100, fixed-small"],
    "ddim": SAMPLERS["DDIM 100"],
    "dpm++2m": DPMSolver2M().over(SCHEDULE),
    "unipc": UniPC().over(SCHEDULE),
}
TWELVE = spaced_times(SCHEDULE, 12, "logsnr")
FEW_STEPS = {
    "ddim": DDIM(12, "logsnr").over(SCHEDULE),
    "dpm++2m": DPMSolver2M().over(SCHEDULE, TWELVE),
    "unipc": UniPC().over(SCHEDULE, TWELVE),
}


def data_of(*sizes):
    return [TrainingSet(eight_gaussians(n, np.random.default_rng(n)), real=n) for n in sizes]


def rngs(count, seed=0):
    return [np.random.default_rng([seed, r]) for r in range(count)]


def trained(data, settings=SMALL, fits=1, **options):
    learner = DDPMLearner(len(data), settings, **options)
    learner.reset(rngs(len(data), seed=1))
    for fit in range(fits):
        learner.fit(data, rngs(len(data), seed=2 + fit))
    return learner


def test_the_published_samples():
    """ddpm-torch's toy sampler with its own trained network, start and noise."""
    data = np.load(FIXTURES / "toy_ddpm_tiny_io.npz")
    learner = DDPMLearner(2, DDPMConfig(width=32))
    learner.network.load_state_of(
        1, torch.load(FIXTURES / "toy_ddpm_tiny.pt", weights_only=True)["model"]
    )
    np.testing.assert_allclose(learner.settings.alphas_cumprod, data["alphas_bar"], rtol=1e-12)
    start, noise = (torch.from_numpy(data[name]) for name in ("ancestral_start", "ancestral_noise"))
    with torch.no_grad():
        end = learner.sampler.sample(
            learner.denoise, start.expand(2, -1, -1), lambda t: noise[99 - t]
        )
    np.testing.assert_allclose(end[1], data["ancestral_final"], atol=1e-4)


def test_the_published_steps():
    """Mean and variance of each single step."""
    data = np.load(FIXTURES / "toy_ddpm_tiny_io.npz")
    learner = DDPMLearner(1, DDPMConfig(width=32))
    learner.network.load_state_of(
        0, torch.load(FIXTURES / "toy_ddpm_tiny.pt", weights_only=True)["model"]
    )
    sampler = learner.sampler
    assert isinstance(sampler, StepSampler)
    for i, t in enumerate(data["t"]):
        x = torch.from_numpy(data["x"][i])[None, None]
        with torch.no_grad():
            clean = learner.denoise(x, int(t))
        np.testing.assert_allclose(clean[0, 0], data["pred_x0"][i], rtol=1e-3, atol=1e-4)
        mean = sampler.to_x0[t] * clean + sampler.to_x[t] * x
        np.testing.assert_allclose(mean[0, 0], data["mean"][i], rtol=1e-4, atol=1e-5)
        assert sampler.sd[t] ** 2 == pytest.approx(data["var"][i] if t else 0, rel=1e-5)


@pytest.mark.parametrize("sampler", ONE_DIMENSIONAL)
def test_samples_of_gaussian_data_with_the_exact_score(sampler, rng, monkeypatch):
    """The learner's own `sample`, with the true denoiser for its network: moments by the width
    map.
    """
    learner = DDPMLearner(2, replace(DDPMConfig(), width=4, sampler=sampler))
    assert_exact_samples(learner, ONE_DIMENSIONAL[sampler], rng, monkeypatch)


@pytest.mark.parametrize("sampler", FEW_STEPS)
def test_few_steps_with_the_exact_score(sampler, rng, monkeypatch):
    settings = DDPMConfig(width=4, sampler=sampler, sampler_steps=12, spacing="logsnr")
    assert_exact_samples(DDPMLearner(2, settings), FEW_STEPS[sampler], rng, monkeypatch)


def assert_exact_samples(learner, expected, rng, monkeypatch):
    a = learner.settings.alphas_cumprod
    monkeypatch.setattr(
        learner, "denoise", lambda x, t: denoiser(a[t] ** 0.5, (1 - a[t]) ** 0.5)(x)
    )
    samples = learner.sample([20_000, 1], rng.spawn(2))
    assert_moments(samples[0], expected.variance(VARIANCES))


def test_the_noising_of_the_training_points(rng):
    """x_t − √ᾱ_t x₀ over √(1−ᾱ_t) is the target, standard normal, and t is uniform."""
    learner, n = DDPMLearner(1, SMALL), 20_000
    x0 = eight_gaussians(n, rng)[None]
    inputs, eps, weights = learner._corrupt(x0, rng)
    t = inputs[0, :, 2].astype(int)
    a = learner.settings.alphas_cumprod[t][:, None]
    np.testing.assert_allclose(
        inputs[0, :, :2], a**0.5 * x0[0] + (1 - a) ** 0.5 * eps[0], rtol=1e-4, atol=1e-5
    )
    assert (weights == 1).all()
    counts = np.bincount(t, minlength=10)
    assert ((counts - n / 10) ** 2 / (n / 10)).sum() < chi2.isf(FALSE_ALARM / 3, 9)
    assert abs(eps.mean()) * (2 * n) ** 0.5 < norm.isf(FALSE_ALARM / 6)
    low, high = chi2.isf([1 - FALSE_ALARM / 6, FALSE_ALARM / 6], 2 * n)
    assert low < (eps.astype(float) ** 2).sum() < high


@pytest.mark.parametrize("settings", [SMALL, replace(SMALL, shuffle=True, layers=1)])
def test_chains_train_as_plain_networks_do_one_at_a_time(settings):
    """Different lengths, two fits: each chain equals a torch module trained by torch's Adam on
    the same batches.
    """
    data = data_of(35, 16, 50)
    together, start = trained(data, settings, fits=2), trained(data, settings, fits=0)
    for chain in range(3):
        module = plain_temporal(start.network, chain, settings.width, settings.layers)
        adam = torch.optim.Adam(module.parameters(), lr=settings.learning_rate)
        for fit in range(2):
            stream, points = np.random.default_rng([2 + fit, chain]), [data[chain].points]
            for block in blocks(
                points, [stream], settings.epochs, settings.batch, settings.shuffle, start._corrupt
            ):
                for step in range(block.steps[0]):
                    size = int((block.weights[step, 0] > 0).sum())
                    inputs, eps = (
                        torch.from_numpy(x[step, 0, :size]) for x in (block.inputs, block.targets)
                    )
                    adam.zero_grad()
                    ((module(inputs[:, :2], inputs[:, 2].long()) - eps) ** 2).mean().backward()
                    adam.step()
        expected = DDPMLearner(1, settings)
        expected.network.load_state_of(
            0, {name: x.detach() for name, x in module.state_dict().items()}
        )
        torch.testing.assert_close(
            together.network.theta[chain], expected.network.theta[0], rtol=1e-3, atol=1e-5
        )


def test_a_chain_does_not_depend_on_the_chains_beside_it():
    data = data_of(35, 16, 50)
    together, alone = trained(data), DDPMLearner(1, SMALL)
    alone.reset([np.random.default_rng([1, 1])])
    alone.fit(data[1:2], [np.random.default_rng([2, 1])])
    # random draws are identical; batched products may round differently
    torch.testing.assert_close(
        together.network.theta[1], alone.network.theta[0], rtol=1e-5, atol=1e-6
    )


@pytest.mark.parametrize("sampler", ONE_DIMENSIONAL)
def test_clipped_samples_stay_in_their_box(sampler):
    """The last step is x̂₀ itself."""
    settings = replace(SMALL, sampler=sampler, clip=0.25)
    (samples,) = trained(data_of(20), settings).sample([50], rngs(1))
    assert np.abs(samples).max() == 0.25
    (free,) = trained(data_of(20), replace(settings, clip=None)).sample([50], rngs(1))
    assert np.abs(free).max() > 0.25


@pytest.mark.parametrize("sampler", ONE_DIMENSIONAL)
def test_going_on_from_a_state_is_exact(sampler):
    settings, data = replace(SMALL, sampler=sampler), data_of(20, 32)
    whole, first, second = (
        trained(data, settings, fits=2),
        trained(data, settings),
        DDPMLearner(2, settings),
    )
    state = first.state_dict()
    first.fit(data, rngs(2, seed=9))  # the state is a copy
    second.load_state_dict(state)
    second.fit(data, rngs(2, seed=3))
    assert torch.equal(second.network.theta, whole.network.theta)
    for one, two in zip(second.sample([5, 3], rngs(2)), whole.sample([5, 3], rngs(2)), strict=True):
        np.testing.assert_array_equal(one, two)


def test_training_approaches_the_exact_denoiser():
    """Gaussian data: the error against the closed form, over noise levels and points, falls by
    training.
    """
    points = np.random.default_rng(0).standard_normal((2000, 2)).astype(np.float32) * 0.5
    settings = DDPMConfig(epochs=20, batch=100, width=16, learning_rate=3e-3)
    data = [TrainingSet(points, real=2000)]
    errors = []
    for fits in (0, 1):
        learner = trained(data, settings, fits=fits)
        error = 0.0
        for t in range(9, 100, 15):
            a = learner.settings.alphas_cumprod[t]
            x = torch.from_numpy(points[:200] * a**0.5).float()[None] + (1 - a) ** 0.5 * torch.ones(
                1, 200, 2
            )
            exact = a**0.5 * 0.25 / (a * 0.25 + 1 - a) * x
            with torch.no_grad():
                gap = learner.denoise(x, t) - exact
            error += float((a / (1 - a) * gap.square()).mean())  # in units of ε
        errors.append(error)
    assert errors[1] < 0.3 * errors[0]


def test_a_loss_that_is_not_finite_stops_with_chain_and_step():
    learner = DDPMLearner(2, replace(SMALL, learning_rate=1e38))
    learner.reset(rngs(2))
    with (
        pytest.raises(FloatingPointError, match=r"the loss of chain \d is (inf|nan) at step \d"),
        np.errstate(all="ignore"),
    ):
        learner.fit(data_of(100, 100), rngs(2))


def test_progress_reaches_one_and_never_falls():
    shares = []
    trained(data_of(20, 50), on_progress=shares.append)
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
    assert len(shares) == 3 * 4  # the longest chain's steps


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"epochs": 0}, "epochs must be >= 1, got 0"),
        ({"batch": 0}, "batch must be >= 1"),
        ({"layers": 0}, "layers must be >= 1"),
        ({"diffusion_steps": 0}, "diffusion_steps must be >= 1"),
        ({"width": 7}, "width must be even and >= 4, got 7"),
        ({"learning_rate": 0.0}, "learning_rate must be finite and > 0, got 0.0"),
        ({"clip": 0.0}, "clip must be finite and > 0, got 0.0"),
        ({"beta_first": 0.0}, r"beta_first must be in \(0, 1\), got 0.0"),
        ({"beta_last": 1.0}, r"beta_last must be in \(0, 1\), got 1.0"),
        ({"sampler_steps": 9}, "sampler_steps has no meaning for sampler fixed-large"),
        (
            {"sampler": "unipc", "sampler_steps": 101},
            "sampler_steps must be from 2 to diffusion_steps 100, got 101",
        ),
        ({"sampler": "ddim", "spacing": "logsnr"}, "spacing has no meaning without sampler_steps"),
    ],
)
def test_bad_settings(setting, message):
    with pytest.raises(ValueError, match=message):
        DDPMConfig(**setting)
