import math

import pytest
import sympy as sp
from hypothesis import given
from hypothesis import strategies as st

from stability.gaussian.alpha import alpha, alpha_isotropic, log_alpha, one_minus_alpha
from stability.proofs.symbolic import proposition1
from stability.statements.lemma_a2 import expected_root


def test_the_rate_and_its_monotonicity_are_proved():
    assert proposition1.collapse_rate().proved
    assert proposition1.monotone_alpha().proved


def test_another_number_of_degrees_of_freedom_is_rejected():
    left = [step.words for step in proposition1.collapse_rate(shift=1).left]
    assert "E χ_k/√k = α, k = n − 1" in left


@pytest.mark.parametrize("factor", [sp.Rational(1, 2), sp.S(2)])
def test_another_cubic_term_is_rejected(factor):
    assert not proposition1.monotone_alpha(cubic=factor * proposition1.CUBIC).proved


@given(st.floats(2, 1e4))
def test_the_bounds_of_log_alpha(n):
    k = n - 1
    assert 1 / (4 * k) - float(proposition1.CUBIC) / k**3 <= -log_alpha(n) * (1 + 1e-13)
    assert -log_alpha(n) <= 1 / (4 * k) * (1 + 1e-13)


def test_the_series_is_that_of_alpha():
    assert proposition1.alpha_series().proved
    for k in (20, 50, 100):
        tail = -sum(float(c) / k**j for j, c in enumerate(proposition1.SERIES) if j)
        assert abs(one_minus_alpha(k + 1) - tail) < 0.1 / k**6  # the next coefficient is 0.013


@pytest.mark.parametrize("j", [1, 5])
def test_another_coefficient_is_rejected(j):
    spoiled = [c + sp.Rational(int(i == j), 1000) for i, c in enumerate(proposition1.SERIES)]
    assert not proposition1.alpha_series(tuple(spoiled)).proved


def test_the_corrected_proof_of_e1():
    assert proposition1.diagonal_of_a_root().proved
    assert not proposition1.diagonal_of_a_root(factor=sp.Rational(99, 100)).proved
    assert proposition1.printed_root().proved
    assert not proposition1.printed_root(commuting=False).proved


def test_the_witness_of_e1():
    """Its two numbers against quadrature and the closed form of the printed rate."""
    proof = proposition1.counterexample()
    assert proof.proved
    assert "> 0.92129 at" in proof.statement
    assert "< 0.9129." in proof.statement
    assert 0.92129 < expected_root(4, [1, 1e-4])[0] < alpha(4)
    assert alpha_isotropic(4, 2).value < 0.9129 < 0.92129
    assert math.sqrt(5 / 6) < 0.9129  # √(6 + 4)/(2√3), as E χ_3·E χ_2 = 2


def test_no_witness_where_the_rate_is_right():
    left = [step.words for step in proposition1.counterexample(spread=sp.S.One).left]
    assert left == ["E (√Σ_1)_11 is above the printed rate"]
