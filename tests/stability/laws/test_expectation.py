import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

from stability.families import StudentT
from stability.laws.expectation import rule
from stability.laws.law import Member, NormalMixture, as_law
from stability.laws.quadrature import kronrod, panels
from tests.conftest import FALSE_ALARM


def normal(mean=0.0, sd=1.0):
    return NormalMixture((1.0,), (float(mean),), (float(sd),))


class Custom:
    """A law from a log-density and inverse-CDF or other sampler; extra attributes as given."""

    def __init__(self, log_prob: Any, sample: Any, **attributes: Any):
        self.log_prob, self.sample = log_prob, sample
        vars(self).update(attributes)


def gamma(shape, **attributes):
    """Density x^(shape−1) e^(−x)/Γ(shape) on x > 0, for integer shapes, or ½ (a singularity at
    0).
    """

    def log_prob(x):
        safe = x[:, 0].clamp(min=1e-300)
        value = (shape - 1) * safe.log() - safe - math.lgamma(shape)
        return torch.where(x[:, 0] > 0, value, -torch.inf)

    def sample(n, generator):
        if shape == 0.5:
            return torch.randn(n, 1, generator=generator, dtype=torch.float64) ** 2 / 2
        uniform = torch.rand(n, shape, generator=generator, dtype=torch.float64)
        return -torch.log1p(-uniform).sum(1, keepdim=True)

    return Custom(log_prob, sample, **attributes)


def correlated(rho, sds):
    """A centred Gaussian in the plane."""
    covariance = torch.tensor(
        [[sds[0] ** 2, rho * sds[0] * sds[1]], [rho * sds[0] * sds[1], sds[1] ** 2]]
    ).double()
    root, precision = torch.linalg.cholesky(covariance), torch.linalg.inv(covariance)
    constant = -math.log(2 * math.pi) - float(torch.linalg.slogdet(covariance)[1]) / 2
    return covariance, Custom(
        lambda x: constant - torch.einsum("ni,ij,nj->n", x, precision, x) / 2,
        lambda n, generator: torch.randn(n, 2, generator=generator, dtype=torch.float64) @ root.T,
    )


def moments(x):
    return torch.cat([x**k for k in range(1, 7)], 1)


@pytest.mark.parametrize("degree", range(40))
def test_kronrods_rule_is_exact_to_degree_31_and_gausss_to_19(degree):
    nodes, fine, coarse = kronrod()
    legendre = np.polynomial.legendre.legval(nodes.numpy(), np.eye(40)[degree])
    exact = 2.0 if degree == 0 else 0.0  # by orthogonality
    for weights, limit in ((fine, 31), (coarse, 19)):
        gap = abs(float(weights.numpy() @ legendre) - exact)
        if degree <= limit or degree % 2:
            assert gap < 1e-14
        elif degree == limit + 1:
            assert gap > 1e-6  # negative control: the next even degree is not integrated


@given(mean=st.floats(-1e3, 1e3), sd=st.floats(1e-3, 1e3))
def test_moments_of_a_normal_at_any_place_and_scale(mean, sd):
    law = normal(mean, sd)
    estimate = (r := rule(law, lambda x: moments((x - mean) / sd))).expect(
        moments((r.points - mean) / sd)
    )
    expected = torch.tensor([0, 1, 0, 3, 0, 15], dtype=torch.float64)
    gap = (estimate.value - expected).abs()
    # what x itself rounds to is eps · (|mean|/sd + 1) in units of sd
    assert (gap <= estimate.error + 1e-12 * (1 + abs(mean) / sd)).all()
    assert (estimate.error <= 1e-8 + 1e-13 * (1 + abs(mean) / sd)).all()
    assert estimate.method == "quadrature"


def test_the_error_estimate_tells_when_a_rule_is_used_for_what_it_was_not_made_for():
    law_rule = rule(normal())
    rough = law_rule.expect(torch.cos(200 * law_rule.points))  # E cos(ωx) = e^{−ω²/2}: 0
    assert rough.error > abs(rough.value) > 1e-6


def test_far_modes_are_found_and_modes_too_narrow_to_be_found_are_noticed():
    law = NormalMixture((0.9, 0.05, 0.05), (0.0, 50.0, -100.0), (1.0, 0.2, 0.5))
    estimate = (r := rule(law, lambda x: x)).expect(r.points)
    assert float(estimate.value) == pytest.approx(0.05 * 50 - 0.05 * 100, rel=1e-9)
    hidden = NormalMixture((0.9, 0.1 - 1e-7, 1e-7), (0.0, 50.0, 0.123), (1.0, 0.2, 1e-6))
    found = (r := rule(hidden)).expect(torch.ones(len(r.points), dtype=torch.float64))
    # the law tells where its modes are
    assert abs(float(found.value) - 1) <= float(found.error) + 1e-15
    with pytest.raises(ValueError, match=r"1\.0e-07 of the mass was not found"):
        rule(Custom(hidden.log_prob, hidden.sample))
    told = rule(Custom(hidden.log_prob, hidden.sample, landmarks=[[0.123]]))
    assert len(told.points) > 0


def test_a_moment_that_does_not_exist_is_refused():
    law = Member(StudentT(1.8), torch.tensor([0.0, 0.0], dtype=torch.float64))
    # E |t| = 2 √ν Γ((ν+1)/2) / (√π Γ(ν/2) (ν − 1))
    estimate = (r := rule(law, torch.abs)).expect(r.points.abs())
    mean = 2 * math.sqrt(1.8 / math.pi) / 0.8 * math.exp(math.lgamma(1.4) - math.lgamma(0.9))
    assert abs(float(estimate.value) - mean) <= float(estimate.error)
    with pytest.raises(ValueError, match="does not converge"):
        rule(law, lambda x: x**2)


def test_a_far_mode_is_found_by_its_peak_alone():
    law = NormalMixture((1 - 1e-9, 1e-9), (0.0, 1e7), (1.0, 1.0))
    hidden = rule(Custom(law.log_prob, law.sample), lambda x: x)
    estimate = hidden.expect(hidden.points)
    assert abs(float(estimate.value) - 0.01) <= float(estimate.error)
    assert float(estimate.error) < 1e-4


@pytest.mark.parametrize("support", [None, ((0.0, math.inf),)])
@pytest.mark.parametrize("shape", [1, 3])
def test_a_bounded_support_stated_or_not(shape, support):
    law = gamma(shape, support=support)
    estimate = (r := rule(law, lambda x: torch.cat([x, x**2, x.log()], 1))).expect(
        torch.cat([r.points, r.points**2, r.points.log()], 1)
    )
    digamma = -np.euler_gamma + sum(1 / k for k in range(1, shape))
    expected = torch.tensor([shape, shape * (shape + 1), digamma], dtype=torch.float64)
    assert (abs(estimate.value - expected) <= estimate.error + 1e-12).all()
    assert estimate.error.max() < 1e-7


def test_a_singular_density_has_a_larger_error_that_is_stated():
    estimate = (r := rule(gamma(0.5, support=((0.0, math.inf),)), lambda x: x)).expect(r.points)
    mass = r.expect(torch.ones(len(r.points), dtype=torch.float64))
    assert abs(float(estimate.value) - 0.5) <= float(estimate.error) + 1e-12
    assert abs(float(mass.value) - 1) <= float(mass.error)


@pytest.mark.parametrize(("rho", "sds"), [(0.0, (1.0, 1.0)), (0.9, (1.0, 0.1))])
def test_covariances_in_the_plane(rho, sds):
    covariance, law = correlated(rho, sds)
    products = (r := rule(law, lambda x: torch.stack([x[:, 0] * x[:, 1], x[:, 1] ** 2], 1))).points[
        :, :, None
    ]
    estimate = r.expect(products * r.points[:, None])
    assert (abs(estimate.value - covariance) <= estimate.error + 1e-12).all()
    assert estimate.error.max() < 1e-5


def test_points_are_their_own_law_exactly():
    x = np.array([[1.0, 2.0], [3.0, 5.0], [2.0, 2.0]])
    estimate = (r := rule(x)).expect(r.points)
    assert estimate.value.tolist() == pytest.approx([2.0, 3.0], rel=1e-15)
    assert estimate.error.tolist() == [0.0, 0.0]
    assert estimate.method == "exact"


def test_atoms_are_summed():
    p = torch.tensor([0.2, 0.5, 0.3, 0.0], dtype=torch.float64)
    law = Custom(
        lambda x: p.log()[x[:, 0].long()],
        lambda n, generator: torch.multinomial(p, n, True, generator=generator).double()[:, None],
        atoms=torch.arange(4.0)[:, None],
    )
    assert float((r := rule(law)).expect(r.points).value) == pytest.approx(1.1, abs=1e-15)
    assert len(r.points) == 3  # what has no mass is left out


def test_monte_carlo_says_how_wrong_it_may_be(rng):
    generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
    sampler = Custom(
        None, lambda n, generator: torch.randn(n, 4, generator=generator, dtype=torch.float64)
    )
    del sampler.log_prob
    law_rule = rule(sampler, draws=20_000, generator=generator)
    estimate = law_rule.expect(torch.cat([law_rule.points, law_rule.points**2], 1))
    z = (estimate.value - torch.tensor([0.0] * 4 + [1.0] * 4)) / estimate.error
    # 20,000 draws: Berry–Esseen's error in the tail of χ²₁ means is covered by the factor 1.2
    assert z.abs().max() < 1.2 * norm.isf(FALSE_ALARM / (2 * 8))
    assert estimate.error[0] == pytest.approx(1 / math.sqrt(20_000), rel=0.1)
    assert estimate.method == "monte carlo"


def test_equal_calls_agree_and_sampling_matches_the_density(rng):
    law = NormalMixture((0.7, 0.3), (-1.0, 2.0), (0.6, 1.0))
    draws = law.sample(40_000, torch.Generator().manual_seed(int(rng.integers(2**62)))).numpy()
    r = rule(law, moments)
    inside = r.expect((r.points < 0).double())  # discontinuous: only roughly integrated
    cdf = 0.7 * norm.cdf(0, -1, 0.6) + 0.3 * norm.cdf(0, 2, 1)
    assert float(inside.value) == pytest.approx(cdf, abs=0.05)
    z = ((draws < 0).mean() - cdf) / math.sqrt(cdf * (1 - cdf) / 40_000)
    # the binomial's normal tail, with its continuity correction
    assert abs(z) < norm.isf(FALSE_ALARM / 2) + 0.1
    assert torch.equal(rule(law, moments).points, r.points)


def test_a_member_of_a_family_is_a_law():
    class Exponential:
        support = ((0.0, math.inf),)

        def log_prob(self, theta, x):
            return torch.where(x[:, 0] >= 0, theta[0].log() - theta[0] * x[:, 0], -torch.inf)

        def sample(self, theta, n, generator):
            return (
                -torch.log1p(-torch.rand(n, 1, generator=generator, dtype=torch.float64)) / theta[0]
            )

    law = Member(Exponential(), torch.tensor([4.0], dtype=torch.float64))
    assert float((r := rule(law, lambda x: x)).expect(r.points).value) == pytest.approx(
        0.25, rel=1e-12
    )


def unnormalised():
    return Custom(lambda x: normal().log_prob(x) - 0.01, normal().sample)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: rule(np.zeros((0, 2))), r"n >= 1, got shape \(0, 2\)"),
        (lambda: rule(np.array([1.0, np.nan])), "NaN or Inf"),
        (lambda: rule(np.zeros((2, 2, 2))), r"shape \(n, d\)"),
        (lambda: as_law("points"), "must be an array of points or have sample"),  # type: ignore[arg-type]
        (lambda: rule(unnormalised()), "mass 0.99005"),
        (
            lambda: rule(normal(), lambda x: torch.log(x)),
            "integrand must be finite where the law has mass",
        ),
        (lambda: (r := rule(normal())).expect(torch.log(r.points)), "values must be finite"),
        (lambda: rule(Custom(lambda x: x[:, 0] * torch.nan, normal().sample)), "must not be NaN"),
        (
            lambda: rule(Custom(normal().log_prob, lambda n, generator: torch.zeros(n))),
            r"points \(7?",
        ),
        (
            lambda: rule(
                Custom(normal().log_prob, lambda n, generator: torch.zeros(n, 1).double())
            ),
            "must have a density",
        ),
        (lambda: rule(gamma(1, support=((1.0, 0.0),))), "lower < upper"),
        (
            lambda: rule(Custom(normal().log_prob, normal().sample, landmarks=[1.0])),
            r"landmarks must be finite .*\(k, 1\)",
        ),
        (
            lambda: panels(
                Custom(
                    normal().log_prob,
                    lambda n, generator: torch.rand(n, 3, generator=generator).double(),
                )
            ),
            "in 3-D",
        ),
        (lambda: NormalMixture((0.5, 0.6), (0.0, 1.0), (1.0, 1.0)), "sum 1"),
        (lambda: NormalMixture((1.0,), (0.0,), (0.0,)), "> 0"),
        (lambda: NormalMixture((1.0,), (0.0, 1.0), (1.0,)), "one length"),
    ],
)
def test_what_cannot_be_integrated_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
