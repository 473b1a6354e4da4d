"""Any number of runs on the same data, compared in pairs over seeds: retraining compare RUN OTHER …

Runs are comparable if a seed has the same real data and the same true points in all of them. Each
is compared with the first one, row by row and quantity by quantity, on the seeds and generations
that both have.
"""

import os.path
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tyro
from numpy.typing import NDArray

from stability.runs.command_line import UsageError
from stability.runs.console import make_console
from stability.runs.history import HistoryError
from stability.runs.option_error import OptionError
from stability.runs.recorded_run import RecordedRun, read_run
from stability.runs.run_layout import RunDirectoryError
from stability.runs.tables import plain_table
from stability.runs.trends import Interval, student_interval
from stability.runs.untrusted import printable

__all__ = [
    "OF_THE_DATA",
    "CompareRuns",
    "RunDifference",
    "changed_options",
    "main",
    "paired_difference",
    "require_same_data",
    "run_differences",
]

LONG = 60
"""Characters of an option's value that are shown."""
OF_THE_DATA = (
    *("real", "real_digest", "real_kind", "truth", "truth_digest", "samples", "seed"),
    *("density", "angles", "mixture", "data", "data_digest", "images"),
)
"""Options on which the real data and the true points of a seed depend, whatever the command."""
MIXTURES = {
    "ddpm-torch": "8gaussians",
    "ffjord": "8gaussians-ffjord",
    "torchcfm": "8gaussians-torchcfm",
}
"""Names of mixtures of the 2-D experiments -> their names as densities."""


@dataclass(frozen=True)
class CompareRuns:
    """Test whether runs on the same data differ from the first of them, paired over seeds.

    A seed's value is its mean over the generations from a fifth of the run on. Differences over
    seeds are tested with Student's t, two-sided.
    """

    runs: tyro.conf.Positional[tuple[Path, ...]]
    """Folders of two runs or more; all are compared with the first."""
    level: float = 0.05
    """Family-wise error rate (Bonferroni over rows, quantities and runs)."""

    def __post_init__(self) -> None:
        if len(self.runs) < 2:
            raise OptionError(f"a comparison takes two runs or more, got {len(self.runs)}")
        if not 0 < self.level < 1:
            raise OptionError(f"--level must be in (0, 1), got {self.level}")


@dataclass(frozen=True)
class RunDifference:
    """One row and quantity of a run beside the first run.

    Attributes:
        run: Folder of the run that is compared.
        row: Of the tables.
        quantity: Key of the quantity.
        seeds: Seeds that both have.
        first: Mean over seeds of the first run.
        interval: Of the mean difference, run − first.
    """

    run: Path
    row: str
    quantity: str
    seeds: int
    first: float
    interval: Interval


def require_same_data(first: RecordedRun, other: RecordedRun) -> None:
    """Refuse runs whose seeds have other data.

    Args:
        first: A run.
        other: Another one.

    Raises:
        UsageError: If they differ in an option that decides about the data; names it.
    """
    one, two = _data(first.config), _data(other.config)
    for option in OF_THE_DATA:
        if one[option] != two[option]:
            raise UsageError(
                f"{other.folder} is not comparable with {first.folder}: {option} is "
                f"{printable(two[option])} and {printable(one[option])}, so equal seeds have other "
                "data"
            )


def _data(config: Mapping[str, Any]) -> dict[str, Any]:
    """The options that decide about the data, under one name each."""
    found = {option: config.get(option) for option in OF_THE_DATA}
    if config.keys().isdisjoint(("real", "data")):  # an experiment in the plane
        mixture = found.pop("mixture")
        density = MIXTURES.get(mixture, mixture) if isinstance(mixture, str) else "moons"
        found |= {"mixture": None, "density": config.get("density", density)}
        found["angles"] = config.get("angles", "random")
    return found


def run_differences(runs: Sequence[RecordedRun], level: float) -> list[RunDifference]:
    """Compare each run with the first.

    Args:
        runs: Two or more, on the same data.
        level: Probability that any of the intervals fails.

    Returns:
        One difference for each run, row and quantity that it shares with the first.

    Raises:
        UsageError: If runs share no row or no quantity, or fewer than two seeds.
    """
    pairs = [(run, *pair) for run in runs[1:] for pair in _shared(runs[0], run)]
    share = level / len(pairs)
    found = []
    for run, row, key in pairs:
        one, two = (each.history.repeats(key)[row] for each in (runs[0], run))
        first, interval = paired_difference(one, two, share)
        mean = float(first.mean())
        found.append(RunDifference(run.folder, row, key, len(first), mean, interval))
    return found


def paired_difference(
    one: NDArray[np.float64], two: NDArray[np.float64], level: float
) -> tuple[NDArray[np.float64], Interval]:
    """Compare two curves over the generations and seeds that both have.

    Args:
        one: (T, S), values of a run by generation and seed.
        two: (T', S'), of another one.
        level: Probability that the interval fails.

    Returns:
        The first run's value of each seed, its mean from a fifth of the run on, and the interval of
        the mean difference, two − one.
    """
    length, seeds = min(len(one), len(two)), min(one.shape[1], two.shape[1])
    common = np.s_[(length - 1) // 5 : length, :seeds]
    first, second = one[common].mean(axis=0), two[common].mean(axis=0)
    return first, student_interval(second - first, level)


def _shared(first: RecordedRun, run: RecordedRun) -> list[tuple[str, str]]:
    """Rows and quantities that both have, quantities that are shown if there are any."""
    rows = [row for row in first.history.rows if row in run.history.rows]
    if not rows:
        raise UsageError(
            f"{run.folder} is not comparable with {first.folder}: its rows are "
            f"{printable(', '.join(run.history.rows))}, and those of the first "
            f"{printable(', '.join(first.history.rows))}"
        )

    keys = [key for key in first.history.keys() if key in run.history.keys()]  # noqa: SIM118
    shown = {quantity.key for quantity in first.study.shown}
    keys = [key for key in keys if key in shown] or keys
    if not keys:
        raise UsageError(
            f"{run.folder} is not comparable with {first.folder}: they measure nothing in common"
        )

    for row in rows:
        seeds = min(len(each.history.rows[row]) for each in (first, run))
        if seeds < 2:
            raise UsageError(
                f"{run.folder} is not comparable with {first.folder}: a comparison takes two "
                f"seeds or more, got {seeds} of {printable(row)}"
            )

    return [(row, key) for row in rows for key in keys]


def _opened(folder: Path) -> RecordedRun:
    """A run with a finished generation. UsageError otherwise."""
    try:
        run = read_run(folder)
    except (HistoryError, RunDirectoryError) as error:
        raise UsageError(str(error)) from None
    if not run.history:
        raise UsageError(f"{folder} has no finished generation")
    return run


def changed_options(first: Mapping[str, Any], other: Mapping[str, Any]) -> str:
    """Name the options in which two runs differ.

    Args:
        first: Configuration of a run; parts of it may be mappings.
        other: That of another one.

    Returns:
        Each option with both values, long ones from where they part.
    """
    one, two = dict(_flat(first)), dict(_flat(other))
    words = []
    for name in {**one, **two}:
        before, after = one.get(name), two.get(name)
        if before != after:
            # of long texts, such as an estimator, what is shown begins where they part
            start = len(os.path.commonprefix([str(before), str(after)]))  # noqa: RUF071
            shown = [_from(str(value), start) for value in (before, after)]
            words.append(f"{printable(name)} {shown[0]} → {shown[1]}")
    return ", ".join(words) or "equal options"


def _flat(options: Mapping[str, Any], within: str = "") -> Iterator[tuple[str, Any]]:
    """Options by name; those of a part have its name before them."""
    for name, value in options.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{within}{name}.")
        else:
            yield within + name, value


def _from(text: str, start: int) -> str:
    """The text, if it is long from a little before `start`."""
    if len(text) <= LONG:
        return printable(text, LONG)
    begin = max(start - LONG // 2, 0)
    return ("…" if begin else "") + printable(text[begin:], LONG)


def main(config: CompareRuns) -> None:
    """Print the comparison.

    Args:
        config: Folders of the runs, and the error rate.
    """
    runs = [_opened(folder) for folder in config.runs]
    for run in runs[1:]:
        require_same_data(runs[0], run)
    found = run_differences(runs, config.level)

    table = plain_table(f"difference from {runs[0].folder}, paired over seeds")
    for column in ("run", "regime", "quantity", "first", "difference", "they differ"):
        words = column in ("run", "regime", "they differ")
        table.add_column(column, justify="left" if words else "right", no_wrap=not words)
    for row in found:
        table.add_row(
            printable(row.run),
            printable(row.row),
            row.quantity,
            f"{row.first:.4g}",
            f"[{row.interval.low:+.3g}, {row.interval.high:+.3g}]",
            "yes" if row.interval.leaves_out_zero else "undecided",
        )
    table.caption = (
        f"intervals that all hold together with probability {1 - config.level:g}; "
        f"{min(row.seeds for row in found)} seeds"
    )
    console = make_console()
    console.print(table)
    for run in runs[1:]:
        words = changed_options(runs[0].config, run.config)
        console.print(f"{printable(run.folder)}: {words}", soft_wrap=True)
