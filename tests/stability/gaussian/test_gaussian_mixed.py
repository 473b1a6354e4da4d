import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import roots_genlaguerre
from scipy.stats import ks_2samp, norm

from stability import GaussianLearner, Mix, retrain
from stability.gaussian.mixed import exact_errors, simulate
from stability.loop.regimes import synthetic_count
from stability.statements.stationary_error import mixed
from tests.conftest import FALSE_ALARM


def lam_of(n, m):
    """A λ with floor(λn) = m."""
    return m / n if synthetic_count(m / n, n) == m else math.nextafter(m / n, math.inf)


def refit_moments(n, m, t, D=0.0, w=1.0):
    """E(D², w, w²) after t refits from (D, w), where the real data have mean 0 and variance 1, by
    nested quadrature.

    A refit is done as `GaussianLearner` does, on points: n real ones, and m with the mean and sum
    of squares drawn.
    """
    if t == 0:
        return np.array([D**2, w, w**2])
    z, z_weight = np.polynomial.hermite_e.hermegauss(8)
    half, half_weight = roots_genlaguerre(6, (m - 1) / 2 - 1)  # χ²/2
    total = np.zeros(3)
    for zi, a in zip(z, z_weight / z_weight.sum(), strict=True):
        for hj, b in zip(half, half_weight / half_weight.sum(), strict=True):
            mean, squares = D + math.sqrt(w / m) * zi, w * 2 * hj
            real = np.resize([1.0, -1.0], n) * math.sqrt((n - 1) / n)
            synthetic = mean + np.resize([1.0, -1.0], m) * math.sqrt(squares / m)
            x = np.concatenate([real, synthetic])
            total += a * b * refit_moments(n, m, t - 1, x.mean(), x.var(ddof=1))
    return total


@pytest.mark.parametrize(("n", "m", "t"), [(4, 2, 1), (4, 6, 2), (10, 4, 2)])
def test_the_moments_are_those_of_refits_to_points(n, m, t):
    D2, w, w2 = refit_moments(n, m, t)
    # E s² = 1, E s⁴ = 1 + 2/(n − 1)
    expected = [1 + n * D2, n / 2 * ((1 + 2 / (n - 1)) * w2 - 2 * w + 1)]
    np.testing.assert_allclose(exact_errors(n, m / n, t), expected, rtol=1e-10)


@given(n=st.integers(5, 10**6), lam=st.floats(0.5, 50), t=st.integers(0, 30) | st.just(math.inf))
def test_the_first_order_law_is_off_by_less_than_2_over_n(n, lam, t):
    """Their average; at integer λn, since floor(λn)/n is another λ."""
    lam = lam_of(n, max(math.floor(lam * n), 2))
    assert exact_errors(n, lam, t).mean() == pytest.approx(mixed(lam, t), abs=2 / n)


@given(n=st.integers(2, 1000), m=st.integers(2, 1000))
def test_the_limit_is_where_the_recursion_goes(n, m):
    rounds = math.ceil(40 * (n + m) / n)
    np.testing.assert_allclose(
        exact_errors(n, lam_of(n, m), rounds), exact_errors(n, lam_of(n, m)), rtol=1e-6
    )


def test_the_numbers_of_the_documentation():
    """1.25, 1.333, 1.444 at n = 2000; above 3/2 by less than 2/n at n = 20 and large λ."""
    assert [exact_errors(2000, lam).mean() for lam in (0.5, 1, 4)] == pytest.approx(
        [1.2503, 1.3336, 1.4447], abs=5e-5
    )
    assert exact_errors(20, 20.0).mean() == pytest.approx(1.518, abs=5e-4)


@pytest.mark.parametrize(("n", "lam", "t"), [(100, 0.5, 4), (100, 2.0, 8)])
def test_the_simulation_has_these_moments(n, lam, t, rng):
    """Averages of 200,000 chains; squares of nearly normal variables, the tail doubled for their
    skewness.
    """
    seen = simulate(n, lam, t, 200_000, rng)
    squares = np.square((seen - [0, 1]) * [math.sqrt(n), math.sqrt(n / 2)])
    z = (squares.mean(axis=0) - exact_errors(n, lam, t)) / (
        squares.std(axis=0) / math.sqrt(len(seen))
    )
    assert np.abs(z).max() < norm.isf(FALSE_ALARM / (4 * 4)), z


def p_value(one, two):
    """The p-value of Kolmogorov's and Smirnov's test; the asymptotic one, which is conservative."""
    return ks_2samp(one, two, method="asymp").pvalue  # type: ignore[attr-defined]


@pytest.mark.parametrize(("n", "lam", "t"), [(6, 1.0, 3), (50, 0.5, 2)])
def test_simulation_and_algorithm_1_agree_in_law(n, lam, t, rng):
    chains = 1500
    learner = GaussianLearner(chains, 1)
    real = list(rng.standard_normal((chains, n, 1)))
    for _ in retrain(learner, real, [Mix(lam)] * chains, t, seed=int(rng.integers(2**62))):
        pass
    fast = simulate(n, lam, t, 20_000, rng)
    mean, variance = learner.mean[:, 0], learner.covariance[:, 0, 0]
    for one, two in (
        (mean, fast[:, 0]),
        (variance, fast[:, 1]),
        (mean**2 * variance, fast[:, 0] ** 2 * fast[:, 1]),
    ):
        assert p_value(one, two) > FALSE_ALARM / 6


def test_the_agreement_in_law_is_a_test(rng):
    """Negative control: one retraining more is told apart."""
    one, two = (simulate(6, 4.0, t, 20_000, rng)[:, 1] for t in (0, 3))
    assert p_value(one, two) < FALSE_ALARM


@pytest.mark.parametrize(("n", "lam"), [(1, 4.0), (10, 0.1), (0, 0.0)])
def test_bad_arguments(n, lam, rng):
    for call in (lambda: exact_errors(n, lam), lambda: simulate(n, lam, 1, 2, rng)):
        with pytest.raises(ValueError, match=r"n and floor\(lam \* n\) must be >= 2"):
            call()
