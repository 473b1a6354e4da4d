"""Slopes, intervals and sign tests."""

import numpy as np
import pytest
from scipy.stats import binom, binomtest, norm
from scipy.stats import t as student_t

from stability.runs.trends import all_trends, sign_test, slopes, student_interval
from tests.conftest import FALSE_ALARM


def test_slopes_are_those_of_least_squares(rng):
    values = rng.standard_normal((9, 4))
    np.testing.assert_allclose(slopes(values, 3), np.polyfit(np.arange(3, 9), values[3:], 1)[0])
    with pytest.raises(ValueError, match="a slope needs two generations from 8 on"):
        slopes(values, 8)


def test_the_interval_is_students(rng):
    values = rng.standard_normal(6)
    low, high = student_t.interval(0.9, 5, values.mean(), values.std(ddof=1) / 6**0.5)
    found = student_interval(values, 0.1)
    assert (found.low, found.high) == (pytest.approx(low), pytest.approx(high))
    assert found.half_width == pytest.approx((high - low) / 2)
    alone = student_interval(np.ones(1))
    assert (alone.mean, alone.low, alone.high) == (1, -np.inf, np.inf)
    assert alone.half_width == np.inf


def test_the_interval_has_the_mean_inside_as_often_as_it_says(rng):
    draws = rng.standard_normal((2000, 5))
    inside = sum(not student_interval(values).leaves_out_zero for values in draws)
    assert abs(inside - 1900) < norm.isf(FALSE_ALARM / 2) * np.sqrt(2000 * 0.95 * 0.05) + 1


@pytest.mark.parametrize(
    ("positive", "ties", "of", "outcome"),
    [
        (6, 0, 6, "holds"),
        (5, 0, 6, "undecided"),
        (5, 0, 5, "undecided"),
        (0, 0, 9, "violated"),
        (0, 9, 9, "undecided"),
        (6, 3, 9, "undecided"),
    ],
)
def test_the_sign_test_is_exact(positive, ties, of, outcome):
    signs = np.where(np.arange(of) < positive, 0.1, -3.0)
    signs[positive : positive + ties] = 0
    test = sign_test(signs)
    assert test.positive == positive
    assert test.p == pytest.approx(binomtest(positive, of, alternative="greater").pvalue)
    negative = of - positive - ties
    assert test.p_opposite == pytest.approx(binomtest(negative, of, alternative="greater").pvalue)
    assert test.outcome(0.02) == outcome


def test_nothing_is_found_where_nothing_is(rng):
    """The family-wise error rate of two rows and one quantity, in both directions."""
    found = sum(
        any(
            trend.status != "undecided"
            for trend in all_trends(
                {"w1": {row: rng.standard_normal((6, 8)) for row in "ab"}}, 0.05, 0, ""
            ).rows
        )
        for _ in range(1000)
    )
    assert found <= binom.isf(FALSE_ALARM, 1000, 0.05)


def test_what_grows_and_what_falls_is_found(rng):
    t = np.arange(6.0)[:, None]
    noise = 0.01 * rng.standard_normal((6, 8))
    values = {"w1": {"up": t + noise, "down": noise - t}}
    trends = all_trends(values, 0.05, 0, "seeds")
    assert [trend.status for trend in trends.rows] == ["holds", "violated"]
    assert trends.rows[0].slope.mean == pytest.approx(1, abs=0.05)
    with pytest.raises(ValueError, match="level must be in"):
        all_trends(values, 1.5, 0, "")
