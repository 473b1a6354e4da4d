"""Means, spreads and shares of each coordinate, with intervals."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from stability.observers.points import rows_of
from stability.runs.observer import OF_THE_TRUTH, Quantity, TruthDraw, View
from stability.runs.overall_moments import OverallMoments, overall_moments

__all__ = ["Moments", "mean_interval", "share_interval", "spread_interval"]

LEVEL = 0.95
"""Probability with which an interval covers, approximately for means and spreads."""
_Z = float(ndtri((1 + LEVEL) / 2))


def mean_interval(x: NDArray[np.float64]) -> tuple[float, float]:
    """Interval for a mean, from the central limit theorem.

    Args:
        x: (n,), n >= 2.

    Returns:
        Its ends.
    """
    half = _Z * float(x.std(ddof=1)) / math.sqrt(len(x))
    return float(x.mean()) - half, float(x.mean()) + half


def spread_interval(x: NDArray[np.float64]) -> tuple[float, float]:
    """Interval for a standard deviation, by the delta method with the measured kurtosis.

    Args:
        x: (n,), n >= 2.

    Returns:
        Its ends, >= 0.
    """
    sd = float(x.std(ddof=1))
    if sd == 0:
        return 0.0, 0.0
    fourth = float(np.mean((x - x.mean()) ** 4))
    half = _Z * math.sqrt(max(0.0, fourth - sd**4) / len(x)) / (2 * sd)
    return max(0.0, sd - half), sd + half


def share_interval(count: int, n: int) -> tuple[float, float]:
    """Wilson's interval for a share.

    Source: Wilson, J. Am. Stat. Assoc. 22 (1927).

    Args:
        count: Points that have it.
        n: All points, >= 1.

    Returns:
        Its ends, in [0, 1].
    """
    p, z2 = count / n, _Z**2
    centre = (p + z2 / (2 * n)) / (1 + z2 / n)
    half = _Z * math.sqrt(p * (1 - p) / n + z2 / (4 * n**2)) / (1 + z2 / n)
    return max(0.0, centre - half), min(1.0, centre + half)


class Moments:
    """Shift of the mean, ratio of variances, and mean and spread of each coordinate.

    Of a coordinate that is 0 or 1 in all true points the mean is a share, with Wilson's interval,
    and it has no spread. Intervals (95 %) are recorded as lists beside the numbers.

    Args:
        coordinates: Names of the coordinates to measure one by one, such as `schema.coordinates`;
            none: the two numbers over all of them alone.
        shown: Whether tables and figures show each coordinate.
    """

    thread_safe = True

    def __init__(self, coordinates: Sequence[str] = (), shown: bool = True) -> None:
        self._names = tuple(coordinates)
        of_each = (
            Quantity(f"{what} {name}", floor=OF_THE_TRUTH, from_zero=False, shown=shown)
            for name in self._names
            for what in ("mean", "sd")
        )
        self.quantities = (*OverallMoments.quantities, *of_each)

    def floor(self, truth: TruthDraw, n: int, rng: np.random.Generator) -> dict[str, float]:
        """Measure a draw of the truth beside another one.

        Args:
            truth: Draws true points.
            n: Points a set.
            rng: To draw with.

        Returns:
            Numbers by key.
        """
        measured = self._measured(truth(n, rng), truth(n, rng))
        return {q.key: measured[q.key] for q in self.quantities if q.key in measured}

    def __call__(self, view: View) -> dict[str, Any]:
        """Measure the samples beside the true points.

        Args:
            view: Data of the chain.

        Returns:
            Numbers, and intervals as lists, by key.
        """
        return self._measured(view.samples, view.truth)

    def _measured(self, samples: np.ndarray, true: np.ndarray) -> dict[str, Any]:
        x, y = rows_of(samples), rows_of(true)
        if self._names and len(self._names) != x.shape[1]:
            raise ValueError(
                f"coordinates must have a name for each of the {x.shape[1]} coordinates, got "
                f"{len(self._names)}"
            )
        if len(x) < 2 or len(y) < 2:
            raise ValueError(f"moments need two points a set, got {len(x)} and {len(y)}")
        measured: dict[str, Any] = dict(overall_moments(x, y))
        for i, name in enumerate(self._names):
            measured |= _of_coordinate(name, x[:, i], bool(np.isin(y[:, i], (0, 1)).all()))
        return measured


def _of_coordinate(name: str, x: NDArray[np.float64], is_share: bool) -> dict[str, Any]:
    """Mean and spread of one coordinate (n,) with their intervals."""
    if is_share and np.isin(x, (0, 1)).all():
        interval = share_interval(int(x.sum()), len(x))
    else:
        interval = mean_interval(x)
    return {
        f"mean {name}": float(x.mean()),
        f"mean {name} interval": list(interval),
        f"sd {name}": float(x.std(ddof=1)),
        f"sd {name} interval": list(spread_interval(x)),
    }
