import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

from stability.families import StudentT
from stability.laws.expectation import rule
from stability.laws.law import Member, NormalMixture
from tests.conftest import FALSE_ALARM
from tests.support.laws import Custom, normal


def moments(x):
    return torch.cat([x**k for k in range(1, 7)], 1)


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


def test_a_moment_that_does_not_exist_is_refused():
    law = Member(StudentT(1.8), torch.tensor([0.0, 0.0], dtype=torch.float64))
    # E |t| = 2 √ν Γ((ν+1)/2) / (√π Γ(ν/2) (ν − 1))
    estimate = (r := rule(law, torch.abs)).expect(r.points.abs())
    mean = 2 * math.sqrt(1.8 / math.pi) / 0.8 * math.exp(math.lgamma(1.4) - math.lgamma(0.9))
    assert abs(float(estimate.value) - mean) <= float(estimate.error)
    with pytest.raises(ValueError, match="does not converge"):
        rule(law, lambda x: x**2)


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


def test_values_that_are_not_finite_are_refused():
    law_rule = rule(normal())
    with pytest.raises(ValueError, match="values must be finite"):
        law_rule.expect(torch.log(law_rule.points))
