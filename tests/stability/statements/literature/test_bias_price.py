import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stability import (
    Accumulate,
    FreshReal,
    FullySynthetic,
    Mix,
    ReplaceFraction,
    Subsample,
    Weighted,
)
from stability.loop.regimes import AccumulateFresh, Curated
from stability.statements.literature import bias_price
from stability.statements.literature.bias_price import (
    GRID,
    bias_factor,
    check,
    counterexamples,
    log_bound,
)
from stability.statements.verdict import Status
from tests.conftest import FALSE_ALARM
from tests.support.mutated import controls

lams = st.floats(0.01, 20)


@pytest.mark.parametrize("case", GRID, ids=lambda case: f"{case['regime']}")
def test_the_grid_holds(case, rng):
    verdicts = check(**case, rng=rng, false_alarm=FALSE_ALARM / len(GRID))
    assert all(verdict.status is Status.HOLDS for verdict in verdicts), verdicts


def test_every_mutation_is_noticed(rng):
    for verdict in controls(bias_price, rng):
        assert verdict.status is Status.VIOLATED, verdict


def test_the_median_leaves_the_bound():
    (verdict,) = counterexamples()
    assert verdict.status is Status.VIOLATED
    assert verdict.measured == pytest.approx(11)  # (t + 1) δ over δ


@given(lam=lams, response=st.floats(0.1, 1.5), t=st.integers(0, 40))
def test_the_factors_are_the_recursions_of_the_means(lam, response, t):
    """The mean of the training set over δ, round by round: a mix, a pool, and no real data."""
    mixed = pooled = replaced = web = 1.0
    pool, size, web_pool, alpha = 0.0, 1.0, 0.0, 1 / (1 + lam)
    for k in range(1, t + 1):
        web_pool += ((1 - alpha) * web - web_pool) / (k + 1)
        web = response * web_pool + 1
        mixed = response * lam * mixed / (1 + lam) + 1
        replaced = response * replaced + 1
        pool, size = (size * pool + lam * pooled) / (size + lam), size + lam
        pooled = response * pool + 1
    for regime in (Mix(lam), FreshReal(lam), ReplaceFraction(lam)):
        assert bias_factor(regime, t, response) == pytest.approx(mixed, rel=1e-9)
    assert bias_factor(FullySynthetic(), t, response) == pytest.approx(replaced, rel=1e-9)
    if abs(1 - (1 - alpha) * response) > 1e-3:
        assert bias_factor(AccumulateFresh(alpha), t, response) == pytest.approx(web, rel=1e-7)
    if abs(response - 1) > 1e-3:  # the closed form divides by 1 − J
        assert bias_factor(Accumulate(lam), t, response) == pytest.approx(pooled, rel=1e-7)
    assert bias_factor(Subsample(Accumulate(lam)), t) == bias_factor(Accumulate(lam), t)


@given(lam=lams, t=st.integers(0, 300))
def test_accumulating_grows_like_a_logarithm(lam, t):
    grown = bias_factor(Accumulate(lam), t)
    assert grown <= log_bound(lam, t) + 1e-12
    assert grown >= 1 + math.log((1 + lam * (t + 1)) / (1 + lam)) - 1e-12


@pytest.mark.parametrize(
    ("regime", "response", "values"),
    [
        (Accumulate(1.0), 1.0, (3.02, 5.20, 7.49)),
        (Accumulate(1.0), 0.8, (2.36, 3.30, 3.92)),
    ],
)
def test_numbers_at_ten_a_hundred_and_a_thousand_rounds(regime, response, values):
    found = [bias_factor(regime, t, response) for t in (10, 100, 1000)]
    assert found == pytest.approx(list(values), abs=0.006)


def test_limits_and_other_regimes():
    assert bias_factor(Mix(3.0), 500) == pytest.approx(4)
    assert bias_factor(Weighted(Mix(1.0), 0.2), 500) == pytest.approx(5)
    assert bias_factor(AccumulateFresh(0.25), 10**6) == pytest.approx(4, rel=0.05)
    assert bias_factor(AccumulateFresh(0.0), 7) == bias_factor(Accumulate(1.0), 7)
    assert bias_factor(Mix(1.0), 500, 0.8) == pytest.approx(1 / (1 - 0.4))
    with pytest.raises(ValueError, match="no bias price is stated for regime"):
        bias_factor(Curated(Mix(1.0), np.sum), 3)
