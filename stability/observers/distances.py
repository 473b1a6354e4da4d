"""Wasserstein distances to the truth, in any dimension: exact, and sliced."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stability.loop.arguments import whole_number
from stability.observers.points import first_of_both
from stability.runs.observer import Quantity, TruthDraw, View

__all__ = ["EXACT", "Distances", "sliced_wasserstein"]

DIRECTIONS = 64
"""Lines onto which a sliced distance projects."""
EXACT = (
    Quantity("w1", "W1 to the truth", "$W_1$ to the truth"),
    Quantity("w2", "W2 to the truth", "$W_2$ to the truth"),
)
"""The exact distances."""
_SLICED = Quantity("sliced", "Sliced W2 to the truth", "sliced $W_2$ to the truth")


def _lines(d: int) -> NDArray[np.float64]:
    """Unit vectors (d, k): equally spaced in the plane, fixed random ones in more dimensions."""
    if d == 1:
        return np.ones((1, 1))
    if d == 2:
        angle = np.pi / DIRECTIONS * (np.arange(DIRECTIONS) + 0.5)
        return np.stack([np.cos(angle), np.sin(angle)])
    normal = np.random.default_rng(0).standard_normal((d, DIRECTIONS))
    return normal / np.linalg.norm(normal, axis=0)


def sliced_wasserstein(x: np.ndarray, y: np.ndarray) -> float:
    """Sliced W2: the root mean square, over lines, of W2 between projections onto a line.

    Source: Bonneel, Rabin, Peyré and Pfister, J. Math. Imaging Vis. 51 (2015).

    Args:
        x: (n, d).
        y: (n, d).

    Returns:
        The distance in units of x, over 64 lines: equally spaced for d = 2, random for d > 2 but
        always the same. It is at most W2, and about W2/√d for a shift.

    Raises:
        ValueError: If the shapes differ.
    """
    if x.shape != y.shape or x.ndim != 2:
        raise ValueError(f"x and y must be of the same shape (n, d), got {x.shape} and {y.shape}")
    lines = _lines(x.shape[1])
    one, two = (np.sort(np.asarray(points, dtype=float) @ lines, axis=0) for points in (x, y))
    return math.sqrt(np.square(one - two).mean())


@dataclass(frozen=True)
class Distances:
    """W1, W2 and sliced W2 between samples and as many true points, in units of the data.

    Coordinates count as they are: give columns of different units a common scale first, as
    `TableSchema` does.

    Attributes:
        most: Points a set for the exact distances, at most; exact transport takes n³.
        exact: Whether to measure W1 and W2.
        sliced: Whether to measure sliced W2, of all points.
    """

    most: int = 500
    exact: bool = True
    sliced: bool = True
    thread_safe = True

    def __post_init__(self) -> None:
        whole_number(self.most, "most", 1)
        if not (self.exact or self.sliced):
            raise ValueError("exact and sliced must not both be False: nothing is measured")

    @property
    def quantities(self) -> tuple[Quantity, ...]:
        """W1 and W2, then sliced W2."""
        return (*(EXACT if self.exact else ()), *((_SLICED,) if self.sliced else ()))

    def floor(self, truth: TruthDraw, n: int, rng: np.random.Generator) -> dict[str, float]:
        """Between two independent draws of the truth.

        Args:
            truth: Draws true points.
            n: Points a set.
            rng: To draw with.
        """
        k = n if self.sliced else min(n, self.most)
        return self._measured(truth(k, rng), truth(k, rng))

    def __call__(self, view: View) -> dict[str, float]:
        """Between the samples and the true points.

        Args:
            view: What there is to see.
        """
        return self._measured(view.samples, view.truth)

    def _measured(self, x: np.ndarray, y: np.ndarray) -> dict[str, float]:
        measured = {}
        if self.exact:
            from stability.transport.wasserstein import wasserstein  # compiled; --help does without

            measured["w1"], measured["w2"] = wasserstein(*first_of_both(x, y, self.most))
        if self.sliced:
            measured["sliced"] = sliced_wasserstein(*first_of_both(x, y, max(len(x), 1)))
        return measured
