import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import gammaln
from scipy.stats import norm

from stability import FullySynthetic, GaussianLearner, TrainingSet, retrain
from stability.laws.psd import sqrtm
from tests.conftest import FALSE_ALARM


def test_fit_is_the_sample_mean_and_the_unbiased_covariance(rng):
    learner = GaussianLearner(2, 3)
    data = [TrainingSet(rng.standard_normal((size, 3)), real=size) for size in (7, 11)]
    learner.fit(data, [rng, rng])
    for r, x in enumerate(data):
        np.testing.assert_allclose(learner.mean[r], np.mean(x.points, axis=0), atol=1e-14)
        np.testing.assert_allclose(learner.covariance[r], np.cov(x.points.T), atol=1e-14)


def test_weighted_points_give_the_weighted_mean_and_its_unbiased_covariance(rng):
    x, weights = rng.standard_normal((8, 3)), rng.uniform(0, 5, 8)
    learner = GaussianLearner(1, 3)
    learner.fit([TrainingSet(x, real=8, weights=weights)], [rng])
    np.testing.assert_allclose(learner.mean[0], np.average(x, axis=0, weights=weights), atol=1e-14)
    np.testing.assert_allclose(learner.covariance[0], np.cov(x.T, aweights=weights), atol=1e-13)


def test_a_known_covariance_stays_as_it_is(rng):
    known = np.array([[2.0, 1.0], [1.0, 3.0]])
    learner = GaussianLearner(1, 2, covariance=known)
    learner.fit([TrainingSet(rng.standard_normal((9, 2)), real=9)], [rng])
    np.testing.assert_array_equal(learner.covariance, known[None])


def test_samples_have_the_mean_and_covariance(rng):
    count = 100_000
    learner = GaussianLearner(1, 2)
    learner.mean = np.array([[1.0, -2.0]])
    learner.covariance = np.array([[[2.0, 1.2], [1.2, 1.0]]])
    (x,) = learner.sample([count], [rng])
    # N(0, I) if right
    whitened = np.linalg.solve(np.linalg.cholesky(learner.covariance[0]), (x - learner.mean[0]).T)
    z = [*whitened.sum(axis=1) / count**0.5, whitened[0] @ whitened[1] / count**0.5]
    z += list((np.square(whitened).sum(axis=1) - count) / (2 * count) ** 0.5)
    # 5 comparisons, a normal tail: the sums are of 1e5 terms, the tail doubled for their skewness
    assert np.abs(z).max() < norm.isf(FALSE_ALARM / 20), z


@pytest.mark.parametrize("n", [2, 5, 20])
def test_fully_synthetic_standard_deviation_shrinks_as_proposition_1_says(n, rng):
    """E √Σ_t = α(n)^t √Σ_0 with α(n) = √(2/(n−1)) Γ(n/2)/Γ((n−1)/2), while E Σ_t stays (claims
    C2 and C4).
    """
    chains, t = 4000, 3
    learner = GaussianLearner(chains, 1)
    real = [np.array([-1.0, 1.0]) * np.sqrt((n - 1) / 2)] * chains
    # unbiased variance exactly 1
    real = [np.concatenate([x, np.zeros(n - 2)])[:, None] for x in real]
    for _ in retrain(learner, real, [FullySynthetic()] * chains, t, seed=int(rng.integers(2**62))):
        pass
    log_alpha = 0.5 * np.log(2 / (n - 1)) + gammaln(n / 2) - gammaln((n - 1) / 2)
    sd = np.sqrt(learner.covariance[:, 0, 0])
    # σ_t is a product of t independent χ_{n−1}/√(n−1): E σ_t² = 1, so Var σ_t = 1 − α^{2t} exactly
    standard_error = np.sqrt(-np.expm1(2 * t * log_alpha) / chains)
    assert abs(sd.mean() - np.exp(t * log_alpha)) < norm.isf(FALSE_ALARM / 12) * standard_error


def test_state_goes_there_and_back(rng):
    learner, other = GaussianLearner(2, 3), GaussianLearner(2, 3)
    learner.fit([TrainingSet(rng.standard_normal((9, 3)), real=9)] * 2, [rng, rng])
    state, mean = learner.state_dict(), learner.mean.copy()
    learner.mean += 1  # the state is a copy
    other.load_state_dict(state)
    np.testing.assert_array_equal(other.mean, mean)
    np.testing.assert_array_equal(other.covariance, learner.covariance)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, 1), "chains must be >= 1, got 0"),
        ((1, 0), "dimension must be >= 1, got 0"),
        ((1, 2, np.eye(3)), r"shape \(2, 2\), got \(3, 3\)"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        GaussianLearner(*arguments)


def test_a_covariance_needs_two_points(rng):
    for points, weights in ((1, None), (3, np.array([0.0, 1.0, 0.0]))):
        with pytest.raises(ValueError, match="at least two points"):
            GaussianLearner(1, 2).fit([TrainingSet(np.ones((points, 2)), 1, weights)], [rng])


@given(entries=st.lists(st.floats(0, 100), min_size=1, max_size=4), seed=st.integers(0, 2**32 - 1))
def test_a_diagonal_root_is_no_product_and_draws_the_same(entries, seed):
    learner = GaussianLearner(2, len(entries), covariance=np.diag(entries))
    learner.mean += np.arange(1.0, 3.0)[:, None]
    drawn = learner.sample([3, 2], np.random.default_rng(seed).spawn(2))
    for points, mean, rng in zip(
        drawn, learner.mean, np.random.default_rng(seed).spawn(2), strict=True
    ):
        z = rng.standard_normal(points.shape)
        np.testing.assert_array_equal(points, mean + z @ sqrtm(np.diag(entries)))
