"""The curves of a run while it goes: a figure that is redrawn now and then, and gone at the end."""

import time
from collections.abc import Callable
from pathlib import Path

from stability.runs.result import Result

__all__ = ["FigureSoFar"]

NAME = "so-far.png"
SECONDS_BETWEEN = 60.0
LARGEST_PART = 0.02
"""Fraction of a run's time that its drawing may take."""


class FigureSoFar:
    """Draws the curves of a run that is not finished yet.

    The first figure comes after a minute; a longer run has a new one each minute, or more rarely
    where drawing takes long.

    Args:
        folder: Folder of the run.
        clock: Seconds, from any start.
    """

    def __init__(self, folder: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._path, self._folder, self._clock = folder / "figures" / NAME, folder, clock
        self._due = clock() + SECONDS_BETWEEN

    def update(self) -> None:
        """Redraw the figure if it is due, from what the folder holds."""
        started = self._clock()
        if started < self._due:
            return

        from stability.runs.figure_style import save_figure  # matplotlib, which takes a second

        result = Result.open(self._folder)
        if result.shown():
            save_figure(result.plot(), self._path, ("png",))

        ended = self._clock()
        self._due = ended + max(SECONDS_BETWEEN, (ended - started) / LARGEST_PART)

    def remove(self) -> None:
        """Remove the figure: the run is finished, and has its own figures."""
        self._path.unlink(missing_ok=True)
