"""Observers of 2-D models, beside those of any model: profiles, and what samples resemble."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from stability.observers.distances import sliced_wasserstein
from stability.runs.observer import OF_THE_TRUTH, Quantity, TruthDraw, View

__all__ = [
    "Profile",
    "Resemblance",
    "resemblance",
]


@dataclass(frozen=True)
class Profile:
    """What is measured of a generation's samples alone.

    Attributes:
        describe: (n, 2) -> numbers and lists for the history.
        quantities: Those that tables and figures show.
    """

    describe: Callable[[np.ndarray], dict[str, Any]]
    quantities: tuple[Quantity, ...]

    def floor(self, truth: TruthDraw, n: int, rng: np.random.Generator) -> dict[str, float]:
        """Of a draw of the truth."""
        found = self.describe(truth(n, rng))
        return {quantity.key: found[quantity.key] for quantity in self.quantities}

    def __call__(self, view: View) -> dict[str, Any]:
        """Of the samples."""
        return self.describe(view.samples)


class Resemblance:
    """Sliced W2 to the truth, and how many samples resemble training data.

    Args:
        shown: Whether tables and figures show it.
    """

    def __init__(self, shown: bool = True) -> None:
        self._shown = shown
        self.quantities = (
            Quantity("sliced", "Sliced W2 to the truth", "sliced $W_2$ to the truth", shown=shown),
            Quantity(
                "memorised",
                "Share of samples nearer to training data than to new data",
                "share nearer to training data",
                floor=OF_THE_TRUTH,
                shown=shown,
            ),
        )

    def floor(self, truth: TruthDraw, n: int, rng: np.random.Generator) -> dict[str, float]:
        """Of three independent draws of the truth: samples, training data and new data."""
        if not self._shown:
            return {}
        return resemblance(*(truth(n, rng) for _ in range(3)))

    def __call__(self, view: View) -> dict[str, float]:
        """Of the samples beside the real data and new true points."""
        return resemblance(view.samples, view.real, view.truth)


def resemblance(x: np.ndarray, real: np.ndarray, fresh: np.ndarray) -> dict[str, float]:
    """Samples x (n, 2) beside the real training data and as many new draws of the truth, (n, 2)
    each.

    sliced: sliced W2 to the new draws. memorised: share of x nearer to a training point than to any
    new one. It is ½ for samples that do not depend on the training points, whatever else is wrong
    with them, and 1 for copies; so memorising is told from collapse.
    """
    from scipy.spatial import KDTree  # --help does without

    nearest = (KDTree(points).query(x)[0] for points in (real, fresh))
    return {"sliced": sliced_wasserstein(x, fresh), "memorised": float(np.less(*nearest).mean())}
