"""Means, spreads and shares, and how often their intervals cover."""

import numpy as np
import pytest
from scipy.stats import binomtest, norm

from stability.observers.moments import (
    Moments,
    mean_interval,
    share_interval,
    spread_interval,
)
from tests.conftest import FALSE_ALARM
from tests.support.views import view_of


def test_a_shift_and_a_spread_are_what_they_are():
    y = np.stack([np.linspace(-1, 1, 101), np.linspace(-10, 10, 101)], axis=1)
    x = y * [1, 2] + [0, 5]
    measured = Moments(["a", "b"])(view_of(x, y))
    assert measured["mean_shift"] == pytest.approx(5 / y[:, 1].std())
    expected = (y[:, 0].var() + 4 * y[:, 1].var()) / y.var(axis=0).sum()
    assert measured["variance_ratio"] == pytest.approx(expected)
    assert measured["mean b"] == pytest.approx(5)
    assert measured["sd b"] == pytest.approx(2 * y[:, 1].std(ddof=1))
    low, high = measured["sd b interval"]
    assert low < measured["sd b"] < high


@pytest.mark.parametrize("count", [0, 3, 17, 60])
def test_the_interval_of_a_share_is_that_of_scipy(count):
    expected = binomtest(count, 60).proportion_ci(0.95, method="wilson")
    np.testing.assert_allclose(share_interval(count, 60), expected, atol=1e-12)


def test_a_coordinate_of_0_and_1_is_a_share(rng):
    y = np.repeat([[0.0], [1.0]], [30, 10], axis=0)
    x = np.repeat([[0.0], [1.0]], [35, 5], axis=0)
    assert Moments(["member"])(view_of(x, y))["mean member interval"] == pytest.approx(
        share_interval(5, 40)
    )


def test_intervals_cover_about_as_often_as_they_say(rng):
    """2000 normal sets of 400: the share that covers is 0.95 up to its own error and O(1/n)."""
    x = rng.normal(3, 2, (2000, 400))
    covered = {"mean": 0, "sd": 0}
    for row in x:
        low, high = mean_interval(row)
        covered["mean"] += low <= 3 <= high
        low, high = spread_interval(row)
        covered["sd"] += low <= 2 <= high
    allowed = norm.isf(FALSE_ALARM / 4) * np.sqrt(0.95 * 0.05 / 2000)
    for count in covered.values():
        assert abs(count / 2000 - 0.95) < allowed + 0.01


def test_without_names_there_are_two_numbers(rng):
    x = rng.standard_normal((9, 3))
    assert set(Moments()(view_of(x, x))) == {"mean_shift", "variance_ratio"}
    assert Moments()(view_of(x, x)) == pytest.approx({"mean_shift": 0, "variance_ratio": 1})


def test_a_constant_is_no_error():
    x = np.ones((5, 1))
    assert Moments(["k"])(view_of(x, x))["mean_shift"] == 0
    assert spread_interval(x[:, 0]) == (0, 0)


def test_names_must_be_those_of_the_coordinates():
    with pytest.raises(ValueError, match="a name for each of the 2 coordinates, got 1"):
        Moments(["a"])(view_of(np.zeros((4, 2)), np.zeros((4, 2))))
    with pytest.raises(ValueError, match="moments need two points a set, got 1 and 4"):
        Moments()(view_of(np.zeros((1, 2)), np.zeros((4, 2))))
