import numpy as np
import pytest
import sympy as sp
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from stability.families import StudentT
from stability.proofs.symbolic import student_t


@pytest.mark.parametrize("name", student_t.__all__)
def test_it_is_proved(name):
    assert getattr(student_t, name)().proved


@pytest.mark.parametrize(
    ("name", "spoiled"),
    [
        ("unique_maximiser", {"shift": 1}),
        ("unique_maximiser", {"shift": 0}),
        ("complex_form", {"sign": -1}),
        ("hessian_slope", {"scale": sp.S(2)}),
        ("hessian_slope", {"scale": -sp.S.One}),
        ("fisher", {"shift": 2}),
        ("distribution", {"scale": sp.S.Half}),
    ],
)
def test_another_constant_is_rejected(name, spoiled):
    assert not getattr(student_t, name)(**spoiled).proved


def test_the_distribution_for_other_degrees_of_freedom():
    assert student_t.distribution(3).proved
    for nu in (1, 4):
        with pytest.raises(ValueError, match=f"nu must be odd and >= 3, got {nu}"):
            student_t.distribution(nu)


@settings(max_examples=20)
@given(nu=st.floats(1, 50), mu=st.floats(-5, 5), log_s=st.floats(-2, 2), x=st.floats(-20, 20))
def test_the_complex_form_against_automatic_differentiation(nu, mu, log_s, x):
    """Gradient and Hessian as the proof's words give them, from g = 1/(ζ − x)."""
    theta = torch.tensor([mu, log_s], dtype=torch.float64, requires_grad=True)
    value = StudentT(nu).log_prob(theta, torch.tensor([[x]], dtype=torch.float64))[0]
    (gradient,) = torch.autograd.grad(value, theta, create_graph=True)
    hessian = [
        torch.autograd.grad(entry, theta, retain_graph=True)[0].tolist() for entry in gradient
    ]
    tau = np.sqrt(nu) * np.exp(log_s)
    g = 1 / complex(mu - x, tau)
    slope = -(g**2)
    assert gradient.tolist() == pytest.approx(
        [-(nu + 1) * g.real, nu + (nu + 1) * tau * g.imag], abs=1e-8, rel=1e-8
    )
    mixed, last = tau * slope.imag, tau * g.imag + tau**2 * slope.real
    expected = (nu + 1) * np.array([[-slope.real, mixed], [mixed, last]])
    assert np.array(hessian) == pytest.approx(expected, abs=1e-8, rel=1e-8)


@given(
    st.floats(-3, 3),
    st.floats(-1, 1),
    st.floats(-3, 3),
    st.floats(-1, 1),
    st.integers(0, 2**32 - 1),
)
def test_minus_the_log_likelihood_is_convex_along_geodesics(mu, log_s, other_mu, other_log_s, seed):
    """Its value half-way along the geodesic of the half-plane (μ, τ) is at most the mean of
    those at the ends.
    """
    nu = 5.0
    x = torch.from_numpy(np.random.default_rng(seed).standard_t(2, size=(8, 1)) * 2)
    one, two = (
        complex(m, np.sqrt(nu) * np.exp(s)) for m, s in ((mu, log_s), (other_mu, other_log_s))
    )
    # the isometry ζ ↦ (ζ − one)/(ζ − conj(one)) takes the half-plane to the disc and `one` to 0,
    # geodesics to diameters
    far = (two - one) / (two - one.conjugate())
    middle = np.tanh(np.arctanh(abs(far)) / 2) * (far / abs(far) if far else 1)
    half_way = (one - one.conjugate() * middle) / (1 - middle)

    def loss(point):
        theta = torch.tensor([point.real, np.log(point.imag / np.sqrt(nu))], dtype=torch.float64)
        return -float(StudentT(nu).log_prob(theta, x).mean())

    assert loss(half_way) <= (loss(one) + loss(two)) / 2 + 1e-9
