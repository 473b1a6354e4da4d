import math

import numpy as np
import pytest
import torch

from stability.laws.expectation import rule
from stability.laws.law import NormalMixture
from stability.laws.quadrature import kronrod, panels
from tests.support.laws import Custom, correlated, gamma, normal


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


def test_a_derivative_that_overflows_at_an_end_without_mass_does_not_matter():
    """Autograd divides by x² in second derivatives of log x, which is inf below x = 1e-154; there
    a Γ(1/2) law has a mass of 1e-77, which counts as none.
    """

    def overflowing(x):
        return torch.where(x < 1e-154, torch.inf, x)

    r = rule(gamma(0.5, support=((0.0, math.inf),)), overflowing)
    assert float(r.expect(overflowing(r.points)).value) == pytest.approx(0.5, rel=1e-9)


def test_a_function_that_is_infinite_where_mass_is_left_is_refused_at_an_end_too():
    with pytest.raises(ValueError, match="must be finite where the law has mass"):
        rule(
            gamma(0.5, support=((0.0, math.inf),)), lambda x: torch.where(x < 1e-130, torch.inf, x)
        )


@pytest.mark.parametrize(("rho", "sds"), [(0.0, (1.0, 1.0)), (0.9, (1.0, 0.1))])
def test_covariances_in_the_plane(rho, sds):
    covariance, law = correlated(rho, sds)
    products = (r := rule(law, lambda x: torch.stack([x[:, 0] * x[:, 1], x[:, 1] ** 2], 1))).points[
        :, :, None
    ]
    estimate = r.expect(products * r.points[:, None])
    assert (abs(estimate.value - covariance) <= estimate.error + 1e-12).all()
    assert estimate.error.max() < 1e-5


def unnormalised():
    return Custom(lambda x: normal().log_prob(x) - 0.01, normal().sample)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: rule(unnormalised()), "mass 0.99005"),
        (
            lambda: rule(normal(), lambda x: torch.log(x)),
            "integrand must be finite where the law has mass",
        ),
        (
            lambda: rule(Custom(lambda x: x[:, 0] * torch.nan, normal().sample)),
            "must not be NaN .* needs `support`",
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
    ],
)
def test_what_quadrature_cannot_integrate_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
