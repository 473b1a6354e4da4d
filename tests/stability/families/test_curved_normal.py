import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from stability.families import CurvedNormal
from stability.laws.family import hessians, scores
from tests.support import strategies
from tests.support.family_oracles import (
    assert_close,
    assert_derivatives,
    assert_information,
    assert_sampler,
    assert_unbounded,
    normal_rule,
)

FAMILY = CurvedNormal()


@given(member=strategies.curved_normals(), x=strategies.boxes(*[(-8, 8)] * 5))
def test_log_prob_is_that_of_scipy(member, x):
    family, theta = member
    expected = stats.norm.logpdf(x.numpy(), theta.item(), theta.item())
    assert_close(family.log_prob(theta, x[:, None]), expected, 1e-11)


@given(member=strategies.curved_normals(), x=strategies.boxes((-2, 2), (-2, 2)))
def test_derivatives_are_finite_differences(member, x):
    family, theta = member
    assert_derivatives(family, theta, x[:, None] * theta)


@given(theta=st.floats(0.3, 5), x=st.floats(-8, 8))
def test_derivatives_are_the_closed_form(theta, x):
    point, t = strategies.tensor(x)[:, None], strategies.tensor(theta)
    assert_close(scores(FAMILY, t, point)[0], [-1 / theta + x**2 / theta**3 - x / theta**2], 1e-11)
    assert_close(
        hessians(FAMILY, t, point)[0],
        [[1 / theta**2 + 2 * x / theta**3 - 3 * x**2 / theta**4]],
        1e-11,
    )


@given(member=strategies.curved_normals())
def test_information_identity(member):
    family, theta = member
    assert_information(family, theta, *normal_rule(theta, theta.square()[:, None]))


def test_draws_follow_the_law(rng):
    assert_sampler(FAMILY, strategies.tensor(1.7), lambda x: stats.norm.cdf(x, 1.7, 1.7), rng)


@given(member=strategies.curved_normals())
def test_lipschitz_is_infinite(member):
    family, theta = member
    assert_unbounded(family, theta, torch.logspace(1, 5, 9, dtype=torch.float64)[:, None])


@pytest.mark.parametrize("shift", [3.0, 0.0, -3.0])
def test_start_is_the_maximum_likelihood_estimate(shift, rng):
    x = torch.from_numpy(rng.standard_normal((50, 1)) + shift)
    theta = FAMILY.start(x)
    assert theta.shape == (1,)
    assert FAMILY.in_domain(theta)
    assert_close(scores(FAMILY, theta, x).mean(0), [0.0], 1e-9)


def test_domain_and_arguments():
    for bad in (0.0, -1.0):
        assert not FAMILY.in_domain(strategies.tensor(bad))
        assert (
            FAMILY.log_prob(strategies.tensor(bad), torch.zeros(1, 1, dtype=torch.float64)).item()
            == -torch.inf
        )
    with pytest.raises(ValueError, match="domain of CurvedNormal"):
        FAMILY.sample(strategies.tensor(-1), 2, torch.Generator())
    with pytest.raises(ValueError, match="a point other than 0"):
        FAMILY.start(torch.zeros(3, 1, dtype=torch.float64))
