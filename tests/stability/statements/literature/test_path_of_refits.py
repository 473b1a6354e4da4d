import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stability import Accumulate, FreshReal, FullySynthetic, Mix
from stability.statements.literature import path_of_refits
from stability.statements.literature.path_of_refits import GRID, check, limit_covariance
from stability.statements.stationary_error import predicted
from stability.statements.verdict import Status
from tests.conftest import FALSE_ALARM
from tests.support.mutated import controls

lams = st.floats(0.01, 100)
regimes = st.one_of(
    lams.map(Mix), lams.map(FreshReal), lams.map(Accumulate), st.just(FullySynthetic())
)


@pytest.mark.parametrize("instance", GRID, ids=lambda i: f"{i['regime']},{i.get('family', 'mean')}")
def test_the_grid_holds(instance, rng):
    verdicts = check(**instance, rng=rng, false_alarm=FALSE_ALARM / (2 * len(GRID)))
    assert all(verdict.status is Status.HOLDS for verdict in verdicts), verdicts


def test_every_mutation_is_noticed(rng):
    for verdict in controls(path_of_refits, rng):
        assert verdict.status is Status.VIOLATED, verdict


def weights_of_the_noise(regime, t):
    """μ_s as a linear form in independent variables of variance σ²/n: x̄ and z̄ of each round
    (x̄ of each, if fresh).
    """
    # column 0: the first x̄; 2s − 1: z̄ of round s; 2s: x̄ of round s
    rows = [np.eye(1, 2 * t + 1)[0]]
    sums, size = rows[0], 1.0
    for s in range(1, t + 1):
        lam = getattr(regime, "lam", 1.0)
        drawn = rows[-1] + np.eye(1, 2 * t + 1, 2 * s - 1)[0] / math.sqrt(lam)  # mean of λn points
        match regime:
            case FullySynthetic():
                rows.append(drawn)
            case Accumulate():
                sums, size = sums + lam * drawn, size + lam
                rows.append(sums / size)
            case Mix():
                rows.append((rows[0] + lam * drawn) / (1 + lam))
            case FreshReal():
                rows.append((np.eye(1, 2 * t + 1, 2 * s)[0] + lam * drawn) / (1 + lam))
    return np.array(rows)


@given(regime=regimes, t=st.integers(0, 12))
def test_the_limit_covariance_is_that_of_the_refits_written_out(regime, t):
    W = weights_of_the_noise(regime, t)
    np.testing.assert_allclose(limit_covariance(regime, t), W @ W.T, rtol=1e-8, atol=1e-10)


@given(regime=regimes, t=st.integers(0, 30))
def test_its_diagonal_is_the_error_of_the_regime(regime, t):
    law = limit_covariance(regime, t)
    np.testing.assert_allclose(law.diagonal(), [predicted(regime, s) for s in range(t + 1)])
    np.testing.assert_array_equal(law, law.T)
    assert np.linalg.eigvalsh(law).min() > -1e-9 * law.max()


@given(t=st.integers(1, 50))
def test_accumulating_is_a_martingale_of_efficiency_above_6_over_pi_squared(t):
    law = limit_covariance(Accumulate(1.0), t)
    increments = np.diff(np.eye(t + 1), axis=0) @ law @ np.diff(np.eye(t + 1), axis=0).T
    np.testing.assert_allclose(increments, np.diag(1.0 / np.arange(2, t + 2) ** 2), atol=1e-12)
    assert 1 / law[-1, -1] > 6 / math.pi**2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"t": 0}, "t must be a whole number >= 1, got 0"),
        ({"family": "gumbel"}, "family must be '' or one of gaussian"),
        ({"regime": Mix(0.3)}, r"lam \* n must be whole"),
        ({"regime": Mix(0.333), "family": "binomial", "theta": (0.0,)}, r"lam \* n must be whole"),
        ({"false_alarm": 1.0}, r"false_alarm must be in \(0, 1\)"),
    ],
)
def test_bad_arguments(change, message, rng):
    with pytest.raises(ValueError, match=message):
        check(**({"regime": Mix(1.0), "t": 1, "rng": rng} | change))


def test_a_regime_without_a_process():
    with pytest.raises(ValueError, match="no process is stated for regime 'another'"):
        limit_covariance("another", 1)  # type: ignore[arg-type]
