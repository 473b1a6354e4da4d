import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from stability.families import SinhArcsinh
from stability.families.sinh_arcsinh import _assemble, _curvature, _parts
from stability.laws.family import hessians, scores
from tests.support import strategies
from tests.support.family_oracles import (
    assert_bends_at_most,
    assert_close,
    assert_derivatives,
    assert_information,
    assert_lipschitz,
    assert_sampler,
    assert_unbounded,
    density_weights,
    real_line,
)

FAMILY = SinhArcsinh()


def normal_of(theta, x):
    """The normal variable behind x: z = sinh(δ asinh(y) − ε), by NumPy."""
    mu, log_s, skew, log_tail = theta.tolist()
    return np.sinh(math.exp(log_tail) * np.arcsinh((x - mu) / math.exp(log_s)) - skew)


@given(member=strategies.sinh_arcsinhs(), x=strategies.boxes(*[(-4, 4)] * 4))
def test_log_prob_is_the_slope_of_the_cdf(member, x):
    """Central differences of Φ(z(x)) with step 1e-5: error about 1e-10 f''' and rounding
    1e-16/1e-5.
    """
    _, theta = member
    h, x = 1e-5, x.numpy()
    density = (
        stats.norm.cdf(normal_of(theta, x + h)) - stats.norm.cdf(normal_of(theta, x - h))
    ) / (2 * h)
    assert_close(torch.exp(FAMILY.log_prob(theta, strategies.tensor(*x)[:, None])), density, 1e-6)


@given(x=strategies.boxes(*[(-4, 4)] * 4))
def test_the_neutral_member_is_normal(x):
    theta = strategies.tensor(0.5, 0.3, 0, 0)
    assert_close(
        FAMILY.log_prob(theta, x[:, None]), stats.norm.logpdf(x.numpy(), 0.5, math.exp(0.3)), 1e-12
    )


@given(member=strategies.sinh_arcsinhs(), y=strategies.boxes((-2, 2), (-2, 2)))
def test_derivatives_are_finite_differences(member, y):
    _, theta = member
    assert_derivatives(FAMILY, theta, theta[0] + theta[1].exp() * y[:, None])


@given(member=strategies.sinh_arcsinhs(), y=strategies.boxes((-2, 2), (-2, 2)))
def test_skewness_and_tail_derivatives_are_the_closed_form(member, y):
    """By hand, with t = asinh y, u = δt − ε, c = log cosh u − ½ sinh² u: (−c', 1 + c'δt), [[c'',
    −c''δt], [·, …]].
    """
    _, theta = member
    t = np.arcsinh(y.numpy())
    U = math.exp(theta[3].item()) * t
    u = U - theta[2].item()
    first, second = np.tanh(u) - np.sinh(2 * u) / 2, 1 / np.cosh(u) ** 2 - np.cosh(2 * u)
    x = theta[0] + theta[1].exp() * y[:, None]
    assert_close(scores(FAMILY, theta, x)[:, 2:], np.stack([-first, 1 + first * U], 1), 1e-10)
    expected = [[second, -second * U], [-second * U, second * U**2 + first * U]]
    assert_close(
        hessians(FAMILY, theta, x)[:, 2:, 2:], np.moveaxis(np.array(expected), 2, 0), 1e-10
    )


@given(member=strategies.sinh_arcsinhs())
@settings(max_examples=20)
def test_information_identity(member):
    _, theta = member
    mu, log_s, skew, log_tail = theta.tolist()
    centre = mu + math.exp(log_s) * math.sinh(skew / math.exp(log_tail))
    x, weights = real_line(centre, math.exp(log_s), end=16.0)
    # else log p overflows; the mass beyond is below 1e-190
    inside = np.abs(normal_of(theta, x[:, 0].numpy())) < 30
    x, weights = x[inside], weights[inside]
    assert_information(FAMILY, theta, x, density_weights(FAMILY, theta, x, weights), 1e-7)


@pytest.mark.parametrize("theta", [(0.3, -0.5, 0.7, -0.5), (0, 1, -0.4, 0.3)])
def test_draws_follow_the_law(theta, rng):
    theta = strategies.tensor(*theta)
    assert_sampler(FAMILY, theta, lambda x: stats.norm.cdf(normal_of(theta, x)), rng, comparisons=2)


@pytest.mark.parametrize("theta", [(0, 0, 0, -1.2), (0.1, -1, 0.4, -2), (0, 0.5, -0.5, -1.6)])
def test_lipschitz_is_approached_and_never_exceeded(theta, rng):
    theta = strategies.tensor(*theta)
    assert_lipschitz(FAMILY, theta, theta[0].item(), theta[1].exp().item(), rng, end=15.0)


def assert_bounded_between(left, width, theta, shrink=1.0):
    _, log_s, skew, log_tail = theta.tolist()
    scale, delta = math.exp(log_s), math.exp(log_tail)
    assert_bends_at_most(
        lambda t: _assemble(t, _parts(t, skew, delta), scale, delta, minus=-1),
        lambda left, right: shrink * _curvature(left, right, scale, skew, delta),
        left,
        left + width,
    )


@given(
    t=strategies.boxes(*[(-15, 15)] * 20),
    width=st.floats(0.01, 2),
    member=strategies.sinh_arcsinhs(largest_log_tail=-0.7),
)
def test_the_bound_between_points_of_evaluation_is_one(t, width, member):
    assert_bounded_between(t.numpy(), width, member[1])


def test_a_bound_between_points_that_is_too_small_is_rejected():
    with pytest.raises(AssertionError):
        assert_bounded_between(
            np.linspace(-4, 4, 81), 0.1, strategies.tensor(0, 0, 0, -1), shrink=1e-3
        )


@given(member=strategies.sinh_arcsinhs(largest_log_tail=-0.7), y=st.floats(-20, 20))
def test_the_derivative_of_the_hessian_is_a_finite_difference(member, y):
    _, theta = member
    mu, scale, skew, delta = (
        theta[0].item(),
        theta[1].exp().item(),
        theta[2].item(),
        theta[3].exp().item(),
    )
    h = 1e-4 * scale
    H = hessians(FAMILY, theta, strategies.tensor(mu + scale * y + h, mu + scale * y - h)[:, None])
    t = np.array([np.arcsinh(y)])
    value = _assemble(t, _parts(t, skew, delta), scale, delta, minus=-1)[0]
    assert_close(value, (H[0] - H[1]) / (2 * h), 1e-6)  # h² times a third derivative


@pytest.mark.parametrize("log_tail", [-math.log(2) + 1e-12, 0.0, 0.3])
def test_lipschitz_is_infinite_from_one_half_on(log_tail):
    """At δ = ½ only like log² x: powers of powers of ten show it."""
    theta = strategies.tensor(0, 0, 0.2, log_tail)
    assert FAMILY.lipschitz(theta).value == math.inf
    if log_tail >= 0:
        assert_unbounded(FAMILY, theta, torch.logspace(1, 5, 9, dtype=torch.float64)[:, None])


def test_lipschitz_close_to_one_half_bounds_what_it_does_not_resolve():
    below, above = (
        FAMILY.lipschitz(strategies.tensor(0, 0, 0, math.log(d))) for d in (0.4994, 0.4996)
    )
    assert below.value < above.value < math.inf
    assert "not tight" in above.reason
    growth = [
        FAMILY.lipschitz(strategies.tensor(0, 0, 0, math.log(d))).value
        for d in (0.3, 0.4, 0.45, 0.49)
    ]
    assert growth == sorted(growth)


def test_start_is_the_normal_fit(rng):
    x = torch.from_numpy(rng.normal(2.0, 3.0, (50, 1)))
    theta = FAMILY.start(x)
    assert_close(scores(FAMILY, theta, x).mean(0)[:2], [0, 0], 1e-10)
    assert theta[2:].tolist() == [0, 0]
    with pytest.raises(ValueError, match="x must not be constant"):
        FAMILY.start(torch.ones(4, 1, dtype=torch.float64))
    with pytest.raises(ValueError, match="domain of SinhArcsinh"):
        FAMILY.sample(strategies.tensor(0, 0, math.nan, 0), 2, torch.Generator())
