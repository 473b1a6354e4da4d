"""The end of a command: tables, the answer in one sentence, how long it took, what was written."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path

from rich.console import Console

from stability.runs.console import make_console, print_paths
from stability.runs.result import Result

__all__ = ["closing"]


def closing(
    name: str,
    quiet: bool,
    tables: Callable[[Console, Result], object],
    figures: Callable[[Result], Sequence[Path]],
    answer: Callable[[Result], str] = Result.answer,
) -> Callable[[Result], None]:
    """Make what a study calls at its end.

    Args:
        name: Of the experiment.
        quiet: Whether to print the paths alone.
        tables: Prints the tables of a result.
        figures: Draws its figures; returns their paths.
        answer: Its answer in one sentence.

    Returns:
        A function of the result, for `Study.finish`; its clock starts now.
    """
    started = time.monotonic()

    def finish(result: Result) -> None:
        console, drawn = make_console(), figures(result)
        if not quiet:
            tables(console, result)
            console.print(f"\n{name}: {time.monotonic() - started:.0f} s")
            console.print(answer(result), soft_wrap=True)
        print_paths(console, (result.folder / "history.jsonl", *drawn, result.report()))

    return finish
