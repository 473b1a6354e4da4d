import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stability.gaussian.learner import GaussianLearner
from stability.loop.regimes import TrainingSet
from stability.statements.literature import conservation
from stability.statements.literature.conservation import (
    GRID,
    REAL,
    between_models,
    check,
    counterexamples,
    limit_between_models,
)
from stability.statements.verdict import Status
from tests.conftest import FALSE_ALARM
from tests.support.mutated import controls


@pytest.mark.parametrize("instance", GRID, ids=lambda i: str(i["regime"]))
def test_the_grid_holds(instance, rng):
    verdicts = check(**instance, rng=rng, false_alarm=FALSE_ALARM / (len(GRID) + 1))
    assert all(verdict.status is Status.HOLDS for verdict in verdicts), verdicts


def test_every_mutation_is_noticed_and_the_unbiased_estimator_refuted(rng):
    for verdict in [*controls(conservation, rng), *counterexamples()]:
        assert verdict.status is Status.VIOLATED, verdict


def test_the_real_data_have_second_moment_1():
    assert np.square(REAL).mean() == pytest.approx(1, rel=1e-15)


@given(fraction=st.integers(1, 10), t=st.integers(0, 50))
def test_variance_within_and_between_add_up_in_the_recursion(fraction, t):
    """The sum of both, from the moments of one fit to αn new and (1−α)n synthetic points."""
    n, alpha = 10, fraction / 10
    within, between = 1 - 1 / fraction, 1 / fraction
    for _ in range(t):
        second = alpha + (1 - alpha) * (within + between)  # of the training set
        between = (alpha + (1 - alpha) * within) / n + (1 - alpha) ** 2 * between
        within = second - between
    assert between_models(alpha, n, t) == pytest.approx(between, rel=1e-9)
    assert between_models(alpha, n, 5000) == pytest.approx(limit_between_models(alpha, n))


def test_a_maximum_likelihood_fit_has_the_second_moment_of_its_data(rng):
    points, learner = rng.standard_normal((7, 1)), GaussianLearner(1, 1, ddof=0)
    learner.fit([TrainingSet(points, 7)], [rng])
    second = learner.covariance[0, 0, 0] + learner.mean[0, 0] ** 2
    assert second == pytest.approx(np.square(points).mean())
    with pytest.raises(ValueError, match="ddof must be 0 or 1, got 2"):
        GaussianLearner(1, 1, ddof=2)  # type: ignore[arg-type]
