"""The public code's readability, in numbers: python -m tests.support.docstrings [CHECKOUT]

Docstrings: arguments that are named, shapes of arrays, sources of formulas, errors, first words.
Functions: lengths, blank lines and comments. With the folder of another checkout its code is
counted, so that two states of the project can be compared.
"""

import ast
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path

__all__ = [
    "CODE",
    "ROOT",
    "Coverage",
    "Layout",
    "bare_first_lines",
    "coverage",
    "dense_functions",
    "layout",
    "long_functions",
    "long_lines",
    "modules",
]

ROOT = Path(__file__).parents[2]
PACKAGES = ("stability", "toy", "deep")
CODE = (*PACKAGES, "benchmarks")
WITH_SOURCES = ("statements", "diffusion", "gaussian", "analysis")
"""Rooms of `stability` whose modules say where their formulas come from."""

LONGEST = 60
"""Lines of a function's body, without its docstring, that fit on a screen."""
DENSE = 20
"""Lines of a body from which on it has a blank line or a comment."""
WIDEST = 100
"""Characters of a line."""

Function = ast.FunctionDef | ast.AsyncFunctionDef

SECTION = re.compile(r"^(Args|Attributes|Returns|Yields|Raises):$", re.MULTILINE)
ENTRY = re.compile(r"^    \*{0,2}(\w+)(?: \([^)]*\))?: ", re.MULTILINE)
SHAPE = re.compile(r"\([^()]*,[^()]*\)|scalar|shape", re.IGNORECASE)
ARRAY = re.compile(r"ndarray|NDArray|Tensor|ArrayLike")
BARE = re.compile(r"(Of|That of|Those of|What|How|Where|Whether|Which|Who|When|Why)\b")
"""First words of a line that has no subject or no verb of its own."""
SOURCE = re.compile(
    r"arXiv|et al|\bE\d|\bS\d|Theorem|Proposition|Lemma|Assumption|eq\.|\(\d+\)|Section|docs/|"
    r"Source|Appendix|Figure|Algorithm|[A-Z]\w+ \(?(19|20)\d\d"
)
RELATIVE_WHAT = re.compile(r"(?<!^)\bwhat\b(?! if\b)", re.MULTILINE)


@dataclass(frozen=True)
class Coverage:
    """Counts over public functions.

    Attributes:
        arguments: Arguments of functions that have a docstring.
        described: Those that the section `Args` describes.
        arrays: Arguments that are annotated as arrays or tensors.
        shaped: Those that the docstring gives a shape.
        raising: Functions whose own body raises an error.
        listed: Those that list an error in the section `Raises`.
        modules: Modules of the rooms with sources.
        sourced: Those with a source in the text of the module or of a function in it.
        words: Words of all docstrings.
        relative: The word "what" among them.
    """

    arguments: int
    described: int
    arrays: int
    shaped: int
    raising: int
    listed: int
    modules: int
    sourced: int
    words: int
    relative: int


@dataclass(frozen=True)
class Layout:
    """Counts over all functions.

    Attributes:
        lines: Lines of bodies that have 20 or more.
        blank: Blank ones among them.
        commented: Those with a comment alone.
    """

    lines: int
    blank: int
    commented: int


def coverage(root: Path = ROOT, folders: tuple[str, ...] = CODE) -> Coverage:
    """Count what docstrings say.

    Args:
        root: Folder of a checkout.
        folders: Packages and other folders in it whose functions are counted. Modules and words
            are always those of the packages.

    Returns:
        The counts.
    """
    counts = [_counts(root, folder) for folder in folders]
    arguments, described, arrays, shaped, raising, listed = map(sum, zip(*counts, strict=True))

    texts, words = _source_texts(root), _all_docstrings(root)
    return Coverage(
        arguments,
        described,
        arrays,
        shaped,
        raising,
        listed,
        len(texts),
        sum(bool(SOURCE.search(text)) for text in texts),
        sum(len(doc.split()) for doc in words),
        sum(len(RELATIVE_WHAT.findall(doc)) for doc in words),
    )


@cache
def _counts(root: Path, folder: str) -> tuple[int, ...]:
    """The first six fields of `Coverage`, of one folder."""
    arguments = described = arrays = shaped = raising = listed = 0
    for function, doc in _public_functions(root, (folder,)):
        entries = _entries(doc)
        for argument in _arguments(function):
            arguments += 1
            described += argument.arg in entries
            if argument.annotation and ARRAY.search(ast.unparse(argument.annotation)):
                arrays += 1
                shaped += bool(SHAPE.search(entries.get(argument.arg, "")))
        if _raises(function):
            raising += 1
            listed += "\nRaises:\n" in doc

    return arguments, described, arrays, shaped, raising, listed


def modules(root: Path = ROOT, folders: tuple[str, ...] = CODE) -> list[tuple[Path, ast.Module]]:
    """Parse each module of some folders, once.

    Args:
        root: Folder of a checkout.
        folders: Packages and other folders in it.

    Returns:
        Path and tree of each module.
    """
    return [each for folder in folders for each in _parsed(root, folder)]


@cache
def _parsed(root: Path, folder: str) -> list[tuple[Path, ast.Module]]:
    return [
        (path, ast.parse(path.read_text(encoding="utf-8")))
        for path in sorted((root / folder).rglob("*.py"))
    ]


def _public_functions(root: Path, folders: tuple[str, ...]) -> Iterator[tuple[Function, str]]:
    """Functions and methods without an underscore, with their docstrings."""
    for _, tree in modules(root, folders):
        for node in ast.walk(tree):
            if isinstance(node, Function) and not node.name.startswith("_"):
                doc = ast.get_docstring(node)
                if doc:
                    yield node, doc


def _arguments(function: Function) -> list[ast.arg]:
    a = function.args
    return [
        one for one in (*a.posonlyargs, *a.args, *a.kwonlyargs) if one.arg not in ("self", "cls")
    ]


def _raises(function: Function) -> bool:
    """True if it raises an error itself, not in a function within it."""
    inner = {
        id(node)
        for one in ast.walk(function)
        if isinstance(one, Function) and one is not function
        for node in ast.walk(one)
    }
    return any(
        isinstance(node, ast.Raise) and node.exc is not None and id(node) not in inner
        for node in ast.walk(function)
    )


def _entries(doc: str) -> dict[str, str]:
    """Each name in the section `Args`, with its text."""
    parts = SECTION.split(doc)
    text = "".join(
        body for name, body in zip(parts[1::2], parts[2::2], strict=True) if name == "Args"
    )
    found = ENTRY.split(text)
    return dict(zip(found[1::2], found[2::2], strict=True))


def _with_sources(root: Path) -> list[Path]:
    return [
        path
        for room in WITH_SOURCES
        for path in sorted((root / "stability" / room).rglob("*.py"))
        if path.name != "__init__.py"
    ]


@cache
def _source_texts(root: Path) -> list[str]:
    """Texts of each module that must name its sources."""
    return [_module_texts(path) for path in _with_sources(root)]


def _module_texts(path: Path) -> str:
    """All texts of a module: docstrings, and the strings that are the words of claims."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return "\n".join(
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    )


@cache
def _all_docstrings(root: Path) -> list[str]:
    """Each docstring of the packages that is not empty."""
    return [
        doc
        for _, tree in modules(root, PACKAGES)
        for node in ast.walk(tree)
        for doc in _texts(node)
        if doc
    ]


def bare_first_lines(root: Path = ROOT) -> list[str]:
    """First lines of docstrings that begin with "Of", "That of", "What", "How" and so on.

    Args:
        root: Folder of a checkout.

    Returns:
        Path and first line of each: of modules, classes, functions, and the texts below fields and
        constants, which are the help of an option.
    """
    return [
        f"{path.relative_to(root)}: {doc.splitlines()[0]}"
        for path, tree in modules(root)
        for node in ast.walk(tree)
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


def _bodies(root: Path) -> Iterator[tuple[Path, Function, list[str]]]:
    """Each function with the lines of its body, its docstring left out."""
    for path, tree in modules(root):
        lines = path.read_text(encoding="utf-8").splitlines()
        for node in ast.walk(tree):
            if isinstance(node, Function):
                first = node.body[0].lineno
                if ast.get_docstring(node) is not None:
                    first = (node.body[0].end_lineno or first) + 1
                yield path, node, lines[first - 1 : node.end_lineno]


def long_functions(root: Path = ROOT, longest: int = LONGEST) -> list[str]:
    """Functions that do not fit on a screen.

    Args:
        root: Folder of a checkout.
        longest: Lines of a body, without the docstring.

    Returns:
        Path, name and length of each.
    """
    return [
        f"{path.relative_to(root)}: {node.name}, {len(body)} lines"
        for path, node, body in _bodies(root)
        if len(body) > longest
    ]


def dense_functions(root: Path = ROOT) -> list[str]:
    """Functions of 20 lines or more without a blank line or a comment.

    A function of one statement has no steps to set apart.

    Args:
        root: Folder of a checkout.

    Returns:
        Path, name and length of each.
    """
    return [
        f"{path.relative_to(root)}: {node.name}, {len(body)} lines"
        for path, node, body in _bodies(root)
        if len(body) >= DENSE
        and len(node.body) > 1 + (ast.get_docstring(node) is not None)
        and not any(_is_blank(line) or _is_comment(line) for line in body)
    ]


def layout(root: Path = ROOT) -> Layout:
    """Count blank lines and comments in functions of 20 lines and more.

    Args:
        root: Folder of a checkout.

    Returns:
        The counts.
    """
    lines = [line for *_, body in _bodies(root) if len(body) >= DENSE for line in body]
    return Layout(len(lines), sum(map(_is_blank, lines)), sum(map(_is_comment, lines)))


def _is_blank(line: str) -> bool:
    return not line.strip()


def _is_comment(line: str) -> bool:
    return line.lstrip().startswith("#")


def long_lines(root: Path = ROOT) -> list[str]:
    """Lines of more than 100 characters.

    Args:
        root: Folder of a checkout.

    Returns:
        Path and number of each.
    """
    return [
        f"{path.relative_to(root)}:{number}"
        for folder in (*CODE, "tests")
        for path in sorted((root / folder).rglob("*.py"))
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if len(line) > WIDEST
    ]


def report(root: Path = ROOT) -> str:
    """Write the numbers, a line each.

    Args:
        root: Folder of a checkout.

    Returns:
        The lines.
    """
    docs, code = coverage(root), layout(root)

    def part(of: int, whole: int) -> str:
        return f"{of} of {whole} ({100 * of / max(whole, 1):.1f} %)"

    rows = {
        "arguments named": part(docs.described, docs.arguments),
        "array arguments with a shape": part(docs.shaped, docs.arrays),
        "modules with formulas that name a source": part(docs.sourced, docs.modules),
        "functions that raise and list the error": part(docs.listed, docs.raising),
        "first lines that begin with Of, That of, What, How …": len(bare_first_lines(root)),
        'relative "what" per 1000 words of docstrings': f"{1000 * docs.relative / docs.words:.1f}",
        "blank lines in functions of 20 lines and more": part(code.blank, code.lines),
        "comment lines there": part(code.commented, code.lines),
        "functions of 20 lines and more with neither": len(dense_functions(root)),
        "functions of more than 60 lines": len(long_functions(root)),
        "lines of more than 100 characters": len(long_lines(root)),
    }
    return "\n".join(f"{name:52} {value}" for name, value in rows.items())


if __name__ == "__main__":
    print(report(Path(sys.argv[1]).resolve() if len(sys.argv) > 1 else ROOT))  # noqa: T201
