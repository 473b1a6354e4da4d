import pytest

from stability import __main__ as main
from stability.proofs.coq.check import Checked, Rejection
from stability.proofs.coq.theorems import DEVELOPMENTS
from stability.statements import proofs
from stability.statements.examination import Examination, evidence, machine_checked
from stability.statements.verdict import Evidence, Status

CHECKED = Checked(("one", "two"), ("A.first", "B.second"), "", 1.5)


@pytest.fixture
def coq(monkeypatch):
    """An installed Coq that accepts every file and rejects every copy; set what it answers."""
    answers = {"check": CHECKED, "reject": Rejection("lemma", "No applicable tactic.")}
    monkeypatch.setattr(proofs, "coq_version", lambda: "8.16.1")
    monkeypatch.setattr(proofs, "check_file", lambda each: answers["check"])
    monkeypatch.setattr(proofs, "reject", lambda each, spoiled: answers["reject"])
    monkeypatch.setattr(proofs, "all_proofs", list)
    monkeypatch.setattr(proofs, "spoiled_proofs", list)
    return answers


def examination():
    verdicts = tuple(verdict for each in proofs.GRID for verdict in proofs.check(**each))
    return Examination("proofs", "Title", verdicts, (), tuple(proofs.controls()), 0.1)


def test_files_that_coq_accepts_hold_and_their_copies_are_rejected(coq):
    found = examination()
    assert found.failures == ()
    assert [verdict.status for verdict in found.verdicts] == [Status.HOLDS] * len(DEVELOPMENTS)
    for (file, copies), development in zip(machine_checked([found]), DEVELOPMENTS, strict=True):
        assert (file.theorems, file.axioms) == (CHECKED.theorems, CHECKED.axioms)
        assert len(copies) == len(development.spoiled)
    assert evidence([found])["Theorem 2"][Evidence.MACHINE] == 1


def test_a_file_with_a_fault_is_violated(coq):
    coq["check"] = Checked(("one",), ("magic",), "rests on magic", 1.0)
    found = examination()
    assert len(found.failures) == len(DEVELOPMENTS)
    assert evidence([found])["S1"][Evidence.MACHINE] == 0
    assert found.verdicts[0].note == "rests on magic"


@pytest.mark.parametrize("message", ["accepted", "Syntax error"])
def test_a_copy_that_is_not_rejected_in_a_proof_is_a_failure(coq, message):
    coq["reject"] = Rejection("", message)
    copies = sum(len(each.spoiled) for each in DEVELOPMENTS)
    assert len(examination().failures) == copies


def test_without_coq_the_theorems_are_skipped_and_the_command_says_what_to_install(
    coq, monkeypatch, capsys
):
    monkeypatch.setattr(proofs, "coq_version", lambda: "")
    found = examination()
    (skipped,) = found.verdicts
    assert (skipped.status, found.failures, machine_checked([found])) == (Status.SKIPPED, (), [])
    assert skipped.to_dict()["measured"] == "nan"
    monkeypatch.setattr(main, "examine_all", lambda *arguments: iter([found]))
    main.run(main.Stability(statements=("proofs",), seed=1))  # no SystemExit: status 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "skipped" in printed
    assert "apt install" in printed
    assert "1 verdicts: 1 skipped" in printed


def test_the_command_lists_theorems_axioms_seconds_and_copies(coq, monkeypatch, capsys):
    found = examination()
    monkeypatch.setattr(main, "examine_all", lambda *arguments: iter([found]))
    main.run(main.Stability(statements=("proofs",), seed=1))
    printed = capsys.readouterr().out
    assert "Machine-checked proofs" in printed
    assert printed.count("one, two") == len(DEVELOPMENTS)
    assert "first, second" in printed
    assert "1.5" in printed
    assert "4 of 4 rejected" in printed


def test_another_kind_of_proof_is_refused():
    with pytest.raises(ValueError, match="by must be"):
        proofs.check("hand")
