import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chi2

from stability.gaussian.alpha import alpha
from stability.statements.literature import collapse_tail
from stability.statements.literature.collapse_tail import (
    GRID,
    best_power_bound,
    check,
    markov_bound,
)
from stability.statements.verdict import Status
from tests.conftest import FALSE_ALARM
from tests.support.mutated import controls

samples = st.integers(2, 10**6)
levels = st.floats(-4, 2).map(lambda u: 10.0**u)


@pytest.mark.parametrize("instance", GRID, ids=str)
def test_the_grid_holds(instance, rng):
    markov, power, rate, first, second = check(
        **instance, rng=rng, false_alarm=FALSE_ALARM / (2 * len(GRID))
    )
    says_nothing = markov_bound(**instance) >= 1
    assert markov.status is (Status.VACUOUS if says_nothing else Status.HOLDS), markov
    assert power.status is Status.HOLDS, power
    assert rate.status is first.status is second.status is Status.HOLDS, (rate, first, second)
    assert power.stated <= markov.stated


def test_every_mutation_is_noticed(rng):
    for verdict in controls(collapse_tail, rng):
        assert verdict.status is Status.VIOLATED, verdict


@given(n=samples, t=st.integers(0, 10**6), level=levels)
def test_the_bounds_are_ordered(n, t, level):
    """Best power <= Markov with the exact α(n)^t <= with exp(−t/(4n))."""
    exact = float(alpha(n)) ** t / level
    assert best_power_bound(n, t, level) <= min(exact, 1) * (1 + 1e-9)
    assert exact <= markov_bound(n, t, level) * (1 + 1e-9)


@given(n=st.integers(2, 300), level=st.floats(0.05, 3))
def test_one_retraining_exactly(n, level):
    """(n − 1)σ_1²/σ_0² ~ χ²_{n−1}: the probability itself is at most both bounds."""
    exact = chi2.sf((n - 1) * level**2, n - 1)
    assert exact <= best_power_bound(n, 1, level) * (1 + 1e-9)
    assert exact <= markov_bound(n, 1, level) * (1 + 1e-9)


def test_the_power_2_adds_nothing_but_chebyshev():
    """E σ_t² = σ_0² for all t: far above σ_0 the best power is the largest that is tried, and
    gives (σ_0/e)².
    """
    assert best_power_bound(50, 3, 100.0) == pytest.approx(1e-4, rel=1e-3)
    assert best_power_bound(50, 1000, 1e-300) == pytest.approx(1)  # far below: the trivial bound
    assert markov_bound(10, 40, 0.5) == pytest.approx(2 * math.exp(-1))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n": 1}, "n must be a whole number >= 2"),
        ({"t": 0}, "t one >= 1"),
        ({"level": 0.0}, "level must be finite and > 0, got 0"),
        ({"level": np.inf}, "level must be finite and > 0, got inf"),
        ({"false_alarm": 0.0}, r"false_alarm must be in \(0, 1\)"),
    ],
)
def test_bad_arguments(change, message, rng):
    with pytest.raises(ValueError, match=message):
        check(**({"n": 5, "t": 3, "level": 0.5, "rng": rng} | change))
