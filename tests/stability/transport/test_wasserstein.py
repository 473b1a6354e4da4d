import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from stability.transport.wasserstein import wasserstein
from tests.conftest import FIXTURES


def points(size, d):
    return arrays(float, st.tuples(size, st.just(d)), elements=st.floats(-100, 100))


def test_published_distances_of_unequal_sets():
    data = np.load(FIXTURES / "metrics.npz")
    w1, w2 = wasserstein(data["points_x"], data["points_y"])
    assert w1 == pytest.approx(float(data["w1"]), rel=1e-9)
    assert w2 == pytest.approx(float(data["w2"]), rel=1e-9)


@given(x=points(st.integers(1, 20), 1), y=points(st.integers(1, 20), 1))
def test_one_dimension_equals_the_distance_of_the_distribution_functions(x, y):
    (w1,) = wasserstein(x, y, orders=[1])
    assert w1 == pytest.approx(
        scipy.stats.wasserstein_distance(x[:, 0], y[:, 0]), rel=1e-9, abs=1e-9
    )


@given(x=points(st.integers(1, 20), 1), data=st.data())
def test_one_dimension_pairs_the_order_statistics(x, data):
    y = data.draw(points(st.just(len(x)), 1))
    _, w2 = wasserstein(x, y)
    gaps = np.sort(x, axis=0) - np.sort(y, axis=0)
    assert w2 == pytest.approx(np.sqrt(np.mean(gaps**2)), rel=1e-9, abs=1e-7)


@given(x=points(st.integers(1, 15), 3), shift=arrays(float, 3, elements=st.floats(-10, 10)))
def test_a_translation_is_as_far_as_its_length(x, shift):
    length = np.linalg.norm(shift)
    assert wasserstein(x, x + shift) == pytest.approx((length, length), rel=1e-6, abs=1e-6)


@given(x=points(st.integers(1, 12), 2), data=st.data())
def test_repeating_every_point_changes_nothing(x, data):
    """The same distributions with other numbers of points go through the other solver."""
    y = data.draw(points(st.just(len(x)), 2))
    assert wasserstein(np.repeat(x, 2, axis=0), y) == pytest.approx(
        wasserstein(x, y), rel=1e-10, abs=0
    )


@given(x=points(st.integers(1, 9), 2), y=points(st.integers(1, 9), 2), power=st.integers(-900, 900))
def test_any_unit(x, y, power):
    """Also where squares of coordinates overflow or vanish."""
    # no subnormal coordinates, which lose bits at a smaller scale
    x, y = np.round(x, 2), np.round(y, 2)
    scaled = np.ldexp(wasserstein(x, y), power)
    assert wasserstein(np.ldexp(x, power), np.ldexp(y, power)) == pytest.approx(
        tuple(scaled), rel=1e-14, abs=0
    )


@pytest.mark.parametrize("sizes", [(60, 120), (60, 100), (60, 60), (44, 60)])
@pytest.mark.parametrize("far", [1e3, 1e8, 1e11, 1e100])
def test_a_far_point_in_both_sets(rng, sizes, far):
    """As much mass far away in both: the rest is moved as without it.

    Seen from far points all else is one place.
    """
    n, m = sizes
    size = np.lcm(n, m)
    x, y = rng.standard_normal((n, 2)), rng.standard_normal((m, 2)) + 0.1
    common = np.gcd(n, m)
    x[: n // common] = y[: m // common] = [far, 0]
    near_x, near_y = x[n // common :], y[m // common :]
    share = 1 - 1 / common
    w1, w2 = wasserstein(np.repeat(near_x, size // n, axis=0), np.repeat(near_y, size // m, axis=0))
    assert wasserstein(x, y) == pytest.approx((w1 * share, w2 * share**0.5), rel=1e-10, abs=0)


@given(
    x=points(st.integers(1, 10), 2),
    y=points(st.integers(1, 10), 2),
    z=points(st.integers(1, 10), 2),
)
def test_it_is_a_metric_and_grows_with_the_order(x, y, z):
    w1, w2 = wasserstein(x, y)
    assert w1 <= w2 + 1e-9
    assert wasserstein(y, x) == pytest.approx((w1, w2), rel=1e-9, abs=1e-9)
    for direct, detour in zip((w1, w2), np.add(wasserstein(x, z), wasserstein(z, y)), strict=True):
        assert direct <= detour + 1e-6


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (np.ones((0, 2)), np.ones((3, 2)), r"x must be finite .* got shape \(0, 2\)"),
        (np.ones((3, 2)), np.full((3, 2), np.nan), "y must be finite"),
        (np.ones(3), np.ones(3), r"got shape \(3,\)"),
        (np.ones((3, 2)), np.ones((3, 1)), "same dimension, got 2 and 1"),
    ],
)
def test_bad_arguments(x, y, message):
    with pytest.raises(ValueError, match=message):
        wasserstein(x, y)
