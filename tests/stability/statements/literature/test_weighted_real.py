import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stability import FreshReal, Mix
from stability.gaussian.mean import paths
from stability.statements.literature import weighted_real
from stability.statements.literature.weighted_real import (
    GRID,
    WeightedMean,
    best_weight,
    check,
    error_fixed_real,
    error_fresh_real,
)
from stability.statements.stationary_error import fresh_real, mixed
from stability.statements.verdict import Status
from tests.conftest import FALSE_ALARM
from tests.support.mutated import controls

ratios = st.floats(-3, 3).map(lambda u: 10.0**u)
weights = st.floats(0.01, 1)
RANDOM = 2 * len(GRID)


@pytest.mark.parametrize("instance", GRID, ids=lambda i: f"k={i['k']},w={i['w']:.2f}")
def test_the_grid_holds(instance, rng):
    verdicts = check(**instance, rng=rng, chains=20_000, false_alarm=FALSE_ALARM / RANDOM)
    assert all(verdict.status is Status.HOLDS for verdict in verdicts), verdicts


def test_every_mutation_is_noticed(rng):
    for verdict in controls(weighted_real, rng):
        assert verdict.status is Status.VIOLATED, verdict


def test_the_golden_ratio():
    golden = (math.sqrt(5) - 1) / 2
    assert best_weight(1.0) == pytest.approx(golden, rel=1e-15)
    assert error_fresh_real(golden, 1.0) == pytest.approx(golden, rel=1e-14)
    assert error_fresh_real(0.5, 1.0) == pytest.approx(2 / 3)


@given(k=ratios, w=weights)
def test_no_weight_does_better_than_the_best(k, w):
    best = best_weight(k)
    assert error_fresh_real(best, k) == pytest.approx(best, rel=1e-9)
    assert error_fresh_real(w, k) >= best * (1 - 1e-9)
    assert best == pytest.approx((math.sqrt(k**2 + 4 * k) - k) / 2, rel=1e-9, abs=1e-12 * (1 + k))


@given(k=ratios, w=weights, t=st.integers(0, 30))
def test_both_laws_are_their_recursions(k, w, t):
    fresh, excess = 1.0, 0.0
    for _ in range(t):
        fresh = w**2 + (1 - w) ** 2 * (fresh + k)
        excess = (1 - w) ** 2 * (excess + k)
    assert error_fresh_real(w, k, t) == pytest.approx(fresh, rel=1e-9)
    assert error_fixed_real(w, k, t) == pytest.approx(1 + excess, rel=1e-9)


@given(k=ratios, t=st.integers(0, 30))
def test_without_weights_they_are_s3_and_s4(k, t):
    w = k / (1 + k)
    assert error_fresh_real(w, k, t) == pytest.approx(fresh_real(1 / k, t), rel=1e-8)
    assert error_fixed_real(w, k, t) == pytest.approx(mixed(1 / k, t), rel=1e-8)


@given(k=ratios, w=st.floats(0.01, 0.99))
def test_with_fixed_real_data_every_weight_below_1_costs(k, w):
    assert error_fixed_real(w, k) > 1 == error_fixed_real(1.0, k)


@pytest.mark.parametrize("regime", [FreshReal(0.5), Mix(0.5)], ids=str)
def test_the_weight_of_each_point_gives_the_unweighted_loop(regime, rng):
    """w = n/(n + m) = 2/3: bit for bit the streams of `GaussianLearner`, so the same paths up to
    rounding.
    """
    state = rng.bit_generator.state
    plain = paths(regime, 2, 3, 200, rng)
    rng.bit_generator.state = state
    weighted = paths(
        regime, 2, 3, 200, rng, learner=lambda chains, d: WeightedMean(2 / 3, np.zeros((chains, d)))
    )
    np.testing.assert_allclose(weighted, plain, atol=1e-12)


def test_state_goes_there_and_back(rng):
    learner, other = (WeightedMean(0.5, rng.standard_normal((2, 3))) for _ in range(2))
    state = learner.state_dict()
    other.load_state_dict(state)
    other.mean += 1
    np.testing.assert_allclose(other.mean - 1, learner.mean)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda rng: error_fresh_real(0.0, 1.0), r"w must be in \(0, 1\], got 0"),
        (lambda rng: error_fixed_real(1.5, 1.0), r"w must be in \(0, 1\], got 1.5"),
        (lambda rng: best_weight(0.0), "k must be finite and > 0, got 0"),
        (lambda rng: check(3.0, 0.5, rng), r"lam \* n must be whole"),
        (lambda rng: check(math.inf, 0.5, rng), "k must be finite and > 0, got inf"),
    ],
)
def test_bad_arguments(call, message, rng):
    with pytest.raises(ValueError, match=message):
        call(rng)
