"""A function fits on a screen, and a longer one shows its steps."""

import pytest

from tests.support.docstrings import DENSE, LONGEST, dense_functions, long_functions


def test_a_function_fits_on_a_screen():
    assert long_functions() == []


def write(folder, code):
    (folder / "stability").mkdir()
    (folder / "stability" / "module.py").write_text(code, encoding="utf-8")
    return folder


def test_a_long_function_is_seen(tmp_path):
    body = "    x = 1\n\n" + "    x = 1\n" * (LONGEST - 2)
    short = f'def short(\n    a, b\n):\n    """Text.\n\n    More.\n    """\n{body}'

    found = long_functions(write(tmp_path, f"{short}\n\ndef long():\n{body}    return x\n"))
    assert found == [f"stability/module.py: long, {LONGEST + 1} lines"]


@pytest.mark.parametrize(
    ("between", "found"), [("    x = 0\n", 1), ("\n", 0), ("    # next, the ones\n", 0)]
)
def test_a_function_without_a_blank_line_or_a_comment_is_seen(tmp_path, between, found):
    code = "def f():\n" + "    x = 1\n" * (DENSE - 2) + between + "    return x\n"
    assert len(dense_functions(write(tmp_path, code))) == found


def test_a_function_of_one_statement_has_no_steps(tmp_path):
    items = "        1,\n" * DENSE
    code = f'def f():\n    """A list."""\n    return [\n{items}    ]\n'
    assert dense_functions(write(tmp_path, code)) == []


def test_functions_show_their_steps():
    assert dense_functions() == []
