"""Imports run in one direction, and the folder listing is the table of contents."""

import subprocess
import sys

import pytest

from tests.support.import_graph import (
    ROOT,
    cycle,
    imported_names,
    levels,
    room_imports,
    show,
)

ORDER = [
    "machine",
    "loop",
    "laws",
    "transport",
    "diffusion",
    "runs",
    "observers",
    "gaussian",
    "families",
    "analysis",
    "planning",
    "proofs",
    "statements",
    "report",
    "__main__",
    "sweep",
]
"""Rooms of `stability`; each may import those above it."""
COMMANDS = {"__main__", "sweep"}
"""Modules beside the rooms' folders: a command each, which nothing imports."""


def test_each_room_of_stability_imports_only_rooms_above_it():
    graph = room_imports("stability")
    assert set(graph) <= set(ORDER)
    wrong = [
        (room, other)
        for room, others in graph.items()
        for other in others
        if ORDER.index(other) > ORDER.index(room)
    ]
    assert not wrong, f"{wrong}\n{show('stability')}"


def test_stability_is_a_table_of_contents():
    graph = room_imports("stability")
    arrows = sum(map(len, graph.values()))
    assert {room for room in graph if not (ROOT / "stability" / room).is_dir()} == COMMANDS
    assert not any(others & COMMANDS for others in graph.values()), show("stability")
    assert len(graph) - len(COMMANDS) <= 15, show("stability")
    assert max(levels(graph).values()) <= 8, show("stability")
    assert arrows <= 44, show("stability")


@pytest.mark.parametrize("package", ["stability", "toy", "deep"])
def test_no_rooms_import_each_other(package):
    assert cycle(room_imports(package)) == [], show(package)


def test_the_theory_knows_neither_the_2d_experiments_nor_the_images():
    for path in (ROOT / "stability").rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        assert "from toy" not in text, path
        assert "from deep" not in text, path


def test_tests_take_helpers_from_support_alone():
    """A helper in another test's file is found by nobody, and goes when that test goes."""
    folders = ("tests.support", "tests.conftest", "tests.fixtures")
    wrong = [
        (str(path.relative_to(ROOT)), name)
        for path in sorted((ROOT / "tests").rglob("*.py"))
        for name in imported_names(path)
        if name.startswith("tests.") and not name.startswith(folders)
    ]
    assert not wrong


def test_a_cycle_is_found():
    assert cycle({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == ["b", "c", "b"]
    assert cycle({"a": {"b", "c"}, "b": {"c"}, "c": set()}) == []


def test_levels_are_those_of_the_longest_path():
    assert levels({"a": {"b", "c"}, "b": {"c"}, "c": set()}) == {"a": 3, "b": 2, "c": 1}


HEAVY = ("torch", "matplotlib", "numba", "scipy", "sympy", "sklearn")


def test_importing_the_theory_loads_nothing_heavy():
    code = f"import stability, sys; print([m for m in {HEAVY} if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


LIGHT = (
    "stability",
    "toy.two_moons",
    "toy.eight_gaussians",
    "toy.run",
    "toy.figure8",
    "toy.compare",
)
"""Commands whose help is shown without loading what only the work needs."""


@pytest.mark.parametrize("command", LIGHT)
def test_help_loads_nothing_heavy(command):
    code = (
        "import runpy, sys\n"
        "sys.argv = ['command', '--help']\n"
        "try:\n"
        f"    runpy.run_module({command!r}, run_name='__main__', alter_sys=True)\n"
        "except SystemExit as leaving:\n"
        "    assert leaving.code == 0, leaving.code\n"
        f"print('heavy:', [m for m in {HEAVY} if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert "--seed" in done.stdout or command == "toy.compare"  # it is the help
    assert done.stdout.splitlines()[-1] == "heavy: []"


def test_every_public_name_can_be_imported():
    import stability

    for name in stability.__all__:
        assert getattr(stability, name).__name__ == name
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        stability.nothing  # noqa: B018
