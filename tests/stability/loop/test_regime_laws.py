"""The regimes that have no module of their own, through Algorithm 1 against their closed forms
for a Gaussian mean.
"""

import math

import numpy as np
import pytest
from numpy.polynomial.hermite_e import hermegauss
from scipy.stats import chi2, norm, truncnorm

from stability import (
    Accumulate,
    AccumulateFresh,
    Curated,
    Exchange,
    FreshReal,
    FullySynthetic,
    Mix,
    ReplaceFraction,
    Scheduled,
    Subsample,
    Verified,
    Weighted,
)
from stability.gaussian.learner import GaussianLearner
from stability.gaussian.mean import paths
from stability.loop.retraining import retrain
from stability.statements.literature.weighted_real import (
    best_weight,
    error_fixed_real,
    error_fresh_real,
)
from tests.conftest import FALSE_ALARM


def assert_second_moment(errors, law, comparisons):
    """Args:
    errors: (R, 128), rows independent, E errors² = law: a normal test of the row averages,
        hundreds of them.
    """
    rows = np.square(errors).mean(axis=1) / law
    z = (rows.mean() - 1) / (rows.std(ddof=1) / math.sqrt(len(rows)))
    assert abs(z) < norm.isf(FALSE_ALARM / (2 * comparisons)), (z, rows.mean() * law, law)


def last_errors(regime, n, t, chains, rng):
    """√n (μ_t − μ): chains by coordinates; those of a chain share what the regime picks."""
    return math.sqrt(n) * paths(regime, n, t, 128 * chains, rng)[-1].reshape(chains, 128)


@pytest.mark.parametrize(("lam", "n"), [(0.25, 20), (1.0, 8), (3.0, 8)])
@pytest.mark.parametrize("t", [1, 6])
def test_replacing_a_share(lam, n, t, rng):
    """μ_{t+1} − x̄ = s (μ_t − x̄) + (1−s)(subset mean − x̄) + s z̄, three uncorrelated terms, s
    = λ/(1+λ).
    """
    law = 1 + lam * (2 + lam) / (1 + 2 * lam) * (1 - (lam / (1 + lam)) ** (2 * t))
    assert_second_moment(last_errors(ReplaceFraction(lam), n, t, 400, rng), law, comparisons=6)


def subsample_law(n, t):
    """n E μ_s² for s = 0 … t when a fit sees n of the (s+1)n points so far, exactly, from second
    moments.

    s_k: mean of the k-th set of n points, real for k = 0, else drawn at μ_{k−1}. Given the pool,
    μ_s is the mean of a simple random sample: its expectation is the pool mean, its variance S²(1/n
    − 1/N).
    """
    sets = np.zeros((t + 1, t + 1))  # E s_j s_k
    square = np.zeros(t + 1)  # E μ_s²
    for s in range(t + 1):
        sets[s, s] = (square[s - 1] if s else 0.0) + 1 / n
        for j in range(s):
            sets[j, s] = sets[s, j] = sets[j, :s].mean()
        size = n * (s + 1)
        pool = sets[: s + 1, : s + 1].mean()
        within = n * (s + 1 + square[:s].sum())  # E Σ x²
        square[s] = pool + (within - size * pool) / (size - 1) * (1 / n - 1 / size)
    return n * square


@pytest.mark.parametrize("t", [1, 2, 6])
def test_accumulating_and_subsampling(t, rng):
    law = subsample_law(4, t)[-1]
    assert_second_moment(
        last_errors(Subsample(Accumulate(1.0)), 4, t, 400, rng), law, comparisons=3
    )


def test_accumulating_and_subsampling_settles_between_accumulating_and_replacing():
    laws = subsample_law(10**7, 400)
    # what is left after t rounds is O(1/t)
    assert laws[-1] == pytest.approx(math.pi**2 / 2 - 2, abs=3 / 400)
    assert (np.diff(laws) > 0).all()
    assert (np.cumsum(1 / np.arange(1.0, 402) ** 2)[1:] < laws[1:]).all()
    assert (laws[1:] < np.arange(2, 402)).all()


@pytest.mark.parametrize(("k", "w"), [(1.0, best_weight(1.0)), (0.5, 0.2), (2.0, 0.9)])
@pytest.mark.parametrize(
    ("regime", "law"), [(FreshReal, error_fresh_real), (Mix, error_fixed_real)]
)
def test_weighting_real_points(k, w, regime, law, rng):
    errors = last_errors(Weighted(regime(1 / k), w), 4, 6, 200, rng)
    assert_second_moment(errors, law(w, k, 6), comparisons=6)


def preferred_shift(a):
    """E of the picked one of two standard normals with reward a·x: E[D tanh(aD/2)]/2, D ~ N(0,
    2).
    """
    nodes, weights = hermegauss(100)
    difference = math.sqrt(2) * nodes
    return weights @ (difference * np.tanh(a * difference / 2)) / weights.sum() / 2


@pytest.mark.parametrize("a", [0.5, 2.0])
@pytest.mark.parametrize(("regime", "lam"), [(FullySynthetic(), math.inf), (Mix(1.0), 1.0)])
def test_curating_by_a_linear_reward(a, regime, lam, rng):
    """A picked point has mean μ_t + δ and variance 1 − δ²: without real data the mean drifts by
    δ a round, with real data it settles λδ away (λ = 1 here).
    """
    n, t, chains = 40, 4, 1000
    learner = GaussianLearner(chains, 1, covariance=np.eye(1))
    curated = Curated(regime, lambda x: a * x[:, 0], choices=2)
    real = list(rng.standard_normal((chains, n, 1)))
    for _ in retrain(learner, real, [curated] * chains, t, seed=int(rng.integers(2**62))):
        pass
    shift = preferred_shift(a)
    rho = lam / (1 + lam) if math.isfinite(lam) else 1.0
    powers = rho ** np.arange(t)
    bias = rho * shift * powers.sum()
    variance = (1 + (rho * powers) @ (rho * powers) * (1 - shift**2)) / n  # m = n in both regimes
    z = (learner.mean[:, 0] - bias) * math.sqrt(chains / variance)
    # sums of 40 points and more, of 1000 chains: normal but for a kurtosis below 0.1, hence the
    # doubled tail
    tail = FALSE_ALARM / 16
    assert abs(z.sum() / chains) < norm.isf(tail)
    assert (
        chi2.isf(1 - tail, chains) < np.square(z / math.sqrt(chains)).sum() < chi2.isf(tail, chains)
    )


def test_a_verifier_draws_the_model_to_what_it_prefers(rng):
    """Samples within r of c: μ_{t+1} is the mean of m draws of a truncated normal, a contraction
    to c.
    """
    c, r, n, chains, t = 1.5, 1.0, 500, 40, 12

    def near_c(x):
        return np.abs(x[:, 0] - c) < r

    learner = GaussianLearner(chains, 1, covariance=np.eye(1))
    real = list(rng.standard_normal((chains, n, 1)))
    regimes = [Verified(FullySynthetic(), near_c, tries=8)] * chains
    means, kept = [], []
    for generation in retrain(learner, real, regimes, t, seed=int(rng.integers(2**62))):
        means.append(learner.mean[:, 0].copy())
        kept.append([data.synthetic for data in generation.training])
    # a sample passes with probability 0.30 at the start: 8n are plenty
    assert (np.array(kept[1:]) == n).all()
    before, after = np.array(means[:-1]), np.array(means[1:])
    law = truncnorm(c - r - before, c + r - before, loc=before)
    z = (after - law.mean()) / (law.std() / math.sqrt(n))
    # doubled: bounded draws, 500 of them
    assert np.abs(z).max() < norm.isf(FALSE_ALARM / (2 * z.size * 2))
    slope = truncnorm(-r, r).var()  # of μ ↦ E[x | |x − c| < r] at its fixed point c
    spread = math.sqrt(slope / n / (1 - slope**2))
    assert np.abs(means[-1] - c).max() < slope**t * c + spread * norm.isf(
        FALSE_ALARM / (4 * chains)
    )


def assert_variance(errors, law, comparisons):
    """errors: independent normals of mean 0, each of variance `law`: their sum of squares is χ²,
    exactly.
    """
    low, high = chi2.isf(
        [1 - FALSE_ALARM / (2 * comparisons), FALSE_ALARM / (2 * comparisons)], errors.size
    )
    assert low < np.square(errors).sum() / law < high, (np.square(errors).mean(), law)


def law_of_accumulation(alpha, t):
    """v_t = (1 − α/(t+1))² v_{t−1} + 1/(t+1)²: a batch is 1/(t+1) of the set, α of it off by no
    model, and its own noise is that of n points.
    """
    v = 1.0
    for k in range(2, t + 2):
        v = (1 - alpha / k) ** 2 * v + 1 / k**2
    return v


@pytest.mark.parametrize("alpha", [0.0, 0.2, 0.5, 0.8, 1.0])
def test_accumulating_with_new_real_data(alpha, rng):
    errors = last_errors(AccumulateFresh(alpha), 10, 10, 150, rng)
    assert_variance(errors, law_of_accumulation(alpha, 10), comparisons=5)


def test_half_real_data_are_a_phase_transition():
    """v_t ~ t^(−min(1, 2α)): below half real data the errors of models rule, above it noise."""
    for alpha, exponent in ((0.2, 0.4), (0.3, 0.6), (0.75, 1.0), (0.9, 1.0)):
        slope = math.log2(law_of_accumulation(alpha, 2**16) / law_of_accumulation(alpha, 2**15))
        assert slope == pytest.approx(-exponent, abs=0.02)
    # t v_t grows like log t at one half, and settles above it
    growth = [2**k * law_of_accumulation(0.5, 2**k) for k in (10, 12, 14)]
    assert growth[2] - growth[1] == pytest.approx(growth[1] - growth[0], rel=0.01)


@pytest.mark.parametrize("factor_and_power", [(1.0, 1.0), (1.0, 2.0), (1.5, 0.0), (0.5, 0.0)])
def test_data_that_grow_or_shrink(factor_and_power, rng):
    """Without real data v_t = Σ_s n/n_s."""
    n, t, regime = 16, 5, Scheduled(FullySynthetic(), *factor_and_power)
    law = sum(n / regime.size(n, s) for s in range(t + 1))
    assert_variance(last_errors(regime, n, t, 150, rng), law, comparisons=4)


def law_of_exchange(k, lam, t):
    """n Var μ_t of models that mix alike, by the four second moments that symmetry leaves: of a
    model's mean, of two models', and of a mean with its own real data and with those of another.
    """
    c = lam / (1 + lam)
    own, other, with_own, with_other = 1.0, 0.0, 1.0, 0.0
    for _ in range(t):
        pool = (own + (k - 1) * other) / k  # variance of the mean of all models
        real = (with_own + (k - 1) * with_other) / k  # its covariance with real data of one
        shared = c * c * pool + 2 * c * (1 - c) * real
        own, other = shared + (1 - c) ** 2 + c * c / lam, shared
        with_own, with_other = (1 - c) + c * real, c * real
    return own


@pytest.mark.parametrize("t", [1, 6])
def test_models_that_train_on_each_others_samples(t, rng):
    """Neighbouring chains are a population; one model of each is looked at."""
    k, n, lam = 5, 10, 2.0
    errors = last_errors(Exchange.among(k, Mix(lam)), n, t, 150 * k, rng)[::k]
    assert_variance(errors, law_of_exchange(k, lam, t), comparisons=2)


def test_the_samples_of_others_help():
    """The limit in closed form (Vu, Reeves and Wenger); alone a model ends at (1 + 3λ)/(1 + 2λ)."""
    k, lam = 5, 2.0
    c = lam / (1 + lam)
    limit = (
        (1 - c) ** 2 * (1 - 1 / k) + 1 / k + c * c / (lam * k) * c * c / (1 - c * c) + c * c / lam
    )
    assert law_of_exchange(k, lam, 200) == pytest.approx(limit, rel=1e-12)
    assert limit == pytest.approx(0.547, abs=5e-4)
    assert law_of_exchange(1, lam, 200) == pytest.approx((1 + 3 * lam) / (1 + 2 * lam))
