import numpy as np
import pytest
import torch
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist
from scipy.stats import binomtest

from deep.models.ot_cfm import OTCFM
from stability.diffusion.minibatch import optimal_permutation
from tests.conftest import FALSE_ALARM, FIXTURES
from tests.support.gaussian_images import Velocity, assert_drawn_from, correlated, law

SDS = [0.02, 0.05, 0.1, 0.3, 1.0]
EULER = OTCFM(integrator="euler", euler_steps=99)


def test_published_plan():
    data = np.load(FIXTURES / "ot_plan.npz")
    found = optimal_permutation(data["x0"], data["x1"])
    np.testing.assert_array_equal(found, data["permutation"])
    # torchcfm draws its pairs from this plan
    np.testing.assert_array_equal(found[data["drawn_i"]], data["drawn_j"])


def test_how_much_euler_narrows_a_gaussian():
    """Every step is linear there, so the narrowing is known in closed form: the table of the
    theory pages.
    """
    measured = law(EULER, Velocity.independent(SDS))[1].diagonal().sqrt() / torch.tensor(SDS)
    expected = torch.tensor([0.919, 0.956, 0.981, 0.987], dtype=torch.float64)
    torch.testing.assert_close(measured[1:], expected, rtol=0, atol=6e-4)


@pytest.mark.parametrize("optimal", [False, True])
def test_samples_have_the_mean_and_covariance_of_the_data(optimal, rng):
    """dopri5 ends on the exact flow, x_1 = μ + √S x_0, and its samples have the law of the data."""
    g = correlated(rng, 0.4, Velocity)
    g.optimal = optimal
    latents = torch.from_numpy(rng.standard_normal((3000, *g.shape), dtype=np.float32))
    samples = OTCFM(tolerance=1e-6).sample(g, lambda: latents)
    exact = g.plus_mean(g.apply(torch.sqrt, latents))
    torch.testing.assert_close(samples.double(), exact, rtol=0, atol=2e-3)
    assert_drawn_from(samples.flatten(1), g.mean, g.covariance)


def test_euler_is_exact_in_one_step_where_paths_are_straight(rng):
    """Optimal pairs of Gaussians move along straight lines; independent pairs do not (the
    control).
    """
    g = correlated(rng, 0.4, Velocity)
    latents = torch.from_numpy(rng.standard_normal((10, *g.shape), dtype=np.float32))
    exact = g.plus_mean(g.apply(torch.sqrt, latents))
    for g.optimal in (True, False):
        error = (
            (OTCFM(integrator="euler", euler_steps=1).sample(g, lambda: latents) - exact)
            .abs()
            .max()
        )
        assert (error < 1e-5) == g.optimal


def pairs(model, rng, n=64, shape=(1, 3, 3)):
    """Images, and what `inputs` makes of them: noise images, their partners, times and paths."""
    images = torch.from_numpy(rng.integers(0, 256, (n, *shape), dtype=np.uint8))
    path, t, velocity = model.inputs(
        images, torch.Generator().manual_seed(int(rng.integers(2**32)))
    )
    source = path - t[:, None, None, None] * velocity
    return images.float() / 127.5 - 1, source, source + velocity, t


def places(partners, data):
    distances = cdist(partners.flatten(1), data.flatten(1))
    assert distances.min(axis=1).max() < 1e-5  # each is one of the images
    return distances.argmin(axis=1)


def test_each_pair_once_is_an_optimal_assignment(rng):
    data, source, partners, _ = pairs(OTCFM(flip=False, pairs="permutation"), rng)
    used = places(partners, data)
    np.testing.assert_array_equal(np.sort(used), np.arange(len(data)))
    cost = cdist(source.flatten(1), data.flatten(1), "sqeuclidean")
    assert cost[np.arange(len(data)), used].sum() == pytest.approx(
        cost[linear_sum_assignment(cost)].sum(), rel=1e-5
    )


def test_pairs_drawn_from_a_plan_are_pairs_of_it_and_repeat(rng):
    data, source, partners, _ = pairs(OTCFM(flip=False), rng, n=200)
    used = places(partners, data)
    # 200 (1 − 1/e) = 126 expected, with a standard deviation below 4.5
    assert 80 < len(set(used)) < 160
    distinct = np.unique(used, return_index=True)[1]
    cost = cdist(source[distinct].flatten(1), partners[distinct].flatten(1), "sqeuclidean")
    rows, columns = linear_sum_assignment(cost)  # a part of an optimal plan is optimal
    np.testing.assert_array_equal(columns, rows)


def test_noise_on_the_path(rng):
    images = torch.from_numpy(rng.integers(0, 256, (500, 1, 3, 3), dtype=np.uint8))
    seed = int(rng.integers(2**32))
    plain, blurred = (
        OTCFM(flip=False, sigma=sigma).inputs(images, torch.Generator().manual_seed(seed))
        for sigma in (0.0, 0.3)
    )
    assert torch.equal(plain[2], blurred[2])
    # of 4500 normals: 9 standard errors
    assert float((blurred[0] - plain[0]).std()) == pytest.approx(0.3, rel=0.1)


@pytest.mark.parametrize("flip", [False, True])
def test_half_of_the_images_are_mirrored_if_asked(flip, rng):
    edge = torch.tensor([0, 0, 255], dtype=torch.uint8).expand(500, 1, 3, 3)
    model = OTCFM(flip=flip, pairs="permutation")
    path, t, velocity = model.inputs(edge, torch.Generator().manual_seed(int(rng.integers(2**32))))
    partners = path + (1 - t[:, None, None, None]) * velocity
    at_the_left = int((partners[:, 0, 0, 0] > 0).sum())
    assert binomtest(at_the_left, 500, 0.5).pvalue > FALSE_ALARM if flip else at_the_left == 0


def test_losses_are_means_over_pixels():
    model = OTCFM()
    inputs = model.inputs(
        torch.zeros(4, 1, 2, 2, dtype=torch.uint8), torch.Generator().manual_seed(0)
    )
    assert torch.allclose(model.losses(lambda t, x: inputs[2] - 3, *inputs), torch.full((4,), 9.0))


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"sigma": -0.1}, "sigma must be finite and >= 0, got -0.1"),
        ({"tolerance": 0.0}, "tolerance must be from 1e-09 to below 1, got 0.0"),
        ({"integrator": "euler", "euler_steps": 0}, "euler_steps must be >= 1, got 0"),
        ({"euler_steps": 5}, "euler_steps has no meaning for integrator dopri5"),
        (
            {"integrator": "euler", "tolerance": 1e-3},
            "tolerance has no meaning for integrator euler",
        ),
    ],
)
def test_bad_settings(setting, message):
    with pytest.raises(ValueError, match=message):
        OTCFM(**setting)
