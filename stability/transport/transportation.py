"""Exact discrete optimal transport between uniform weights on n and on m points, with a dual
certificate.

Minimises sum_ij flow[i, j] cost[i, j] over flows that take `supply` units from each row and bring
`demand` units to each column. The method is the successive shortest path algorithm for the
transportation problem (Ahuja, Magnanti and Orlin, "Network Flows", 1993, Sections 9.7 and 10.2),
with Dijkstra's search in the dense form that `stability.transport.assignment` has.

Units are integers, so flows are exact. Column potentials start at 0. Where single units may be
sent, a column that lacks units keeps potential 0, a search is as long as the unit more costs, and
no potential exceeds the sum of these lengths: a cost of 1e22 that the optimum does not pay leaves
no rounding error behind. Where whole parcels are sent first, most searches are saved, but a far
column may be served early, and its cost passes through the potentials. So parcels are tried first,
and single units where the dual solution does not certify the result.
"""

import math

import numpy as np

from stability.machine.compiled import compiled
from stability.transport.assignment import argmin, relax

__all__ = ["CERTIFIED", "transport_cost"]

CERTIFIED = 1e-11
"""Largest gap between primal and dual cost, relative to the primal one: many times what rounding
leaves."""
_UNREACHED, _START = -1, -2


def transport_cost(cost: np.ndarray) -> float:
    """Least mean cost of moving uniform weights on the rows to uniform weights on the columns.

    Args:
        cost: (n, m) finite and >= 0.

    Returns:
        The least mean cost, in units of `cost`, right to a relative 1e-11.

    Raises:
        ArithmeticError: If the dual certificate does not confirm that.
    """
    if cost.shape[0] < cost.shape[1]:  # a search visits columns: the fewer the better
        cost = cost.T
    cost = np.ascontiguousarray(cost)
    n, m = cost.shape
    common = math.gcd(n, m)
    supply, demand = m // common, n // common

    # Parcels are faster, single units surer: see the documentation of this module.
    primal, doubt = _solved(cost, supply, demand, supply)
    if not doubt <= CERTIFIED * primal:
        primal, doubt = _solved(cost, supply, demand, 1)
    if not doubt <= CERTIFIED * primal:
        raise ArithmeticError(
            f"no optimal transport of {n} to {m} points was found: cost "
            f"{primal / (n * supply):.17g} "
            f"may be {doubt / (n * supply):.3g} too large"
        )
    return primal / (n * supply)


def _solved(cost: np.ndarray, supply: int, demand: int, parcel: int) -> tuple[float, float]:
    """Cost of the flow that is found, summed over its units, and how far above the optimum it
    may be.
    """
    potentials = np.zeros(cost.shape[1])
    rows, columns, units = _ship(cost, supply, demand, parcel, potentials)

    # The largest row potentials that are feasible up to rounding. Large potentials cancel each
    # other first, without a rounding error, so what an entry is above them is right relative to
    # itself, and so are gap and infeasibility.
    row_potentials = (cost - potentials).min(axis=1)
    above = cost - (row_potentials[:, None] + potentials)
    gap = (units * above[rows, columns]).sum()
    infeasibility = max(0.0, -float(above.min()))
    return math.fsum(units * cost[rows, columns]), float(gap + len(cost) * supply * infeasibility)


@compiled(nogil=True)
def _ship(cost, supply, demand, parcel, potentials):
    """Optimal flow of `supply` units from each row and `demand` units to each column; n·supply =
    m·demand.

    Args:
        parcel: The least number of units that is sent at first, `supply` or 1; then of those that
            columns lack in the end, and so on as in Euclid's algorithm.
        cost: (n, m) C-contiguous, finite, >= 0. potentials: (m,) zeros on entry, optimal on return.
            Returns the rows, columns and units (int64) of the entries that carry flow.
    """
    n, m = cost.shape
    # The rows that ship to a column, so many of them, and their units, by column.
    shipper, shippers, flow = (
        np.empty((m, n), np.int64),
        np.zeros(m, np.int64),
        np.zeros((m, n), np.int64),
    )
    left, missing = np.full(n, supply), np.full(m, demand)
    tree = np.empty(m, np.int64), np.empty(n, np.int64)
    work = np.empty(m), np.empty(m, np.int64), np.empty(m), np.empty(m)
    rest = demand
    while parcel > 0:
        sinks = 0
        for column in range(m):
            sinks += missing[column] >= parcel
        for row in range(n):
            while sinks > 0 and left[row] >= parcel:
                end = _search(cost, potentials, missing, parcel, shipper, shippers, row, tree, work)
                left[row] -= _augment(flow, missing, shipper, shippers, row, end, left[row], tree)
                sinks -= missing[end] < parcel
        parcel, rest = rest % parcel, parcel
    return _entries(flow, shipper, shippers)


@compiled(nogil=True)
def _search(cost, potentials, missing, parcel, shipper, shippers, row, tree, work):
    """Dijkstra from a row to the nearest column that misses a parcel, which it returns; updates the
    potentials.

    Args:
        tree: Written, the row from which each column was reached (m,), and the column from which
            each row was (n,).
    """
    row_before, column_before = tree
    distance, scanned, scanned_distance, scanned_potential = work
    distance[:] = np.inf
    column_before[:] = _UNREACHED
    column_before[row] = _START
    count = 0
    relax(cost[row], potentials, 0.0, row, distance, row_before)
    while True:
        column = argmin(distance)
        length, potential = distance[column], potentials[column]
        if length == np.inf:  # the loop would not end
            raise ValueError("no flow of finite cost was found: cost is not finite")
        if missing[column] >= parcel:
            break
        scanned[count], scanned_distance[count], scanned_potential[count] = (
            column,
            length,
            potential,
        )
        count += 1
        # An infinite reduced cost takes the column out of later scans without a branch in their
        # loops.
        distance[column] = np.inf
        potentials[column] = -np.inf
        for k in range(shippers[column]):
            current = shipper[column, k]
            if column_before[current] == _UNREACHED:
                column_before[current] = column
                # The potential of a row is cost - column potential where it ships, so rows need no
                # array.
                offset = length - (cost[current, column] - potential)
                relax(cost[current], potentials, offset, current, distance, row_before)
    for k in range(count):
        potentials[scanned[k]] = scanned_potential[k] - (length - scanned_distance[k])
    return column


@compiled(nogil=True)
def _augment(flow, missing, shipper, shippers, row, end, left, tree):
    """Ships as much of what is left in a row as the path to its end allows; returns the number
    of units.
    """
    row_before, column_before = tree
    units = min(left, missing[end])
    column, current = end, row_before[end]
    while current != row:
        column = column_before[current]
        units = min(units, flow[column, current])
        current = row_before[column]

    missing[end] -= units
    column, current = end, row_before[end]
    while True:
        if flow[column, current] == 0:
            shipper[column, shippers[column]] = current
            shippers[column] += 1
        flow[column, current] += units
        if current == row:
            return units
        column = column_before[current]
        flow[column, current] -= units
        if flow[column, current] == 0:
            _forget(shipper, shippers, column, current)
        current = row_before[column]


@compiled(nogil=True)
def _forget(shipper, shippers, column, row):
    """Takes a row off the list of those that ship to a column."""
    shippers[column] -= 1
    last = shippers[column]
    for k in range(last):
        if shipper[column, k] == row:
            shipper[column, k] = shipper[column, last]
            return


@compiled(nogil=True)
def _entries(flow, shipper, shippers):
    count = 0
    for column in range(len(shippers)):
        count += shippers[column]
    rows, columns, units = (
        np.empty(count, np.int64),
        np.empty(count, np.int64),
        np.empty(count, np.int64),
    )
    entry = 0
    for column in range(len(shippers)):
        for k in range(shippers[column]):
            row = shipper[column, k]
            rows[entry], columns[entry], units[entry] = row, column, flow[column, row]
            entry += 1
    return rows, columns, units
