"""Wasserstein distances between samples, exact."""

import warnings
from collections.abc import Sequence
from typing import Literal

import numpy as np
from scipy.spatial.distance import cdist

from stability.assignment import assign

__all__ = ["wasserstein"]


def wasserstein(x: np.ndarray, y: np.ndarray, orders: Sequence[Literal[1, 2]] = (1, 2)) -> tuple[float, ...]:
    """W_p between the empirical distributions of x (n, d) and y (m, d), Euclidean distance, for each p in `orders`.

    W_p = (min over couplings of E |X − Y|^p)^(1/p), in units of x, with equal weights on the points. Equal sizes are
    solved as an assignment problem, others by POT's network simplex; both are exact up to rounding.
    ValueError if a set is empty, not finite, or of another dimension than the other.
    """
    x, y = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    for name, points in (("x", x), ("y", y)):
        if points.ndim != 2 or len(points) == 0 or not np.isfinite(points).all():
            raise ValueError(f"{name} must be finite points of shape (n, d) with n >= 1, got shape {points.shape}")
    if x.shape[1] != y.shape[1]:
        raise ValueError(f"x and y must have the same dimension, got {x.shape[1]} and {y.shape[1]}")
    distance = cdist(x, y)  # (n, m)
    return tuple(_transport_cost(distance**p) ** (1 / p) for p in orders)


def _transport_cost(cost: np.ndarray) -> float:
    """Least mean cost of moving uniform weights on the rows to uniform weights on the columns, >= 0."""
    n, m = cost.shape
    if n == m:
        return float(cost[np.arange(n), assign(cost).columns].mean())
    import ot  # takes a second, and equal sizes do not need it

    with warnings.catch_warnings():
        warnings.simplefilter("error")  # POT warns where it stops before the optimum
        plan = np.asarray(ot.emd(np.full(n, 1 / n), np.full(m, 1 / m), cost, numItermax=10_000_000))
        return float((plan * cost).sum())
