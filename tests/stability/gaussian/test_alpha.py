import math

import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

from stability.gaussian.alpha import (
    _mean_singular_value,
    _singular_value_sums,
    alpha,
    alpha_isotropic,
    half_life,
    log_alpha,
    one_minus_alpha,
)
from tests.conftest import FALSE_ALARM

# c4 of quality-control tables, e.g. ASTM Manual on Presentation of Data and Control Chart Analysis
PUBLISHED_C4 = {
    2: 0.797885,
    3: 0.886227,
    4: 0.921318,
    5: 0.939986,
    6: 0.951533,
    7: 0.959369,
    8: 0.965030,
    9: 0.969311,
    10: 0.972659,
    15: 0.982316,
    20: 0.986934,
    25: 0.989640,
}
sample_sizes = st.one_of(
    st.integers(2, 10**15).map(float),
    st.integers(2, 60).map(float),
    st.floats(2, 60),
    st.floats(math.log(2), 15 * math.log(10)).map(lambda u: min(max(math.exp(u), 2.0), 1e15)),
)


def exact_alpha(n):
    """At 60 digits: log Γ(5e14) takes 16 of them, and 1 − α(1e15) is of order 1e-16."""
    n = mpmath.mpf(n)
    return mpmath.sqrt(2 / (n - 1)) * mpmath.exp(
        mpmath.loggamma(n / 2) - mpmath.loggamma((n - 1) / 2)
    )


@pytest.mark.parametrize(("n", "c4"), PUBLISHED_C4.items())
def test_published_values(n, c4):
    assert abs(alpha(n) - c4) <= 0.5e-6


@given(n=sample_sizes)
def test_accurate_to_1e_14_from_2_to_1e15(n):
    with mpmath.workdps(60):
        exact = exact_alpha(n)
        for ours, true in (
            (alpha(n), exact),
            (one_minus_alpha(n), 1 - exact),
            (log_alpha(n), mpmath.log(exact)),
            (half_life(n), -mpmath.log(2) / mpmath.log(exact)),
        ):
            assert abs(mpmath.mpf(float(ours)) / true - 1) < 1e-14


def test_accurate_where_the_formula_changes_and_at_the_ends():
    ns = [2.0, 2.5, 20.0, np.nextafter(21, 0), 21.0, np.nextafter(21, 22), 22.0, 1e15]
    with mpmath.workdps(60):
        for n, ours in zip(ns, one_minus_alpha(ns), strict=True):
            assert abs(mpmath.mpf(float(ours)) / (1 - exact_alpha(n)) - 1) < 1e-14


def test_subtracting_from_one_is_rejected_by_the_check_above():
    """Negative control: 1 − α by subtraction has no correct digit at n = 1e15."""
    with mpmath.workdps(60):
        assert abs(mpmath.mpf(float(1 - alpha(1e15))) / (1 - exact_alpha(1e15)) - 1) > 0.1


@given(n=st.floats(2, 1e15))
def test_two_neighbours_multiply_to_a_root(n):
    """α(n) α(n+1) = √((n−1)/n), from Γ(x+1) = x Γ(x). n + 1 must be exact, hence whole n above
    2^40.
    """
    n = math.floor(n) if n > 2**12 else math.floor(n * 2**40) / 2**40
    assert log_alpha(n) + log_alpha(n + 1) == pytest.approx(0.5 * math.log1p(-1 / n), rel=1e-14)


@given(n=st.floats(2, 1e12), factor=st.floats(1.001, 100))
def test_increases_to_one(n, factor):
    assert one_minus_alpha(n) > one_minus_alpha(n * factor) > 0
    # 1 − α = 1/(4(n−1)) − 1/(32(n−1)²) − …
    u = 1 / (n - 1)
    assert u / 4 - u**2 / 32 - 5 * u**3 / 128 <= one_minus_alpha(n) * (1 + 1e-14)
    assert one_minus_alpha(n) <= u / 4 * (1 + 1e-14)
    assert log_alpha(n) < -1 / (4 * n)  # docs: the bound of Suresh et al.


def test_after_a_half_life_half_is_left():
    n = np.array([2, 10, 1000, 1e9])
    np.testing.assert_allclose(np.exp(half_life(n) * log_alpha(n)), 0.5, rtol=1e-14)
    np.testing.assert_allclose(half_life(1e9), 4e9 * math.log(2), rtol=2e-9)


def test_shapes():
    n = np.arange(2, 26).reshape(2, 3, 4)
    for function in (alpha, one_minus_alpha, log_alpha, half_life):
        assert function(n).shape == (2, 3, 4)
        assert function(n)[1, 2, 3] == function(25)
        assert isinstance(function(25), float)


@pytest.mark.parametrize("bad", [1.9, -3, math.nan, math.inf, [5, 1]])
def test_bad_n(bad):
    with pytest.raises(ValueError, match="n must be finite and >= 2, got"):
        alpha(bad)


@pytest.mark.parametrize("n", [2, 3, 10, 10**6, 10**15])
def test_isotropic_in_one_dimension_is_alpha(n):
    assert alpha_isotropic(n, 1).value == pytest.approx(float(alpha(n)), rel=1e-14)


@pytest.mark.parametrize("n", [3, 4, 5, 10, 40])
def test_isotropic_in_two_dimensions_by_a_double_integral(n):
    """E (s_1 + s_2) from the joint density of the singular values, ∝ (s_1² − s_2²) (s_1
    s_2)^{n−3} e^{−|s|²/2}.
    """
    with mpmath.workdps(25):
        # |s| is independent of the angle, and χ with 2(n−1) degrees of freedom
        density = lambda a: mpmath.cos(2 * a) * mpmath.sin(2 * a) ** (n - 3)  # noqa: E731
        quarter = [0, mpmath.pi / 8, mpmath.pi / 4]
        mean = mpmath.quad(lambda a: density(a) * (mpmath.cos(a) + mpmath.sin(a)), quarter)
        radius = mpmath.sqrt(2) * mpmath.gamma(n - 0.5) / mpmath.gamma(n - 1)
        expected = radius * mean / mpmath.quad(density, quarter) / (2 * mpmath.sqrt(n - 1))
    estimate = alpha_isotropic(n, 2)
    assert abs(estimate.value - float(expected)) < estimate.error + 1e-15
    assert estimate.method.startswith("closed form")


@pytest.mark.parametrize("many", [2, 3, 9, 100, 10**6, 10**12])
def test_the_quadrature_agrees_with_the_closed_form_in_two_dimensions(many):
    value, error = _mean_singular_value(2, many)
    assert abs(value - alpha_isotropic(many + 1, 2).value) < error < 1e-13


@pytest.mark.parametrize(("few", "many"), [(3, 3), (3, 10), (4, 4), (5, 40), (10, 12), (4, 10**9)])
def test_the_quadrature_gives_the_known_second_moment(few, many):
    """E tr W = few · many: of Σ z_i² + 2 √many Σ z_i = tr W − few · many the mean is 0."""
    first, second = _singular_value_sums(few, many, 5 * few + 120)
    assert abs(second + 2 * math.sqrt(many) * first) < 1e-13 * few * many


@pytest.mark.parametrize(("n", "d"), [(4, 3), (5, 4), (12, 3), (12, 5), (4, 6), (2, 3), (3, 7)])
def test_isotropic_by_simulation(n, d, rng):
    draws = 40_000
    means = np.linalg.svd(rng.standard_normal((draws, d, n - 1)), compute_uv=False).sum(axis=1) / (
        d * math.sqrt(n - 1)
    )
    z = (means.mean() - alpha_isotropic(n, d).value) / (means.std() / math.sqrt(draws))
    # sums of singular values are close to normal, and 40,000 are averaged: normal tail, doubled for
    # skewness
    assert abs(z) < norm.isf(FALSE_ALARM / (4 * 7))
    spoiled = (means.mean() - 0.98 * alpha_isotropic(n, d).value) / (means.std() / math.sqrt(draws))
    assert abs(spoiled) > norm.isf(FALSE_ALARM / (4 * 7))  # negative control: 2 % off is seen


@pytest.mark.parametrize("d", [1, 2, 3, 4, 7])
def test_isotropic_for_large_n(d):
    """√W expanded about √(n−1) I: α_d = 1 − (d+1)/(8(n−1)) + O(n^−2)."""
    n = 10**6 + 1
    assert (1 - alpha_isotropic(n, d).value) * 1e6 == pytest.approx((d + 1) / 8, rel=1e-5)


@given(n=st.integers(2, 12), d=st.integers(1, 8))
def test_isotropic_is_below_alpha_and_falls_with_the_dimension(n, d):
    here, above = alpha_isotropic(n, d), alpha_isotropic(n, d + 1)
    assert 0 < above.value < here.value <= float(alpha(n)) + here.error
    assert 0 < here.error < 1e-12


@pytest.mark.parametrize(("n", "d"), [(1, 1), (2.5, 1), (5, 0), (5, 1.5)])
def test_bad_arguments_of_isotropic(n, d):
    with pytest.raises(ValueError, match="n must be a whole number >= 2 and d one >= 1"):
        alpha_isotropic(n, d)
