"""Wasserstein distances between samples, exact."""

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
from scipy.spatial.distance import cdist

from stability.transport.assignment import assign
from stability.transport.transportation import CERTIFIED, transport_cost

__all__ = ["wasserstein"]

_STEP = 256
"""Units change by powers of 2**256 alone, so that no bit of an ordinary result depends on them."""


def wasserstein(
    x: np.ndarray, y: np.ndarray, orders: Sequence[Literal[1, 2]] = (1, 2)
) -> tuple[float, ...]:
    """W_p between the empirical distributions of x and y with the Euclidean distance, for each p in
    `orders`.

    W_p = (min over couplings of E |X − Y|^p)^(1/p), with equal weights on the points. Equal sizes
    are solved as an assignment problem, others as a transportation problem with integer masses.
    Both are certified by a dual solution. The relative error is that of rounding at any scale and
    with any outliers, as long as the distances that the optimum uses differ by factors of less than
    1e150.

    Args:
        x: (n, d) points, n >= 1.
        y: (m, d) points, m >= 1.
        orders: The values of p.

    Returns:
        W_p for each p, in units of x.

    Raises:
        ValueError: If a set is empty, not finite, or of another dimension than the other.
        ArithmeticError: If the dual certificate does not confirm the optimum.
    """
    x, y = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    for name, points in (("x", x), ("y", y)):
        if points.ndim != 2 or len(points) == 0 or not np.isfinite(points).all():
            raise ValueError(
                f"{name} must be finite points of shape (n, d) with n >= 1, got shape "
                f"{points.shape}"
            )
    if x.shape[1] != y.shape[1]:
        raise ValueError(f"x and y must have the same dimension, got {x.shape[1]} and {y.shape[1]}")

    unit = _unit(x, y)
    distance = cdist(np.ldexp(x, -unit), np.ldexp(y, -unit))  # (n, m)
    return tuple(math.ldexp(_mean_cost(distance**p) ** (1 / p), unit) for p in orders)


def _unit(x: np.ndarray, y: np.ndarray) -> int:
    """The exponent of a power of two near the widest extent, so that no square overflows or
    vanishes.
    """
    low, high = np.minimum(x.min(axis=0), y.min(axis=0)), np.maximum(x.max(axis=0), y.max(axis=0))
    _, exponent = math.frexp((high / 2 - low / 2).max(initial=0))  # halves: the extent may overflow
    return _STEP * round(exponent / _STEP)


def _mean_cost(cost: np.ndarray) -> float:
    """Least mean cost of moving uniform weights on the rows to uniform weights on the columns,
    >= 0.
    """
    n, m = cost.shape
    if n != m:
        return transport_cost(cost)
    found = assign(cost)
    total = float(cost[np.arange(n), found.columns].sum())
    if not found.gap + n * found.infeasibility <= CERTIFIED * total:
        raise ArithmeticError(
            f"no optimal assignment was found: cost {total:.17g} is up to "
            f"{found.gap + n * found.infeasibility:.3g} too large"
        )
    return total / n
