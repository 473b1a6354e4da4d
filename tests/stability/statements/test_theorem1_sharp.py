import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stability.analysis.bounds import contraction_bound, rate_bound, sharp_bound
from stability.analysis.jacobian import jacobian, spectral_radius
from stability.statements import theorem1_sharp
from stability.statements.theorem1_sharp import GRID, check
from stability.statements.verdict import Status
from tests.support.mutated import controls
from tests.support.problems import local_analyses


@pytest.mark.parametrize("where", GRID, ids=lambda where: f"λ={where['lam']:g},k={where['k']:g}")
def test_the_grid_holds_and_the_bounds_are_reached(where, rng):
    norm, attained, rate = check(**where, rng=rng)
    expected = Status.HOLDS if where["lam"] * (where["k"] - 1) < 1 else Status.VACUOUS
    assert norm.status is attained.status is expected
    assert rate.status is Status.HOLDS
    # half of the pairs have A = −I, a quarter of them E with the eigenvalue that is worst
    if expected is Status.HOLDS:
        assert norm.tightness == pytest.approx(1, rel=1e-6)
    assert rate.tightness == pytest.approx(1, rel=1e-6)


@given(local_analyses())
def test_any_matrices(local):
    constants = local.lam, local.alpha, local.eps.high, local.lipschitz.value
    norm = float(np.linalg.norm(local.J, 2))
    assert norm <= sharp_bound(*constants) * (1 + 1e-9) + 1e-9
    assert spectral_radius(local.J) <= rate_bound(*constants) * (1 + 1e-9) + 1e-9
    assert rate_bound(*constants) < 1


positive, lams = st.floats(0.01, 10), st.floats(1e-3, 1e3)


@given(lam=lams, alpha=positive, eps=st.floats(0, 10), lipschitz=st.floats(0, 10))
def test_it_is_never_above_11_and_below_one_where_it_says(lam, alpha, eps, lipschitz):
    sharp, printed = (
        sharp_bound(lam, alpha, eps, lipschitz),
        contraction_bound(lam, alpha, eps, lipschitz),
    )
    assert sharp <= printed * (1 + 1e-12)
    against = lam * (lipschitz * eps / alpha - 1)
    if abs(against - 0.5) > 1e-9:
        assert (sharp < 1) == (against < 0.5)
    if lipschitz * eps <= alpha:  # the condition of Proposition 3: at every λ
        assert sharp < 1
        assert sharp == pytest.approx(rate_bound(lam, alpha, eps, lipschitz), rel=1e-9)


@given(lam=lams, alpha=positive, k=st.floats(0, 5))
def test_no_smaller_bound_is_true(lam, alpha, k):
    """A and B are numbers: A = −α, and B at either end of what (80) allows."""
    bound = sharp_bound(lam, alpha, 1.0, k * alpha)
    if bound == math.inf:
        assert alpha / lam <= alpha * (k - 1) * (1 + 1e-9)  # B = α/λ, where A + λB = 0, is allowed
        return
    ends = [
        float(abs(jacobian(-alpha * np.eye(1), np.array([[B]]), lam)[0, 0]))
        for B in (-alpha * (1 + k), alpha * (k - 1))
    ]
    assert max(ends) == pytest.approx(bound, rel=1e-6)


@pytest.mark.parametrize(
    ("lam", "sharp", "rate"),
    [(0.05, 0.14408, 0.14408), (0.2, 0.40238, 0.40238), (1.0, math.inf, 0.77100)],
)
def test_the_numbers_of_the_student_t_example(lam, sharp, rate):
    constants = lam, 0.41082, 0.48414, 2.00829
    assert sharp_bound(*constants) == pytest.approx(sharp, abs=2e-5)
    assert rate_bound(*constants) == pytest.approx(rate, abs=2e-5)


def test_without_the_sign_of_b_the_rate_has_no_such_bound():
    assert spectral_radius(jacobian(-np.eye(2), np.diag([0.9, -0.5]), 1.0)) == pytest.approx(9)
    assert rate_bound(1.0, 1.0, 1.9, 1.0) < 0.75


def test_every_mutation_is_noticed(rng):
    for verdict in controls(theorem1_sharp, rng):
        assert verdict.status is Status.VIOLATED, verdict


def test_a_bound_one_percent_too_small_is_rejected(monkeypatch, rng):
    monkeypatch.setattr(
        theorem1_sharp, "sharp_bound", lambda *constants: 0.99 * sharp_bound(*constants)
    )
    monkeypatch.setattr(
        theorem1_sharp, "rate_bound", lambda *constants: 0.99 * rate_bound(*constants)
    )
    assert all(verdict.status is Status.VIOLATED for verdict in check(1.0, 0.5, 2, rng))


def test_edges():
    assert sharp_bound(0.0, 1.0, 1.0, math.inf) == rate_bound(0.0, 1.0, 1.0, math.inf) == 0
    assert sharp_bound(0.1, 1.0, 0.0, math.inf) == math.inf
    assert rate_bound(0.1, 1.0, 0.0, math.inf) == 1


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda rng: sharp_bound(-1.0, 1.0, 1.0, 1.0), "lam must be finite and >= 0, got -1"),
        (lambda rng: rate_bound(1.0, 0.0, 1.0, 1.0), "alpha must be > 0"),
        (lambda rng: check(1.0, 1.0, 0, rng), "d must be >= 1"),
        (lambda rng: check(math.inf, 1.0, 1, rng), "lam must be finite"),
        (lambda rng: check(1.0, -1.0, 1, rng), "eps must be >= 0 or inf"),
    ],
)
def test_bad_arguments(call, message, rng):
    with pytest.raises(ValueError, match=message):
        call(rng)
