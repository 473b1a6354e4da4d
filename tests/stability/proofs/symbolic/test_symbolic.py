import pytest

from stability.proofs.symbolic import PROVABLE, provable
from stability.statements.proofs import GRID, MUTATIONS, check
from stability.statements.verdict import Status
from tests.support.refutation import refuted

CASES = [case for case in GRID if case["proof"] in PROVABLE]
SPOILED = [mutation for mutation in MUTATIONS if mutation.case["proof"] in PROVABLE]


def named(case):
    return "-".join(map(str, case.values()))


@pytest.mark.parametrize("case", CASES, ids=named)
def test_every_statement_is_proved(case):
    (verdict,) = check(**case)
    assert verdict.status is Status.HOLDS, verdict.note


@pytest.mark.parametrize("mutation", SPOILED, ids=lambda mutation: mutation.words)
def test_every_spoiled_statement_is_refuted(mutation):
    """Not merely left open: one of its steps is false at a point."""
    name, instance = mutation.case["proof"], dict(mutation.case)
    del instance["proof"]
    proof = mutation.by(provable(name))(**instance)
    assert not proof.proved, proof.claim
    assert any(refuted(step) for step in proof.left), (proof.claim, proof.left)


def test_there_is_a_control_for_every_proof():
    """d = 1 apart where what is spoiled is seen in d = 2 only; one ν of the CDF stands for all."""
    rejected = [mutation.case for mutation in SPOILED]
    missing = [case for case in CASES if case not in rejected]
    assert missing == [
        {"proof": "proposition2.hessian", "d": 1},
        {"proof": "proposition2.expected_hessian", "d": 1},
        {"proof": "student_t.distribution", "nu": 3},
        {"proof": "student_t.distribution", "nu": 7},
    ]


def test_every_statement_is_in_the_grid_and_says_what_it_is():
    assert {case["proof"] for case in CASES} == set(PROVABLE)
    for name, each in PROVABLE.items():
        assert each.statement.endswith((".", ")")), name
        assert provable(name) is not None
    with pytest.raises(ValueError, match=r"name must be one of proposition1\.collapse_rate"):
        provable("theorem9.bound")


def test_steps_say_what_they_are():
    assert all(step.words for step in provable("theorem1.bound")().steps)
