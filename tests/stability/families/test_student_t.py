import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from stability.families import StudentT
from stability.laws.family import hessians, scores
from tests.support import strategies
from tests.support.family_oracles import (
    assert_close,
    assert_derivatives,
    assert_information,
    assert_lipschitz,
    assert_sampler,
    density_weights,
    real_line,
)

WORKED_EXAMPLE = strategies.tensor(-0.36099, 0.26693)


def law(family, theta):
    """Arguments of scipy.stats.t."""
    return family.nu, theta[0].item(), math.exp(theta[1].item())


@given(member=strategies.student_ts(), z=strategies.boxes(*[(-30, 30)] * 5))
def test_log_prob_is_that_of_scipy(member, z):
    family, theta = member
    assert_close(
        family.log_prob(theta, z[:, None]), stats.t.logpdf(z.numpy(), *law(family, theta)), 1e-11
    )


@given(member=strategies.student_ts(), x=strategies.boxes(*[(-8, 8)] * 3))
def test_derivatives_are_finite_differences(member, x):
    family, theta = member
    assert_derivatives(family, theta, x[:, None])


@given(member=strategies.student_ts(), x=st.floats(-8, 8))
def test_derivatives_are_the_closed_form(member, x):
    """By hand, with w the weight (ν+1)/(ν+z²): s = (wz/s, wz² − 1), ∂w/∂z = −2z w/(ν+z²)."""
    family, theta = member
    mu, s = theta[0].item(), math.exp(theta[1].item())
    z = (x - mu) / s
    w = (family.nu + 1) / (family.nu + z**2)
    slope = -2 * z * w / (family.nu + z**2)
    point = strategies.tensor(x)[:, None]
    assert_close(scores(family, theta, point)[0], [w * z / s, w * z**2 - 1], 1e-12)
    corner = -(slope * z**2 + 2 * w * z) / s
    expected = [[-(slope * z + w) / s**2, corner], [corner, -z * (slope * z**2 + 2 * w * z)]]
    assert_close(hessians(family, theta, point)[0], expected, 1e-12)


@given(member=strategies.student_ts())
def test_information_identity(member):
    family, theta = member
    x, weights = real_line(theta[0].item(), math.exp(theta[1].item()))
    assert_information(family, theta, x, density_weights(family, theta, x, weights))


@pytest.mark.parametrize("nu", [0.7, 5.0, 60.0])
def test_draws_follow_the_law(nu, rng):
    family, theta = StudentT(nu), strategies.tensor(0.4, -0.3)
    assert_sampler(family, theta, lambda x: stats.t.cdf(x, *law(family, theta)), rng, comparisons=3)


def test_lipschitz_of_the_worked_example():  # theory, closed forms: L ≈ 2.008
    assert StudentT(5.0).lipschitz(WORKED_EXAMPLE).value == pytest.approx(2.008, abs=5e-4)


@pytest.mark.parametrize(
    ("nu", "theta"), [(5.0, (-0.36099, 0.26693)), (0.5, (1, -1)), (40.0, (0, 1.5)), (2.0, (3, 0))]
)
def test_lipschitz_is_approached_and_never_exceeded(nu, theta, rng):
    theta = strategies.tensor(*theta)
    assert_lipschitz(StudentT(nu), theta, theta[0].item(), math.exp(theta[1].item()), rng)


@given(member=strategies.student_ts())
def test_lipschitz_is_the_norm_at_a_critical_point(member):
    """Another route: critical points of an eigenvalue e(z) of a 2×2 matrix with trace T,
    determinant D are roots of

    D'² − T T' D' + D T'² = 0; here a polynomial in w = z/√ν, whose real roots are tried one by one.
    """
    family, theta = member
    nu, s = family.nu, math.exp(theta[1].item())
    poly = np.polynomial.Polynomial
    # entries times (1 + w²)³, signs and (ν+1)/s left out
    first = poly([0, -6, 0, 2]) / (nu**1.5 * s**2)
    corner = poly([2, 0, -6]) / (nu * s)
    last = poly([0, 4, 0, -4]) / nu**0.5
    base = poly([1, 0, 1])

    def slope(numerator, power):  # d/dw numerator/(1 + w²)^power, times (1 + w²)^(power+1)
        return numerator.deriv() * base - power * poly([0, 2]) * numerator

    T, D = first + last, first * last - corner**2
    T1, D1 = slope(T, 3), slope(D, 6)
    # over the common denominator (1 + w²)^14: D1/b^7, T/b^3, T1/b^4, D/b^6
    roots = (D1**2 - T * T1 * D1 + D * T1**2).roots()
    w = np.append(np.real(roots), 0.0)
    matrices = (
        np.moveaxis(np.array([[first(w), corner(w)], [corner(w), last(w)]]), 2, 0)
        / base(w)[:, None, None] ** 3
    )
    largest = (nu + 1) / s * np.linalg.norm(matrices, 2, axis=(1, 2)).max()
    assert family.lipschitz(theta).value == pytest.approx(largest, rel=1e-9)


def test_start_finds_the_parameters_from_quantiles():
    family, theta = StudentT(3.0), strategies.tensor(1.5, 0.4)
    x = torch.from_numpy(stats.t.ppf((np.arange(20_001) + 0.5) / 20_001, *law(family, theta)))[
        :, None
    ]
    assert_close(family.start(x), theta, 1e-3)


@pytest.mark.parametrize("nu", [0.0, -1.0, math.inf, math.nan])
def test_bad_degrees_of_freedom_are_refused(nu):
    with pytest.raises(ValueError, match="nu must be finite and > 0"):
        StudentT(nu)


def test_bad_arguments_are_refused():
    with pytest.raises(ValueError, match="theta must be a finite point"):
        StudentT().lipschitz(strategies.tensor(0, math.inf))
    with pytest.raises(ValueError, match="interquartile range > 0, got 0"):
        StudentT().start(torch.ones(5, 1, dtype=torch.float64))
    with pytest.raises(ValueError, match="x must be finite"):
        StudentT().start(strategies.tensor(1, math.nan)[:, None])
