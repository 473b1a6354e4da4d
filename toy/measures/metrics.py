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
    """Quantities of a generation's samples alone.

    Attributes:
        describe: (n, 2) -> numbers and lists for the history.
        quantities: Those that tables and figures show.
    """

    describe: Callable[[np.ndarray], dict[str, Any]]
    quantities: tuple[Quantity, ...]

    def floor(self, truth: TruthDraw, n: int, rng: np.random.Generator) -> dict[str, float]:
        """Describe a draw of the truth.

        Args:
            truth: Draws true points.
            n: Number of points.
            rng: Source of the draws.

        Returns:
            The quantities by key.
        """
        found = self.describe(truth(n, rng))
        return {quantity.key: found[quantity.key] for quantity in self.quantities}

    def __call__(self, view: View) -> dict[str, Any]:
        """Describe the samples.

        Args:
            view: A chain in a generation, with samples (n, 2).

        Returns:
            Numbers and lists by key.
        """
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
        """Measure three independent draws of the truth: as samples, training data and new data.

        Args:
            truth: Draws true points.
            n: Number of points of each draw.
            rng: Source of the draws.

        Returns:
            See `resemblance`; empty if the quantities are not shown.
        """
        if not self._shown:
            return {}
        return resemblance(*(truth(n, rng) for _ in range(3)))

    def __call__(self, view: View) -> dict[str, float]:
        """Measure the samples beside the real data and new true points.

        Args:
            view: A chain in a generation.

        Returns:
            See `resemblance`.
        """
        return resemblance(view.samples, view.real, view.truth)


def resemblance(x: np.ndarray, real: np.ndarray, fresh: np.ndarray) -> dict[str, float]:
    """Compare samples with the real training data and with as many new draws of the truth.

    sliced: sliced W2 to the new draws. memorised: share of x nearer to a training point than to any
    new one. It is ½ for samples that do not depend on the training points, whatever else is wrong
    with them, and 1 for copies; so memorising is distinguished from collapse.

    Args:
        x: Samples, (n, 2).
        real: Training points, (n, 2).
        fresh: New draws of the truth, (n, 2).

    Returns:
        `sliced` and `memorised`.
    """
    from scipy.spatial import KDTree  # --help does without

    nearest = (KDTree(points).query(x)[0] for points in (real, fresh))
    return {"sliced": sliced_wasserstein(x, fresh), "memorised": float(np.less(*nearest).mean())}
