import math

import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.special import polygamma
from scipy.stats import chi2, norm

from stability.gaussian.alpha import log_alpha
from stability.gaussian.lyapunov import log_det_drift, lyapunov_spectrum
from tests.conftest import FALSE_ALARM

sizes = st.one_of(
    st.integers(6, 60).map(float), st.floats(6, 60), st.floats(1, 15).map(lambda u: 10**u)
)


@given(n=sizes)
def test_accurate_for_small_and_large_n(n):
    with mpmath.workdps(40):
        for i, gamma in enumerate(lyapunov_spectrum(n, 5), start=1):
            exact = (
                mpmath.digamma((mpmath.mpf(n) - i) / 2) + mpmath.log(2 / (mpmath.mpf(n) - 1))
            ) / 2
            assert abs(mpmath.mpf(float(gamma)) / exact - 1) < 1e-14


def test_the_formula_typed_in_is_rejected_by_the_check_above():
    """Negative control: ψ − log by subtraction has lost the exponent at n = 1e15."""
    n = 1e15
    typed = 0.5 * (float(mpmath.digamma((n - 1) / 2)) + math.log(2 / (n - 1)))
    assert abs(typed / lyapunov_spectrum(n, 1)[0] - 1) > 1e-3


@pytest.mark.parametrize(("n", "i"), [(6, 1), (6, 5), (20, 3)])
def test_is_the_mean_logarithm_of_chi(n, i):
    mean, _ = quad(
        lambda u: u / 2 * math.exp(chi2.logpdf(math.exp(u), n - i) + u),
        -60,
        8,
        epsabs=1e-11,
        limit=200,
    )
    assert lyapunov_spectrum(n, i)[-1] == pytest.approx(mean - 0.5 * math.log(n - 1), abs=1e-9)


@given(n=sizes)
def test_negative_distinct_and_below_the_moments(n):
    gamma = lyapunov_spectrum(n, 5)
    assert (gamma < 0).all()
    assert (np.diff(gamma) < 0).all()
    assert gamma[0] < log_alpha(n)  # E log < log E: the typical chain shrinks faster than the mean


@pytest.mark.parametrize("n", [1e4, 1e9, 1e15])
def test_for_large_n_they_are_multiples(n):
    np.testing.assert_allclose(lyapunov_spectrum(n, 4) * -2 * n, [1, 2, 3, 4], rtol=10 / n)


@pytest.mark.parametrize(("n", "d"), [(3, 2), (8, 3), (50, 4)])
def test_drift_of_the_log_determinant_by_simulation(n, d, rng):
    """log det W of W ~ Wishart_d(n−1) is a sum of log χ²_{n−i}: variance Σ ψ'((n−i)/2), exactly."""
    draws = 40_000
    z = rng.standard_normal((draws, n - 1, d))
    change = np.linalg.slogdet(z.swapaxes(1, 2) @ z)[1] - d * math.log(n - 1)
    error = math.sqrt(sum(polygamma(1, (n - i) / 2) for i in range(1, d + 1)) / draws)
    limit = norm.isf(FALSE_ALARM / (4 * 3))  # normal tail, doubled for skewness
    assert abs(change.mean() - log_det_drift(n, d)) / error < limit
    spoiled = log_det_drift(n + 1, d) + d * math.log(n / (n - 1))  # ψ((n−i+1)/2) for ψ((n−i)/2)
    assert abs(change.mean() - spoiled) / error > limit  # negative control


@pytest.mark.parametrize(
    ("n", "d", "message"),
    [
        (5, 0, "d must be a whole number >= 1, got 0"),
        (5, 1.5, "d must be a whole number >= 1, got 1.5"),
        (5, 5, "n must be finite and >= d \\+ 1 = 6, got 5"),
        (math.inf, 2, "n must be finite"),
        (math.nan, 2, "n must be finite"),
    ],
)
def test_bad_arguments(n, d, message):
    with pytest.raises(ValueError, match=message):
        lyapunov_spectrum(n, d)
