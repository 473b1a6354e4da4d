import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

from stability.families import GaussianMean, StudentT
from stability.laws.law import Member
from stability.laws.monte_carlo import mean_square_slack
from stability.statements.assumption3 import Constants, Fitted, KnownVarianceGaussian, Loop
from tests.conftest import FALSE_ALARM

lams = st.floats(0, 100)
deltas = st.floats(-12, 0).map(lambda u: 10.0**u)
scales = st.floats(1e-3, 1e3)
sizes = st.integers(1, 10**9)


@given(d=st.integers(1, 50), tau=scales, n=sizes, lam=lams, delta=deltas)
def test_the_closed_form_constants_satisfy_assumption_3(d, tau, n, lam, delta):
    model = KnownVarianceGaussian(d, tau)
    assert model.exceedance(n, lam, model.constants(lam).step(n, delta)) <= delta * (1 + 1e-9)
    simple = Constants(a=2 * tau, b=math.exp(d / 2))  # the same for all λ, and larger
    assert simple.step(n, delta) >= model.constants(lam).step(n, delta)


@given(tau=scales, n=sizes, lam=lams, distance=st.floats(0.01, 5))
def test_the_exceedance_in_one_and_two_dimensions(tau, n, lam, distance):
    """By the normal tail, and by Rayleigh's."""
    sd = tau / math.sqrt(n * (1 + lam))
    one, two = (KnownVarianceGaussian(d, tau).exceedance(n, lam, distance * sd) for d in (1, 2))
    assert one == pytest.approx(2 * norm.sf(distance), rel=1e-9)
    assert two == pytest.approx(math.exp(-(distance**2) / 2), rel=1e-9)


@given(d=st.integers(3, 20), delta=st.floats(-12, -0.1).map(lambda u: 10.0**u))
def test_smaller_constants_do_not_satisfy_it(d, delta):
    """Negative control: a = √2 τ and b = 1, with which it holds with equality for d = 2."""
    distance = Constants(math.sqrt(2), 1.0).step(1, delta)
    assert KnownVarianceGaussian(d).exceedance(1, 0.0, distance) > delta
    assert KnownVarianceGaussian(2).exceedance(1, 0.0, distance) == pytest.approx(delta)


@pytest.mark.parametrize(("d", "tau", "n", "lam"), [(1, 1.0, 4, 0.5), (3, 2.5, 8, 1.0)])
def test_the_residuals_have_the_law_that_the_constants_come_from(d, tau, n, lam, rng):
    """n(1 + λ)‖G^n(θ_s) − G^∞(θ_s)‖²/τ² ~ χ²_d at each of the three rounds."""
    loop = KnownVarianceGaussian(d, tau).run(n, lam, 3, 4000, rng)
    assert loop.errors.shape == (4, 4000, d)
    assert loop.steps.shape == (3, 4000)
    means = np.square(loop.steps).mean(axis=1) * n * (1 + lam) / (tau**2 * d)
    assert np.abs(means - 1).max() < mean_square_slack(4000 * d, FALSE_ALARM / 12)


@given(
    steps=st.lists(st.floats(0.01, 10), min_size=1, max_size=30),
    n=st.integers(1, 1000),
    eps_opt=st.floats(0, 5),
)
def test_the_least_a_is_enough_and_no_less_is(steps, n, eps_opt):
    levels = np.arange(1, len(steps) + 1) / len(steps)
    loop = Loop(
        "",
        np.empty(0),
        Constants(1.0, 2.0, eps_opt),
        1.0,
        0.5,
        0.5,
        np.empty(0),
        np.array([steps]),
        np.empty(0),
        np.empty(0),
        0.5,
        "",
    )

    def broken(a):
        limits = [Constants(a, 2.0, eps_opt).step(n, delta) + 1e-9 for delta in levels]
        return any(
            (np.array(steps) > limit).mean() >= delta
            for limit, delta in zip(limits, levels, strict=True)
        )

    least = loop.least_a(n)
    assert not broken(max(least, 0.0))
    assert least <= 1e-3 or broken(0.99 * least)


def test_a_fitted_family_gives_the_closed_form_where_there_is_one(rng):
    """The mean of a Gaussian through derivatives, quadrature and Newton's method."""
    family = GaussianMean(torch.tensor([[4.0]], dtype=torch.float64))
    data = Member(family, torch.tensor([0.3], dtype=torch.float64))
    n, lam, t, chains = 20, 0.5, 2, 300
    loop, closed = (
        model.run(n, lam, t, chains, rng)
        for model in (Fitted(family, data, radius=1.0), KnownVarianceGaussian(tau=2.0))
    )
    assert loop.constants.a == pytest.approx(closed.constants.a, rel=1e-6)
    assert loop.constants.b == closed.constants.b
    assert loop.constants.eps_opt < 1e-9
    assert loop.rho == pytest.approx(closed.rho, rel=1e-6)
    assert f"{loop.condition:.6g}" == f"{closed.condition:.6g}"
    np.testing.assert_allclose(loop.covariance, closed.covariance, atol=1e-8)
    assert loop.errors.shape == closed.errors.shape
    for errors in (loop.errors[t], closed.errors[t]):
        ratio = np.square(errors).mean() / loop.covariance[0, 0]
        assert abs(ratio - 1) < mean_square_slack(chains, FALSE_ALARM / 8)
    # the residual does not depend on θ: the largest over U is that at θ*
    assert abs(np.square(loop.steps).mean() * n * (1 + lam) / 4 - 1) < mean_square_slack(
        chains, FALSE_ALARM / 8
    )


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: KnownVarianceGaussian(0), "d must be a whole number >= 1"),
        (lambda: KnownVarianceGaussian(1, math.inf), "tau finite and > 0, got 1 and inf"),
        (
            lambda: Fitted(StudentT(), Member(StudentT(), torch.zeros(2)), 0.0),
            "radius must be finite and > 0, got 0",
        ),
    ],
)
def test_bad_models(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_a_fraction_of_a_point_is_refused(rng):
    with pytest.raises(ValueError, match=r"lam \* n must be whole"):
        KnownVarianceGaussian().run(10, 0.25, 1, 2, rng)
    assert KnownVarianceGaussian().run(100, 0.29, 1, 2, rng).errors.shape == (
        2,
        2,
        1,
    )  # 0.29 · 100 is whole
