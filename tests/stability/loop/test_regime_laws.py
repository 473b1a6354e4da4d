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
    Curated,
    FreshReal,
    FullySynthetic,
    Mix,
    ReplaceShare,
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
    assert_second_moment(last_errors(ReplaceShare(lam), n, t, 400, rng), law, comparisons=6)


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
