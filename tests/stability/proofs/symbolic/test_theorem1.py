import numpy as np
import pytest
import sympy as sp
from hypothesis import given
from hypothesis import strategies as st

from stability.analysis.bounds import contraction_bound
from stability.analysis.jacobian import jacobian, spectral_radius
from stability.proofs.symbolic import theorem1


@pytest.mark.parametrize("name", theorem1.__all__)
def test_it_is_proved(name):
    assert getattr(theorem1, name)().proved


@pytest.mark.parametrize("threshold", [sp.S.One, sp.Rational(49, 100)])
def test_another_threshold_than_one_half_is_rejected(threshold):  # E4
    left = [step.words for step in theorem1.bound(threshold=threshold).left]
    assert left == ["q/(1 − q) < 1 iff q < threshold, for 0 <= q < 1"]


@pytest.mark.parametrize("factor", [sp.Rational(1, 10), sp.Rational(101, 100)])
def test_another_bound_is_rejected(factor):
    assert not theorem1.bound(factor=factor).proved


@given(q=st.floats(0.001, 0.99), size=st.integers(1, 5), seed=st.integers(0, 2**32 - 1))
def test_the_bound_is_that_of_local_analysis_and_bounds_the_series(q, size, seed):
    M = np.random.default_rng(seed).normal(size=(size, size))
    M *= q / np.linalg.norm(M, 2)
    total, power = np.zeros_like(M), M
    for k in range(int(40 / -np.log(q)) + 1):
        total, power = total + (-1) ** k * power, power @ M
    bound = contraction_bound(lam=q, alpha=1.0, eps=0.0, lipschitz=0.0)
    assert total == pytest.approx(np.linalg.solve(np.eye(size) + M, M), abs=1e-9)
    assert np.linalg.norm(total, 2) <= bound * (1 + 1e-9)
    assert (bound < 1) == (q < 0.5)


def test_an_indefinite_b_and_another_limit_are_rejected():
    assert not theorem1.eigenvalues(sign=1).proved
    for limit in (sp.Rational(99, 100), sp.Rational(101, 100)):
        assert not theorem1.contraction(limit=limit).proved


def test_the_opposite_sign_is_rejected():
    assert not theorem1.partial_refit(sign=-1).proved
    assert not theorem1.gradient_refit(sign=-1).proved


def test_the_witness_of_s6_is_unstable_though_the_full_refit_is_stable():
    A, B = -np.array([[1.0, -2.0], [-2.0, 5.0]]), -np.array([[4.0, -4.0], [-4.0, 4.0]])
    C = np.diag([0.0, 0.99])
    J = jacobian(A, B, 1.0)
    assert spectral_radius(J) < 1
    assert spectral_radius(C + (np.eye(2) - C) @ J) > 1
    assert spectral_radius(np.diag([0.99, 0.0]) + np.diag([0.01, 1.0]) @ J) < 1
    assert not theorem1.general_refit(direction=(0, 1)).proved
    with pytest.raises(ValueError, match=r"direction must be \(1, 0\) or \(0, 1\)"):
        theorem1.general_refit(direction=(1, 1))


@given(st.integers(1, 4), st.integers(1, 30), st.floats(0.1, 10), st.integers(0, 2**32 - 1))
def test_preconditioned_gradient_steps_are_stable(size, steps, lam, seed):
    """S6 by iteration: θ' ← θ' + P(Hθ' − λBθ) from θ' = θ, where the refit itself solves Hθ' =
    λBθ.
    """
    generator = np.random.default_rng(seed)
    roots = generator.normal(size=(3, size, size))
    A, B = -roots[0] @ roots[0].T - 0.1 * np.eye(size), -roots[1] @ roots[1].T
    H = A + lam * B
    p = roots[2] / np.sqrt(np.linalg.norm(roots[2].T @ H @ roots[2], 2))  # −pᵀHp ≼ I
    moved = np.eye(size)
    for _ in range(steps):
        moved = moved + p @ p.T @ (H @ moved - lam * B)
    eigenvalues = np.linalg.eigvals(moved)
    assert np.abs(eigenvalues.imag).max() < 1e-6
    assert eigenvalues.real.min() > -1e-9
    assert eigenvalues.real.max() < 1 + 1e-9
