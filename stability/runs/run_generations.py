"""The generations of a recorded run as data: what one chain drew, by its row and seed."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from stability.runs.command_line import UsageError
from stability.runs.history import HistoryError
from stability.runs.result import Result
from stability.runs.run_layout import CONFIG, HISTORY, RunDirectoryError
from stability.runs.untrusted import printable

__all__ = ["RunGeneration", "is_run", "open_run_folder", "run_generations"]


@dataclass(frozen=True)
class RunGeneration:
    """Samples of one chain of a recorded run in one generation.

    Attributes:
        folder: Of the run.
        t: Generation.
        row: Name of the chain's row, as the run's table has it.
        seed: Of the chain.
    """

    folder: Path
    t: int
    row: str
    seed: int

    @property
    def name(self) -> str:
        """Folder and generation."""
        return f"{self.folder.name}/generation-{self.t:04d}"

    def points(self) -> np.ndarray:
        """Load the samples.

        Returns:
            (k, …).

        Raises:
            UsageError: If they are damaged or gone.
        """
        try:
            found = Result.open(self.folder).samples(self.t, self.row, self.seed)
        except (RunDirectoryError, HistoryError, KeyError) as error:
            raise UsageError(f"{self.folder}: {error}") from None
        return np.asarray(found)


def is_run(path: Path) -> bool:
    """Return whether a folder looks like one of a recorded run.

    Args:
        path: Path of the folder.

    Returns:
        Whether it has a configuration and a history.
    """
    return (path / CONFIG).is_file() and (path / HISTORY).is_file()


def open_run_folder(folder: Path) -> Result:
    """Open a recorded run for reading.

    Args:
        folder: Of the run.

    Returns:
        The run; it has a finished generation.

    Raises:
        UsageError: If it is none, is damaged, or has no finished generation.
    """
    try:
        result = Result.open(folder)
    except (HistoryError, RunDirectoryError) as error:
        raise UsageError(str(error)) from None
    if not result.sample_generations:
        raise UsageError(f"{folder}: no samples of a finished generation were kept")
    return result


def run_generations(folder: Path, row: str | None, seed: int) -> Iterator[RunGeneration]:
    """List the generations of one chain whose samples are kept.

    Args:
        folder: Of the run.
        row: Name of the row, or of its regime; None: the only one.
        seed: Of the chain.

    Yields:
        The generations, in order.

    Raises:
        UsageError: If it is no run, or has no such chain.
    """
    result = open_run_folder(folder)
    chains = result.history[0].chains
    rows = list(dict.fromkeys(chain.row for chain in chains))
    named = [c.row for c in chains if row in (None, c.row, str(c.regime))]
    if len(set(named)) != 1:
        shown = printable(", ".join(rows))
        raise UsageError(f"{folder}: holds the rows {shown}; name one with --regime")
    if seed not in {chain.seed for chain in chains if chain.row == named[0]}:
        raise UsageError(f"{folder}: holds no seed {seed} of {printable(named[0])}")
    for t in result.sample_generations:
        yield RunGeneration(folder, t, named[0], seed)
