import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from stability.families import PPCA, Gaussian
from stability.laws.family import hessians, scores
from tests.support import strategies
from tests.support.family_oracles import (
    assert_close,
    assert_derivatives,
    assert_follows,
    assert_information,
    assert_prefix,
    assert_unbounded,
    normal_log_density,
    normal_rule,
    torch_generator,
)


def law(family, theta):
    d, t = family.dimension, theta.numpy()
    w = t[d : 2 * d]
    return t[:d], np.outer(w, w) + math.exp(2 * t[-1]) * np.eye(d)


@given(member=strategies.ppcas(), seed=st.integers(0, 99))
def test_log_prob_is_that_of_whitened_coordinates(member, seed):
    family, theta = member
    x = np.random.default_rng(seed).normal(0, 3, (5, family.dimension))
    expected = normal_log_density(x, *law(family, theta))
    assert_close(family.log_prob(theta, torch.from_numpy(x)), expected, 1e-11)


@given(member=strategies.ppcas(), seed=st.integers(0, 99))
def test_derivatives_are_finite_differences(member, seed):
    family, theta = member
    x = torch.from_numpy(np.random.default_rng(seed).normal(0, 2, (2, family.dimension)))
    assert_derivatives(family, theta, x)


@given(member=strategies.ppcas(), seed=st.integers(0, 99))
def test_score_is_the_closed_form(member, seed):
    """By hand: with M = C⁻¹yyᵀC⁻¹ − C⁻¹ it is (C⁻¹y, Mw, σ² tr M)."""
    family, theta = member
    d = family.dimension
    x = np.random.default_rng(seed).normal(0, 2, d)
    mean, C = law(family, theta)
    y = np.linalg.solve(C, x - mean)
    M = np.outer(y, y) - np.linalg.inv(C)
    expected = [*y, *M @ theta.numpy()[d : 2 * d], math.exp(2 * theta[-1].item()) * np.trace(M)]
    assert_close(scores(family, theta, torch.from_numpy(x)[None])[0], expected, 1e-10)


@given(member=strategies.ppcas())
def test_information_identity(member):
    family, theta = member
    mean, covariance = law(family, theta)
    assert_information(
        family, theta, *normal_rule(torch.from_numpy(mean), torch.from_numpy(covariance))
    )


def test_draws_are_normal(rng):
    family, theta = PPCA(3), strategies.tensor(1, -2, 0.5, 1, -0.5, 0.3, -0.4)
    x = family.sample(theta, 4000, torch_generator(rng)).numpy()
    mean, covariance = law(family, theta)
    z = np.linalg.solve(np.linalg.cholesky(covariance), (x - mean).T).T
    for column in (*z.T, z.sum(1) / math.sqrt(3)):
        assert_follows(stats.norm.cdf(column), comparisons=5)
    assert_follows(stats.chi2.cdf((z**2).sum(1), 3), comparisons=5)
    assert_prefix(family, theta)


@given(member=strategies.ppcas())
def test_lipschitz_is_infinite(member):
    """Along the axis that is most orthogonal to w."""
    family, theta = member
    d = family.dimension
    w = theta[d : 2 * d]
    direction = torch.eye(d, dtype=w.dtype)[w.abs().argmin()]
    direction = direction - (direction @ w) / (w @ w) * w
    x = theta[:d] + torch.logspace(1, 5, 9, dtype=torch.float64)[:, None] * direction
    assert_unbounded(family, theta, x)


@pytest.mark.parametrize("d", [2, 3])
def test_start_is_the_maximum_likelihood_estimate(d, rng):
    x = torch.from_numpy(
        rng.standard_normal((60, d)) + 2 * rng.standard_normal((60, 1)) * np.arange(1, d + 1)
    )
    family = PPCA(d)
    theta = family.start(x)
    assert_close(scores(family, theta, x).mean(0), torch.zeros(2 * d + 1), 1e-9)
    # a maximum, no saddle
    assert torch.linalg.eigvalsh(hessians(family, theta, x).mean(0)).max() < 0
    assert theta[d : 2 * d].max() > 0


def test_two_dimensions_are_all_gaussians(rng):
    x = torch.from_numpy(rng.standard_normal((40, 2)) @ np.array([[2, 0.5], [0, 1]]))
    heights = [
        family.log_prob(family.start(x), x).sum().item() for family in (PPCA(2), Gaussian(2))
    ]
    assert heights[0] == pytest.approx(heights[1], rel=1e-12)


@given(member=strategies.ppcas())
def test_the_sign_of_the_loadings_does_not_matter(member):
    family, theta = member
    d = family.dimension
    flipped = torch.cat([theta[:d], -theta[d : 2 * d], theta[2 * d :]])
    x = torch.linspace(-2, 2, 3 * d, dtype=torch.float64).reshape(3, d)
    assert_close(family.log_prob(theta, x), family.log_prob(flipped, x), 1e-13)


def test_bad_arguments_are_refused():
    with pytest.raises(ValueError, match="dimension must be >= 2, got 1"):
        PPCA(1)
    with pytest.raises(ValueError, match="x must not lie on a line"):
        PPCA(2).start(torch.arange(6, dtype=torch.float64)[:, None] * strategies.tensor(1, 2))
    with pytest.raises(ValueError, match="domain of PPCA"):
        PPCA(2).sample(torch.zeros(4, dtype=torch.float64), 2, torch.Generator())
