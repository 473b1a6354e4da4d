"""The transportation solver against enumeration, SciPy's assignment of repeated points, linear
programming.
"""

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment, linprog
from scipy.spatial.distance import cdist

from stability.transport import transportation as transport
from stability.transport.transportation import transport_cost

seeds = st.integers(0, 2**32 - 1)


def random_cost(rng, n, m, kind):
    if kind == "ties":
        return rng.integers(0, 3, (n, m)).astype(float)
    if kind == "wide":
        return 10.0 ** rng.uniform(-150, 150, (n, m))
    x, y = rng.standard_normal((n, 2)), rng.standard_normal((m, 2))
    if kind == "copies":
        x = y[rng.integers(0, m, n)]
    if kind == "far":
        x[0] += 1e11
        y[: math.ceil(m / n)] += 1e11
    return cdist(x, y, "sqeuclidean")


kinds = st.sampled_from(["ties", "wide", "points", "copies", "far"])


def of_repeated(cost):
    """The same laws with equally many points, by SciPy."""
    n, m = cost.shape
    size = math.lcm(n, m)
    square = np.repeat(np.repeat(cost, size // n, axis=0), size // m, axis=1)
    return float(square[linear_sum_assignment(square)].mean())


@given(seed=seeds, n=st.integers(1, 9), m=st.integers(1, 9), kind=kinds)
def test_repeating_points_to_equal_numbers_changes_nothing(seed, n, m, kind):
    cost = random_cost(np.random.default_rng(seed), n, m, kind)
    assert transport_cost(cost) == pytest.approx(of_repeated(cost), rel=1e-10, abs=0)


@given(
    seed=seeds, n=st.integers(1, 3), m=st.integers(1, 3), far=st.sampled_from([0, 10**8, 10**11])
)
def test_exact_enumeration_of_integers(seed, n, m, far):
    """Points with integer coordinates, all flows of whole units: no rounding in the oracle."""
    rng = np.random.default_rng(seed)
    x, y = rng.integers(-9, 10, (n, 2)), rng.integers(-9, 10, (m, 2))
    x[0] += far
    y[0] += far
    size = math.lcm(n, m)
    rows = [i for i in range(n) for _ in range(size // n)]
    columns = [j for j in range(m) for _ in range(size // m)]
    exact = [[sum((int(a) - int(b)) ** 2 for a, b in zip(p, q, strict=True)) for q in y] for p in x]
    least = min(
        sum(exact[i][j] for i, j in zip(order, columns, strict=True))
        for order in set(itertools.permutations(rows))
    )
    cost = np.array([[float(c) for c in row] for row in exact])
    assert transport_cost(cost) == pytest.approx(float(Fraction(least, size)), rel=1e-14, abs=0)


@given(seed=seeds, n=st.integers(2, 25), m=st.integers(2, 25))
def test_linear_programming(seed, n, m):
    cost = random_cost(np.random.default_rng(seed), n, m, "points")
    equal = np.vstack([np.kron(np.eye(n), np.ones(m)), np.kron(np.ones(n), np.eye(m))])
    found = linprog(cost.ravel(), A_eq=equal, b_eq=[*np.full(n, 1 / n), *np.full(m, 1 / m)])
    # HiGHS stops at 1e-7
    assert transport_cost(cost) == pytest.approx(found.fun, rel=1e-6, abs=1e-9)


@given(
    seed=seeds, n=st.integers(1, 30), m=st.integers(1, 30), kind=kinds, power=st.integers(-300, 300)
)
def test_another_unit_transposition_and_order_change_nothing(seed, n, m, kind, power):
    rng = np.random.default_rng(seed)
    cost = random_cost(rng, n, m, kind if abs(power) < 100 else "points")
    least = transport_cost(cost)
    close = pytest.approx(least, rel=1e-10, abs=0)
    assert transport_cost(np.ldexp(cost, power)) == np.ldexp(least, power)  # exactly
    assert transport_cost(cost.T) == close
    assert transport_cost(cost[rng.permutation(n)][:, rng.permutation(m)]) == close


def test_what_is_not_optimal_is_not_certified(rng, monkeypatch):
    """Negative control: a feasible flow that is not optimal, with the potentials of the optimum."""
    cost = random_cost(rng, 12, 8, "points")
    ship = transport._ship

    def spoiled(*arguments):
        rows, columns, units = ship(*arguments)
        return rows, np.roll(columns, 5), units

    monkeypatch.setattr(transport, "_ship", spoiled)
    with pytest.raises(ArithmeticError, match="no optimal transport of 12 to 8 points was found"):
        transport_cost(cost)


def test_costs_that_are_not_finite_end():
    with pytest.raises(ValueError, match="cost is not finite"):
        transport_cost(np.full((3, 2), np.inf))
