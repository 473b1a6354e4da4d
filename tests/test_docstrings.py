"""Docstrings that tools can read: what is described stays described, and the goal is all of it."""

import ast

import pytest

from tests.support.docstrings import CODE, bare_first_lines, coverage, modules

DESCRIBED = 0.99
"""Least fraction of arguments in a section `Args`, of each folder. It may grow, and never falls."""
SHAPED = 0.99
"""Least fraction of array arguments with a shape there. It may grow, and never falls."""


@pytest.mark.parametrize("folder", CODE)
def test_arguments_that_are_described_stay_described(folder):
    found = coverage(folders=(folder,))
    print(found)  # noqa: T201
    assert found.described >= DESCRIBED * found.arguments
    assert found.shaped >= SHAPED * found.arrays


@pytest.fixture(scope="module")
def everything():
    return coverage()


def test_every_module_with_formulas_names_a_source(everything):
    assert everything.modules > 90
    assert everything.sourced == everything.modules


def test_every_error_that_a_function_raises_is_listed(everything):
    assert everything.raising > 250
    assert everything.listed == everything.raising


def test_first_lines_have_a_subject_or_a_verb():
    assert bare_first_lines() == []


def test_no_docstring_has_the_earlier_form_of_arguments():
    """Two arguments in one line, parted by spaces, which no tool parses."""
    for path, tree in modules():
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef) and (doc := ast.get_docstring(node)):
                names = {argument.arg for argument in node.args.args + node.args.kwonlyargs}
                for line in doc.splitlines():
                    heads = [part.split(":")[0] for part in line.split("   ") if ": " in part]
                    assert len([head for head in heads if head.strip() in names]) < 2, (path, line)
