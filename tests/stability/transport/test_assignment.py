"""The assignment solver against scipy and POT, its dual certificate, and the symmetries of the
problem.
"""

from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction

import numpy as np
import ot
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist

from stability.transport.assignment import (
    Assignment,
    assign,
    extend_potentials,
    solve,
    squared_distances,
)

seeds = st.integers(0, 2**32 - 1)
scales = st.integers(-12, 12).map(lambda exponent: 10.0**exponent)
property_test = settings(deadline=None, max_examples=200)  # no deadline: the first example compiles


def random_cost(rng: np.random.Generator, n: int, kind: str) -> np.ndarray:
    if kind == "normal":
        return rng.standard_normal((n, n))
    if kind == "ties":
        return rng.integers(-2, 3, (n, n)).astype(float)
    if kind == "equal":
        return np.full((n, n), rng.standard_normal())
    if kind == "products":  # every search passes through most columns
        return np.outer(rng.random(n), rng.random(n))
    x, y = rng.standard_normal((2, n, 2))
    if kind == "duplicates":
        x, y = x[rng.integers(0, n, n) // 3], y[rng.integers(0, n, n) // 3]
    if kind == "same points":
        y = rng.permutation(x)
    return cdist(x, y, "sqeuclidean")


kinds = st.sampled_from(
    ["normal", "ties", "equal", "products", "points", "duplicates", "same points"]
)
costs = st.builds(
    lambda seed, n, kind, scale: scale * random_cost(np.random.default_rng(seed), n, kind),
    seeds,
    st.integers(1, 40),
    kinds,
    scales,
)


def total(cost: np.ndarray, columns: np.ndarray) -> float:
    return float(cost[np.arange(len(cost)), columns].sum())


def least_total(cost: np.ndarray) -> float:
    return total(cost, linear_sum_assignment(cost)[1])


def rounding(cost: np.ndarray) -> float:
    """The rounding of n additions, where the optimum itself is near zero."""
    return 1e-14 * float(np.abs(cost).sum())


def check_optimal(cost: np.ndarray, result: Assignment) -> None:
    n = len(cost)
    assert result.columns.dtype == np.int64
    np.testing.assert_array_equal(np.sort(result.columns), np.arange(n))
    assert total(cost, result.columns) == pytest.approx(
        least_total(cost), rel=1e-9, abs=rounding(cost)
    )
    # large potentials cancel each other before a small cost is rounded away
    reduced = cost - (result.row_potentials[:, None] + result.column_potentials)
    dual = result.row_potentials.sum() + result.column_potentials.sum()
    scale = np.abs(cost).max()
    assert result.infeasibility == max(0.0, -reduced.min())
    assert result.infeasibility <= 1e-9 * scale
    assert result.gap == pytest.approx(total(cost, result.columns) - dual, abs=1e-12 * n * scale)
    assert abs(result.gap) <= 1e-9 * scale


@property_test
@given(costs)
def test_optimal_and_certified(cost: np.ndarray) -> None:
    before = cost.copy()
    check_optimal(cost, assign(cost))
    np.testing.assert_array_equal(cost, before)


@settings(deadline=None, max_examples=10)
@given(seeds, st.sampled_from([1, 2]), st.integers(100, 300))
def test_same_cost_as_scipy_and_pot_on_points(seed: int, power: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    angle = rng.uniform(0, 2 * np.pi, n)
    circle = 3 * np.column_stack([np.cos(angle), np.sin(angle)]) + 0.2 * rng.random((n, 1))
    cost = cdist(rng.standard_normal((n, 2)), circle) ** power
    result = assign(cost)
    check_optimal(cost, result)
    plan = np.asarray(ot.emd(np.full(n, 1 / n), np.full(n, 1 / n), cost))
    assert total(cost, result.columns) / n == pytest.approx((plan * cost).sum(), rel=1e-9)


@property_test
@given(costs, seeds, st.sampled_from([0.0, 1e-300, 1.0, 1e12, 1e300, np.finfo(float).max]))
def test_any_warm_start_leads_to_the_optimum(cost: np.ndarray, seed: int, size: float) -> None:
    start = size * np.random.default_rng(seed).uniform(-1, 1, len(cost))
    before = start.copy()
    check_optimal(cost, assign(cost, start))
    np.testing.assert_array_equal(start, before)


def spanning(rng: np.random.Generator, n: int, decades: int, signs: bool) -> np.ndarray:
    cost = 10.0 ** rng.uniform(-decades, decades, (n, n))
    return cost * rng.choice([-1, 1], (n, n)) if signs else cost


@property_test
@given(seeds, st.integers(1, 30), st.sampled_from([3, 8, 20, 150]), st.booleans(), st.booleans())
def test_costs_of_any_span_and_a_start_that_hides_them(
    seed: int, n: int, decades: int, signs: bool, warm: bool
) -> None:
    """The optimum is right relative to what is paid: no scale of unused costs enters. So is the
    certificate, up to the rounding of potentials, which unused costs can force to be large: two of
    them near ±0.2 may leave a potential of 0.2 in a row that pays 1e-7.
    """
    rng = np.random.default_rng(seed)
    cost = spanning(rng, n, decades, signs)
    result = assign(cost, np.abs(cost).max() * rng.uniform(-1, 1, n) if warm else None)

    paid = float(np.abs(cost[np.arange(n), result.columns]).sum())
    assert total(cost, result.columns) <= least_total(cost) + 1e-12 * n * paid
    exact = lambda values: sum(map(Fraction, values), Fraction(0))  # noqa: E731
    matched = cost[np.arange(n), result.columns]
    gap = exact(matched) - exact(result.row_potentials) - exact(result.column_potentials)
    assert result.gap == pytest.approx(float(gap), rel=0, abs=1e-14 * n * paid)
    potentials = np.abs(np.append(result.row_potentials, result.column_potentials)).sum()
    rounding = 2 * np.finfo(float).eps * potentials
    assert abs(result.gap) + n * result.infeasibility <= 1e-12 * n * paid + rounding


def test_a_start_that_hides_the_costs_is_noticed(rng: np.random.Generator) -> None:
    """Negative control: from such a start alone the kernel misses the optimum, and its
    potentials cannot tell.
    """
    missed = 0
    for _ in range(20):
        cost = spanning(rng, 20, 20, signs=False)
        u, v, columns = np.empty(20), 1e20 * rng.uniform(-1, 1, 20), np.empty(20, np.int64)
        solve(cost, u, v, columns)
        missed += total(cost, columns) > least_total(cost) * (1 + 1e-6)
    assert missed > 0  # of 20 it misses nearly all


@property_test
@given(costs)
def test_own_potentials_lead_to_the_optimum_again(cost: np.ndarray) -> None:
    check_optimal(cost, assign(cost, assign(cost).column_potentials))


@property_test
@given(costs, seeds)
def test_order_of_rows_and_columns_does_not_matter(cost: np.ndarray, seed: int) -> None:
    rng = np.random.default_rng(seed)
    shuffled = cost[rng.permutation(len(cost))][:, rng.permutation(len(cost))]
    expected = total(cost, assign(cost).columns)
    assert total(shuffled, assign(shuffled).columns) == pytest.approx(
        expected, rel=1e-9, abs=rounding(cost)
    )
    assert total(cost.T, assign(cost.T).columns) == pytest.approx(
        expected, rel=1e-9, abs=rounding(cost)
    )


@property_test
@given(costs, seeds)
def test_adding_constants_to_rows_and_columns_shifts_the_cost(cost: np.ndarray, seed: int) -> None:
    rng = np.random.default_rng(seed)
    rows, columns = np.abs(cost).max() * rng.standard_normal((2, len(cost)))
    shifted = cost + rows[:, None] + columns
    expected = total(cost, assign(cost).columns) + rows.sum() + columns.sum()
    assert total(shifted, assign(shifted).columns) == pytest.approx(
        expected, rel=1e-9, abs=rounding(cost) + rounding(shifted)
    )


@given(st.floats(-1e300, 1e300))
def test_one_row(value: float) -> None:
    result = assign([[value]])
    assert result.columns.tolist() == [0]
    assert result.row_potentials[0] + result.column_potentials[0] == value
    assert result.gap == result.infeasibility == 0


@property_test
@given(seeds, st.integers(1, 40))
def test_float32_and_other_memory_layouts(seed: int, n: int) -> None:
    cost = np.random.default_rng(seed).random((n, 2 * n)).astype(np.float32)[:, ::2]
    expected = assign(cost.astype(np.float64))
    frozen = cost.astype(np.float64)
    frozen.flags.writeable = False
    for same in (cost, np.asfortranarray(cost), frozen):
        np.testing.assert_array_equal(assign(same).columns, expected.columns)


@pytest.mark.parametrize(
    ("cost", "message"),
    [
        (np.zeros((2, 3)), r"cost has shape \(2, 3\)"),
        (np.zeros(3), r"cost has shape \(3,\)"),
        (np.zeros((0, 0)), r"cost has shape \(0, 0\)"),
        (np.array([[0.0, np.nan], [0.0, 0.0]]), "cost has 1 NaN or infinite entries of 4"),
        (np.array([[np.inf]]), "cost has 1 NaN or infinite entries of 1"),
        (np.array([[2e300]]), r"cost has magnitudes up to 2e\+300"),
        (np.array([[1j]]), "cost has dtype complex128"),
    ],
)
def test_bad_costs_are_refused(cost: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        assign(cost)


@pytest.mark.parametrize(
    ("potentials", "message"),
    [
        (np.zeros(3), r"column_potentials has shape \(3,\); it must be \(2,\)"),
        (np.zeros((2, 1)), r"column_potentials has shape \(2, 1\)"),
        (np.array([0.0, -np.inf]), "column_potentials has 1 NaN or infinite entries of 2"),
    ],
)
def test_bad_potentials_are_refused(potentials: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        assign(np.eye(2), potentials)


@property_test
@given(
    seeds, st.integers(2, 8), st.sampled_from([np.nan, -np.nan, np.inf, -np.inf]), st.floats(0, 1)
)
def test_the_unchecked_kernel_ends_without_finite_costs(
    seed: int, n: int, value: float, share: float
) -> None:
    rng = np.random.default_rng(seed)
    cost = rng.random((n, n))
    cost[rng.random((n, n)) < share] = value
    columns = np.empty(n, np.int64)
    try:
        solve(cost, np.empty(n), np.zeros(n), columns)
    except ValueError as error:
        assert "not finite" in str(error)  # noqa: PT017
    else:
        np.testing.assert_array_equal(np.sort(columns), np.arange(n))


@settings(deadline=None, max_examples=10)
@given(seeds)
def test_two_threads_give_what_one_gives(seed: int) -> None:
    rng = np.random.default_rng(seed)
    problems = [rng.integers(0, 50, (120, 120)).astype(float) for _ in range(20)]
    with ThreadPoolExecutor(2) as pool:
        together = list(pool.map(assign, problems))
    for cost, result in zip(problems, together, strict=True):
        alone = assign(cost)
        np.testing.assert_array_equal(result.columns, alone.columns)
        np.testing.assert_array_equal(result.row_potentials, alone.row_potentials)
        np.testing.assert_array_equal(result.column_potentials, alone.column_potentials)


@property_test
@given(seeds, st.integers(1, 20), st.integers(1, 20), st.integers(1, 4))
def test_squared_distances(seed: int, n: int, m: int, dimension: int) -> None:
    rng = np.random.default_rng(seed)
    x, y = rng.standard_normal((n, dimension)), rng.standard_normal((m, dimension))
    out = np.full((n, m), np.nan)
    squared_distances(x, y, out)
    np.testing.assert_allclose(out, cdist(x, y, "sqeuclidean"), rtol=1e-12)


@property_test
@given(seeds, st.integers(1, 40), st.integers(1, 3))
def test_extended_potentials(seed: int, n: int, dimension: int) -> None:
    """They are the largest that are feasible, so on the batch itself they are the potentials
    that were found.
    """
    rng = np.random.default_rng(seed)
    x, y = rng.standard_normal((n, dimension)), rng.standard_normal((2 * n, dimension))
    cost = cdist(x, y, "sqeuclidean")
    u, v, columns = np.empty(n), np.zeros(n), np.empty(n, np.int64)
    solve(np.ascontiguousarray(cost[:, :n]), u, v, columns)
    out = np.full(2 * n, np.nan)
    extend_potentials(x, u, y, out)
    np.testing.assert_allclose(out, (cost - u[:, None]).min(axis=0), atol=1e-12)
    np.testing.assert_allclose(out[:n], v, atol=1e-12)
