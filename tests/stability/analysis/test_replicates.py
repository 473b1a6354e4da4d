import math

import numpy as np
import pytest
from scipy.stats import t as student

from benchmarks.family_coverage import CASES, covered
from stability.analysis.local_analysis import analyse
from stability.analysis.replicates import Replicates, ScoreMoments, perturbed
from stability.families import StudentT
from stability.laws.law import NormalMixture


def test_the_jackknife_of_a_mean_is_student_s_interval(rng):
    """Leaving out one batch of a mean of batches gives the standard error of that mean, exactly."""
    batches = rng.standard_normal(20)
    left_out = np.array([np.delete(batches, j).mean() for j in range(20)])
    found = Replicates((), "jackknife").error(batches.mean(), left_out)
    expected = student.isf(0.025, 19) * batches.std(ddof=1) / math.sqrt(20)
    assert found == pytest.approx(expected, rel=1e-9)


def test_an_infinite_number_has_no_error_or_an_infinite_one():
    value, replicates = np.array([math.inf, 1.0]), np.array([[math.inf, 1.0], [math.inf, 1.5]])
    assert Replicates((), "quadrature").error(value, replicates) == pytest.approx([0, 0.5])
    error = Replicates((), "jackknife").error(value, replicates)
    assert error[0] == math.inf
    assert 0 < error[1] < math.inf


def test_quadrature_moves_by_its_errors_and_no_more():
    value = np.array([[2.0, 0.5], [0.5, 1.0]])
    moments = ScoreMoments(np.zeros(2), -value, -value, value, value)
    error = np.full((2, 2), 1e-3)
    found = perturbed(moments, ScoreMoments(np.zeros(2), error, error, error, error), 0)
    assert found.method == "quadrature"
    for each in found.moments:
        assert 0 < np.abs(each.A - moments.A).max() <= math.sqrt(2) * 1e-3 + 1e-15
        assert np.array_equal(each.A, each.A.T)
        assert np.array_equal(each.theta, moments.theta)
    exact = perturbed(moments, ScoreMoments(*(0 * v for v in vars(moments).values())), 0)
    assert exact.method == "exact"


def test_the_seed_moves_every_number_by_about_its_error():
    law = NormalMixture((0.7, 0.3), (-1.0, 2.0), (0.6, 1.0))

    class Sampler:
        sample = law.sample

    family = StudentT(5.0)
    one, two = (
        analyse(family, Sampler(), 0.5, draws=4000, seed=seed, bounds=False) for seed in (1, 2)
    )
    same = analyse(family, Sampler(), 0.5, draws=4000, seed=1, bounds=False)
    assert same.rho == one.rho
    for name in ("theta", "alpha", "mu", "rho", "norm", "retraining"):
        gap = np.abs(np.asarray(getattr(one, name)) - getattr(two, name))
        assert (gap > 0).all(), name
        # two intervals of half-width h: their centres differ by h√2 as often as by 1.96 √2 sd
        assert (gap < 4 * np.asarray(one.error(name))).all(), name


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_intervals_hold_the_truth(case, rng):
    """Fewer than 44 of 60 seeds would hold it with probability 1e-8 each, were they 95 % ones."""
    seeds = [int(seed) for seed in rng.integers(2**31, size=60)]
    shares = covered(case.truth(0.5), [case.estimate(0.5, 4000, seed) for seed in seeds])
    for name, (low, _) in shares.items():
        assert low >= 44 / 60, name
