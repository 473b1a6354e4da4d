"""Centre and spread of all coordinates together: what a study measures by default.

Both take no time and mean the same in any number of dimensions, and the second one shows the
collapse of variance that a loop without real data ends in.
"""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stability.runs.observer import OF_THE_TRUTH, Quantity, TruthDraw, View

__all__ = ["OverallMoments", "overall_moments"]


def overall_moments(x: NDArray[np.float64], y: NDArray[np.float64]) -> dict[str, float]:
    """Compare centre and spread of two sets of points.

    Args:
        x: Samples, (n, d), n >= 1.
        y: True points, (m, d), m >= 1.

    Returns:
        `mean_shift`, the largest shift of a coordinate's mean in true standard deviations, over the
        coordinates that vary; and `variance_ratio`, the sum of variances over the true one, nan
        where the truth does not vary.
    """
    spread, variance = y.std(axis=0), float(y.var(axis=0).sum())
    shift, varies = np.abs(x.mean(axis=0) - y.mean(axis=0)), spread > 0
    return {
        "mean_shift": float((shift[varies] / spread[varies]).max(initial=0)),
        "variance_ratio": float(x.var(axis=0).sum()) / variance if variance else math.nan,
    }


class OverallMoments:
    """Shift of the mean and ratio of total variances, of points of any shape.

    Sets of fewer than two points are not measured.
    """

    thread_safe = True
    quantities = (
        Quantity("mean_shift", "Shift of the mean", "largest shift of a mean,\ntrue sd"),
        Quantity(
            "variance_ratio",
            "Total variance over the true one",
            "tr Σ / tr Σ true",
            floor=OF_THE_TRUTH,
        ),
    )

    def floor(self, truth: TruthDraw, n: int, rng: np.random.Generator) -> dict[str, float]:
        """Measure a draw of the truth beside another one.

        Args:
            truth: Draws true points.
            n: Points a set.
            rng: To draw with.

        Returns:
            A value for each quantity.
        """
        return self._measured(truth(n, rng), truth(n, rng))

    def __call__(self, view: View) -> dict[str, Any]:
        """Measure the samples beside the true points.

        Args:
            view: What there is to see.

        Returns:
            A value for each quantity.
        """
        return self._measured(view.samples, view.truth)

    def _measured(self, samples: np.ndarray, true: np.ndarray) -> dict[str, float]:
        if min(len(samples), len(true)) < 2:
            return {}
        x, y = (np.asarray(a, dtype=float).reshape(len(a), -1) for a in (samples, true))
        return overall_moments(x, y)
