"""Slopes against NumPy, forecasts by hand, and how often their intervals hold."""

import math

import numpy as np
import pytest
from scipy.stats import binom

from stability.planning.trend import fit_trend
from tests.conftest import FALSE_ALARM


def fitted(times, ratios, errors):
    trend = fit_trend(times, ratios, errors)
    assert trend is not None
    return trend


def test_an_exact_line_is_found_and_when_it_reaches_2():
    trend = fitted([1, 2, 10], [1.1, 1.2, 2.0 - 0.2], [0.01] * 3)
    flat = fitted([1, 2, 3], [1.0, 1.0, 1.0], [0.01] * 3)
    exact = fitted([1, 2, 3, 4], [1.1, 1.2, 1.3, 1.4], [0.01] * 4)
    assert exact.slope == pytest.approx(0.1)
    assert exact.forecast == pytest.approx(6)
    assert flat.forecast > 1e9
    assert flat.forecast_interval[1] == math.inf
    assert trend.slope > 0
    assert fit_trend([1, 2], [1, 2], [1, 1]) is None
    assert fitted([1, 2, 3], [1, 3, 5], [0.1] * 3).forecast == 0


def test_a_scatter_beyond_the_errors_widens_the_interval():
    quiet = fitted([1, 2, 3, 4], [1.0, 1.1, 1.2, 1.3], [0.1] * 4)
    noisy = fitted([1, 2, 3, 4], [1.0, 2.1, 0.2, 1.3], [0.1] * 4)
    assert np.ptp(noisy.slope_interval) > np.ptp(quiet.slope_interval)


def test_the_intervals_hold_as_often_as_they_say(rng):
    repeats, t = 400, np.arange(1.0, 7.0)
    slope_held = forecast_held = 0
    for _ in range(repeats):
        y = 1.0 + 0.08 * t + 0.02 * rng.standard_normal(6)
        trend = fitted(t, y, [0.02] * 6)
        slope_held += trend.slope_interval[0] <= 0.08 <= trend.slope_interval[1]
        low, high = trend.forecast_interval
        forecast_held += low <= 1 / 0.08 - 6 <= high
    for held in (slope_held, forecast_held):
        assert held >= binom.ppf(FALSE_ALARM / 2, repeats, 0.94)
