from dataclasses import dataclass

import pytest

from stability.proofs.coq import check as module
from stability.proofs.coq.check import MISSING, check_file, coq_version, reject
from stability.proofs.coq.theorems import ALLOWED_AXIOMS, DEVELOPMENTS, Development, Spoiled

needs_coq = pytest.mark.skipif(not coq_version(), reason=MISSING)
COPIES = [(each, spoiled) for each in DEVELOPMENTS for spoiled in each.spoiled]


@dataclass(frozen=True)
class Written(Development):
    """A development whose text is given."""

    text: str = ""

    @property
    def source(self):
        return self.text


def written(text, bundle="(@claim)"):
    end = f"\nDefinition theorems := {bundle}.\nPrint Assumptions theorems.\n" if bundle else ""
    return Written("written", "Claim", "A claim.", (), text=text + end)


@needs_coq
@pytest.mark.parametrize("development", DEVELOPMENTS, ids=lambda each: each.name)
def test_coq_accepts_every_file(development):
    checked = check_file(development)
    assert checked.fault == ""
    assert checked.theorems
    # the real numbers of Coq are always among them: the print is read
    assert "ClassicalDedekindReals.sig_forall_dec" in checked.axioms
    assert set(checked.axioms) <= ALLOWED_AXIOMS


@needs_coq
@pytest.mark.parametrize(
    ("development", "spoiled"), COPIES, ids=[f"{each.name}: {copy.words}" for each, copy in COPIES]
)
def test_coq_rejects_every_spoiled_copy_in_a_proof(development, spoiled):
    rejection = reject(development, spoiled)
    assert rejection.broken, rejection.message


@needs_coq
class TestWhatIsNotAccepted:
    def test_a_proof_that_is_left_out(self):
        text = "Theorem claim : forall n : nat, n = n + 0.\nProof. Admitted.\n"
        assert check_file(written(text)).fault == "rests on claim"

    def test_an_axiom_of_its_own(self):
        text = "Axiom magic : 1 = 2.\nTheorem claim : 1 = 2.\nProof. exact magic. Qed.\n"
        assert check_file(written(text)).fault == "rests on magic"

    def test_a_hypothesis_outside_a_section(self):
        text = "Variable magic : 1 = 2.\nTheorem claim : 1 = 2.\nProof. exact magic. Qed.\n"
        assert check_file(written(text)).fault == "rests on magic"

    def test_a_theorem_whose_axioms_are_not_printed(self):
        text = (
            "Theorem claim : 1 = 1.\nProof. reflexivity. Qed.\n"
            "Theorem other : 2 = 2.\nProof. reflexivity. Qed.\n"
        )
        assert check_file(written(text)).fault == "axioms are not printed for other"
        assert "not printed for claim" in check_file(written(text, bundle="")).fault
        assert check_file(written(text, bundle="(@claim, @other)")).fault == ""

    def test_a_file_without_a_theorem(self):
        assert "any theorem" in check_file(written("", bundle="0")).fault

    def test_a_wrong_proof(self):
        text = "Theorem claim : 1 = 2.\nProof. reflexivity. Qed.\n"
        assert "nable to unify" in check_file(written(text)).fault


@needs_coq
class TestWhatDoesNotCountAsRejected:
    text = (
        "Lemma first : 1 = 1.\nProof. reflexivity. Qed.\n"
        "Theorem claim : 2 = 2.\nProof. reflexivity. Qed.\n"
    )

    def rejection(self, old, new):
        return reject(written(self.text), Spoiled("words", old, new, "reason"))

    def test_a_copy_that_is_true(self):
        rejection = self.rejection("2 = 2", "3 = 3")
        assert (rejection.broken, rejection.message) == ("", "accepted")

    def test_a_copy_that_does_not_parse_or_makes_no_sense(self):
        assert self.rejection("2 = 2", "2 = = 2").broken == ""
        assert self.rejection("2 = 2", "2 = nobody").broken == ""
        assert self.rejection("2 = 2", "2 = true").broken == ""

    def test_but_a_copy_whose_proof_breaks_does(self):
        assert self.rejection("2 = 2", "2 = 3").broken == "claim"
        assert self.rejection("1 = 1", "1 = 0").broken == "first"

    def test_a_proof_that_breaks_before_the_change(self):
        text = self.text.replace("1 = 1", "1 = 0")
        rejection = reject(written(text), Spoiled("words", "2 = 2", "2 = 3", "reason"))
        assert (rejection.broken, rejection.message) == ("", 'Unable to unify "0" with "1".')

    def test_each_copy_has_its_own_answer_whichever_is_asked_first(self):
        copies = [Spoiled("words", *texts, "reason") for texts in self.texts]
        development = Written("written", "Claim", "A claim.", tuple(copies), text=self.text)
        for copy, broken in zip(copies, ("", "first", "", "claim", ""), strict=True):
            assert reject(development, copy).broken == broken
        assert reject(development, copies[2]).message == "accepted"

    texts = (
        ("1 = 1", "1 = true"),
        ("1 = 1", "1 = 0"),
        ("1 = 1", "5 = 5"),
        ("2 = 2", "2 = 3"),
        ("2 = 2", "2 = = 2"),
    )

    def test_what_is_to_be_replaced_must_occur_once(self):
        with pytest.raises(ValueError, match="must occur once, occurs 2 times"):
            self.rejection("reflexivity", "lia")


@needs_coq
def test_a_file_that_takes_too_long_is_a_fault(monkeypatch):
    monkeypatch.setattr(module, "_SECONDS", 0.001)
    monkeypatch.setattr(module, "_REJECTIONS", {})
    checked = check_file(DEVELOPMENTS[0])
    assert "took more than" in checked.fault
    assert not checked.axioms
    assert reject(*COPIES[0]).broken == ""


def test_without_coq_there_is_no_version(monkeypatch):
    monkeypatch.setattr(module.shutil, "which", lambda name: None)
    assert coq_version() == ""
    with pytest.raises(FileNotFoundError, match="apt install coq"):
        check_file(DEVELOPMENTS[0])


@needs_coq
def test_coq_without_coquelicot_counts_as_missing(monkeypatch):
    compile_text = module._compile
    monkeypatch.setattr(
        module, "_compile", lambda name, text: compile_text(name, text.replace("Coq", "Nobody"))
    )
    monkeypatch.setattr(module, "_VERSIONS", {})
    assert coq_version() == ""
