import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import polygamma
from scipy.stats import t as student

from stability.loop.regimes import (
    Accumulate,
    FreshReal,
    FullySynthetic,
    Mix,
    ReplaceFraction,
    Subsample,
    Weighted,
)
from stability.loop.retraining import retrain
from stability.planning.labels import propagate
from stability.planning.response import fraction_spread, path_law
from tests.conftest import FALSE_ALARM
from tests.support.responding import Responding
from tests.support.user_regimes import UserRegime, last_two, random_half


def price(regime, n, t):
    """Variance after t retrainings, over that of one fit to the n real points."""
    return n * path_law(propagate(regime, n, t)).variance[-1]


@given(tenths=st.integers(1, 60), t=st.integers(0, 15))
def test_variances_are_those_of_the_docs_at_every_round(tenths, t):
    lam, n = tenths / 10, 10
    c = lam / (1 + lam)
    settling = lam / (1 + 2 * lam) * (1 - c ** (2 * t))
    assert price(Mix(lam), n, t) == pytest.approx(1 + settling, rel=1e-12)
    assert price(FreshReal(lam), n, t) == pytest.approx(1 - settling, rel=1e-12)
    assert price(FullySynthetic(), n, t) == pytest.approx(t + 1, rel=1e-12)
    pile = 1 + lam * sum(1 / (1 + lam * k) ** 2 for k in range(1, t + 1))
    assert price(Accumulate(lam), n, t) == pytest.approx(pile, rel=1e-12)


@pytest.mark.parametrize("lam", [0.25, 1.0, 4.0])
def test_limits_of_the_docs(lam):
    assert price(Mix(lam), 20, 200) == pytest.approx((1 + 3 * lam) / (1 + 2 * lam), rel=1e-9)
    assert price(FreshReal(lam), 20, 200) == pytest.approx((1 + lam) / (1 + 2 * lam), rel=1e-9)
    replaced = 1 + lam * (2 + lam) / (1 + 2 * lam)
    assert price(ReplaceFraction(lam), 20, 200) == pytest.approx(replaced, rel=1e-9)
    for w in (0.3, 0.618, 0.9):
        k, left = 1 / lam, 2 * w - w * w
        fresh = (w * w + k * (1 - w) ** 2) / left
        assert price(Weighted(FreshReal(lam), w), 20, 200) == pytest.approx(fresh, rel=1e-9)
        fixed = 1 + k * (1 - w) ** 2 / left
        assert price(Weighted(Mix(lam), w), 20, 200) == pytest.approx(fixed, rel=1e-9)


def test_accumulating_tends_to_trigamma_and_its_subsample_to_kazdan():
    law = path_law(propagate(Accumulate(1.0), 2, 300))
    tail = polygamma(1, 302)  # of Σ 1/k² beyond k = 301
    assert 2 * law.variance[-1] == pytest.approx(math.pi**2 / 6 - tail, rel=1e-12)

    # n -> ∞ at fixed t: Var μ_t = pile_t + Σ over rounds of the picks, by a second route
    n, t = 400, 60
    measured = price(Subsample(Accumulate(1.0)), n, t)
    assert measured < math.pi**2 / 2 - 2
    assert measured == pytest.approx(math.pi**2 / 2 - 2, rel=3 / t + 10 / n)


REGIMES = [
    Mix(0.5),
    Accumulate(1.0),
    FreshReal(0.5),
    ReplaceFraction(1.0),
    Subsample(Accumulate(1.0)),
    Weighted(Subsample(Mix(1.0)), 0.7),
    Subsample(Weighted(Mix(2.0), 0.9)),
    UserRegime(last_two),
    UserRegime(random_half),
]


def chain_averages(regime, response, bias, rng, n=12, t=4, chains=100, dimension=64):
    """Values and products of generations, averaged over each chain's independent coordinates."""
    learner = Responding(chains, dimension, response, bias)
    generations = retrain(
        learner,
        list(rng.standard_normal((chains, n, dimension))),
        [regime] * chains,
        t,
        seed=int(rng.integers(2**62)),
        fresh=lambda n, rng: rng.standard_normal((n, dimension)),
    )
    path = np.array([learner.mean.copy() for _ in generations])  # (t + 1, chains, d)
    products = path[1:, None] * path[None]  # (t, t + 1, chains, d)
    return path.mean(axis=-1), products.mean(axis=-1)


@pytest.mark.parametrize("regime", REGIMES, ids=str)
@pytest.mark.parametrize(("response", "bias"), [(1.0, 0.0), (0.8, 0.3)])
def test_algorithm_1_has_this_law(regime, response, bias, rng):
    law = path_law(propagate(regime, 12, 4), response=response, bias=bias)
    stated = law.covariance + np.outer(law.mean, law.mean)
    first, second = chain_averages(regime, response, bias, rng)
    assert _is_mean(first, law.mean)
    assert _is_mean(second, stated[1:])


def test_a_spoiled_law_is_rejected(rng):
    """Noise counted twice: the real points' own noise as excess of each round, 4/3 -> 2."""
    stated = path_law(propagate(Mix(1.0), 12, 4), excess=1 / 24)
    _, second = chain_averages(Mix(1.0), 1.0, 0.0, rng)
    assert not _is_mean(second, stated.covariance[1:])
    assert 12 * path_law(propagate(Mix(1.0), 12, 60)).variance[-1] == pytest.approx(4 / 3)
    twice = path_law(propagate(Mix(1.0), 12, 60), excess=1 / 24).variance[-1] * 12
    assert twice == pytest.approx(2)


def test_the_bias_of_a_pile_is_no_constant(rng):
    law = path_law(propagate(Accumulate(1.0), 12, 4), bias=0.3)
    first, _ = chain_averages(Accumulate(1.0), 1.0, 0.3, rng)
    assert _is_mean(first, law.mean)
    assert not _is_mean(first, np.full(5, 0.3 * 2))  # that of Mix(1), 1 + λ


def _is_mean(averages, stated):
    """Tell whether averages over chains, (…, chains), have the stated expectation; z tests."""
    chains = averages.shape[-1]
    error = averages.std(axis=-1, ddof=1) / math.sqrt(chains)
    limit = student.isf(FALSE_ALARM / (2 * stated.size * len(REGIMES) * 4), chains - 1)
    return bool((abs(averages.mean(axis=-1) - stated) < limit * error).all())


@pytest.mark.parametrize(("lam", "response"), [(1.0, 1.0), (0.5, 0.8), (2.0, 1.2)])
def test_bias_prices(lam, response):
    def price(regime, t, response=response):
        return path_law(propagate(regime, 10, t), bias=1.0, response=response).mean[-1]

    c, t = lam / (1 + lam), 12
    powers = sum((c * response) ** k for k in range(t + 1))
    for regime in (Mix(lam), FreshReal(lam)):
        assert price(regime, t) == pytest.approx(powers)
    if lam == 1.0:
        assert price(ReplaceFraction(lam), t) == pytest.approx(powers)
    straight = sum(response**k for k in range(t + 1))
    assert price(FullySynthetic(), t) == pytest.approx(straight)
    pile = 1 + sum(lam / (1 + lam * k) for k in range(1, t + 1))
    for regime in (Accumulate(lam), Subsample(Accumulate(lam))):
        assert price(regime, t, 1.0) == pytest.approx(pile)
    weighted = sum((1 - 0.3) ** k for k in range(t + 1))
    assert price(Weighted(Mix(lam), 0.3), t, 1.0) == pytest.approx(weighted)


def test_a_pile_of_a_contracting_learner_is_bounded():
    law = path_law(propagate(Accumulate(1.0), 1, 200), bias=1.0, response=0.8)
    assert law.mean[[10, 100]] == pytest.approx([2.36, 3.30], abs=0.005)
    straight = path_law(propagate(Accumulate(1.0), 1, 200), bias=1.0)
    assert straight.mean[[10, 100]] == pytest.approx([3.02, 5.20], abs=0.005)


@given(p=st.floats(0.01, 0.99), m=st.integers(2, 50), t=st.integers(1, 20))
def test_a_category_without_real_data_keeps_its_mean_and_loses_its_variance(p, m, t):
    """Wright and Fisher: E s(1 − s) shrinks by 1 − 1/m a round."""
    law = path_law(propagate(FullySynthetic(), m, t), spread=fraction_spread(p))
    assert p * (1 - p) - law.variance[-1] == pytest.approx(
        p * (1 - p) * (1 - 1 / m) ** (t + 1), rel=1e-9
    )


def test_frequencies_settle_with_real_data():
    """E (s_t − p̂)²: D ← c² ((1 − 1/m) D + p(1 − p)(1 − 1/n)/m), Bernoulli real data."""
    n, lam, p, t = 10, 2.0, 0.2, 40
    law = path_law(propagate(Mix(lam), n, t), spread=fraction_spread(p))
    m, c = lam * n, lam / (1 + lam)
    distance, real = 0.0, p * (1 - p) * (1 - 1 / n)
    for _ in range(t):
        distance = c**2 * ((1 - 1 / m) * distance + real / m)
    measured = law.variance[t] + law.variance[0] - 2 * law.covariance[t, 0]
    assert measured == pytest.approx(distance, rel=1e-9)


def test_given_the_real_points_only_the_draws_are_noise():
    n, lam, t = 10, 2.0, 6
    given = path_law(propagate(Mix(lam), n, t), given_real=True).variance
    free = path_law(propagate(Mix(lam), n, t)).variance
    assert given == pytest.approx(free - 1 / n)
    assert path_law(propagate(FreshReal(lam), n, t), given_real=True).variance[-1] > 1 / n / 2


def test_a_learner_that_remembers_its_last_model_follows_the_recursion():
    """s_t = ½ (s_{t−1} + e) + 0.3 s_{t−1} + δ + ξ without real data."""
    n, loop = 10, propagate(FullySynthetic(), 10, 6)
    found = path_law(loop, response=0.5, memory=0.3, bias=0.1, excess=0.02)
    mean, variance = 0.1, 0.25 / n + 0.02
    for t in range(7):
        assert found.mean[t] == pytest.approx(mean, rel=1e-12)
        assert found.variance[t] == pytest.approx(variance, rel=1e-12)
        mean, variance = 0.8 * mean + 0.1, 0.64 * variance + 0.25 / n + 0.02
