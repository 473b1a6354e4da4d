"""Points of any shape as rows of numbers, and equally many of two sets."""

import numpy as np
from numpy.typing import NDArray

__all__ = ["first_of_both", "rows_of"]


def rows_of(points: np.ndarray) -> NDArray[np.float64]:
    """Flatten points.

    Args:
        points: (n, …) of any shape and type of real numbers.

    Returns:
        (n, d) of float64; d = 1 for numbers.
    """
    return np.asarray(points, dtype=float).reshape(len(points), -1)


def first_of_both(
    x: np.ndarray, y: np.ndarray, most: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Take the first points of two sets, equally many of each.

    Args:
        x: (n, …).
        y: (m, …).
        most: Points to take at most, >= 1.

    Returns:
        Both (k, d), k = min(n, m, most).
    """
    k = min(len(x), len(y), most)
    return rows_of(x[:k]), rows_of(y[:k])
