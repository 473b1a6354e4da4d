import ast
from pathlib import Path

import pytest
from rich.table import Table

from stability.runs.console import make_console, print_paths

ROOT = Path(__file__).parents[3]
MODULES = sorted(
    path
    for package in ("stability", "toy", "deep", "benchmarks")
    for path in (ROOT / package).rglob("*.py")
)
NAMES = ["lr=0.1[bold]", "exp[/final]", "[red]", "a[link=file:///x]b", ":smile:", "\\[x]"]


@pytest.mark.parametrize("name", NAMES)
def test_text_is_printed_as_it_is(name, capsys):
    console = make_console()
    console.print(name)
    table = Table(title=name)
    table.add_column(name)
    table.add_row(name)
    console.print(table)
    assert capsys.readouterr().out.count(name) == 4


@pytest.mark.parametrize("name", [*NAMES, "long " * 100])
def test_a_path_is_one_line_and_whole(name, capsys):
    print_paths(make_console(), [Path(name), Path("b")])
    assert capsys.readouterr().out.splitlines() == [str(Path(name)), "b"]


def test_control_characters_of_a_path_do_not_reach_the_terminal(capsys):
    print_paths(make_console(), [Path("a\x1b[2Jb\nc\x9b1md\udcff")])
    out = capsys.readouterr().out
    assert out.count("\n") == 1
    assert not set(out) & {"\x1b", "\x9b", "\udcff"}


def _breaches(tree: ast.AST) -> list[str]:
    """Calls that could print text as markup: another console, Rich's own print, or a column of a
    progress bar.
    """
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module == "rich":
            found += [
                alias.name
                for alias in node.names
                if alias.name in ("print", "print_json", "inspect")
            ]
        if not isinstance(node, ast.Call):
            continue
        name = getattr(node.func, "attr", getattr(node.func, "id", ""))
        markup = {word.arg: ast.unparse(word.value) for word in node.keywords}.get("markup", "")
        if name in ("Console", "from_markup", "render_str", "print_json") or markup == "True":
            found.append(name)
        if name == "TextColumn" and markup != "False" and "{" in ast.unparse(node):
            found.append(name)
    return found


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_console_is_ours(path):
    if path.name == "console.py":
        pytest.skip("makes the console")
    assert not _breaches(ast.parse(path.read_text(encoding="utf-8")))


@pytest.mark.parametrize(
    "spoiled",
    [
        "Console().print(x)",
        "Text.from_markup(x)",
        "console.print(x, markup=True)",
        "TextColumn('{task.description}')",
    ],
)
def test_a_console_that_takes_markup_is_noticed(spoiled):
    assert _breaches(ast.parse(spoiled))
