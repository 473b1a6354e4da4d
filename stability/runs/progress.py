"""The progress bar of every command, on standard error; nothing where that is no terminal."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from stability.runs.console import make_console
from stability.runs.history import ChainRecord, HistoryLine
from stability.runs.observer import Quantity

if TYPE_CHECKING:
    from rich.progress import Progress

__all__ = ["Bars", "bar_words", "generation_words", "generations_bar", "progress_bar"]

MOST_NUMBERS = 2  # of a row, in the line of a generation


def progress_bar(show: bool = True) -> "Progress":
    """Make a context whose tasks count the finished work and estimate the time left.

    Args:
        show: False in the processes beside the first one.

    Returns:
        The bar.
    """
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    console = make_console(stderr=True)
    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=console,
        disable=not (show and console.is_terminal),
    )


class Bars:
    """Moves the bar of generations and, where a learner says what it does, a second one.

    Without a bar nothing is shown.
    """

    def __init__(self, bar: "Progress | None" = None, total: int = 0, done: int = 0) -> None:
        self._bar, self._done = bar, done
        self._generations = bar and bar.add_task("generations", total=total, completed=done)
        self._now: Any = None

    def within(self, fraction: float) -> None:
        """Show a generation under way.

        Args:
            fraction: Of it that is done, in [0, 1].
        """
        self._update(self._generations, completed=self._done + fraction)

    def what(self, words: str, done: int, total: int) -> None:
        """Show the work of the moment.

        Args:
            words: What is being done.
            done: How much of it.
            total: Of how much.
        """
        if self._now is None and self._bar is not None:
            self._now = self._bar.add_task("", total=None)
        self._update(self._now, description=words, completed=done, total=total)

    def finished(self, done: int, words: str = "") -> None:
        """Show finished generations.

        Args:
            done: Number of them.
            words: The first numbers of the last one, beside the bar.
        """
        self._done = done
        name = f"generations; {words}" if words else "generations"
        self._update(self._generations, completed=done, description=name)

    def _update(self, task: Any, **changes: Any) -> None:
        if self._bar is not None:
            self._bar.update(task, **changes)


def generation_words(
    line: HistoryLine, last: int, quantities: Sequence[Quantity], seconds: float
) -> str:
    """Say in one line what a generation came to.

    Args:
        line: Of the history.
        last: Number of the last generation.
        quantities: That the study measures.
        seconds: What the generation took.

    Returns:
        Number, time, and of each row the first quantities that are shown, means over seeds.
    """
    shown = _shown(line, quantities)[:MOST_NUMBERS]
    parts = [f"generation {line.t} of {last}, {seconds:.1f} s"]
    for row, chains in _rows(line).items() if shown else ():
        means = (f"{_short(q)} {_mean(q, chains):.3g}" for q in shown)
        parts.append(f"{row}: {', '.join(means)}")
    return "; ".join(parts)


def bar_words(line: HistoryLine, quantities: Sequence[Quantity]) -> str:
    """Say what stands beside the bar: the first quantity of the first rows.

    Args:
        line: Of the history.
        quantities: That the study measures.

    Returns:
        As in `W1 0.031 (λ = 0), 0.24 (fully synthetic)`; "" where nothing is shown.
    """
    shown, rows = _shown(line, quantities), list(_rows(line).items())
    if not shown:
        return ""

    # the ends of the list: the row with the least synthetic data and the one with the most
    ends = rows if len(rows) <= MOST_NUMBERS else [rows[0], rows[-1]]
    numbers = (f"{_mean(shown[0], chains):.3g} ({row})" for row, chains in ends)
    return f"{_short(shown[0])} {', '.join(numbers)}"


def _shown(line: HistoryLine, quantities: Sequence[Quantity]) -> list[Quantity]:
    return [q for q in quantities if q.shown and q.key in line.chains[0].measured]


def _rows(line: HistoryLine) -> dict[str, list[ChainRecord]]:
    rows: dict[str, list[ChainRecord]] = {}
    for chain in line.chains:
        rows.setdefault(chain.row, []).append(chain)
    return rows


def _short(quantity: Quantity) -> str:
    return quantity.title.split(" to the ")[0]


def _mean(quantity: Quantity, chains: Sequence[ChainRecord]) -> float:
    return float(np.mean([chain.measured[quantity.key] for chain in chains]))


@contextmanager
def generations_bar(total: int, done: int, show: bool = True) -> Iterator[Bars]:
    """Show generations as they are finished.

    Args:
        total: Number of generations, with generation 0.
        done: Those that are finished.
        show: False in the processes beside the first one.

    Yields:
        What moves the bars.
    """
    with progress_bar(show) as bar:
        yield Bars(bar, total, done)
