import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stability.statements.literature import effective_sample_size
from stability.statements.literature.effective_sample_size import (
    GRID,
    best_lambda,
    check,
    risk_fixed_real,
    risk_fresh_real,
)
from stability.statements.verdict import Status
from tests.conftest import FALSE_ALARM
from tests.support.mutated import controls

RANDOM = 2 * len(GRID)
biases = st.floats(-4, 1).map(lambda u: 10.0**u)
lambdas = st.floats(-3, 2).map(lambda u: 10.0**u)


@pytest.mark.parametrize("instance", GRID, ids=str)
def test_the_grid_holds(instance, rng):
    verdicts = check(**instance, rng=rng, false_alarm=FALSE_ALARM / RANDOM)
    assert all(verdict.status is Status.HOLDS for verdict in verdicts), verdicts


def test_every_mutation_is_noticed(rng):
    for verdict in controls(effective_sample_size, rng):
        assert verdict.status is Status.VIOLATED, verdict


@given(B=biases, lam=lambdas, t=st.integers(0, 30))
def test_both_risks_are_their_recursions(B, lam, t):
    """Variance and bias of v ← ((1−c)x̄ + c(v + ξ)) + δ, with new and with fixed x̄."""
    c = lam / (1 + lam)
    fresh, excess, bias = 1.0, 0.0, 1.0
    for _ in range(t):
        fresh = (1 - c) ** 2 + c**2 * (fresh + 1 / lam)
        excess = c**2 * (excess + 1 / lam)
        bias = c * bias + 1
    assert risk_fresh_real(lam, B, t) == pytest.approx(fresh + B * bias**2, rel=1e-8)
    assert risk_fixed_real(lam, B, t) == pytest.approx(1 + excess + B * bias**2, rel=1e-8)


@given(B=biases, lam=lambdas)
def test_no_other_lambda_does_better(B, lam):
    best = best_lambda(B)
    assert risk_fresh_real(lam, B) >= risk_fresh_real(best, B) * (1 - 1e-12)
    assert (best > 0) == (B < 0.5)


def test_reference_values():
    assert best_lambda(0.02) == pytest.approx(1.1895, abs=5e-5)
    assert 1 / risk_fresh_real(best_lambda(0.02), 0.02) == pytest.approx(1.344, abs=5e-4)
    assert best_lambda(0.45) == pytest.approx(0.0215, abs=5e-5)
    assert best_lambda(0.6) == 0
    assert np.all(np.diff([risk_fixed_real(lam, 0.01) for lam in (0, 0.1, 1, 10)]) > 0)


@pytest.mark.parametrize("B", [0.0, -1.0, float("inf"), float("nan")])
def test_bad_arguments(B):
    with pytest.raises(ValueError, match="B must be finite and > 0"):
        best_lambda(B)
