import ast
from pathlib import Path

import pytest

STABILITY = Path(__file__).resolve().parents[1] / "stability"
LONGEST = 60


@pytest.mark.parametrize("room", ["proofs", "report", "statements"])
def test_a_function_fits_on_a_screen(room):
    long = [
        f"{path.relative_to(STABILITY)}: {node.name}"
        for path in sorted((STABILITY / room).rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (node.end_lineno or 0) - node.lineno >= LONGEST
    ]
    assert not long
