"""Minibatch optimal transport: which data point each source point of a batch goes to.

With equal weights an optimal plan is a permutation. Source: Tong et al. (2023), Section 3.2.
"""

from collections.abc import Callable, Mapping
from typing import Literal

import numpy as np
from scipy.spatial.distance import cdist

from stability.machine.compiled import compiled
from stability.transport.assignment import assign, extend_potentials, solve, squared_distances

__all__ = ["PLANNERS", "Solver", "optimal_permutation"]

Solver = Literal["assignment", "pot"]
EXTENDED_BATCHES = 8  # more do not make the later solves faster


def optimal_permutation(source: np.ndarray, data: np.ndarray) -> np.ndarray:
    """Pair the points of two sets at the least sum of squared distances, exactly.

    Args:
        source: Points, (n, d).
        data: Points, (n, d).

    Returns:
        The row of `data` that each row of `source` goes to, (n,).
    """
    source, data = np.asarray(source, dtype=float), np.asarray(data, dtype=float)
    cost = np.empty((len(source), len(data)))
    squared_distances(source, data, cost)
    return assign(cost).columns


def _plans_by_pot(x0: np.ndarray, data: np.ndarray, order: np.ndarray, batch: int) -> np.ndarray:
    """The data index that each source point goes to, (epochs, n), by POT's network simplex.

    Args:
        x0: (epochs, n, 2), taken `batch` at a time with data[order]; weights are equal, so a plan
            is a permutation.
    """
    import ot  # takes a second, and the other solver does not need it

    plans = np.empty_like(order)
    epochs, n = order.shape
    for epoch in range(epochs):
        for start in range(0, n, batch):
            rows = slice(start, start + batch)
            cost = cdist(x0[epoch, rows], data[order[epoch, rows]], "sqeuclidean")
            weights = np.full(len(cost), 1 / len(cost))
            plans[epoch, rows] = order[epoch, rows][ot.emd(weights, weights, cost).argmax(axis=1)]
    return plans


@compiled(nogil=True)
def _plans_by_assignment(x0, data, order, batch):
    """The data index that each source point goes to, by shortest augmenting paths, warm-started.

    The potentials of a batch, extended to all data points and averaged over the first batches, are
    close to those of the batches after them, as data and source stay the same.
    """
    epochs, n = order.shape
    plans = np.empty_like(order)
    points = data.astype(np.float64)
    start_potentials, extended = np.zeros(n), np.empty(n)
    solved = 0

    for epoch in range(epochs):
        for start in range(0, n, batch):
            stop = min(start + batch, n)
            size = stop - start
            rows = order[epoch, start:stop]
            x = x0[epoch, start:stop].astype(np.float64)
            cost = np.empty((size, size))
            squared_distances(x, points[rows], cost)
            row_potentials, column_potentials = np.empty(size), start_potentials[rows]
            columns = np.empty(size, np.int64)
            solve(cost, row_potentials, column_potentials, columns)
            plans[epoch, start:stop] = rows[columns]
            if solved < EXTENDED_BATCHES:
                extend_potentials(x, row_potentials, points, extended)
                solved += 1
                start_potentials += (extended - extended.mean() - start_potentials) / solved

    return plans


PLANNERS: Mapping[Solver, Callable[..., np.ndarray]] = {
    "assignment": _plans_by_assignment,
    "pot": _plans_by_pot,
}
"""Plans of many minibatches, by the name of the solver: (x0 (epochs, n, d), data (n, d), order
(epochs, n), batch) -> the index in `data` that each source point goes to, (epochs, n)."""
