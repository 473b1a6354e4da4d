from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stability.loop.regimes import GenerationInputs, TrainingSet
from stability.statements.literature import generation_weights
from stability.statements.literature.generation_weights import (
    GRID,
    GenerationWeighted,
    best_error,
    best_gain,
    check,
    equal_gain,
    error,
    growth,
    weights,
)
from stability.statements.verdict import Status
from tests.conftest import FALSE_ALARM
from tests.support.mutated import controls

alphas = st.floats(0.01, 1)


@pytest.mark.parametrize("instance", GRID, ids=str)
def test_the_grid_holds(instance, rng):
    verdicts = check(**instance, rng=rng, false_alarm=FALSE_ALARM / (2 * len(GRID)))
    assert all(verdict.status is Status.HOLDS for verdict in verdicts), verdicts


def test_every_mutation_is_noticed(rng):
    for verdict in controls(generation_weights, rng):
        assert verdict.status is Status.VIOLATED, verdict


@given(alpha=alphas, t=st.integers(1, 30))
def test_the_error_is_that_of_the_best_linear_unbiased_estimator(alpha, t):
    """Least squares with y_0 = θ + ξ_0 and y_k − (1−α)θ_{k−1} = αθ + ξ_k."""
    design = np.array([1.0] + [alpha] * t)
    assert error(best_gain, t, alpha) == pytest.approx(1 / (design @ design), rel=1e-10)
    assert error(equal_gain, t, alpha) >= best_error(t, alpha) * (1 - 1e-12)


@given(alpha=alphas, t=st.integers(1, 30))
def test_weights_are_positive_sum_to_1_and_grow(alpha, t):
    w = weights(best_gain, t, alpha)
    assert w.sum() == pytest.approx(1)
    assert (w > 0).all() or alpha == 1
    ratios = w[1:] / w[:-1]
    assert ratios == pytest.approx([growth(k, alpha) for k in range(t)], rel=1e-9)
    np.testing.assert_allclose(weights(equal_gain, t, alpha), 1 / (t + 1))


def test_in_rational_numbers():
    alpha, v = Fraction(1, 3), Fraction(1)
    for t in range(1, 6):
        g = alpha / (1 + alpha**2 * t)
        v = (1 - alpha * g) ** 2 * v + g**2
        assert v == 1 / (1 + alpha**2 * t)


def test_the_regime_appends_a_batch_and_weights_it(rng):
    regime = GenerationWeighted(0.25, best_gain)
    real = np.zeros((4, 1))
    assert regime.synthetic(4) == 3
    inputs = GenerationInputs(
        real, TrainingSet(real, 4), np.full((3, 1), 2.0), lambda n: np.ones((n, 1)), rng
    )
    data = regime.next(inputs)
    assert data.points[:, 0].tolist() == [0, 0, 0, 0, 1, 2, 2, 2]
    assert data.weights is not None
    assert data.weights.sum() == pytest.approx(1)
    assert data.weights[4:].sum() == pytest.approx(best_gain(1, 0.25))


def test_reference_values():
    errors = [error(equal_gain, 10, alpha) for alpha in (0.2, 0.5, 0.8)]
    assert errors == pytest.approx([0.793, 0.3055, 0.1374], abs=5e-4)


@pytest.mark.parametrize("alpha", [0.0, 1.0, 0.33])
def test_bad_arguments(alpha, rng):
    with pytest.raises(ValueError, match="alpha must be in"):
        check(alpha, 2, rng)
