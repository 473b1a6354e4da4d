import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from stability.families import GaussianMixture, GaussianMixtureFreeSd
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

ANY = st.one_of(strategies.mixtures(), strategies.free_sd_mixtures())


def components(family, theta):
    """Weights, means and standard deviations, by NumPy."""
    K, t = family.components, theta.numpy()
    weights = np.exp(np.append(t[: K - 1], 0))
    sds = np.full(K, family.sd) if isinstance(family, GaussianMixture) else np.exp(t[2 * K - 1 :])
    return weights / weights.sum(), t[K - 1 : 2 * K - 1], sds


@given(member=ANY, x=strategies.boxes(*[(-8, 8)] * 5))
def test_log_prob_is_the_logarithm_of_a_sum(member, x):
    family, theta = member
    weights, means, sds = components(family, theta)
    density = (weights * stats.norm.pdf(x.numpy()[:, None], means, sds)).sum(1)
    assert_close(family.log_prob(theta, x[:, None]), np.log(density), 1e-11)


def test_log_prob_where_every_density_underflows():
    family, theta = GaussianMixture(), strategies.tensor(0.0, -1.0, 1.0)
    x = strategies.tensor(1e3)[:, None]
    expected = -math.log(2) - (1e3 - 1) ** 2 / 2 - math.log(2 * math.pi) / 2
    assert family.log_prob(theta, x).item() == pytest.approx(expected, rel=1e-14)
    assert torch.isfinite(hessians(family, theta, x)).all()


@given(member=ANY, x=strategies.boxes(*[(-5, 5)] * 2))
def test_derivatives_are_finite_differences(member, x):
    family, theta = member
    assert_derivatives(family, theta, x[:, None])


@given(member=strategies.mixtures(), x=st.floats(-5, 5))
def test_score_is_posterior_minus_prior(member, x):
    """By hand: r_k − π_k for the logits, r_k (x − μ_k)/sd² for the means; Hessian entries of the
    first two means.
    """
    family, theta = member
    weights, means, sds = components(family, theta)
    r = weights * stats.norm.pdf(x, means, sds)
    r /= r.sum()
    u = (x - means) / family.sd**2
    point = strategies.tensor(x)[:, None]
    assert_close(scores(family, theta, point)[0], [*(r - weights)[:-1], *r * u], 1e-10)
    K = family.components
    block = np.outer(u, u) * (np.diag(r) - np.outer(r, r)) - np.diag(r) / family.sd**2
    assert_close(hessians(family, theta, point)[0, K - 1 :, K - 1 :], block, 1e-10)


@given(member=ANY)
@settings(max_examples=20)
def test_information_identity(member):
    family, theta = member
    _, means, _ = components(family, theta)
    x, weights = real_line(means.mean(), 1.0, end=5.0)
    assert_information(family, theta, x, density_weights(family, theta, x, weights))


@pytest.mark.parametrize(
    ("family", "theta"),
    [
        (GaussianMixture(3, 0.5), (1, -0.5, -2, 3, 0)),
        (GaussianMixtureFreeSd(2), (0.7, -1, 2, 0.3, -1)),
    ],
)
def test_draws_follow_the_law(family, theta, rng):
    theta = strategies.tensor(*theta)
    weights, means, sds = components(family, theta)
    assert_sampler(
        family, theta, lambda x: (weights * stats.norm.cdf(x[:, None], means, sds)).sum(1), rng, 2
    )


@pytest.mark.parametrize(
    ("family", "theta"),
    [
        (GaussianMixture(2, 1.0), (0.3, -2, 2)),
        (GaussianMixture(2, 0.6), (-1, 1, 0.5)),
        (GaussianMixture(3, 0.7), (0.5, 1, -3, 0, 4)),
        (GaussianMixture(3, 1.0), (4, 4, 0, 1, 0.5)),
    ],
)
def test_lipschitz_is_approached_and_never_exceeded(family, theta, rng):
    assert_lipschitz(family, strategies.tensor(*theta), 0.0, 1.0, rng, end=6.0)


@given(member=strategies.mixtures(), seed=st.integers(0, 99))
def test_lipschitz_is_not_exceeded_on_random_members(member, seed):
    """Neighbours on a coarse mesh: their quotient is at most L, whatever the mesh."""
    family, theta = member
    _, means, _ = components(family, theta)
    x = means.mean() + family.sd * 6 * torch.from_numpy(
        np.random.default_rng(seed).standard_normal((400, 1))
    )
    x = x.sort(0).values
    x = x[torch.cat([torch.ones(1, dtype=torch.bool), x[:, 0].diff() > 1e-3])]
    H = hessians(family, theta, x)
    largest = (torch.linalg.matrix_norm(H.diff(dim=0), 2) / x[:, 0].diff()).max().item()
    L = family.lipschitz(theta).value
    assert 0.2 * L < largest <= L * (1 + 1e-9)


def assert_bounded_between(family, theta, left, width, shrink=1.0):
    K, t = family.components, theta.numpy()
    log_odds, mu = np.append(t[: K - 1], 0.0), t[K - 1 :]
    assert_bends_at_most(
        lambda x: family._derivative(x, log_odds, mu),
        lambda left, right: shrink * family._curvature(left, right, mu),
        left,
        left + width,
    )


@given(
    member=strategies.mixtures(), x=strategies.boxes(*[(-10, 10)] * 20), width=st.floats(0.01, 2)
)
def test_the_bound_between_points_of_evaluation_is_one(member, x, width):
    family, theta = member
    assert_bounded_between(family, theta, x.numpy(), width)


def test_a_bound_between_points_that_is_too_small_is_rejected():
    """The bound is safe by a factor of about 150 here, so a thousandth of it is none."""
    with pytest.raises(AssertionError):
        assert_bounded_between(
            GaussianMixture(), strategies.tensor(0, -1, 1), np.linspace(-2, 2, 41), 0.1, 1e-3
        )


@pytest.mark.parametrize(
    "theta", [(0.5, 0.2, 1.0, 1.0, -1.0), (0.5, 0.2, -1.0, 1.0, -1.0), (0, 0, 2, 2, 2)]
)
def test_lipschitz_is_infinite_where_extreme_means_coincide(theta):
    side = 1 if theta[2:].count(max(theta[2:])) > 1 else -1
    x = side * torch.logspace(1, 5, 9, dtype=torch.float64)[:, None]
    assert_unbounded(GaussianMixture(3), strategies.tensor(*theta), x)


def test_lipschitz_is_finite_where_inner_means_coincide(rng):
    assert_lipschitz(
        GaussianMixture(4), strategies.tensor(0, 0.5, 1, -3, 1, 1, 3), 0.0, 1.0, rng, end=6.0
    )


def test_lipschitz_grows_like_one_over_the_gap_of_extreme_means():
    gaps = np.array([1e-3, 1e-6, 1e-9, 1e-12])
    values = [GaussianMixture().lipschitz(strategies.tensor(0, 0, gap)).value for gap in gaps]
    np.testing.assert_allclose(values * gaps, values[0] * gaps[0], rtol=1e-5)


@pytest.mark.parametrize("theta", [(0, -1, 2, 0.3, -1), (0, -1, 2, 0.3, 0.3), (0, 1, 1, 0, 0)])
def test_free_sds_have_no_lipschitz_constant(theta):
    x = torch.logspace(1, 5, 9, dtype=torch.float64)[:, None]
    assert_unbounded(GaussianMixtureFreeSd(), strategies.tensor(*theta), x)


def test_free_sds_have_no_maximum(rng):
    """A mean on a data point and its sd → 0: the likelihood passes every bound."""
    family, x = GaussianMixtureFreeSd(), torch.from_numpy(rng.standard_normal((20, 1)))
    heights = [
        family.log_prob(strategies.tensor(0, x[0].item(), 0, -e, 0), x).mean().item()
        for e in (5, 50, 500)
    ]
    assert heights[0] < heights[1] < heights[2]
    assert heights[2] - heights[1] == pytest.approx(450 / 20)


@given(member=ANY)
@settings(max_examples=10)
def test_start_lies_in_the_domain_and_orders_the_means(member):
    family, theta = member
    x = family.sample(theta, 50, torch.Generator().manual_seed(0))
    start = family.start(x)
    assert family.in_domain(start)
    assert (start[family.components - 1 : 2 * family.components - 1].diff() > 0).all()
    torch.testing.assert_close(start, family.start(x.flip(0)))


def test_bad_arguments_are_refused():
    with pytest.raises(ValueError, match="components must be >= 2, got 1"):
        GaussianMixture(1)
    with pytest.raises(ValueError, match="components must be >= 2, got 0"):
        GaussianMixtureFreeSd(0)
    with pytest.raises(ValueError, match="sd must be finite and > 0, got -1"):
        GaussianMixture(2, -1.0)
    constant = torch.ones(8, 1, dtype=torch.float64)
    with pytest.raises(ValueError, match="groups of different means"):
        GaussianMixture().start(constant)
    with pytest.raises(ValueError, match="groups with spread"):
        GaussianMixtureFreeSd().start(constant)
