"""One page over all runs of a folder: their list, and their curves laid over each other.

The page is one HTML file that opens from the disk and reaches nothing else. Runs that differ in
their seed alone, such as those of a sweep, are one entry.
"""

import json
import math
import os
import webbrowser
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import tyro
from numpy.typing import NDArray

from stability.runs.atomic import atomic_write
from stability.runs.command_line import UsageError
from stability.runs.console import make_console, print_paths
from stability.runs.history import HistoryError
from stability.runs.recorded_run import RecordedRun, read_run
from stability.runs.run_layout import CONFIG, HISTORY, RunDirectoryError, config_digest
from stability.runs.untrusted import printable

__all__ = ["OpenRuns", "find_runs", "main", "write_overview"]

MOST_RUNS = 2000
"""Runs on one page."""
DEEPEST = 6
"""Folders below the one that is opened."""
PAGE = "overview.html"


@dataclass(frozen=True)
class OpenRuns:
    """Write one page over all runs of a folder, and open it.

    The page has a list of the runs, their curves with bands over seeds and noise floors laid over
    each other, and a slider over the generations.
    """

    folder: tyro.conf.Positional[Path]
    """Folder in which runs are, at any depth."""
    out: Path | None = None
    """The page. Default: overview.html in the folder."""
    browser: bool = True
    """Open it in the browser; --no-browser: write it only."""


def find_runs(folder: Path) -> list[Path]:
    """Find the folders of runs.

    Args:
        folder: Where to look, at most `DEEPEST` folders deep; links are not followed.

    Returns:
        Folders with a config.json and a history, in order of their names.

    Raises:
        UsageError: If there is no such folder, or too many runs.
    """
    if not folder.is_dir():
        raise UsageError(f"{folder}: there is no such folder")
    found = []
    for place, folders, names in os.walk(folder):
        folders.sort()
        if CONFIG in names and HISTORY in names:
            found.append(Path(place))
            folders.clear()  # a run holds no other runs
        elif len(Path(place).relative_to(folder).parts) >= DEEPEST:
            folders.clear()
        if len(found) > MOST_RUNS:
            raise UsageError(f"{folder} holds more than {MOST_RUNS:,} runs; open a part of it")
    return found


def write_overview(folder: Path, page: Path) -> tuple[list[str], int]:
    """Write the page.

    Args:
        folder: In which runs are.
        page: The file.

    Returns:
        One line for each run that cannot be read, and the number of those on the page.

    Raises:
        UsageError: If no run can be read.
    """
    problems, runs = [], []
    for place in find_runs(folder):
        try:
            run = read_run(place)
        except (HistoryError, RunDirectoryError, OSError) as error:
            problems.append(printable(error))
            continue
        if run.history:
            runs.append(run)
    if not runs:
        more = f"; {problems[0]}" if problems else ""
        raise UsageError(f"{folder} holds no run with a finished generation{more}")

    entries = [_entry(folder, group) for group in _groups(runs)]
    text = json.dumps({"entries": entries}, ensure_ascii=True, allow_nan=False)
    template = (files("stability.runs") / PAGE).read_text(encoding="utf-8")
    # in a script no text may look like the end of the script
    content = template.replace("{{ data }}", text.replace("<", "\\u003c"))
    with atomic_write(page) as file:
        file.write(content.encode())
    return problems, len(runs)


def _groups(runs: Sequence[RecordedRun]) -> list[list[RecordedRun]]:
    """Runs that differ in their seed alone, together."""
    groups: dict[str, list[RecordedRun]] = {}
    for run in runs:
        config = {key: value for key, value in run.config.items() if key != "seed"}
        key = config_digest([config, list(run.history.rows), len(run.history), run.history.keys()])
        groups.setdefault(key, []).append(run)
    return list(groups.values())


def _entry(root: Path, runs: Sequence[RecordedRun]) -> dict[str, Any]:
    """Entry of the page for runs that differ in their seed alone, as JSON values."""
    first = runs[0]
    places = [run.folder.relative_to(root).as_posix() for run in runs]
    name = places[0] if len(runs) == 1 else os.path.commonpath(places) or places[0]
    known = {quantity.key: quantity for quantity in first.study.quantities}
    keys = first.history.keys()
    quantities = {}

    for key in keys:
        floor = first.study.floor(key)
        quantities[key] = {
            "title": known[key].title if key in known else key,
            "shown": key in known and known[key].shown,
            "log": key in known and known[key].log,
            "floor": [_number(floor.mean), _number(floor.sd)],
        }

    last, wanted = len(first.history) - 1, first.study.generations
    return {
        "name": name if name != "." else root.absolute().name,
        "runs": len(runs),
        "generations": last,
        "state": "finished" if last >= wanted else f"{last} of {wanted}",
        "quantities": quantities,
        "rows": [_row(runs, row, keys) for row in first.history.rows],
    }


def _row(runs: Sequence[RecordedRun], row: str, keys: Sequence[str]) -> dict[str, Any]:
    """Mean and standard deviation over all seeds of one row, by quantity."""
    curves = {}
    for key in keys:
        values = np.concatenate([run.history.values(key)[row] for run in runs], axis=1)
        curves[key] = {"mean": _numbers(_mean(values)), "sd": _numbers(_spread(values))}
    return {"name": row, "seeds": sum(len(run.history.rows[row]) for run in runs), "of": curves}


def _mean(values: NDArray[np.float64]) -> NDArray[np.float64]:
    with np.errstate(invalid="ignore", over="ignore"):
        return values.mean(axis=1)


def _spread(values: NDArray[np.float64]) -> NDArray[np.float64]:
    if values.shape[1] < 2:
        return np.zeros(len(values))
    with np.errstate(invalid="ignore", over="ignore"):
        return values.std(axis=1, ddof=1)


def _numbers(values: NDArray[np.float64]) -> list[float | None]:
    return [_number(float(value)) for value in values]


def _number(value: float) -> float | None:
    """A number of JSON; None for what it does not have."""
    return float(f"{value:.6g}") if math.isfinite(value) else None


def main(config: OpenRuns) -> None:
    """Write the page and open it.

    Args:
        config: Folder of the runs, path of the page, and whether to open a browser.
    """
    page = config.out or config.folder / PAGE
    problems, count = write_overview(config.folder, page)
    console = make_console(stderr=True)
    for problem in problems:
        console.print(f"warning: left out: {problem}", soft_wrap=True)
    make_console().print(f"{count} runs")
    print_paths(make_console(), [page])
    if config.browser:
        webbrowser.open(page.absolute().as_uri())
