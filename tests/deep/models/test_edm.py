from dataclasses import replace
from itertools import pairwise
from typing import ClassVar

import numpy as np
import pytest
import torch
from scipy.stats import kstest

from deep.models.edm import EDM
from stability.diffusion.heun import Heun
from stability.diffusion.schedules import edm_noise_levels
from tests.conftest import FALSE_ALARM
from tests.support.gaussian_images import Denoiser, assert_drawn_from, correlated, law

SDS = [0.02, 0.05, 0.1, 0.3, 1.0]


def spread(model):
    """Standard deviation of samples over that of the data, for N(0, s²) data and each s of SDS:
    exact.
    """
    return law(model, Denoiser.independent(SDS))[1].diagonal().sqrt() / torch.tensor(SDS)


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        (EDM(), [1.143, 1.111, 1.090, 1.065, 1.045]),
        (EDM(steps=40), [1.020, 1.019, 1.016, 1.011, 1.008]),
        (EDM(sampler="dpm++2m"), [1.032, 1.074, 1.081, 1.071, 1.051]),
        (EDM(sampler="unipc"), [1.060, 1.092, 1.086, 1.060, 1.035]),
    ],
)
def test_how_much_the_official_schedules_widen_a_gaussian(model, expected):
    """Every step is linear there, so the widening is known in closed form: the table of the
    theory pages.
    """
    torch.testing.assert_close(
        spread(model), torch.tensor(expected, dtype=torch.float64), rtol=0, atol=6e-4
    )


def order(step, counts=(40, 80, 160, 320)):
    """Measured order of a method on the exact flow of a Gaussian, down to σ = 0.05, for each
    doubling of the steps.

    The last step, to σ = 0, is the denoiser itself, for every number of steps.
    """
    denoiser = Denoiser.independent([0.3])
    start = torch.ones(1, 1, 1, 1, dtype=torch.float64)
    exact = 80 * start * ((0.09 + 0.05**2) / (0.09 + 80**2)) ** 0.5 * 0.09 / (0.09 + 0.05**2)
    errors = [
        float((step(denoiser, start, edm_noise_levels(n, 0.05, 80, 7)) - exact).abs())
        for n in counts
    ]
    return np.log2(np.array(errors[:-1]) / errors[1:])


def test_heun_is_of_second_order():
    measured = order(lambda denoise, x, levels: Heun(levels).sample(denoise, x, lambda step: x))
    print("orders of Heun:", measured.round(3))  # noqa: T201
    np.testing.assert_allclose(measured, 2, atol=0.1)


def test_euler_is_not():
    """The control: the same measurement tells the orders apart."""

    def euler(denoise, x, sigmas):
        x = sigmas[0] * x
        for now, after in pairwise([*sigmas, 0]):
            x = x + (after - now) * (x - denoise(x, now)) / now
        return x

    np.testing.assert_allclose(order(euler), 1, atol=0.1)


def noise_from(rng, n, shape):
    return lambda: torch.from_numpy(rng.standard_normal((n, *shape), dtype=np.float32))


@pytest.mark.parametrize("churn", [0.0, 40.0])
def test_samples_have_the_mean_and_covariance_of_the_data(churn, rng):
    """With steps so many, and noise so high, that what is left of the discretisation is far
    below sampling error.
    """
    model = EDM(steps=512, sigma_max=1000, churn=churn)
    g = correlated(rng, 0.5, Denoiser)
    samples = model.sample(g, noise_from(rng, 3000, g.shape))
    assert_drawn_from(samples.flatten(1), g.mean, g.covariance)


def test_churn_that_adds_too_little_noise_narrows_the_samples(rng):
    """The control for the test above."""
    g = correlated(rng, 0.5, Denoiser)
    samples = EDM(steps=512, sigma_max=1000, churn=40, churn_noise=0.8).sample(
        g, noise_from(rng, 3000, g.shape)
    )
    with pytest.raises(AssertionError):
        assert_drawn_from(samples.flatten(1), g.mean, g.covariance)


@pytest.mark.parametrize(
    ("change", "calls"),
    [
        ({}, 1),
        ({"sampler": "dpm++2m"}, 1),
        ({"sampler": "unipc"}, 1),
        ({"churn": 10}, 19),
        ({"churn": 10, "churn_min": 1.0, "churn_max": 10.0}, 6),
    ],
)
def test_each_sampler_option_changes_the_samples(change, calls, rng):
    """And noise is drawn for the levels within the limits alone."""
    count = 0
    z = rng.standard_normal((20, 3, 1, 2, 2), dtype=np.float32)

    def noise():
        nonlocal count
        count += 1
        return torch.from_numpy(z[count - 1])

    g = correlated(rng, 0.5, Denoiser)
    samples = replace(EDM(), **change).sample(g, noise)
    assert count == calls
    for other in ({"steps": 17}, {"sigma_min": 0.5}, {"sigma_max": 40}, {"rho": 5}):
        count = 0
        assert (replace(EDM(), **change, **other).sample(g, noise) - samples).abs().max() > 1e-4, (
            other
        )


def test_the_range_of_the_network_limits_the_levels():
    class Limited(Denoiser):
        sigma_min, sigma_max = 0.1, 5.0
        asked: ClassVar[list[float]] = []

        def __call__(self, x, sigma, augment_labels=None):
            self.asked.append(float(sigma))
            return super().__call__(x, sigma)

    EDM().sample(Limited.independent([0.3]), lambda: torch.ones(1, 1, 1, 1))
    assert (max(Limited.asked), min(Limited.asked)) == pytest.approx((5.0, 0.1))


def test_noise_levels_in_training_are_log_normal(rng):
    images = torch.zeros(20_000, 1, 1, 1, dtype=torch.uint8)
    generator = torch.Generator().manual_seed(int(rng.integers(2**32)))
    _, sigma, _, noise = EDM(p_mean=-0.3, p_std=0.7).inputs(images, generator)
    assert kstest(sigma.log().numpy(), "norm", (-0.3, 0.7)).pvalue > FALSE_ALARM / 2
    assert kstest(noise.flatten().numpy(), "norm").pvalue > FALSE_ALARM / 2


def test_the_loss_of_the_best_denoiser_is_the_one_of_theory(rng):
    """For N(0, s²) data and known σ, E w(σ)(D − y)² = (1/σ² + 1/σ_data²) s²σ²/(s² + σ²), for
    each of the pixels.
    """
    n, s, pixels = 20_000, 0.4, 4
    g = Denoiser.independent([s] * pixels)
    sigma = torch.full((n,), 0.6)
    loss = EDM().denoising_losses(
        g, g.draw(n, rng).float(), sigma, noise_from(rng, n, g.shape)(), None
    )
    per_image = loss.sum(dim=(1, 2, 3)).numpy()
    expected = pixels * (1 / 0.6**2 + 1 / 0.5**2) * s**2 * 0.6**2 / (s**2 + 0.6**2)
    z = (per_image.mean() - expected) / (per_image.std() / np.sqrt(n))
    # normal to well within the skewness of a χ² with 4 degrees of freedom, at this n
    assert abs(z) < 5.5


class Recorder:
    """A network that remembers what it is asked."""

    sigma_data = 0.5

    def __init__(self, augment_dim):
        self.augment_dim = augment_dim

    def __call__(self, x, sigma, labels):
        self.x, self.sigma, self.labels = x, sigma, labels
        return x


@pytest.mark.parametrize(("p", "augment_dim"), [(1.0, 9), (0.0, 9), (0.0, 0)])
def test_the_network_is_told_what_augmentation_did(p, augment_dim):
    images = torch.arange(2 * 64, dtype=torch.uint8).reshape(2, 1, 8, 8)
    network, model = Recorder(augment_dim), EDM(augment=p)
    inputs = model.inputs(images, torch.Generator().manual_seed(0))
    losses = model.losses(network, *inputs)
    assert losses.shape == (2,)
    if augment_dim == 0:
        assert network.labels is None
    else:
        assert network.labels.shape == (2, 9)
        assert bool(network.labels.any()) == (p > 0)
    clean = network.x - network.sigma[:, None, None, None] * inputs[3]
    assert torch.allclose(clean, images.float() / 127.5 - 1, atol=1e-5) == (p == 0)


def test_losses_of_parts_are_parts_of_the_losses():
    images = torch.arange(6 * 64, dtype=torch.uint8).reshape(6, 1, 8, 8)
    model, network = EDM(augment=1.0), Recorder(9)
    inputs = model.inputs(images, torch.Generator().manual_seed(0))
    parts = torch.cat(
        [model.losses(network, *(x[rows] for x in inputs)) for rows in (slice(0, 2), slice(2, 6))]
    )
    torch.testing.assert_close(parts, model.losses(network, *inputs), rtol=1e-5, atol=1e-5)


def test_unipc_12_is_three_options_by_name(rng):
    g = Denoiser.independent([0.3, 0.7])
    z = torch.from_numpy(rng.standard_normal((5, *g.shape), dtype=np.float32))
    named, spelled = EDM(sampler="unipc-12"), EDM(sampler="unipc", steps=12, rho=20)
    assert named.make_sampler(g).evaluations == 12
    assert torch.equal(named.sample(g, lambda: z), spelled.sample(g, lambda: z))
    assert not torch.equal(named.sample(g, lambda: z), EDM(sampler="unipc").sample(g, lambda: z))


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"p_std": 0.0}, "p_std finite and > 0"),
        ({"augment": 1.5}, "augment must be a probability, got 1.5"),
        ({"steps": 0}, "steps must be >= 1, got 0"),
        ({"sigma_min": 90.0}, "sigma_min < sigma_max"),
        ({"sigma_min": 0.0}, "0 < sigma_min"),
        ({"rho": -1.0}, "rho must be finite and > 0"),
        ({"churn_noise": float("inf")}, "churn_noise must be finite"),
        ({"churn": float("nan")}, "churn must be >= 0, got nan"),
        ({"churn": 1.0, "sampler": "dpm++2m"}, r"churn has no meaning for sampler dpm\+\+2m"),
        ({"steps": 40, "sampler": "unipc-12"}, "steps has no meaning for sampler unipc-12"),
        ({"rho": 9.0, "sampler": "unipc-12"}, "rho has no meaning .* set it to 7 where"),
    ],
)
def test_bad_settings(setting, message):
    with pytest.raises(ValueError, match=message):
        EDM(**setting)


def test_one_step_goes_straight_to_the_denoised_image():
    g = Denoiser.independent([0.3])
    z = torch.full((1, 1, 1, 1), 0.7)
    expected = g(80 * z.double(), torch.tensor([80.0]))
    torch.testing.assert_close(EDM(steps=1).sample(g, lambda: z), expected, rtol=1e-6, atol=1e-6)
