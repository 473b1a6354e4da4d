"""Slope of the distance over generations, and when it is twice that of real data."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import t as student

__all__ = ["DistanceTrend", "fit_trend"]

DRAWS = 4000
TWICE = 2.0


@dataclass(frozen=True)
class DistanceTrend:
    """A line through the distances of the generations, for one look.

    Attributes:
        slope: Change of the distance ratio a generation.
        slope_interval: 95 % interval.
        forecast: Generations from the last one until the ratio is 2; inf: never, at this slope.
        forecast_interval: 95 % interval.
    """

    slope: float
    slope_interval: tuple[float, float]
    forecast: float
    forecast_interval: tuple[float, float]


def fit_trend(
    times: Sequence[float], ratios: Sequence[float], errors: Sequence[float]
) -> DistanceTrend | None:
    """Fit the line by weighted least squares.

    Args:
        times: Number of each generation, (T,).
        ratios: Distance of each, in units of that of real data.
        errors: Standard errors; a scatter beyond them widens the intervals.

    Returns:
        The trend; None: fewer than three generations.
    """
    if len(times) < 3:
        return None
    t = np.asarray(times, dtype=float) - times[-1]
    y, weights = np.asarray(ratios), 1 / np.maximum(np.asarray(errors), 1e-9) ** 2
    design = np.stack([np.ones_like(t), t], axis=1)
    covariance = np.linalg.inv(design.T @ (weights[:, None] * design))
    level, slope = covariance @ (design.T @ (weights * y))

    freedom = len(t) - 2
    scatter = float(weights @ (y - level - slope * t) ** 2) / freedom
    covariance = covariance * max(scatter, 1.0)
    reach = float(student.isf(0.025, freedom)) * math.sqrt(covariance[1, 1])

    rng = np.random.default_rng(len(t))
    z = rng.standard_normal((DRAWS, 2)) * np.sqrt(freedom / rng.chisquare(freedom, (DRAWS, 1)))
    levels, slopes = np.array([level, slope])[:, None] + np.linalg.cholesky(covariance) @ z.T
    waits = _wait(levels, slopes)
    low, high = np.quantile(waits, [0.025, 0.975], method="inverted_cdf")
    return DistanceTrend(
        float(slope),
        (float(slope - reach), float(slope + reach)),
        float(_wait(np.array([level]), np.array([slope]))[0]),
        (float(low), float(high)),
    )


def _wait(level: np.ndarray, slope: np.ndarray) -> np.ndarray:
    """Generations until the line reaches 2; 0 if it is there, inf if it never is."""
    rising = slope > 0
    wait = np.where(rising, (TWICE - level) / np.where(rising, slope, 1.0), np.inf)
    return np.where(level >= TWICE, 0.0, wait)
