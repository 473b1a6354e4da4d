import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stability.statements.literature import kernel_estimate
from stability.statements.literature.kernel_estimate import (
    GRID,
    check,
    critical_lambda,
    first_order_critical_lambda,
    rate,
    scott,
    variances,
)
from stability.statements.verdict import Status
from tests.conftest import FALSE_ALARM
from tests.support.mutated import controls


@pytest.mark.parametrize("case", GRID, ids=lambda case: f"n={case['n']},λ={case['lam']:g}")
def test_the_grid_holds(case, rng):
    verdicts = check(**case, rng=rng, false_alarm=FALSE_ALARM / len(GRID))
    assert all(verdict.status is Status.HOLDS for verdict in verdicts), verdicts


def test_every_mutation_is_noticed(rng):
    for verdict in controls(kernel_estimate, rng):
        assert verdict.status is Status.VIOLATED, verdict


def test_numbers_of_twenty_points():
    assert first_order_critical_lambda(20) == pytest.approx(4.91, abs=0.005)
    assert critical_lambda(20) == pytest.approx(5.035, abs=0.001)
    above = variances(20, 8.0, 25)
    assert above[[5, 15, 25]] == pytest.approx([2.30, 5.02, 9.20], abs=0.01)
    assert variances(20, 3.0, 25)[-1] == pytest.approx(3.35, abs=0.01)
    assert variances(20, 3.0, 2000)[-1] == pytest.approx(3.65, abs=0.01)


@given(n=st.integers(10**6, 10**8), lam=st.floats(0.1, 20), t=st.integers(0, 10))
def test_many_points_follow_the_first_order(n, lam, t):
    lam = round(lam * n) / n
    value, kappa = 1 + scott(n, 2), scott(n * (1 + lam), 2)
    for _ in range(t):
        value = (1 + kappa) * (1 + lam * value) / (1 + lam)
    assert variances(n, lam, t)[-1] == pytest.approx(value, rel=1e-3)
    assert rate(n, lam) == pytest.approx(lam * (1 + kappa) / (1 + lam), rel=1e-3)


@given(n=st.integers(5, 1000), lam=st.floats(0.05, 50), h=st.floats(0, 3))
def test_an_absolute_bandwidth_is_stable_at_every_lambda(n, lam, h):
    assert rate(n, lam, bandwidth=h) < 1


@given(n=st.integers(5, 10**5), dimension=st.integers(1, 6))
def test_finite_samples_put_the_critical_lambda_off(n, dimension):
    first = first_order_critical_lambda(n, dimension)
    assert critical_lambda(n, dimension) > first
    assert first * scott(n * (1 + first), dimension) == pytest.approx(1, rel=1e-9)


def test_variances_are_those_of_resampled_points(rng):
    """In one dimension, without the learner: n = 6, λ = 2, one round."""
    n, m, runs = 6, 12, 40_000
    real = rng.standard_normal((runs, n))
    kappa = n ** (-2 / 5)
    picked = np.take_along_axis(real, rng.integers(n, size=(runs, m)), axis=1)
    noise = np.sqrt(kappa * real.var(axis=1, ddof=1))[:, None] * rng.standard_normal((runs, m))
    both = np.concatenate([real, picked + noise], axis=1)
    drawn = both.var(axis=1) + (n + m) ** (-2 / 5) * both.var(axis=1, ddof=1)
    law = variances(n, 2.0, 1, dimension=1)[-1]
    # 8 standard errors of 40,000 runs, far in the tail of a mean whose summands have moments
    assert abs(drawn.mean() - law) < 8 * drawn.std() / np.sqrt(runs)
