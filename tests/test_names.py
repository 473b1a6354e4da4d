"""One name for one class: a public class name is defined once in the three packages."""

import ast
import re
from collections import defaultdict
from pathlib import Path

import pytest

from tests.support.import_graph import ROOT

PACKAGES = ("stability", "toy", "deep")


def public_classes(root: Path) -> dict[str, list[str]]:
    """Places of the public classes of the packages, by name.

    Args:
        root: Folder that holds the packages.

    Returns:
        Name of a class at the top level of a module -> "file:line" of its definitions.
    """
    places = defaultdict(list)

    for path in sorted(path for package in PACKAGES for path in (root / package).rglob("*.py")):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                places[node.name].append(f"{path.relative_to(root).as_posix()}:{node.lineno}")
    return places


def defined_twice(root: Path) -> dict[str, list[str]]:
    return {name: places for name, places in public_classes(root).items() if len(places) > 1}


def test_a_public_class_name_is_defined_once():
    assert len(public_classes(ROOT)) > 150  # the packages were found
    assert not defined_twice(ROOT)


def test_a_name_defined_twice_is_found_and_a_private_one_may_be(tmp_path):
    for package in PACKAGES:
        (tmp_path / package).mkdir()
        (tmp_path / package / "room.py").write_text("class _Local:\n    pass\n")
    (tmp_path / "toy" / "flow.py").write_text("class Flow:\n    pass\n")
    (tmp_path / "stability" / "flow.py").write_text("\nclass Flow:\n    pass\n")

    assert defined_twice(tmp_path) == {"Flow": ["stability/flow.py:2", "toy/flow.py:1"]}


LEXICON = ROOT / "docs" / "contributing.md"
OPTIONS = {"retrainings"}
"""Names of command-line options that scripts use: fields may have them, nothing else."""


def replaced_words() -> set[str]:
    """Words in code spans in the last column of the lexicon: no identifier holds one."""
    rows = [line for line in LEXICON.read_text(encoding="utf-8").splitlines() if line[:1] == "|"]
    return {word for row in rows for word in re.findall(r"`(\w+)`", row.split("|")[-2])}


def identifiers(tree: ast.AST) -> set[str]:
    """Names that a module gives: of classes, functions, arguments, and fields.

    A field that is an option keeps its name.
    """
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.arg):
            found.add(node.arg)
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            found |= {node.target.id} - OPTIONS
    return found


def holds(identifier: str, word: str) -> bool:
    snake = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", identifier).lower()
    return re.search(rf"(^|_){word}(_|$)", snake) is not None


def test_no_identifier_holds_a_word_that_the_lexicon_replaces():
    words = replaced_words()
    assert {"replica", "told"} <= words  # the table was found

    wrong = [
        f"{path.relative_to(ROOT).as_posix()}: {name}"
        for package in PACKAGES
        for path in sorted((ROOT / package).rglob("*.py"))
        for name in (*identifiers(ast.parse(path.read_text(encoding="utf-8"))), path.stem)
        if any(holds(name, word) for word in words)
    ]
    assert not wrong


@pytest.mark.parametrize("code", ["def f(replicas): ...", "class ToldClasses: ...", "told: int"])
def test_a_replaced_word_is_found_as_argument_class_and_field(code):
    (name,) = {one for one in identifiers(ast.parse(code)) if one != "f"}
    assert any(holds(name, word) for word in replaced_words())
    assert not holds("untold_wealth", "told")
