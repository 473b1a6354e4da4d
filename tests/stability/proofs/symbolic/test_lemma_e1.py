import numpy as np
import pytest

from stability.analysis.jacobian import jacobian
from stability.proofs.symbolic import lemma_e1


@pytest.mark.parametrize("name", lemma_e1.__all__)
def test_it_is_proved_with_the_corrected_sign_and_not_with_the_printed_one(name):
    prove = getattr(lemma_e1, name)
    assert prove().proved
    assert not prove(sign=1).proved
    assert prove().erratum == "E3"


def test_the_printed_sign_is_wrong_in_every_entry():
    assert len(lemma_e1.hessians(sign=1).left) == 4
    left = [step.words for step in lemma_e1.jacobian(sign=1).left]
    assert left == [
        "(I + λA⁻¹B)·J = λA⁻¹B",
        "mean of a Gaussian: the derivative of the refitted mean is (78)",
    ]


def test_the_derivative_of_the_refitted_mean():
    """λ/(1 + λ) as in the words of the proof; with the printed sign (78) would give −λ/(1 − λ)."""
    A, B, lam = -np.eye(1), -np.eye(1), 0.3
    assert jacobian(A, B, lam) == pytest.approx(lam / (1 + lam))
    assert jacobian(A, -B, lam) == pytest.approx(-lam / (1 - lam))
