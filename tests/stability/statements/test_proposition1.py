import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stability.gaussian.alpha import alpha, alpha_isotropic
from stability.gaussian.collapse import simulate
from stability.statements import proposition1
from stability.statements.proposition1 import GRID, check, counterexamples
from stability.statements.verdict import Status
from tests.conftest import FALSE_ALARM
from tests.support.mutated import controls

# at most so many verdicts that chance decides, in all the tests below
RANDOM = 3 * (len(GRID) + 20)
GOOD = (Status.HOLDS, Status.CORRECTED)


@pytest.mark.parametrize(
    "instance", GRID, ids=lambda instance: f"n={instance['n']},t={instance['t']}"
)
def test_the_grid_holds(instance, rng):
    verdicts = check(**instance, rng=rng, chains=200_000, false_alarm=FALSE_ALARM / RANDOM)
    assert all(verdict.status in GOOD for verdict in verdicts), verdicts
    for verdict in verdicts:
        by_chance = "normal tail" in verdict.method
        assert verdict.false_alarm == (FALSE_ALARM / RANDOM if by_chance else 0)
        assert by_chance or verdict.tolerance <= 1e-12
    # the rate that the paper prints fails on every instance of more than one dimension, n > d
    d = len(instance["covariance"])
    assert verdicts[0].status is (Status.CORRECTED if 1 < d < instance["n"] else Status.HOLDS)


@settings(max_examples=20)
@given(
    d=st.integers(1, 4),
    extra=st.integers(2, 40),
    spread=st.floats(0, 3),
    seed=st.integers(0, 2**32 - 1),
)
def test_random_starts(d, extra, spread, seed):
    generator = np.random.default_rng(seed)
    turn = np.linalg.qr(generator.standard_normal((d, d)))[0]
    covariance = turn * 10.0 ** generator.uniform(-spread, spread, d) @ turn.T
    covariance = (covariance + covariance.T) / 2
    verdicts = check(
        d + extra, covariance, 2, generator, false_alarm=FALSE_ALARM / RANDOM, chains=60_000
    )
    assert all(verdict.status in GOOD for verdict in verdicts), verdicts


def test_every_mutation_is_noticed(rng):
    for verdict in controls(proposition1, rng):
        assert verdict.status is Status.VIOLATED, verdict


def test_the_counterexample_of_erratum_e1():
    (verdict,) = counterexamples()
    assert verdict.status is Status.VIOLATED
    assert verdict.measured == pytest.approx(0.921295, abs=5e-7)
    assert verdict.stated == pytest.approx(0.873464, abs=5e-7)
    assert verdict.erratum == "E1"


@pytest.mark.parametrize(("n", "d", "t"), [(4, 2, 8), (10, 4, 8), (30, 4, 20)])
def test_the_printed_rate_fails_from_a_multiple_of_the_identity_too(n, d, t, rng):
    """Σ_1 is no multiple of I.

    Of X = tr √Σ_t/d, whose mean is between α(n)^t/d and α(n)^t, and E X² <= 1.

    The mean of N independent X >= 0 is below E X − s with probability at most e^{−N s²/(2 E X²)}.
    The other two comparisons are 10 standard errors apart and more.
    """
    chains = 100_000
    roots = simulate(n, np.eye(d), [t], chains, rng).last_root
    shrunk = roots.trace(axis1=1, axis2=2) / d
    printed, corrected = alpha_isotropic(n, d).value ** t, float(alpha(n)) ** t
    error = shrunk.std() / math.sqrt(chains)
    assert shrunk.mean() > printed + 10 * error
    slack = math.sqrt(2 * math.log(3 * 3 / FALSE_ALARM) / chains)
    assert corrected / d - slack < shrunk.mean() < corrected


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"t": 0}, "t one >= 1, got n = 5 and t = 0"),
        ({"n": 5.5}, "n must be a whole number"),
        ({"n": 1}, "n must be a whole number >= 2 and t one >= 1, got n = 1"),
        ({"covariance": np.zeros((2, 2))}, "positive definite"),
        ({"false_alarm": -1.0}, r"false_alarm must be in \(0, 1\)"),
        ({"t": 100}, "chains must be >= [0-9]+ for a normal tail"),
    ],
)
def test_bad_arguments(change, message, rng):
    with pytest.raises(ValueError, match=message):
        check(**({"n": 5, "covariance": np.eye(2), "t": 1, "rng": rng} | change))
