"""Copies of training data, told from collapse."""

import numpy as np
import pytest
from scipy.stats import binom

from stability.observers.memorisation import Memorisation, memorisation
from tests.conftest import FALSE_ALARM
from tests.support.views import view_of


def test_copies_are_found(rng):
    real, fresh = rng.standard_normal((2, 50, 3))
    samples = np.concatenate([real[:30], rng.standard_normal((20, 3))])
    measured = memorisation(samples, real, fresh)
    assert measured["copied"] == 0.6
    assert measured["memorised"] >= 0.6


@pytest.mark.parametrize("scale", [0.0, 0.1, 1.0])
def test_collapse_is_no_memory(scale, rng):
    """Samples that do not depend on the training data are nearer to it half of the time."""
    shares = [
        memorisation(scale * rng.standard_normal((1, 2)), *rng.standard_normal((2, 20, 2)))[
            "memorised"
        ]
        for _ in range(400)
    ]
    low, high = binom.isf([1 - FALSE_ALARM / 6, FALSE_ALARM / 6], 400, 0.5)
    assert low <= sum(shares) <= high


def test_minus_zero_equals_zero_and_a_tie_is_half():
    real, fresh = np.array([[0.0, 1.0]]), np.array([[0.0, 1.0]])
    assert memorisation(np.array([[-0.0, 1.0]]), real, fresh) == {"memorised": 0.5, "copied": 1.0}


def test_the_observer_compares_with_the_real_data_of_the_chain(rng):
    real, fresh = rng.standard_normal((2, 30, 2))
    assert Memorisation()(view_of(real, fresh, real=real)) == {"memorised": 1.0, "copied": 1.0}
