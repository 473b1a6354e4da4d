import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stability.analysis.jacobian import stationary_covariance
from stability.proofs.symbolic import stationary_error


@pytest.mark.parametrize("name", stationary_error.__all__)
def test_it_is_proved(name):
    assert getattr(stationary_error, name)().proved


@pytest.mark.parametrize(
    ("name", "spoiled"),
    [
        ("fixed_point", {"sign": -1}),
        ("stationary_covariance", {"slope": 2}),
        ("stationary_covariance", {"slope": 4}),
        ("misspecified_covariance", {"slope": 1}),
        ("misspecified_covariance", {"slope": 3}),
        ("fresh_real", {"slope": 1}),
        ("fresh_real", {"slope": 3}),
        ("accumulate", {"power": 1}),
        ("accumulate", {"power": 3}),
        ("replace", {"growth": 0}),
        ("replace", {"growth": 2}),
        ("shared_latents", {"slope": 0}),
        ("shared_latents", {"slope": 2}),
    ],
)
def test_another_constant_is_rejected(name, spoiled):
    assert not getattr(stationary_error, name)(**spoiled).proved


@given(lam=st.floats(0.01, 100), mu=st.floats(0.01, 100))
def test_the_closed_form_solves_the_lyapunov_equation(lam, mu):
    """`stationary_covariance` of the local analysis solves it numerically, in coordinates where
    A = −1 and B = −μ.
    """
    V = stationary_covariance(-np.eye(1), -mu * np.eye(1), lam)
    assert V.item() == pytest.approx(lam * mu / (1 + 2 * lam * mu), rel=1e-9)


@given(lam=st.floats(0.05, 20))
def test_the_fixed_points_by_iteration(lam):
    """The variance of the mean over σ²/n, round by round, with z̄ independent each round,
    shared, or new real data.
    """
    keep = lam / (1 + lam)
    # the last two: coefficients in the mean of shared latents
    fresh, new_real, x_bar, z_bar = 1.0, 1.0, 1.0, 0.0
    for _ in range(int(40 / -np.log(keep)) + 1):
        fresh = 1 + keep**2 * (fresh - 1) + lam / (1 + lam) ** 2
        new_real = keep**2 * (new_real + 1 / lam) + 1 / (1 + lam) ** 2
        x_bar, z_bar = keep * x_bar + 1 / (1 + lam), keep * (z_bar + 1)
    assert fresh == pytest.approx((1 + 3 * lam) / (1 + 2 * lam), rel=1e-9)
    assert new_real == pytest.approx((1 + lam) / (1 + 2 * lam), rel=1e-9)
    assert x_bar**2 + z_bar**2 / lam == pytest.approx(1 + lam, rel=1e-9)
