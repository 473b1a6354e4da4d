import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from stability.families import Gaussian, GaussianFull, GaussianMean, GaussianNatural
from stability.families.gaussian import symmetric_basis
from stability.laws.family import hessians, scores
from tests.support import strategies
from tests.support.family_oracles import (
    assert_close,
    assert_constant_hessian,
    assert_derivatives,
    assert_follows,
    assert_information,
    assert_prefix,
    normal_log_density,
    normal_rule,
    quotients,
    torch_generator,
)

ANY = st.one_of(
    strategies.gaussians(),
    strategies.full_gaussians(),
    strategies.natural_gaussians(),
    strategies.gaussian_means(),
)


def law(family, theta):
    """Mean and covariance, by NumPy."""
    d, t = family.dimension, theta.numpy()
    if isinstance(family, GaussianMean):
        return t, family.covariance.numpy()
    if isinstance(family, GaussianFull):
        return t[:d], np.linalg.inv(t[d:].reshape(d, d))
    precision = np.zeros((d, d))
    precision[np.triu_indices(d)] = t[d:]
    precision = np.where(np.eye(d) == 1, precision, (precision + precision.T) / math.sqrt(2))
    covariance = np.linalg.inv(precision)
    return (covariance @ t[:d] if isinstance(family, GaussianNatural) else t[:d]), covariance


def points(family, rng, n=6):
    return torch.from_numpy(3 * rng.standard_normal((n, family.dimension)))


def transposition(d):
    """K with K vec E = vec Eᵀ."""
    K = np.zeros((d * d, d * d))
    for i in range(d):
        for j in range(d):
            K[i * d + j, j * d + i] = 1
    return K


@given(member=ANY, seed=st.integers(0, 99))
def test_log_prob_is_that_of_whitened_coordinates(member, seed):
    family, theta = member
    x = points(family, np.random.default_rng(seed))
    mean, covariance = law(family, theta)
    assert_close(family.log_prob(theta, x), normal_log_density(x.numpy(), mean, covariance), 1e-11)


@given(member=ANY, seed=st.integers(0, 99))
def test_derivatives_are_finite_differences(member, seed):
    family, theta = member
    assert_derivatives(family, theta, points(family, np.random.default_rng(seed), 3))


@given(
    member=st.one_of(
        strategies.gaussians(), strategies.natural_gaussians(), strategies.gaussian_means()
    )
)
def test_information_identity(member):
    family, theta = member
    mean, covariance = (torch.from_numpy(value) for value in law(family, theta))
    assert_information(family, theta, *normal_rule(mean, covariance))


@given(member=strategies.gaussians())
def test_strong_concavity_is_the_closed_form(member):
    # theory, closed forms: α = min(λmin(Σ⁻¹), ½ λmin(Σ)²)
    family, theta = member
    values = np.linalg.eigvalsh(law(family, theta)[1])
    alpha = np.linalg.eigvalsh(family.fisher(theta).numpy())[0]
    assert alpha == pytest.approx(min(1 / values[-1], values[0] ** 2 / 2), rel=1e-9)


def printed_blocks(theta, x, d):
    """Blocks of (59) and (60) at one point: score in Σ⁻¹ as printed and corrected, mixed block,
    lower right block.
    """
    mean, precision = theta[:d].numpy(), theta[d:].numpy().reshape(d, d)
    covariance, gap = np.linalg.inv(precision), x.numpy() - mean
    outer = np.outer(gap, gap)
    return (
        outer / 2 - covariance,
        outer / 2 - covariance / 2,
        gap,
        np.kron(covariance, covariance) / 2,
    )


@given(member=strategies.full_gaussians(), seed=st.integers(0, 99))
def test_score_is_59_with_half_of_sigma(member, seed):  # erratum E2
    family, theta = member
    d = family.dimension
    x = points(family, np.random.default_rng(seed), 1)
    printed, corrected, gap, _ = printed_blocks(theta, x[0], d)
    score = scores(family, theta, x)[0].numpy()
    assert_close(score[:d], theta[d:].numpy().reshape(d, d) @ gap, 1e-10)
    assert_close(-score[d:].reshape(d, d), corrected, 1e-10)
    with pytest.raises(AssertionError):
        assert_close(-score[d:].reshape(d, d), printed, 1e-3)


@given(member=strategies.full_gaussians(), seed=st.integers(0, 99))
def test_hessian_is_60_on_symmetric_perturbations(member, seed):
    family, theta = member
    d = family.dimension
    rng = np.random.default_rng(seed)
    x = points(family, rng, 1)
    *_, gap, square = printed_blocks(theta, x[0], d)
    negative = -hessians(family, theta, x)[0].numpy()
    E = rng.standard_normal((d, d))
    E += E.T
    assert_close(negative[:d, :d], theta[d:].numpy().reshape(d, d), 1e-10)
    assert_close(negative[:d, d:] @ E.ravel(), -E @ gap, 1e-10)
    # the printed blocks, both orders
    assert_close(np.kron(np.eye(d), -gap) @ E.ravel(), -E @ gap, 1e-10)
    assert_close(np.kron(-gap, np.eye(d)) @ E.ravel(), -E @ gap, 1e-10)
    assert_close(negative[d:, d:] @ E.ravel(), square @ E.ravel(), 1e-10)


@given(member=strategies.full_gaussians(smallest=2))
def test_off_the_symmetric_matrices_60_lacks_a_transposition(member):
    """The true block is ½ K (Σ⊗Σ), indefinite; the printed one, positive definite, is rejected
    there.
    """
    family, theta = member
    d = family.dimension
    x = theta[None, :d]
    *_, square = printed_blocks(theta, x[0], d)
    block = -hessians(family, theta, x)[0, d:, d:].numpy()
    assert_close(block, transposition(d) @ square, 1e-9)
    with pytest.raises(AssertionError):
        assert_close(block, square, 1e-3)
    antisymmetric = np.zeros((d, d))
    antisymmetric[0, 1], antisymmetric[1, 0] = 1, -1
    assert antisymmetric.ravel() @ block @ antisymmetric.ravel() < 0
    assert np.linalg.eigvalsh(square)[0] > 0


def test_58_is_unbounded_over_all_matrices():
    family, x = GaussianFull(2), torch.ones(1, 2, dtype=torch.float64)
    antisymmetric = strategies.tensor(0, 0, 0, 1, -1, 0)
    values = [
        family.log_prob(strategies.tensor(0, 0, 1, 0, 0, 1) + c * antisymmetric, x).item()
        for c in (0, 10, 1e3, 1e6)
    ]
    assert values == sorted(values)
    assert values[-1] - values[0] == pytest.approx(math.log1p(1e12) / 2)


@given(member=strategies.full_gaussians(smallest=2))
def test_the_information_identity_fails_for_the_full_parametrisation(member):
    """E score scoreᵀ = Fisher still, and singular on antisymmetric matrices, where −E Hessian is
    negative.
    """
    family, theta = member
    mean, covariance = (torch.from_numpy(value) for value in law(family, theta))
    x, p = normal_rule(mean, covariance)
    score = scores(family, theta, x)
    assert_close(family.fisher(theta), torch.einsum("n,np,nq->pq", p, score, score), 1e-9)
    assert np.linalg.eigvalsh(family.fisher(theta).numpy())[0] == pytest.approx(0, abs=1e-9)
    with pytest.raises(AssertionError):
        assert_information(family, theta, x, p, 1e-3)


@given(
    member=st.one_of(strategies.gaussians(), strategies.full_gaussians()), seed=st.integers(0, 99)
)
def test_lipschitz_is_one_exactly(member, seed):
    family, theta = member
    x, y = (points(family, np.random.default_rng(seed + k), 20) for k in (0, 1000))
    L = family.lipschitz(theta).value
    assert L == 1
    # attained by every pair
    np.testing.assert_allclose(quotients(family, theta, x, y), L, rtol=1e-9)


@given(
    member=st.one_of(strategies.natural_gaussians(), strategies.gaussian_means()),
    seed=st.integers(0, 99),
)
def test_natural_parameters_and_the_mean_have_a_constant_hessian(member, seed):
    family, theta = member
    assert_constant_hessian(family, theta, points(family, np.random.default_rng(seed)))


def example(family):
    """A member of the family with correlation, d = 3."""
    covariance = torch.tensor(
        [[2, 0.5, 0.2], [0.5, 1, -0.3], [0.2, -0.3, 0.7]], dtype=torch.float64
    )
    mean = strategies.tensor(1, -2, 0.5)
    precision = torch.linalg.inv(covariance)
    if family is GaussianMean:
        return GaussianMean(covariance), mean
    if family is GaussianFull:
        precision = (precision + precision.T) / 2
        return GaussianFull(3), torch.cat([mean, precision.flatten()])
    theta = Gaussian(3).join(mean, precision)
    return (
        (family(3), theta)
        if family is Gaussian
        else (family(3), torch.cat([precision @ mean, theta[3:]]))
    )


@pytest.mark.parametrize("family", [Gaussian, GaussianFull, GaussianNatural, GaussianMean])
def test_draws_are_normal(family, rng):
    """Whitened by NumPy, coordinates and their sums are standard normal and the squared norm is
    χ².
    """
    family, theta = example(family)
    x = family.sample(theta, 4000, torch_generator(rng)).numpy()
    mean, covariance = law(family, theta)
    z = np.linalg.solve(np.linalg.cholesky(covariance), (x - mean).T).T
    for column in (*z.T, z.sum(1) / math.sqrt(3)):
        assert_follows(stats.norm.cdf(column), comparisons=20)
    assert_follows(stats.chi2.cdf((z**2).sum(1), 3), comparisons=20)
    # negative control
    assert stats.kstest(stats.norm.cdf(1.15 * z.ravel()), "uniform").pvalue < 1e-6
    assert_prefix(family, theta)


@pytest.mark.parametrize("family", [Gaussian, GaussianFull, GaussianNatural, GaussianMean])
def test_start_is_the_maximum_likelihood_estimate(family, rng):
    family, _ = example(family)
    # inverses lose few digits
    axes = stats.ortho_group.rvs(3, random_state=rng) * rng.uniform(0.5, 2, (3, 1))
    x = torch.from_numpy(rng.standard_normal((30, 3)) @ axes + 1)
    theta = family.start(x)
    assert family.in_domain(theta)
    score = scores(family, theta, x)
    assert (score.mean(0).abs() <= 1e-10 * score.abs().max(0).values.clamp(min=1)).all()


def test_the_basis_is_orthonormal():
    basis = symmetric_basis(4).flatten(1)
    assert_close(basis @ basis.T, torch.eye(10), 1e-15)


def test_domain_and_arguments():
    family = Gaussian(2)
    assert not family.in_domain(strategies.tensor(0, 0, 1, 2, 1))  # eigenvalues 1 ± √2
    assert not family.in_domain(strategies.tensor(0, 0, 1, 0))
    assert not family.in_domain(strategies.tensor(0, 0, 1, math.nan, 1))
    assert (
        family.log_prob(
            strategies.tensor(0, 0, -1, 0, -1), torch.zeros(1, 2, dtype=torch.float64)
        ).item()
        == -math.inf
    )
    assert not GaussianFull(2).in_domain(strategies.tensor(0, 0, 1, 0.1, 0, 1))
    with pytest.raises(ValueError, match=r"theta must be a finite point of the domain of Gaussian"):
        family.sample(strategies.tensor(0, 0, 1, 2, 1), 3, torch.Generator())
    with pytest.raises(ValueError, match="dimension must be >= 1, got 0"):
        Gaussian(0)
    with pytest.raises(ValueError, match="covariance must be a symmetric positive definite"):
        GaussianMean(torch.tensor([[1, 2], [2, 1]], dtype=torch.float64))
    with pytest.raises(ValueError, match="covariance of full rank"):
        family.start(torch.ones(5, 1, dtype=torch.float64) * torch.arange(2))
    with pytest.raises(
        ValueError, match=r"shape \(n, 2\) with n >= 3, got torch.float64 of shape \(2, 2\)"
    ):
        family.start(torch.eye(2, dtype=torch.float64))
    with pytest.raises(ValueError, match="n must be >= 0, got -1"):
        family.sample(strategies.tensor(0, 0, 1, 0, 1), -1, torch.Generator())
