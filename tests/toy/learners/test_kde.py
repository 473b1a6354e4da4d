from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import gaussian_kde, norm

from stability import FullySynthetic, TrainingSet, retrain
from tests.conftest import FALSE_ALARM
from tests.support.learners_2d import moons, rngs
from toy.learners.kde import KDELearner
from toy.learners.settings import KDEConfig


@pytest.mark.parametrize("weighted", [False, True])
def test_scott_s_rule_is_scipy_s(weighted, rng):
    (data,) = moons(60)
    weights = rng.uniform(0.1, 2, 60) if weighted else None
    kde = KDELearner(1, KDEConfig())
    kde.fit([replace(data, weights=weights)], rngs(1, 0))
    reference = gaussian_kde(data.points.T.astype(float), weights=weights)
    at = rng.standard_normal((50, 2)) * 3
    np.testing.assert_allclose(np.exp(kde.log_prob([at])[0]), reference(at.T), rtol=1e-9)
    np.testing.assert_allclose(kde.roots[0] @ kde.roots[0].T, reference.covariance, rtol=1e-10)


def test_a_fixed_bandwidth():
    (data,) = moons(60)
    kde = KDELearner(1, KDEConfig(bandwidth=0.3))
    kde.fit([data], rngs(1, 0))
    gap = np.square(np.array([[0.5, -1.0]]) - data.points).sum(axis=1)
    expected = np.mean(np.exp(-gap / (2 * 0.09)) / (2 * np.pi * 0.09))
    assert np.exp(kde.log_prob([np.array([[0.5, -1.0]])])[0][0]) == pytest.approx(expected)


def test_without_real_data_the_variance_grows_by_the_kernel_s_share(rng):
    """E of the (unbiased) variance is multiplied by 1 − 1/n + n^(−1/3) each round, exactly."""
    n, chains, t = 30, 300, 3
    kde = KDELearner(chains, KDEConfig())
    real = list(rng.standard_normal((chains, n, 2)))
    traces = []
    for generation in retrain(
        kde, real, [FullySynthetic()] * chains, t, seed=int(rng.integers(2**62))
    ):
        traces.append([np.trace(np.cov(data.points.T)) for data in generation.training])
    gap = np.array(traces[-1]) - (1 - 1 / n + n ** (-1 / 3)) ** t * np.array(traces[0])
    z = gap.mean() / (gap.std(ddof=1) / chains**0.5)
    # as in test_learners: the skewness of 300 moves it by less
    assert abs(z) < norm.isf(FALSE_ALARM / 2) + 1


def test_points_on_a_line_are_refused_by_name():
    data = (
        moons(30)[0],
        TrainingSet(np.outer(np.arange(5.0), [1.0, 0.0]), 5),
        TrainingSet(np.ones((1, 2)), 1),
    )
    for chains in (data[:2], (data[0], data[2])):
        with pytest.raises(
            FloatingPointError, match="the points of chain 1 have no invertible covariance"
        ):
            KDELearner(2, KDEConfig()).fit(chains, rngs(2, 0))
    KDELearner(2, KDEConfig(bandwidth=0.1)).fit(data[:2], rngs(2, 0))


@pytest.mark.parametrize("bandwidth", [-0.1, float("inf"), float("nan")])
def test_a_bad_bandwidth(bandwidth):
    with pytest.raises(ValueError, match="bandwidth must be finite and >= 0"):
        KDEConfig(bandwidth=bandwidth)
