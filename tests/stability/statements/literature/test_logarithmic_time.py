import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stability.loop.regimes import AccumulateFresh
from stability.planning.labels import propagate
from stability.planning.response import path_law
from stability.statements.literature import logarithmic_time
from stability.statements.literature.logarithmic_time import (
    GRID,
    check,
    finite_pool,
    mix_floor,
    pooled_factor,
    web_error,
    web_exponent,
)
from stability.statements.verdict import Status
from tests.conftest import FALSE_ALARM
from tests.support.mutated import controls


@pytest.mark.parametrize("case", GRID, ids=lambda case: f"λ={case['lam']},τ={case['tau']}")
def test_the_grid_holds(case, rng):
    verdicts = check(**case, rng=rng, false_alarm=FALSE_ALARM / len(GRID))
    assert all(verdict.status is Status.HOLDS for verdict in verdicts), verdicts


def test_every_mutation_is_noticed(rng):
    for verdict in controls(logarithmic_time, rng):
        assert verdict.status is Status.VIOLATED, verdict


@given(lam=st.floats(0.05, 20), tau=st.floats(0.05, 2), t=st.integers(0, 60))
def test_the_factor_is_its_product(lam, tau, t):
    k = np.arange(1, t + 1)
    product = np.prod(1 - lam * (1 - tau) / (1 + lam * k))
    assert pooled_factor(lam, tau, t) == pytest.approx(product, rel=1e-10)


def test_numbers_at_temperature_one_half():
    assert pooled_factor(1.0, 0.5, 40) == pytest.approx(0.1757, abs=5e-5)
    assert mix_floor(1.0, 0.5) == pytest.approx(2 / 3)


@given(tau=st.floats(0.1, 1.5), t=st.integers(0, 20))
def test_large_pools_follow_the_product(tau, t):
    mean, variance = finite_pool(10**7, 1.0, tau, t)
    assert mean == pytest.approx(pooled_factor(1.0, tau, t), rel=1e-5)
    assert variance == pytest.approx(0, abs=1e-5)


def test_finite_pools_are_those_of_their_factors(rng):
    """Products of χ² factors, drawn directly."""
    n, lam, tau, t, runs = 10, 1.0, 0.6, 3, 200_000
    value, size = rng.chisquare(n - 1, runs) / (n - 1), n
    for _ in range(t):
        squares = rng.chisquare(n - 1, runs) + size / (size + n) * rng.chisquare(1, runs)
        value *= (size - 1 + tau * squares) / (size + n - 1)
        size += n
    mean, variance = finite_pool(n, lam, tau, t)
    slack = 7 * np.sqrt(variance / runs)  # 7 standard errors: less than 1e-11
    assert abs(value.mean() - mean) < slack
    # the fourth moment of these products is below 30 variances squared
    assert abs(value.var() - variance) < 7 * variance * np.sqrt(30 / runs)


@pytest.mark.parametrize(("alpha", "error"), [(0.2, 0.793), (0.5, 0.3055), (0.8, 0.1374)])
def test_numbers_with_new_real_data(alpha, error):
    assert web_error(alpha, 10) == pytest.approx(error, abs=5e-4)


@given(alpha=st.floats(0.01, 1), t=st.integers(0, 30))
def test_the_error_with_new_real_data_is_that_of_the_regime_on_labels(alpha, t):
    """α in hundredths of n = 100, where the real share of a batch is whole."""
    share = round(100 * alpha) / 100
    law = path_law(propagate(AccumulateFresh(share), 100, t))
    assert 100 * law.risk[t] == pytest.approx(web_error(share, t), rel=1e-9)


def test_half_real_is_the_threshold():
    """At ½ both powers are 1/t and log t/t appears: v_t = (H + 1)/(t + 1) up to O(1/t)."""
    t = 20_000
    harmonic = np.log(t) + np.euler_gamma
    assert (t + 1) * web_error(0.5, t) == pytest.approx(harmonic + 1, abs=0.6)
    assert web_exponent(0.5) == web_exponent(0.9) == -1
    assert web_exponent(0.25) == -0.5
