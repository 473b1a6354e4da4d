import pytest
import sympy as sp

from stability.proofs.symbolic import proposition2

PROOFS = ("score", "hessian", "hessian_on_symmetric", "expected_hessian", "hessian_lipschitz")


@pytest.mark.parametrize("name", PROOFS)
@pytest.mark.parametrize("d", [1, 2])
def test_it_is_proved(name, d):
    assert getattr(proposition2, name)(d).proved


@pytest.mark.parametrize("d", [1, 2])
@pytest.mark.parametrize("share", [sp.S.One, sp.S.Zero, -sp.S.Half])
def test_another_share_of_sigma_is_rejected(d, share):
    """1 is what (59) prints (E2)."""
    assert [step.words for step in proposition2.score(d, share=share).left] == ["gradient in Σ⁻¹"]
    assert not proposition2.hessian_on_symmetric(d, share=share).proved


def test_60_as_printed_is_no_matrix_of_second_derivatives_in_two_dimensions():
    assert not proposition2.hessian(2, transposing=False).proved
    assert proposition2.hessian(1, transposing=False).proved  # there is nothing to transpose


def test_the_expected_hessian_is_indefinite_on_all_matrices():
    assert not proposition2.expected_hessian(2, symmetric=False).proved
    assert proposition2.expected_hessian(1, symmetric=False).proved


@pytest.mark.parametrize("d", [1, 2])
@pytest.mark.parametrize("constant", [sp.Rational(99, 100), sp.Rational(101, 100)])
def test_another_constant_is_rejected(d, constant):
    assert not proposition2.hessian_lipschitz(d, constant=constant).proved


@pytest.mark.parametrize("name", PROOFS)
def test_three_dimensions_are_refused(name):
    with pytest.raises(ValueError, match="d must be 1 or 2, got 3"):
        getattr(proposition2, name)(3)
