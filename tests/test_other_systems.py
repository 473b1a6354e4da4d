"""Functions that other systems lack are asked for before use; text has one encoding everywhere."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MODULES = sorted(
    path
    for package in ("stability", "toy", "deep", "benchmarks")
    for path in (ROOT / package).rglob("*.py")
)
PROGRAMS = [path for path in MODULES if path.parts[-2] != "benchmarks"]
"""All but the benchmarks, which measure on Linux."""
POSIX = re.compile(
    r"\b(os\.(fork|killpg|getsid|setsid|getuid|sched_getaffinity|O_DIRECTORY|O_NONBLOCK)|"
    r"signal\.SIGKILL|signal\.SIGHUP|select\.poll|import (fcntl|resource|pwd|termios))\b"
)
"""Names that Windows does not have."""
ASKED = re.compile(r"hasattr|getattr|win32|not on Windows|on Windows|linux")
NEAR = 12
"""Lines before or after a use within which the question must stand, or the comment."""


def unasked(text: str) -> list[str]:
    """Lines that use such a name without a question in the lines before, or a comment."""
    lines = text.splitlines()
    return [
        line.strip()
        for i, line in enumerate(lines)
        if POSIX.search(line.partition("#")[0])
        and not any(ASKED.search(near) for near in lines[max(0, i - NEAR) : i + NEAR])
    ]


@pytest.mark.parametrize("path", PROGRAMS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_a_name_that_windows_lacks_is_asked_for(path):
    assert unasked(path.read_text(encoding="utf-8")) == []


def test_a_name_without_a_question_is_found():
    assert unasked("import os\n\nos.killpg(1, 9)\n") == ["os.killpg(1, 9)"]
    assert unasked('if hasattr(os, "killpg"):\n    os.killpg(1, 9)\n') == []


def without_encoding(tree: ast.AST) -> list[int]:
    """Lines of calls that read or write text in the encoding of the machine."""
    return [
        node.lineno
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute | ast.Name)
        and _name(node.func) in ("read_text", "write_text", "open", "fdopen")
        and _is_text(node)
        and "encoding" not in {keyword.arg for keyword in node.keywords}
    ]


def _name(function: ast.Attribute | ast.Name) -> str:
    return function.attr if isinstance(function, ast.Attribute) else function.id


def _is_text(call: ast.Call) -> bool:
    """Tell whether a call opens text: by its name, or by a mode without "b"."""
    function = call.func
    if isinstance(function, ast.Attribute) and function.attr in ("read_text", "write_text"):
        return True
    modes = [
        one.value
        for one in (*call.args, *(keyword.value for keyword in call.keywords))
        if isinstance(one, ast.Constant) and isinstance(one.value, str)
        if re.fullmatch(r"[rwax+bt]{1,4}", one.value)
    ]
    return bool(modes) and "b" not in modes[-1] and modes[-1] != "r:"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_text_is_read_and_written_in_utf_8(path):
    text = path.read_text(encoding="utf-8")
    assert without_encoding(ast.parse(text)) == []


def test_text_without_an_encoding_is_found():
    assert without_encoding(ast.parse('path.read_text()\nopen(p, "w")\nopen(p, "wb")')) == [1, 2]
    assert without_encoding(ast.parse('path.read_text(encoding="utf-8")')) == []
