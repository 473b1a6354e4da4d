import re
import tomllib
from pathlib import Path

import pytest

from stability.proofs.coq.check import theorem_names
from stability.proofs.coq.theorems import DEVELOPMENTS

FOLDER = Path(__file__).parents[4] / "stability" / "proofs" / "coq"


def test_every_file_is_declared_once():
    assert sorted(each.name for each in DEVELOPMENTS) == sorted(
        path.stem for path in FOLDER.glob("*.v")
    )


def test_the_files_are_installed_with_the_package():
    project = tomllib.loads((FOLDER.parents[2] / "pyproject.toml").read_text(encoding="utf-8"))
    assert "proofs/coq/*.v" in project["tool"]["setuptools"]["package-data"]["stability"]


@pytest.mark.parametrize("development", DEVELOPMENTS, ids=lambda each: each.name)
class TestFile:
    def test_nothing_is_assumed_outside_a_section(self, development):
        for word in ("Admitted", "admit", "Axiom", "Parameter", "Conjecture", "Unset", "bypass"):
            assert not re.search(rf"\b{word}", development.source), word

    def test_every_theorem_is_in_the_tuple_whose_axioms_are_printed(self, development):
        names = theorem_names(development.source)
        assert names
        bundle = development.source.rpartition("Definition theorems")[2]
        assert re.findall(r"@(\w+)", bundle) == list(names)
        assert development.source.endswith("Print Assumptions theorems.\n")

    def test_it_says_in_words_what_it_proves(self, development):
        assert development.source.startswith("(* ")
        assert development.statement.endswith(".")

    def test_it_has_spoiled_copies_of_what_it_states(self, development):
        assert len(development.spoiled) >= 2
        assert len({spoiled.words for spoiled in development.spoiled}) == len(development.spoiled)
        for spoiled in development.spoiled:
            assert development.source.count(spoiled.old) == 1
            assert spoiled.old != spoiled.new
            assert spoiled.reason
            # a statement or a definition, never a step of a proof
            steps = re.findall(r"\b(Proof|Qed)\.", development.source.partition(spoiled.old)[0])
            assert not steps or steps[-1] == "Qed"
