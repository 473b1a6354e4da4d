from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chi2, ks_2samp, kstest, norm
from sklearn import datasets

from tests.conftest import FALSE_ALARM
from toy.densities.shapes import (
    DENSITIES,
    checkerboard,
    circles,
    eight_gaussians,
    ffjord_eight_gaussians,
    rings,
    standard_normal,
    torchcfm_eight_gaussians,
    two_moons,
)


@pytest.mark.parametrize("name", DENSITIES)
@given(n=st.integers(0, 50), more=st.integers(0, 50), seed=st.integers(0, 2**32))
def test_a_point_does_not_depend_on_how_many_follow(name, n, more, seed):
    few, many = (DENSITIES[name](k, np.random.default_rng(seed)) for k in (n, n + more))
    assert few.shape == (n, 2)
    assert few.dtype == np.float32
    np.testing.assert_array_equal(few, many[:n])


def unblurred(points):
    """Coordinates along and across the diagonal of the arcs' frame; the blur moves points along
    it.
    """
    return (points.astype(float) + 1) / 3


@pytest.mark.parametrize("grid", [False, True])
def test_two_moons_lie_on_their_arcs_but_for_the_blur(grid, rng):
    x = unblurred(two_moons(2000, rng, grid=grid))
    # some shift u in [0, 0.2] of both coordinates takes each point to one of the two arcs
    shifts = np.linspace(0, 0.2, 401)[:, None, None]
    back = x[None] - shifts
    upper = np.abs(np.hypot(*np.moveaxis(back, 2, 0)) - 1) + 10 * (back[..., 1] < -1e-3)
    lower = np.abs(np.hypot(1 - back[..., 0], 0.5 - back[..., 1]) - 1) + 10 * (back[..., 1] > 0.501)
    assert np.minimum(upper, lower).min(axis=0).max() < 1e-3  # the step of the shifts


def test_two_moons_has_the_moments_of_its_definition(rng):
    n = 100_000
    x = unblurred(two_moons(n, rng))
    # E cos a = 0, E sin a = 2/π, the arcs' means are (0, 2/π) and (1, ½ − 2/π), E u = 0.1
    expected = [0.5 + 0.1, 0.25 + 0.1]
    z = (x.mean(axis=0) - expected) / (x.std(axis=0) / n**0.5)
    assert np.abs(z).max() < norm.isf(FALSE_ALARM / 4)


def test_a_grid_puts_half_of_the_points_on_each_arc(rng):
    x = unblurred(two_moons(101, rng, grid=True))
    left, right = x[0], x[50]  # first points of the arcs: (1, 0) and (0, ½) before the blur
    assert left[0] - left[1] == pytest.approx(1, abs=1e-6)
    assert right[0] - right[1] == pytest.approx(-0.5, abs=1e-6)


def test_torchcfms_eight_gaussians(rng):
    n = 40_000
    x = torchcfm_eight_gaussians(n, rng).astype(float)
    angle = np.arange(8) * np.pi / 4
    centres = 5 * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    mode = np.linalg.norm(x[:, None] - centres, axis=2).argmin(axis=1)
    counts = np.bincount(mode, minlength=8)
    # neighbours are 3.8 apart, 3.4 standard deviations from the boundary: the modes' shares stay
    # 1/8 by symmetry
    assert ((counts - n / 8) ** 2 / (n / 8)).sum() < chi2.isf(FALSE_ALARM / 2, 7)
    # torchcfm: covariance sqrt(0.1) I.  E |x|² = 25 + 2 sqrt(0.1), and |x|² has a finite variance
    squares = (x**2).sum(axis=1)
    z = (squares.mean() - 25 - 2 * 0.1**0.5) / (squares.std() / n**0.5)
    assert abs(z) < norm.isf(FALSE_ALARM / 4)


def test_standard_normal(rng):
    x = standard_normal(20_000, rng)
    assert min(kstest(x[:, i], "norm").pvalue for i in range(2)) > FALSE_ALARM / 2


@pytest.mark.parametrize(
    ("mixture", "radius", "sd"),
    [
        (eight_gaussians, 1.414072, 0.01414072),  # ddpm-torch: radius 2, sd 0.02, over √(0.02² + 2)
        (ffjord_eight_gaussians, 4 / 1.414, 0.5 / 1.414),
        (torchcfm_eight_gaussians, 5.0, 0.5623413),
    ],
)
def test_three_mixtures_go_by_one_name(mixture, radius, sd):
    x, y = mixture.centres.T
    np.testing.assert_allclose(np.hypot(x, y), radius, rtol=1e-6)
    np.testing.assert_allclose(
        np.sort(np.arctan2(y, x) % (2 * np.pi)), np.arange(8) * np.pi / 4, atol=1e-12
    )
    np.testing.assert_allclose(mixture.sds, sd, rtol=1e-6)
    np.testing.assert_allclose(mixture.shares, 1 / 8)


def test_ddpm_torchs_eight_gaussians_have_unit_variance():
    mixture = eight_gaussians
    np.testing.assert_allclose(
        (mixture.centres**2).mean(axis=0) + mixture.sds[0] ** 2, 1, rtol=1e-12
    )


def as_published(name, n, rng) -> np.ndarray:
    """As FFJORD's code draws them: grids, classes of equal size, scikit-learn."""
    seed = int(rng.integers(2**32))
    if name == "moons-ffjord":
        return np.asarray(datasets.make_moons(n, noise=0.1, random_state=seed)[0]) * 2 + [-1, -0.2]
    if name == "swissroll":
        return (
            np.asarray(datasets.make_swiss_roll(n, noise=1.0, random_state=seed)[0])[:, [0, 2]] / 5
        )
    if name == "circles":
        return (
            np.asarray(datasets.make_circles(n, factor=0.5, noise=0.08, random_state=seed)[0]) * 3
        )
    if name == "rings":
        angle = np.linspace(0, 2 * np.pi, n // 4, endpoint=False)
        circle = np.stack([np.cos(angle), np.sin(angle)], axis=1)
        return np.concatenate([3 * r * circle for r in (1, 0.75, 0.5, 0.25)]) + rng.normal(
            scale=0.08, size=(n, 2)
        )
    if name == "pinwheel":
        features = rng.standard_normal((n, 2)) * [0.3, 0.1] + [1, 0]
        angles = np.repeat(np.linspace(0, 2 * np.pi, 5, endpoint=False), n // 5) + 0.25 * np.exp(
            features[:, 0]
        )
        rotations = np.stack([np.cos(angles), -np.sin(angles), np.sin(angles), np.cos(angles)])
        return 2 * np.einsum("ti,tij->tj", features, rotations.T.reshape(-1, 2, 2))
    if name == "2spirals":
        a = np.sqrt(rng.random((n // 2, 1))) * 540 * (2 * np.pi) / 360
        arm = np.hstack(
            [
                -np.cos(a) * a + rng.random((n // 2, 1)) * 0.5,
                np.sin(a) * a + rng.random((n // 2, 1)) * 0.5,
            ]
        )
        return np.vstack([arm, -arm]) / 3 + rng.standard_normal((n, 2)) * 0.1
    x1 = rng.random(n) * 4 - 2
    x2 = rng.random(n) - rng.integers(0, 2, n) * 2 + np.floor(x1) % 2
    return np.stack([x1, x2], axis=1) * 2


@pytest.mark.parametrize(
    "name",
    ["moons-ffjord", "swissroll", "circles", "rings", "pinwheel", "2spirals", "checkerboard"],
)
def test_the_published_distributions(name, rng):
    """Two samples, projected on four directions and on the radius; grids only make the test
    milder.
    """
    one, two = DENSITIES[name](10_000, rng).astype(float), as_published(name, 10_000, rng)
    directions = [(1, 0), (0, 1), (1, 1), (1, -2)]
    views = [(one @ d, two @ d) for d in directions] + [(np.hypot(*one.T), np.hypot(*two.T))]
    tests: list[Any] = [ks_2samp(a, b, method="asymp") for a, b in views]
    assert min(test.pvalue for test in tests) > FALSE_ALARM / len(views)


@pytest.mark.parametrize("density", [ffjord_eight_gaussians, circles, rings, checkerboard])
def test_densities_integrate_to_one_and_belong_to_the_draws(density, rng):
    """Cells of a coarse grid: their probability by a fine grid within, against counts."""
    cells, fine, n = 12, 30, 40_000
    edges = np.linspace(-5, 5, cells + 1)
    middles = np.linspace(-5, 5, cells * fine + 1)[:-1] + 10 / cells / fine / 2
    grid = np.stack(np.meshgrid(middles, middles, indexing="ij"), axis=-1)
    mass = np.exp(density.log_prob(grid)) * (middles[1] - middles[0]) ** 2
    probability = mass.reshape(cells, fine, cells, fine).sum(axis=(1, 3))
    assert probability.sum() == pytest.approx(1, abs=2e-3)
    counts, *_ = np.histogram2d(*density(n, rng).T.astype(float), bins=(edges, edges))
    likely = n * probability > 100
    expected = n * probability[likely]
    rest = n * probability[~likely].sum()
    assert abs(counts[~likely].sum() - rest) < 6 * max(rest, 36) ** 0.5  # Poisson-like: below 1e-7
    # the fine grid's error of some 1e-3 of a cell is far below the noise of the counts
    assert ((counts[likely] - expected) ** 2 / expected).sum() < chi2.isf(FALSE_ALARM, likely.sum())
