import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import erfc

from stability.loop.regimes import TrainingSet
from stability.statements.literature import accumulated_likelihood
from stability.statements.literature.accumulated_likelihood import (
    GRID,
    SpikeFamily,
    certainty,
    check,
    first_round,
    first_round_ceiling,
    radius,
)
from stability.statements.verdict import Status
from tests.conftest import FALSE_ALARM
from tests.support.mutated import controls

RANDOM = 16
"""Verdicts that use randomness, at most, over the grid."""


@pytest.mark.parametrize("instance", GRID, ids=str)
def test_the_grid_holds(instance, rng):
    verdicts = check(**instance, rng=rng, false_alarm=FALSE_ALARM / RANDOM)
    assert all(verdict.status is Status.HOLDS for verdict in verdicts), verdicts


def test_every_mutation_is_noticed(rng):
    for verdict in controls(accumulated_likelihood, rng):
        assert verdict.status is Status.VIOLATED, verdict


@given(n=st.integers(1, 50), log_eps=st.floats(-6, -0.5), m=st.integers(1, 200))
def test_the_first_round_is_a_product_and_below_its_ceiling_at_m_equal_n(n, log_eps, m):
    eps = 10.0**log_eps
    a = -n * math.log1p(-eps)
    law = erfc(math.sqrt(a)) * (1 - (1 - eps) ** m)
    assert first_round(n, eps, m) == pytest.approx(law, rel=1e-6)
    # with a = −n log(1−ε) the product is erfc(√a)(1 − e^{−a}) exactly
    assert first_round(n, eps, n) <= first_round_ceiling()


@given(lam=st.floats(0, 10).map(lambda u: 10.0**u))
def test_certainty_is_a_lower_bound(lam):
    exact = erfc(lam**-0.25) * (1 - math.exp(-math.sqrt(lam)))
    assert certainty(lam) <= exact


@given(x=st.lists(st.floats(-3, 3), min_size=1, max_size=8), eps=st.floats(0.001, 0.3))
def test_without_points_beyond_the_likelier_of_truth_and_mean_is_fitted(x, eps):
    """Against the log-likelihood over a grid of θ, θ* = 0 and no weight on the interval."""
    points = np.array(x)[:, None]
    learner = SpikeFamily(1, 1, eps)
    learner.fit([TrainingSet(points, len(x))], [])
    assert np.isnan(learner.centre).all()

    def likelihood(theta):
        weight = 0 if theta == 0 else len(x) * math.log1p(-eps)
        return weight - np.square(points - theta).sum() / 2

    best = max(likelihood(theta) for theta in (0.0, *np.linspace(-3, 3, 61)))
    assert likelihood(float(learner.theta[0, 0])) >= best - 1e-9


def test_one_point_beyond_makes_a_spike_which_then_samples_itself(rng):
    learner = SpikeFamily(1, 2, 0.1)
    points = np.zeros((5, 2))
    points[3, 1] = 12.5
    learner.fit([TrainingSet(points, 5)], [rng])
    assert np.isnan(learner.centre[0, 0])
    assert learner.centre[0, 1] == 12.5

    (drawn,) = learner.sample([200], [rng])
    assert np.abs(drawn[:, 0]).max() < 11  # θ* itself, which has nothing there
    # with probability 1 − 2^−200 at least one
    assert (drawn[:, 1] == 12.5).any()

    other = SpikeFamily(1, 2, 0.1)
    other.load_state_dict(learner.state_dict())
    np.testing.assert_array_equal(other.centre, learner.centre)


def test_reference_values():
    """The 95 % point of the walk is 2.77 at T = 50, within its radius of 2.86."""
    assert radius(0.05, 0) == pytest.approx(2.2414, abs=1e-4)
    assert radius(0.05, 50) == pytest.approx(2.858, abs=2e-3)
    assert radius(0.05) == pytest.approx(math.pi / math.sqrt(6) * 2.2414, abs=1e-4)
    assert first_round(20, 0.5 / 20, 20) == pytest.approx(0.1249, abs=1e-4)
