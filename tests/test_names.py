"""One name for one class: a public class name is defined once in the three packages."""

import ast
from collections import defaultdict
from pathlib import Path

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
