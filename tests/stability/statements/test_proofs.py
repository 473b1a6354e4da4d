import pytest

from stability import __main__ as main
from stability.proofs.coq import check as coq_check
from stability.proofs.coq.check import Checked, Rejection
from stability.proofs.coq.theorems import DEVELOPMENTS
from stability.statements import proofs
from stability.statements.examination import Examination, controls, evidence, machine_checked
from stability.statements.verdict import Evidence, Status

CHECKED = Checked(("one", "two"), ("A.first", "B.second"), "", 1.5)


@pytest.fixture
def coq(monkeypatch):
    """An installed Coq that accepts every file and rejects every copy; set what it answers."""
    answers = {"check": CHECKED, "reject": Rejection("lemma", "No applicable tactic.")}
    files = {development.name for development in DEVELOPMENTS}

    def accept(each):
        return answers["check"]

    monkeypatch.setattr(proofs, "coq_version", lambda: "8.16.1")
    for module in (proofs, coq_check):  # the same in both, or a mutation would replace one of them
        monkeypatch.setattr(module, "check_file", accept)
    monkeypatch.setattr(proofs, "reject", lambda each, spoiled: answers["reject"])
    monkeypatch.setattr(proofs, "GRID", tuple(c for c in proofs.GRID if c["proof"] in files))
    spoiled = tuple(each for each in proofs.MUTATIONS if each.case["proof"] in files)
    monkeypatch.setattr(proofs, "MUTATIONS", spoiled)
    return answers


def examination(rng):
    verdicts = tuple(verdict for each in proofs.GRID for verdict in proofs.check(**each))
    return Examination("proofs", "Title", verdicts, (), tuple(controls(proofs, rng)), 0.1)


def test_files_that_coq_accepts_hold_and_their_copies_are_rejected(coq, rng):
    found = examination(rng)
    assert found.failures == ()
    assert [verdict.status for verdict in found.verdicts] == [Status.HOLDS] * len(DEVELOPMENTS)
    for (file, copies), development in zip(machine_checked([found]), DEVELOPMENTS, strict=True):
        assert (file.theorems, file.axioms) == (CHECKED.theorems, CHECKED.axioms)
        assert len(copies) == len(development.spoiled)
    assert evidence([found])["Theorem 2"][Evidence.MACHINE] == 1


def test_a_file_with_a_fault_is_violated(coq, rng):
    coq["check"] = Checked(("one",), ("magic",), "rests on magic", 1.0)
    found = examination(rng)
    assert len(found.failures) == len(DEVELOPMENTS)
    assert evidence([found])["S1"][Evidence.MACHINE] == 0
    assert found.verdicts[0].note == "rests on magic"


@pytest.mark.parametrize("message", ["accepted", "Syntax error"])
def test_a_copy_that_is_not_rejected_in_a_proof_is_a_failure(coq, message, rng):
    coq["reject"] = Rejection("", message)
    copies = sum(len(each.spoiled) for each in DEVELOPMENTS)
    assert len(examination(rng).failures) == copies


def test_without_coq_the_theorems_are_skipped_and_the_command_says_what_to_install(
    coq, monkeypatch, capsys, rng
):
    monkeypatch.setattr(proofs, "coq_version", lambda: "")
    found = examination(rng)
    assert {each.status for each in found.verdicts} == {Status.SKIPPED}
    assert (found.failures, found.controls, machine_checked([found])) == ((), (), [])
    assert found.verdicts[0].to_dict()["measured"] == "nan"
    monkeypatch.setattr(main, "examine_all", lambda *arguments: iter([found]))
    main.run(main.Stability(statements=("proofs",), seed=1))  # no SystemExit: status 0
    printed = " ".join(capsys.readouterr().out.split())
    assert printed.count("skipped: ") == printed.count("apt install") == 1
    assert f"{len(DEVELOPMENTS)} verdicts: {len(DEVELOPMENTS)} skipped" in printed


def test_the_command_lists_theorems_axioms_seconds_and_copies(coq, monkeypatch, capsys, rng):
    found = examination(rng)
    monkeypatch.setattr(main, "examine_all", lambda *arguments: iter([found]))
    main.run(main.Stability(statements=("proofs",), seed=1))
    printed = capsys.readouterr().out
    assert "Machine-checked proofs" in printed
    assert printed.count("one, two") == len(DEVELOPMENTS)
    assert "first, second" in printed
    assert "1.5" in printed
    assert "4 of 4 rejected" in printed


def test_another_kind_of_proof_is_refused():
    with pytest.raises(ValueError, match="name must be one of"):
        proofs.check("hand")
