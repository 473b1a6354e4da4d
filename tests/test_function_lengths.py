"""A function fits on a screen: a body of at most 60 lines, its docstring not counted."""

import ast
from pathlib import Path

import pytest

STABILITY = Path(__file__).resolve().parents[1] / "stability"
LONGEST = 60


def length(function):
    """Lines of the body, without the docstring."""
    first = function.body[0].lineno
    if ast.get_docstring(function) is not None:
        first = function.body[0].end_lineno + 1
    return function.end_lineno - first + 1


def long_functions(folder):
    return [
        f"{path.relative_to(STABILITY)}: {node.name}, {length(node)} lines"
        for path in sorted(folder.rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and length(node) > LONGEST
    ]


@pytest.mark.parametrize(
    "room", sorted(path.parent.name for path in STABILITY.glob("*/__init__.py"))
)
def test_a_function_fits_on_a_screen(room):
    assert long_functions(STABILITY / room) == []


def test_a_long_function_is_seen():
    body = "    x = 1\n" * LONGEST
    short = f'def short(\n    a, b\n):\n    """Text.\n\n    More.\n    """\n{body}'
    tree = ast.parse(f"{short}\ndef long():\n{body}    return x\n")
    assert [length(node) for node in tree.body] == [LONGEST, LONGEST + 1]
