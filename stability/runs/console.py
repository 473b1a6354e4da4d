"""Output of commands: tables, and text of users and files, shown as it is."""

from collections.abc import Iterable
from pathlib import Path
from typing import IO

from rich.console import Console

from stability.runs.untrusted import printable

__all__ = ["make_console", "print_paths"]

LONGEST_PATH = 4096  # characters: a path is shown whole, since scripts read it


def make_console(
    stderr: bool = False,
    width: int | None = None,
    file: IO[str] | None = None,
    quiet: bool = False,
) -> Console:
    """Make a console that takes no text for markup.

    In Rich's own default, `[bold]` in the name of a folder or in a file is an instruction and is
    lost, and `[/final]` is an error. Where colour is wanted, `rich.text.Text` says so.

    Args:
        stderr: Print to standard error instead of standard output.
        width: Characters a line; None: as many as the terminal has.
        file: Print there instead, without colours.
        quiet: Print nothing.

    Returns:
        The console. Strings in the cells and titles of its tables are shown as they are, too.
    """
    return Console(
        stderr=stderr,
        width=width,
        file=file,
        quiet=quiet,
        markup=False,
        highlight=False,
        emoji=False,
    )


def print_paths(console: Console, paths: Iterable[Path]) -> None:
    """Print each path on a line of its own, unbroken, without control characters.

    Args:
        console: Where to print.
        paths: Files or folders.
    """
    for path in paths:
        console.print(printable(path, LONGEST_PATH), soft_wrap=True)
