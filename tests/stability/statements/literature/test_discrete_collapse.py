import math
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import multinomial

from stability import TrainingSet
from stability.laws.wright_fisher import count_law
from stability.statements.literature import discrete_collapse
from stability.statements.literature.discrete_collapse import (
    GRID,
    Frequencies,
    check,
    expected_concentration,
    survival_bound,
)
from stability.statements.verdict import Status
from tests.conftest import FALSE_ALARM
from tests.support.mutated import controls


@pytest.mark.parametrize("instance", GRID, ids=str)
def test_the_grid_holds(instance, rng):
    verdicts = check(**instance, rng=rng, false_alarm=FALSE_ALARM / len(GRID))
    assert all(verdict.status is Status.HOLDS for verdict in verdicts), verdicts


def test_every_mutation_is_noticed(rng):
    for verdict in controls(discrete_collapse, rng):
        assert verdict.status is Status.VIOLATED, verdict


@given(counts=st.lists(st.integers(1, 3), min_size=3, max_size=3))
def test_one_round_by_listing_all_samples(counts):
    """E Σp² over every outcome of the multinomial law, three categories."""
    n, p = sum(counts), np.array(counts) / sum(counts)
    mean = sum(
        multinomial.pmf([i, j, n - i - j], n, p) * (i**2 + j**2 + (n - i - j) ** 2) / n**2
        for i, j in product(range(n + 1), repeat=2)
        if i + j <= n
    )
    assert mean == pytest.approx(expected_concentration(float(p @ p), n, 1), rel=1e-10)


@given(n=st.integers(2, 40), share=st.floats(0, 1), t=st.integers(0, 300))
def test_two_categories_by_the_transition_matrix(n, share, t):
    k = round(share * n)
    law, p = count_law(k, n, t), np.arange(n + 1) / n
    assert law.sum() == pytest.approx(1, abs=1e-9)
    assert law @ p == pytest.approx(k / n, abs=1e-9)  # the frequency itself is a martingale
    start = (k / n) ** 2 + (1 - k / n) ** 2
    assert law @ (p**2 + (1 - p) ** 2) == pytest.approx(
        expected_concentration(start, n, t), abs=1e-9
    )


@given(n=st.integers(2, 60), share=st.floats(0, 1), t=st.integers(1, 200))
def test_a_category_survives_with_at_least_that_probability(n, share, t):
    k = max(round(share * n), 1)
    assert 1 - count_law(k, n, t)[0] >= survival_bound(k, t) - 1e-9


def test_the_exponent_of_the_survival_bound_is_half_of_the_true_one():
    """For 1 ≪ t ≪ n a category of count k is lost with probability e^{−2k/t}, about: the bound
    is safe, not sharp.
    """
    k, t, n = 10, 30, 600
    lost = count_law(k, n, t)[0]
    assert -math.log(lost) * t / k == pytest.approx(2, rel=0.12)
    assert survival_bound(k, t) == pytest.approx(1 - math.exp(-1 / 3))


def test_the_learner_counts_and_draws_by_inversion(rng):
    learner = Frequencies(np.zeros((1, 2, 3)))
    learner.fit([TrainingSet(np.array([[0, 2], [0, 1], [1, 2], [0, 2]]), real=4)], [rng])
    np.testing.assert_array_equal(learner.frequencies[0], [[0.75, 0.25, 0], [0, 0.25, 0.75]])
    (points,) = learner.sample([1000], [rng])
    assert points.shape == (1000, 2)
    assert set(points[:, 0]) <= {0, 1}  # a category that is lost stays lost
    assert set(points[:, 1]) <= {1, 2}
    state = rng.bit_generator.state
    (short,) = learner.sample([5], [rng])
    rng.bit_generator.state = state
    (long,) = learner.sample([9], [rng])
    np.testing.assert_array_equal(long[:5], short)  # draw i does not depend on how many follow
    other = Frequencies(np.zeros((1, 2, 3)))
    other.load_state_dict(learner.state_dict())
    np.testing.assert_array_equal(other.frequencies, learner.frequencies)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"counts": (3,)}, "counts must be at least two whole numbers >= 1"),
        ({"counts": (3, 0)}, "counts must be at least two whole numbers >= 1"),
        ({"t": 0}, "t must be a whole number >= 1, got 0"),
        ({"false_alarm": 1.0}, r"false_alarm must be in \(0, 1\)"),
    ],
)
def test_bad_arguments(change, message, rng):
    with pytest.raises(ValueError, match=message):
        check(**({"counts": (2, 2), "t": 1, "rng": rng} | change))
