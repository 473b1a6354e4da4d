import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chi2, kstest, norm

from tests.conftest import FALSE_ALARM
from toy.densities import SOURCES, standard_normal, torchcfm_eight_gaussians, two_moons

DENSITIES = {**SOURCES, "two moons": two_moons}


@pytest.mark.parametrize("name", DENSITIES)
@given(n=st.integers(0, 50), more=st.integers(0, 50), seed=st.integers(0, 2**32))
def test_a_point_does_not_depend_on_how_many_follow(name, n, more, seed):
    few, many = (DENSITIES[name](k, np.random.default_rng(seed)) for k in (n, n + more))
    assert few.shape == (n, 2)
    assert few.dtype == np.float32
    np.testing.assert_array_equal(few, many[:n])


def unblurred(points):
    """Coordinates along and across the diagonal of the arcs' frame; the blur moves points along it."""
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


def test_eight_gaussians(rng):
    n = 40_000
    x = torchcfm_eight_gaussians(n, rng).astype(float)
    angle = np.arange(8) * np.pi / 4
    centres = 5 * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    mode = np.linalg.norm(x[:, None] - centres, axis=2).argmin(axis=1)
    counts = np.bincount(mode, minlength=8)
    # neighbours are 3.8 apart, 3.4 standard deviations from the boundary: the modes' shares stay 1/8 by symmetry
    assert ((counts - n / 8) ** 2 / (n / 8)).sum() < chi2.isf(FALSE_ALARM / 2, 7)
    # torchcfm: covariance sqrt(0.1) I.  E |x|² = 25 + 2 sqrt(0.1), and |x|² has a finite variance
    squares = (x**2).sum(axis=1)
    z = (squares.mean() - 25 - 2 * 0.1**0.5) / (squares.std() / n**0.5)
    assert abs(z) < norm.isf(FALSE_ALARM / 4)


def test_standard_normal(rng):
    x = standard_normal(20_000, rng)
    assert min(kstest(x[:, i], "norm").pvalue for i in range(2)) > FALSE_ALARM / 2
