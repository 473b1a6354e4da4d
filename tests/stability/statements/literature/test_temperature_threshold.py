import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stability.statements.literature import temperature_threshold
from stability.statements.literature.temperature_threshold import (
    GRID,
    check,
    collapsed_fold,
    collapsed_share,
    cooled,
    counterexamples,
    critical_lambda,
    fisher_radius,
    retrained,
    uniform_rate,
)
from stability.statements.verdict import Status
from tests.support.mutated import controls


@pytest.mark.parametrize("case", GRID, ids=lambda case: f"K={case['symbols']},τ={case['tau']}")
def test_the_grid_holds(case, rng):
    verdicts = check(**case, rng=rng)
    assert all(verdict.status is Status.HOLDS for verdict in verdicts), verdicts


def test_every_mutation_is_noticed_and_not_every_start_returns(rng):
    for verdict in [*controls(temperature_threshold, rng), *counterexamples()]:
        assert verdict.status is Status.VIOLATED, verdict


@pytest.mark.parametrize(
    ("symbols", "tau", "fold", "at", "above"),
    [
        (4, 0.8, 0.888, 0.338, 0.371),
        (4, 0.5, 0.866, 0.250, 0.273),
        (10, 0.8, 0.66, None, None),
        (10, 0.5, 0.60, None, None),
    ],
)
def test_where_collapsed_states_begin_and_how_far_the_jump_goes(symbols, tau, fold, at, above):
    critical = critical_lambda(tau)
    assert collapsed_fold(symbols, tau)[0] / critical == pytest.approx(fold, abs=6e-3)
    for lam, jump in ((critical, at), (1.05 * critical, above)):
        if jump is not None:
            found = collapsed_share(symbols, tau, lam) - 1 / symbols
            assert found == pytest.approx(jump, abs=6e-4)


@given(symbols=st.integers(3, 12), tau=st.floats(0.2, 0.9), excess=st.floats(1.01, 3))
def test_the_collapsed_share_is_a_fixed_point_of_the_round(symbols, tau, excess):
    lam = excess * collapsed_fold(symbols, tau)[0]
    share = collapsed_share(symbols, tau, lam)
    p = np.array([share, *[(1 - share) / (symbols - 1)] * (symbols - 1)])
    after = retrained(p, np.full(symbols, 1 / symbols), lam, tau)
    np.testing.assert_allclose(after, p, atol=1e-9)
    # and it is stable: the Jacobian at it, by Fisher matrices, contracts
    assert fisher_radius(p, lam, tau) < 1


@given(symbols=st.integers(2, 8), tau=st.floats(0.2, 3), lam=st.floats(0.01, 50))
def test_at_uniform_frequencies_fisher_matrices_give_the_rate(symbols, tau, lam):
    p = np.full(symbols, 1 / symbols)
    assert fisher_radius(p, lam, tau) == pytest.approx(uniform_rate(lam, tau), rel=1e-9)
    np.testing.assert_allclose(cooled(p, tau), p)


@pytest.mark.parametrize(("lam", "largest"), [(1, 0.445), (3, 0.641), (6, 0.830), (20, 0.955)])
def test_at_skewed_frequencies_the_loop_runs_to_the_mode(lam, largest):
    q = np.array([0.4, 0.3, 0.2, 0.1])
    p = q
    for _ in range(2000):
        p = retrained(p, q, lam, 0.8)
    assert p.max() == pytest.approx(largest, abs=6e-4)
    assert p.argmax() == 0


@pytest.mark.parametrize(("lam", "ends"), [(3, 1), (5, 2), (8, 4)])
def test_further_stable_states_appear(lam, ends):
    q, found = np.array([0.4, 0.3, 0.2, 0.1]), set()
    for k in range(4):
        p = np.full(4, 0.001)
        p[k] = 0.997
        for _ in range(3000):
            p = retrained(p, q, lam, 0.8)
        found.add(tuple(np.round(p, 4)))
    assert len(found) == ends
