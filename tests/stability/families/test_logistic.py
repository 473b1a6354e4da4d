import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from stability.families import GeneralisedLogistic, Logistic
from stability.families.logistic import _curvature, _derivative
from stability.laws.family import hessians, scores
from tests.support import strategies
from tests.support.family_oracles import (
    assert_bends_at_most,
    assert_close,
    assert_derivatives,
    assert_information,
    assert_lipschitz,
    assert_sampler,
    density_weights,
    real_line,
)

ANY = st.one_of(strategies.logistics(), strategies.generalised_logistics())


def law(family, theta):
    """Arguments of scipy.stats.genlogistic."""
    alpha = 1.0 if isinstance(family, Logistic) else math.exp(theta[2].item())
    return alpha, theta[0].item(), math.exp(theta[1].item())


@given(member=ANY, x=strategies.boxes(*[(-20, 20)] * 5))
def test_log_prob_is_that_of_scipy(member, x):
    family, theta = member
    assert_close(
        family.log_prob(theta, x[:, None]),
        stats.genlogistic.logpdf(x.numpy(), *law(family, theta)),
        1e-11,
    )


def test_log_prob_far_out():
    x = strategies.tensor(-1e4, 1e4)[:, None]
    assert_close(Logistic().log_prob(strategies.tensor(0, 0), x), [-1e4, -1e4], 1e-14)
    assert torch.isfinite(hessians(Logistic(), strategies.tensor(0, 0), x)).all()


@given(member=ANY, z=strategies.boxes((-4, 4), (-4, 4)))
def test_derivatives_are_finite_differences(member, z):
    family, theta = member
    assert_derivatives(family, theta, theta[0] + theta[1].exp() * z[:, None])


@given(member=strategies.logistics(), x=st.floats(-8, 8))
def test_derivatives_are_the_closed_form(member, x):
    """By hand, with h = tanh(z/2): g' = −h, g'' = −(1 − h²)/2."""
    family, theta = member
    s = math.exp(theta[1].item())
    z = (x - theta[0].item()) / s
    h = math.tanh(z / 2)
    bend = -(1 - h**2) / 2
    point = strategies.tensor(x)[:, None]
    assert_close(scores(family, theta, point)[0], [h / s, z * h - 1], 1e-11)
    corner = (z * bend - h) / s
    assert_close(
        hessians(family, theta, point)[0],
        [[bend / s**2, corner], [corner, z**2 * bend - z * h]],
        1e-11,
    )


@given(member=ANY)
@settings(max_examples=25)
def test_information_identity(member):
    family, theta = member
    x, weights = real_line(theta[0].item(), theta[1].exp().item())
    assert_information(family, theta, x, density_weights(family, theta, x, weights))


@pytest.mark.parametrize(
    ("family", "theta"),
    [
        (Logistic(), (0.3, -1)),
        (GeneralisedLogistic(), (1, 0.2, 1.2)),
        (GeneralisedLogistic(), (0, 0, -2)),
    ],
)
def test_draws_follow_the_law(family, theta, rng):
    theta = strategies.tensor(*theta)
    assert_sampler(
        family, theta, lambda x: stats.genlogistic.cdf(x, *law(family, theta)), rng, comparisons=3
    )


@pytest.mark.parametrize(
    ("family", "theta"),
    [
        (Logistic(), (0, 0)),
        (Logistic(), (1, -2)),
        (Logistic(), (0, 2)),
        (GeneralisedLogistic(), (0, 0, 0)),
        (GeneralisedLogistic(), (0, 1, 2)),
        (GeneralisedLogistic(), (0, -0.5, -2)),
    ],
)
def test_lipschitz_is_approached_and_never_exceeded(family, theta, rng):
    theta = strategies.tensor(*theta)
    assert_lipschitz(family, theta, theta[0].item(), theta[1].exp().item(), rng, end=6.0)


def assert_bounded_between(left, width, scale, alpha, shrink=1.0):
    assert_bends_at_most(
        lambda z: _derivative(z, scale, alpha),
        lambda left, right: shrink * _curvature(left, right, scale, alpha),
        left,
        left + width,
    )


@given(
    z=strategies.boxes(*[(-15, 15)] * 20),
    width=st.floats(0.01, 2),
    scale=st.floats(0.3, 3),
    alpha=st.floats(0.2, 5),
)
def test_the_bound_between_points_of_evaluation_is_one(z, width, scale, alpha):
    assert_bounded_between(z.numpy(), width, scale, alpha)


def test_a_bound_between_points_that_is_too_small_is_rejected():
    with pytest.raises(AssertionError):
        assert_bounded_between(np.linspace(-4, 4, 81), 0.1, 1.0, 1.0, shrink=0.05)


def test_lipschitz_is_the_limit_of_its_tail_where_that_is_larger():
    """For a small α the right limit 1/s, for a large one the left limit 2α/s, is a lower bound."""
    for log_alpha in (-6.0, 3.0):
        limit = max(1.0, 2 * math.exp(log_alpha))
        value = GeneralisedLogistic().lipschitz(strategies.tensor(0, 0, log_alpha)).value
        assert value >= limit
        far = strategies.tensor(-40, -30, 30, 40)[:, None]
        H = hessians(GeneralisedLogistic(), strategies.tensor(0, 0, log_alpha), far)
        slopes = torch.linalg.matrix_norm(H[[1, 3]] - H[[0, 2]], 2) / 10
        np.testing.assert_allclose(slopes, [2 * math.exp(log_alpha), 1.0], rtol=1e-9)


def test_the_symmetric_member_is_the_logistic():
    x = torch.linspace(-9, 9, 7, dtype=torch.float64)[:, None]
    two, three = strategies.tensor(0.4, -0.3), strategies.tensor(0.4, -0.3, 0)
    assert_close(GeneralisedLogistic().log_prob(three, x), Logistic().log_prob(two, x), 1e-14)
    assert_close(GeneralisedLogistic().fisher(three)[:2, :2], Logistic().fisher(two), 1e-8)


def test_start_matches_mean_and_variance(rng):
    x = torch.from_numpy(rng.logistic(1.0, 2.0, (500, 1)))
    theta = Logistic().start(x)
    assert_close(
        stats.genlogistic.stats(*law(Logistic(), theta)), [x.mean(), x.var(correction=0)], 1e-12
    )
    assert GeneralisedLogistic().start(x).tolist() == [*theta.tolist(), 0.0]
    with pytest.raises(ValueError, match="x must not be constant"):
        Logistic().start(torch.ones(4, 1, dtype=torch.float64))
    with pytest.raises(ValueError, match="domain of GeneralisedLogistic"):
        GeneralisedLogistic().lipschitz(strategies.tensor(0, 0))
