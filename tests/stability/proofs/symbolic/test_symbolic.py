import inspect

import pytest

from stability.proofs import symbolic
from stability.proofs.symbolic import (
    lemma_e1,
    proposition1,
    proposition2,
    stationary_error,
    student_t,
    theorem1,
    theorem2,
)
from tests.support.refutation import refuted

MODULES = (lemma_e1, proposition1, proposition2, stationary_error, student_t, theorem1, theorem2)


@pytest.fixture(scope="module")
def proofs():
    return symbolic.all_proofs()


@pytest.fixture(scope="module")
def spoiled():
    return symbolic.controls()


def test_every_statement_is_proved(proofs):
    for proof in proofs:
        assert proof.proved, (proof.claim, proof.left)
    assert len({proof.claim for proof in proofs}) == len(proofs)


def test_every_spoiled_statement_is_refuted(spoiled):
    """Not merely left open: one of its steps is false at a point."""
    for proof in spoiled:
        assert not proof.proved, proof.claim
        assert any(refuted(step) for step in proof.left), (proof.claim, proof.left)
    assert len({proof.claim for proof in spoiled}) == len(spoiled)


def test_there_is_a_control_for_every_proof(proofs, spoiled):
    """d = 1 apart where what is spoiled is seen in d = 2 only."""
    rejected = {proof.claim.rpartition(": ")[0] for proof in spoiled}
    only_in_two = {
        f"Proposition 2, {name}, d = 1" for name in ("(60) as a matrix", "expected Hessian")
    }
    assert rejected == {proof.claim for proof in proofs} - only_in_two


def test_every_function_is_in_all_proofs(proofs, spoiled):
    functions = [getattr(module, name) for module in MODULES for name in module.__all__]
    prove = [f for f in functions if callable(f)]
    dimensional = [f for f in prove if "d" in inspect.signature(f).parameters]
    assert len(proofs) == len(prove) + len(dimensional)  # d = 1 and d = 2


def test_steps_say_what_they_are(proofs):
    for proof in proofs:
        words = [step.words for step in proof.steps]
        assert all(words)
        assert proof.statement.endswith((".", ")"))
