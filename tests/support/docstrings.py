"""How much of the public code its docstrings describe: python -m tests.support.docstrings"""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

__all__ = ["PACKAGES", "Coverage", "bare_first_lines", "coverage"]

ROOT = Path(__file__).parents[2]
PACKAGES = ("stability", "toy", "deep")

Function = ast.FunctionDef | ast.AsyncFunctionDef

SECTION = re.compile(r"^(Args|Attributes|Returns|Yields|Raises):$", re.MULTILINE)
ENTRY = re.compile(r"^    \*{0,2}(\w+)(?: \([^)]*\))?: ", re.MULTILINE)
SHAPE = re.compile(r"\([^()]*,[^()]*\)|scalar|shape", re.IGNORECASE)
ARRAY = re.compile(r"ndarray|NDArray|Tensor|ArrayLike")
BARE = re.compile(r"(Of|What|How|Where|Whether|Which|Who|When|Why)\b")
"""First words of a line that has no subject or no verb of its own."""


@dataclass(frozen=True)
class Coverage:
    """Counts over the public functions of the packages.

    Attributes:
        arguments: Arguments of functions that have a docstring.
        described: Those that the section `Args` describes.
        arrays: Arguments that are annotated as arrays or tensors.
        shaped: Those that the docstring gives a shape.
    """

    arguments: int
    described: int
    arrays: int
    shaped: int


def coverage() -> Coverage:
    """Count what docstrings say of arguments, in all packages.

    Returns:
        The counts.
    """
    arguments = described = arrays = shaped = 0
    for function, doc in _public_functions():
        entries = _entries(doc)
        for argument in _arguments(function):
            arguments += 1
            described += argument.arg in entries
            if argument.annotation and ARRAY.search(ast.unparse(argument.annotation)):
                arrays += 1
                shaped += bool(SHAPE.search(entries.get(argument.arg, "")))
    return Coverage(arguments, described, arrays, shaped)


def _public_functions() -> Iterator[tuple[Function, str]]:
    """Functions and methods without an underscore, with their docstrings."""
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, Function) and not node.name.startswith("_"):
                    doc = ast.get_docstring(node)
                    if doc:
                        yield node, doc


def _arguments(function: Function) -> list[ast.arg]:
    a = function.args
    return [
        one for one in (*a.posonlyargs, *a.args, *a.kwonlyargs) if one.arg not in ("self", "cls")
    ]


def _entries(doc: str) -> dict[str, str]:
    """Each name in the section `Args`, with its text."""
    parts = SECTION.split(doc)
    text = "".join(
        body for name, body in zip(parts[1::2], parts[2::2], strict=True) if name == "Args"
    )
    found = ENTRY.split(text)
    return dict(zip(found[1::2], found[2::2], strict=True))


def bare_first_lines() -> list[str]:
    """First lines of docstrings that begin with "Of", "What", "How" and the like.

    Returns:
        Path and first line of each: of modules, classes, functions, and the texts below fields and
        constants, which are the help of an option.
    """
    return [
        f"{path.relative_to(ROOT)}: {doc.splitlines()[0]}"
        for package in (*PACKAGES, "benchmarks")
        for path in sorted((ROOT / package).rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        for doc in _texts(node)
        if BARE.match(doc)
    ]


def _texts(node: ast.AST) -> Iterator[str]:
    """The docstring of a node, and those of the fields and constants in it."""
    if not isinstance(node, Function | ast.ClassDef | ast.Module):
        return
    yield ast.get_docstring(node) or ""
    for one, text in pairwise(node.body):
        if (
            isinstance(one, ast.Assign | ast.AnnAssign)
            and isinstance(text, ast.Expr)
            and isinstance(text.value, ast.Constant)
            and isinstance(text.value.value, str)
        ):
            yield text.value.value


if __name__ == "__main__":
    found = coverage()
    print(f"arguments described: {found.described} of {found.arguments}")  # noqa: T201
    print(f"array arguments with a shape: {found.shaped} of {found.arrays}")  # noqa: T201
    print(f"first lines without a subject or a verb: {len(bare_first_lines())}")  # noqa: T201
