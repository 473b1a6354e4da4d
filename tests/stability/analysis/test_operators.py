import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from scipy.stats import chi2

from stability.analysis.operators import (
    NoMaximum,
    climb,
    finite_map,
    h1,
    h2,
    infinite_map,
    maximum_likelihood,
)
from stability.laws.law import Member, NormalMixture
from tests.conftest import FALSE_ALARM
from tests.support.small_families import (
    FreeMixture,
    Normal,
    Redundant,
    StudentT,
    TwoPeaks,
    Variance,
    vector,
)

MIXTURE = NormalMixture((0.7, 0.3), (-1.0, 2.0), (0.6, 1.0))  # mean −0.1, second moment 2.452


@given(mean=st.floats(-3, 3), s=st.floats(-1, 1), mean2=st.floats(-3, 3), s2=st.floats(-1, 1))
@settings(max_examples=15)
def test_the_objectives_of_normals_in_closed_form(mean, s, mean2, s2):
    # E log N(μ', σ'²) under a law with mean m and variance v: −½ log 2πσ'² − (v + (m − μ')²)/2σ'²
    def expected(m, v):
        return -math.log(2 * math.pi) / 2 - s2 - (v + (m - mean2) ** 2) / (2 * math.exp(2 * s2))

    theta, other = vector(mean, s), vector(mean2, s2)
    second = h2(Normal(), theta, other)
    assert float(second.value) == pytest.approx(
        expected(mean, math.exp(2 * s)), rel=1e-11, abs=1e-11
    )
    first = h1(Normal(), MIXTURE, other)
    assert float(first.value) == pytest.approx(expected(-0.1, 2.442), rel=1e-11, abs=1e-11)


@given(mean=st.floats(-3, 3), s=st.floats(-1, 1), lam=st.floats(0, 20))
@settings(max_examples=15)
def test_the_infinite_map_of_a_normal_averages_moments(mean, s, lam):
    image = infinite_map(Normal(), MIXTURE, lam)(vector(mean, s))
    first = (-0.1 + lam * mean) / (1 + lam)
    second = (2.452 + lam * (math.exp(2 * s) + mean**2)) / (1 + lam)
    assert image.theta.tolist() == pytest.approx([first, math.log(second - first**2) / 2], abs=1e-9)
    assert image.gradient_norm < 1e-9 * (1 + lam)
    assert image.iterations < 40


def test_the_maximum_is_that_of_another_optimiser():
    x = MIXTURE.sample(50, torch.Generator().manual_seed(1))
    found = maximum_likelihood(StudentT(), x, vector(4.0, 2.0))
    other = minimize(
        lambda t: -float(StudentT().log_prob(vector(*t), x).mean()),
        [0, 0],
        method="Nelder-Mead",
        tol=1e-10,
    )
    assert found.theta.tolist() == pytest.approx(other.x.tolist(), abs=1e-6)
    assert found.value == pytest.approx(-other.fun, abs=1e-12)
    assert torch.linalg.eigvalsh(found.hessian).max() < 0


@pytest.mark.parametrize("lam", [0.0, 0.3, 5.0])
def test_theta_star_is_a_fixed_point(lam):  # Proposition 4
    star = maximum_likelihood(StudentT(), MIXTURE, vector(0.0, 0.0)).theta
    assert star.tolist() == pytest.approx([-0.36099, 0.26693], abs=5e-6)  # theory.md
    assert infinite_map(StudentT(), MIXTURE, lam)(star).theta.tolist() == pytest.approx(
        star.tolist(), abs=1e-9
    )


def test_other_points_are_not_fixed():
    elsewhere = vector(-0.36099, 0.3)
    assert not torch.allclose(
        infinite_map(StudentT(), MIXTURE, 0.3)(elsewhere).theta, elsewhere, atol=1e-3
    )


def test_steps_stay_in_the_domain():
    law = NormalMixture((1.0,), (0.0,), (3.0,))
    for start in (1e-3, 0.1, 100.0):  # from 1e-3 an unsafe step, from 100 a shifted one
        assert maximum_likelihood(Variance(), law, vector(start)).theta.item() == pytest.approx(
            9, rel=1e-9
        )
    image = infinite_map(Variance(), law, 0.5)(vector(3.0))
    assert image.theta.item() == pytest.approx((9 + 0.5 * 3) / 1.5, rel=1e-9)


# eqs. (1), (3)
def test_the_canonical_maximum_has_the_least_norm_and_the_map_keeps_to_the_closest():
    law = NormalMixture((1.0,), (2.0,), (1.0,))  # θ² − θ = 2: θ = 2 or −1
    starts = torch.tensor([[3.0], [-2.0], [1.7]], dtype=torch.float64)
    assert maximum_likelihood(TwoPeaks(), law, starts).theta.item() == pytest.approx(-1, abs=1e-9)
    assert maximum_likelihood(TwoPeaks(), law, vector(3.0)).theta.item() == pytest.approx(
        2, abs=1e-9
    )
    for theta, limit in ((2.2, 2.0), (-0.8, -1.0)):
        at = vector(theta)
        for _ in range(40):
            at, before = infinite_map(TwoPeaks(), law, 0.5)(at).theta, at
            if abs(at - before) < 1e-10:  # a third of it is left a step
                break
        assert at.item() == pytest.approx(limit, abs=1e-9)


def test_the_finite_map_averages_the_points_it_drew():
    family, theta = Normal(3), vector(1.0, 2.0, 3.0)
    real = torch.randn(10, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    image = finite_map(family, real, 0.75)(theta, torch.Generator().manual_seed(7))
    drawn = family.sample(theta, 7, torch.Generator().manual_seed(7))  # floor(0.75 · 10)
    assert image.theta.tolist() == pytest.approx(
        (torch.cat([real, drawn]).mean(0)).tolist(), abs=1e-12
    )
    unmixed = finite_map(family, real.numpy(), 0.0)(theta, torch.Generator())
    assert unmixed.theta.tolist() == pytest.approx(real.mean(0).tolist(), abs=1e-12)


def test_the_finite_map_scatters_as_s3_says(rng):
    """For a normal mean with n real points the iterates from x̄ have variance (λ/n)(1+λ)⁻²
    Σ_{k<t} c^{2k}, exactly.
    """
    generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
    n, lam, steps, chains = 20, 1.0, 3, 40
    real = torch.randn(n, 5, generator=generator, dtype=torch.float64)
    G = finite_map(Normal(5), real, lam)
    gaps = []
    for _ in range(chains):
        theta = real.mean(0)
        for _ in range(steps):
            theta = G(theta, generator).theta
        gaps.append(theta - real.mean(0))
    c = lam / (1 + lam)
    variance = lam / n / (1 + lam) ** 2 * sum(c ** (2 * k) for k in range(steps))
    freedom = chains * 5
    statistic = float((torch.stack(gaps) ** 2).sum()) / variance
    low, high = chi2.isf([1 - FALSE_ALARM / 2, FALSE_ALARM / 2], freedom)
    assert low < statistic < high
    # negative control: high / low is 2.8, so a variance 4 times too small is rejected
    assert statistic * 4 > high


def test_monte_carlo_above_two_dimensions_is_a_function():
    law = Member(Normal(4), vector(1.0, 0.0, 0.0, 0.0))
    G = infinite_map(Normal(4), law, 1.0, draws=2000)
    one, two = (G(vector(0.0, 0.0, 0.0, 0.0)).theta for _ in range(2))
    assert torch.equal(one, two)
    # 6 standard deviations of a mean of 2000, halved: false alarm below 1e-8; the seed is fixed
    assert one.tolist() == pytest.approx([0.5, 0.0, 0.0, 0.0], abs=6 / math.sqrt(2000))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: maximum_likelihood(FreeMixture(), np.array([3.0, 0.0]), vector(3.0, -1.0)),
            "no maximum|not finite",
        ),
        (
            lambda: maximum_likelihood(Normal(), np.array([1.0]), vector(1.0, 0.0)),
            "no maximum|not finite",
        ),
        (
            lambda: maximum_likelihood(Redundant(), MIXTURE, vector(0.0, 0.0)),
            "not strongly concave: alpha = ",
        ),
        # a saddle, exactly
        (lambda: maximum_likelihood(TwoPeaks(), MIXTURE, vector(0.5)), "not strongly concave"),
    ],
)
def test_what_has_no_maximum_says_so(call, message):
    with pytest.raises(NoMaximum, match=message):
        call()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: infinite_map(Normal(), MIXTURE, math.inf), "lam must be finite and >= 0, got inf"),
        (lambda: infinite_map(Normal(), MIXTURE, -1.0), "got -1"),
        (lambda: finite_map(Normal(), np.zeros((3, 1)), math.nan), "got nan"),
        (lambda: finite_map(Normal(), MIXTURE, 1.0), "real must be an array"),
        (
            lambda: infinite_map(Normal(), MIXTURE, 1.0)(vector(math.nan, 0.0)),
            "theta must be a finite vector",
        ),
        (
            lambda: maximum_likelihood(Normal(), np.array([[np.inf]]), vector(0.0, 0.0)),
            "NaN or Inf",
        ),
        (
            lambda: maximum_likelihood(Variance(), MIXTURE, vector(-1.0)),
            "start must be in the domain",
        ),
        (
            lambda: climb(Normal(), torch.zeros(1, 1).double(), vector(1.0), vector(0.0, -800.0)),
            "finite objective",
        ),
    ],
)
def test_bad_arguments_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
