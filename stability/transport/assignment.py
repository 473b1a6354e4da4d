"""Exact dense linear assignment: shortest augmenting paths with warm-started dual potentials.

Minimises sum_i cost[i, columns[i]] over permutations `columns`. The method is the successive
shortest path algorithm in the dense form of Jonker and Volgenant, "A shortest augmenting path
algorithm for dense and sparse linear assignment problems", Computing 38 (1987), without their
reduction phases, as restated by Crouse, "On implementing 2D rectangular assignment algorithms",
IEEE Trans. Aerospace and Electronic Systems 52 (2016).

Any column potentials v are a valid start: row i first asks for its column of least cost[i, j] -
v[j], and every row that finds it taken is matched by one Dijkstra search over reduced costs.
Potentials near the optimal ones (those of the same data points in earlier batches) make the
searches short.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from stability.machine.compiled import compiled

__all__ = ["Assignment", "assign", "extend_potentials", "solve", "squared_distances"]

_LARGEST_INT64 = np.int64(np.iinfo(np.int64).max)
_LARGEST_COST = 1e300
_RESOLVED = 1e-12
"""Largest doubt that the certificate of a warm start leaves, relative to the sum of the
matched costs."""


@dataclass(frozen=True)
class Assignment:
    """An optimal assignment of n rows to n columns with its dual certificate; potentials are in
    units of the cost.

    The assignment is within gap + n * infeasibility of the optimum; both are zero up to the
    rounding of the costs paid and of the potentials.

    Attributes:
        columns: (n,) int64, row i goes to column columns[i].
        row_potentials: (n,) float64 u and v with u[i] + v[j] <= cost[i, j], equality when matched.
        column_potentials: See `row_potentials`.
        gap: Primal minus dual objective, sum_i cost[i, columns[i]] - sum(u) - sum(v).
        infeasibility: max(0, -min_ij (cost[i, j] - u[i] - v[j])).
    """

    columns: NDArray[np.int64]
    row_potentials: NDArray[np.float64]
    column_potentials: NDArray[np.float64]
    gap: float
    infeasibility: float


def assign(cost: ArrayLike, column_potentials: ArrayLike | None = None) -> Assignment:
    """The exact minimum-cost assignment for a square cost matrix.

    Raises ValueError on anything else.

    Args:
        cost: (n, n) real, n >= 1, finite, magnitudes at most 1e300; solved in float64.
        column_potentials: (n,) finite start for the column potentials (default zero). It changes
            the time and, where several assignments are optimal, which of them is found, but never
            the optimal cost: where the start is so large that its rounding hides the costs that
            matter, the problem is solved again from zero.
    """
    matrix = _checked_cost(cost)
    n = matrix.shape[0]
    if column_potentials is not None:
        scale = np.abs(matrix).max()
        start = np.clip(_checked_potentials(column_potentials, n), -scale, scale)
        found = _certified(matrix, start)
        paid = np.abs(matrix[np.arange(n), found.columns]).sum()
        if found.gap + n * found.infeasibility <= _RESOLVED * paid:
            return found

    # From zero, potentials grow only as large as the optimum needs.
    return _certified(matrix, np.zeros(n))


def _certified(matrix: NDArray[np.float64], potentials: NDArray[np.float64]) -> Assignment:
    """The assignment that is found from these potentials, which are overwritten, with its
    certificate.
    """
    n = matrix.shape[0]
    row_potentials = np.empty(n)
    columns = np.empty(n, np.int64)
    solve(matrix, row_potentials, potentials, columns)

    # Large potentials cancel each other first, without a rounding error: then small costs are not
    # hidden.
    reduced = matrix - (row_potentials[:, None] + potentials)
    return Assignment(
        columns=columns,
        row_potentials=row_potentials,
        column_potentials=potentials,
        gap=float(reduced[np.arange(n), columns].sum()),
        infeasibility=max(0.0, -float(reduced.min())),
    )


def _checked_cost(cost: ArrayLike) -> NDArray[np.float64]:
    matrix = np.asarray(cost)
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or matrix.shape[0] < 1:
        raise ValueError(
            f"cost has shape {matrix.shape}; it must be a square matrix (n, n) with n >= 1"
        )
    matrix = _as_float64("cost", matrix)
    largest = np.abs(matrix).max()
    if largest > _LARGEST_COST:
        raise ValueError(
            f"cost has magnitudes up to {largest}; they must be at most {_LARGEST_COST}"
        )
    return matrix


def _checked_potentials(column_potentials: ArrayLike, n: int) -> NDArray[np.float64]:
    potentials = np.asarray(column_potentials)
    if potentials.shape != (n,):
        raise ValueError(
            f"column_potentials has shape {potentials.shape}; it must be ({n},), one per column "
            "of cost"
        )
    return _as_float64("column_potentials", potentials)


def _as_float64(name: str, values: NDArray) -> NDArray[np.float64]:
    """A C-contiguous writeable float64 array, so that the kernel is compiled for one signature
    only.
    """
    if values.dtype.kind not in "fiub":
        raise ValueError(f"{name} has dtype {values.dtype}; it must hold real numbers")
    # what float64 cannot hold becomes infinite and is refused below
    with np.errstate(over="ignore"):
        array = np.require(values, np.float64, ["C", "W"])
    if not np.isfinite(array).all():
        invalid = np.count_nonzero(~np.isfinite(array))
        raise ValueError(
            f"{name} has {invalid} NaN or infinite entries of {array.size}; all must be finite in "
            "float64"
        )
    return array


@compiled(nogil=True)
def solve(cost, row_potentials, column_potentials, columns):
    """Solve the assignment in place; callable from other nogil kernels.

    The rounding error of the result is that of the largest |cost| + |column_potentials| on entry.
    Arguments are not checked: where they are not finite, a ValueError or an arbitrary permutation
    follows.

    Args:
        cost (NDArray[np.float64]): (n, n), C-contiguous, finite.
        row_potentials (NDArray[np.float64]): (n,), written.
        column_potentials (NDArray[np.float64]): (n,), a finite warm start on entry (zeros when
            cold), optimal on return.
        columns (NDArray[np.int64]): (n,), written: row i goes to column columns[i].
    """
    n = cost.shape[0]
    owner = np.full(n, -1, np.int64)
    distance = np.empty(n)
    _match_cheapest(cost, column_potentials, columns, owner, distance)
    predecessor = np.empty(n, np.int64)
    scanned = np.empty(n, np.int64)
    scanned_distance = np.empty(n)
    scanned_potential = np.empty(n)

    for row in range(n):
        if columns[row] < 0:
            end = _search(
                cost,
                column_potentials,
                owner,
                row,
                distance,
                predecessor,
                scanned,
                scanned_distance,
                scanned_potential,
            )
            _augment(columns, owner, predecessor, row, end)

    for row in range(n):
        row_potentials[row] = cost[row, columns[row]] - column_potentials[columns[row]]


@compiled(nogil=True)
def _match_cheapest(cost, potentials, columns, owner, reduced):
    """Gives each row its column of least reduced cost unless an earlier row has it; columns[row]
    = -1 if so.
    """
    n = cost.shape[0]
    for row in range(n):
        for column in range(n):
            reduced[column] = cost[row, column] - potentials[column]
        cheapest = argmin(reduced)
        if owner[cheapest] < 0:
            owner[cheapest] = row
            columns[row] = cheapest
        else:
            columns[row] = -1


@compiled(nogil=True)
def _search(
    cost,
    potentials,
    owner,
    row,
    distance,
    predecessor,
    scanned,
    scanned_distance,
    scanned_potential,
):
    """Dijkstra from an unmatched row to the nearest free column, which it returns; updates the
    potentials.

    Distances are reduced costs up to the start row's potential, which is the same for every path.
    """
    distance[:] = np.inf
    count = 0
    offset = 0.0
    current = row
    while True:
        relax(cost[current], potentials, offset, current, distance, predecessor)
        column = argmin(distance)
        if distance[column] == np.inf:  # the loop would not end
            raise ValueError(
                "an assignment of finite cost was not found: cost or column_potentials are not "
                "finite"
            )
        if owner[column] < 0:
            break
        scanned[count] = column
        scanned_distance[count] = distance[column]
        scanned_potential[count] = potentials[column]
        count += 1
        current = owner[column]
        # The potential of a matched row is cost - column potential on its matched edge, so rows
        # need no array.
        offset = distance[column] - (cost[current, column] - potentials[column])
        # An infinite reduced cost takes the column out of later scans without a branch in their
        # loops.
        distance[column] = np.inf
        potentials[column] = -np.inf
    for k in range(count):
        potentials[scanned[k]] = scanned_potential[k] - (distance[column] - scanned_distance[k])
    return column


@compiled(nogil=True)
def relax(costs, potentials, offset, row, distance, predecessor):
    # Selects instead of branches: the loop is then vectorised.
    for column in range(distance.size):
        through_row = offset + (costs[column] - potentials[column])
        shorter = through_row < distance[column]
        distance[column] = through_row if shorter else distance[column]
        predecessor[column] = row if shorter else predecessor[column]


@compiled(nogil=True)
def argmin(values) -> int:
    """First index of the least value; no NaN.

    Two passes over the bits as int64, because minima of int64 are vectorised where those of float64
    are not; flipping the low 63 bits of negative floats makes the orders agree.

    Args:
        values (NDArray[np.float64]): (k,).

    Returns:
        The index.
    """
    bits = values.view(np.int64)
    least = _LARGEST_INT64
    for k in range(bits.size):
        least = min(least, bits[k] ^ ((bits[k] >> 63) & _LARGEST_INT64))
    least ^= (least >> 63) & _LARGEST_INT64
    index = bits.size
    for k in range(bits.size):
        index = min(index, k if bits[k] == least else bits.size)
    return index


@compiled(nogil=True)
def _augment(columns, owner, predecessor, row, column):
    """Flips the alternating path that ends in a free column, back to its unmatched row."""
    while True:
        current = predecessor[column]
        owner[column] = current
        columns[current], column = column, columns[current]
        if current == row:
            return


@compiled(nogil=True)
def squared_distances(x, y, out):
    """Squared Euclidean distances out[i, j] = |x[i] - y[j]|^2.

    Args:
        x (NDArray[np.float64]): (n, d).
        y (NDArray[np.float64]): (m, d).
        out (NDArray[np.float64]): (n, m), written.
    """
    coordinates = np.ascontiguousarray(y.T)
    for i in range(x.shape[0]):
        out[i] = 0.0
        _add_squared_distances(x[i], coordinates, out[i])


@compiled(nogil=True)
def extend_potentials(x, row_potentials, y, out):
    """Column potentials of any points from a solved batch: out[j] = min_i |x[i] - y[j]|^2 -
    row_potentials[i].

    On the columns of the batch this gives back their own potentials. Their mean over a few batches,
    each minus its mean because potentials are determined up to a constant, is a good start for
    batches drawn from y and the law of x.

    Args:
        x (NDArray[np.float64]): (n, d), n >= 1.
        row_potentials (NDArray[np.float64]): (n,), those of x, in units of x squared.
        y (NDArray[np.float64]): (m, d).
        out (NDArray[np.float64]): (m,), written.
    """
    coordinates = np.ascontiguousarray(y.T)
    reduced = np.empty(y.shape[0])
    out[:] = np.inf
    for i in range(x.shape[0]):
        reduced[:] = -row_potentials[i]
        _add_squared_distances(x[i], coordinates, reduced)
        for j in range(out.size):
            out[j] = reduced[j] if reduced[j] < out[j] else out[j]


@compiled(nogil=True)
def _add_squared_distances(point, coordinates, out):
    # One coordinate of all points after another: contiguous in memory whatever the dimension.
    for k in range(point.size):
        for j in range(out.size):
            out[j] += (point[k] - coordinates[k, j]) ** 2
