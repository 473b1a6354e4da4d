import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import special, stats

from stability.families import Gamma
from stability.laws.family import hessians, scores
from tests.support import strategies
from tests.support.family_oracles import (
    assert_close,
    assert_constant_hessian,
    assert_derivatives,
    assert_information,
    assert_sampler,
    assert_unbounded,
    density_weights,
    half_line,
)

TRIGAMMA = 1e-9
"""Relative error of torch's trigamma."""


def shape_and_rate(family, theta):
    return (theta if family.parameters == "natural" else theta.exp()).tolist()


@given(member=strategies.gammas(), x=strategies.boxes(*[(0.01, 20)] * 5))
def test_log_prob_is_that_of_scipy(member, x):
    family, theta = member
    a, b = shape_and_rate(family, theta)
    assert_close(
        family.log_prob(theta, x[:, None]), stats.gamma.logpdf(x.numpy(), a, scale=1 / b), 1e-11
    )


@given(member=strategies.gammas(), x=strategies.boxes((0.1, 5), (0.1, 5)))
def test_derivatives_are_finite_differences(member, x):
    family, theta = member
    assert_derivatives(family, theta, x[:, None])


@given(a=st.floats(0.5, 10), b=st.floats(0.3, 5), x=st.floats(0.01, 20))
def test_derivatives_are_the_closed_form(a, b, x):
    point = strategies.tensor(x)[:, None]
    score = np.array([math.log(b * x) - special.psi(a), a / b - x])
    hessian = np.array([[-special.polygamma(1, a), 1 / b], [1 / b, -a / b**2]])
    theta = strategies.tensor(a, b)
    assert_close(scores(Gamma(), theta, point)[0], score, 1e-11)
    assert_close(hessians(Gamma(), theta, point)[0], hessian, TRIGAMMA)
    chain = np.diag([a, b])
    assert_close(scores(Gamma("log"), theta.log(), point)[0], chain @ score, 1e-10)
    assert_close(
        hessians(Gamma("log"), theta.log(), point)[0],
        chain @ hessian @ chain + np.diag(chain @ score),
        1e-9,
    )


@given(member=strategies.gammas())
def test_information_identity(member):
    family, theta = member
    a, b = shape_and_rate(family, theta)
    x, weights = half_line(1 / b, start=-60 / a)
    assert_information(family, theta, x, density_weights(family, theta, x, weights), 1e-7)


@pytest.mark.parametrize(("a", "b"), [(0.3, 2.0), (1.0, 1.0), (30.0, 0.5)])
@pytest.mark.parametrize("parameters", ["natural", "log"])
def test_draws_follow_the_law(a, b, parameters, rng):
    theta = strategies.tensor(a, b)
    theta = theta if parameters == "natural" else theta.log()
    assert_sampler(
        Gamma(parameters), theta, lambda x: stats.gamma.cdf(x, a, scale=1 / b), rng, comparisons=6
    )


def test_tiny_shapes_give_positive_draws():
    x = Gamma().sample(strategies.tensor(1e-3, 1.0), 500, torch.Generator().manual_seed(0))
    assert (x > 0).all()
    assert torch.isfinite(Gamma().log_prob(strategies.tensor(1e-3, 1.0), x)).all()


@given(theta=strategies.boxes((0.5, 10), (0.3, 5)))
def test_lipschitz_is_zero_in_natural_parameters(theta):
    assert_constant_hessian(Gamma(), theta, torch.logspace(-5, 3, 9, dtype=torch.float64)[:, None])


@given(theta=strategies.boxes((-0.7, 2.3), (-1, 1.6)))
def test_lipschitz_is_infinite_in_logarithmic_parameters(theta):
    assert_unbounded(Gamma("log"), theta, torch.logspace(-1, -12, 12, dtype=torch.float64)[:, None])


@given(a=st.floats(0.1, 50), b=st.floats(0.1, 10))
def test_start_is_near_the_parameters_of_a_fine_sample(a, b):
    """Within 1.5 % (the approximation) and the error of 4001 quantiles, which cut the tail at 0."""
    x = torch.from_numpy(stats.gamma.ppf((np.arange(4001) + 0.5) / 4001, a, scale=1 / b))[:, None]
    for parameters in ("natural", "log"):
        family = Gamma(parameters)
        np.testing.assert_allclose(shape_and_rate(family, family.start(x)), [a, b], rtol=0.03)


def test_domain_and_arguments():
    assert not Gamma().in_domain(strategies.tensor(1, 0))
    assert Gamma("log").in_domain(strategies.tensor(-1, 0))
    off = strategies.tensor(-1, 0)[:, None]
    assert Gamma().log_prob(strategies.tensor(2, 1), off).tolist() == [-math.inf] * 2
    assert Gamma().log_prob(strategies.tensor(-2, 1), off + 3).tolist() == [-math.inf] * 2
    assert torch.isfinite(scores(Gamma(), strategies.tensor(2, 1), off)).all()
    with pytest.raises(
        ValueError, match=r"parameters must be one of \('natural', 'log'\), got 'logs'"
    ):
        Gamma("logs")  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match="x must be > 0, got -1"):
        Gamma().start(off)
    with pytest.raises(ValueError, match="x must not be constant"):
        Gamma().start(torch.full((4, 1), 2.0, dtype=torch.float64))
