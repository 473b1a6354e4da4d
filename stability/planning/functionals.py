"""Functionals of a law that are linear in it: means, mean squares, and fractions of categories."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Functionals", "of_points"]

MOST = 256
"""Functionals at most: of many coordinates, the first ones."""


@dataclass(frozen=True, eq=False)
class Functionals:
    """Functions of points whose expectations are followed through a loop.

    Attributes:
        names: One a functional.
        coordinate: (q,), the coordinate that each looks at.
        square: (q,), whether it is the square of the coordinate, from the centre.
        centre: (q,), subtracted before squaring; 0 otherwise.
        mean: (q,), over the real points.
        deviation: (q,), standard deviation of one real point's value, > 0.
        fraction: (q,), whether the value is 0 or 1, so that the mean is a fraction.
    """

    names: tuple[str, ...]
    coordinate: NDArray[np.int64]
    square: NDArray[np.bool_]
    centre: NDArray[np.float64]
    mean: NDArray[np.float64]
    deviation: NDArray[np.float64]
    fraction: NDArray[np.bool_]

    def values(self, points: NDArray) -> NDArray[np.float64]:
        """Evaluate on points.

        Args:
            points: (k, d).

        Returns:
            (k, q).
        """
        x = np.asarray(points, dtype=float)[:, self.coordinate] - self.centre
        return np.where(self.square, x * x, x)

    def means(self, points: NDArray) -> NDArray[np.float64]:
        """Average over points.

        Args:
            points: (k, d).

        Returns:
            (q,).
        """
        return self.values(points).mean(axis=0)


def of_points(points: NDArray, names: tuple[str, ...] | None = None) -> Functionals:
    """Choose functionals for a set of real points.

    Each coordinate has its mean; one that is not 0 or 1 alone also has its mean square about the
    real mean. Constant coordinates are left out.

    Args:
        points: (n, d), the real points.
        names: One a coordinate; default x0, x1, …

    Returns:
        The functionals.

    Raises:
        ValueError: If all coordinates are constant.
    """
    x = np.asarray(points, dtype=float)
    labels = names or tuple(f"x{j}" for j in range(x.shape[1]))
    chosen: list[tuple[str, int, bool, float, bool]] = []
    for j, label in enumerate(labels):
        if np.ptp(x[:, j]) == 0:
            continue
        is_fraction = bool(np.isin(x[:, j], (0.0, 1.0)).all())
        if is_fraction and chosen and chosen[-1][4] and (x[:, j] + x[:, chosen[-1][1]] == 1).all():
            if x[:, j].mean() < 0.5:  # of two complements the rarer one
                chosen[-1] = (label, j, False, 0.0, True)
            continue
        chosen.append((label, j, False, 0.0, is_fraction))
        if not is_fraction:
            chosen.append((f"{label}²", j, True, float(x[:, j].mean()), False))
    if not chosen:
        raise ValueError("real data must vary: every column is constant")

    chosen = chosen[:MOST]
    coordinate = np.array([c[1] for c in chosen])
    square = np.array([c[2] for c in chosen])
    centre = np.array([c[3] for c in chosen])
    x = x[:, coordinate] - centre
    values = np.where(square, x * x, x)
    return Functionals(
        names=tuple(c[0] for c in chosen),
        coordinate=coordinate,
        square=square,
        centre=centre,
        mean=values.mean(axis=0),
        deviation=np.maximum(values.std(axis=0), np.finfo(float).tiny),
        fraction=np.array([c[4] for c in chosen]),
    )
