"""Each module has a test: of its name at its place, or one that imports it; a part of one module
alone may be tested through that module.
"""

import ast
from collections.abc import Iterable
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("stability", "toy", "deep")
MODULES = [
    path.relative_to(ROOT)
    for package in PACKAGES
    for path in sorted((ROOT / package).rglob("*.py"))
    if path.stem not in ("__init__", "__main__")
]

AS_COMMANDS = ("stability.planning.plan_command", "stability.runs.run_command")
"""Modules that the commands `plan` and `retraining run` load by name: tests run the commands."""


def imports(paths: Iterable[Path]) -> frozenset[str]:
    """All modules that files import, by their dotted names."""
    found = set()
    for path in paths:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module:
                found |= {node.module, *(f"{node.module}.{name.name}" for name in node.names)}
            elif isinstance(node, ast.Import):
                found |= {name.name for name in node.names}
    return frozenset(found)


def dotted(module: Path) -> str:
    return ".".join(module.with_suffix("").parts)


@cache
def direct() -> frozenset[Path]:
    """Modules with a test of their name, or that a test imports."""
    by_tests = imports((ROOT / "tests").rglob("*.py"))
    return frozenset(
        module
        for module in MODULES
        if (ROOT / "tests" / module.parent / f"test_{module.stem}.py").is_file()
        or dotted(module) in by_tests
    )


@cache
def reached() -> frozenset[str]:
    """Names of the modules that are tested, and of what they import, and so on."""
    found: set[str] = set(AS_COMMANDS)
    new = direct()
    while new:
        found |= {dotted(module) for module in new}
        names = imports(ROOT / module for module in new)
        new = [module for module in MODULES if dotted(module) in names - found]
    return frozenset(found)


@pytest.mark.parametrize("module", MODULES, ids=lambda path: path.as_posix())
def test_a_module_is_tested(module):
    assert dotted(module) in reached()


def test_most_modules_are_tested_directly():
    assert len(direct()) > 0.85 * len(MODULES)
