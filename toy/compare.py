"""Do two runs have the same curves? Paired over seeds: python -m toy.compare RUN OTHER

A seed's real data and draws of the truth are the same in two runs if --density, --samples, --angles
and --seed are. Then the runs are comparable, and whatever else differs (model, its settings,
sampler, latents) is what one compares. Number of seeds and generations may differ: what both have
is used.
"""

import errno
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tyro
from numpy.typing import NDArray

from stability.runs.command_line import UsageError, command
from stability.runs.compare_runs import OF_THE_DATA, paired_difference, require_same_data
from stability.runs.console import make_console
from stability.runs.history import History, HistoryError
from stability.runs.loop_options import NOT_RECORDED
from stability.runs.option_error import OptionError
from stability.runs.outcome import Status
from stability.runs.recorded_run import RecordedRun, read_run
from stability.runs.run_layout import CONFIG, EDITION, HISTORY, RunDirectoryError
from stability.runs.tables import plain_table
from stability.runs.trends import Interval
from stability.runs.untrusted import printable

__all__ = [
    "Compare",
    "Difference",
    "changed_options",
    "differences",
    "main",
    "read_plane_run",
]

OF_THE_ROWS = (
    "lam",
    "regime",
    "fully_synthetic",
    "weight",
    "reward",
    "choices",
    "verifier",
    "tries",
)
"""Options that the names of the regimes tell, which must be the same."""
OF_THE_LENGTH = ("retrainings", "seeds")
"""Options of which the smaller value is used."""
QUANTITIES = ("w1", "w2")
NEEDED = {"lam", "regime", "samples", "seed", "seeds", "retrainings", "latents"}
"""Options that every 2-D experiment has."""


@dataclass(frozen=True)
class Compare:
    """Test whether W1 and W2 differ between two runs of the same regimes on the same data.

    --density, --samples, --seed and the regimes must be the same in both, so that seed by seed the
    two have the same real data and the same draws of the truth; any other option may differ, and
    those that do are named. They are compared on the seeds and generations that both have. A seed's
    value is its mean over the generations from a fifth of the run on. The differences over seeds
    are tested with Student's t, two-sided.
    """

    run: tyro.conf.Positional[Path]
    """Folder of a run."""
    other: tyro.conf.Positional[Path]
    """Folder of the run that is compared with it."""
    level: float = 0.05
    """Family-wise error rate (Bonferroni over rows)."""

    def __post_init__(self) -> None:
        if not 0 < self.level < 1:
            raise OptionError(f"--level must be in (0, 1), got {self.level}")


@dataclass(frozen=True)
class Difference:
    """One row of the comparison, over so many seeds.

    Attributes:
        mean: Over seeds, of the first run.
        sd: See `mean`.
        interval: Of the mean difference, other − run.
    """

    regime: str
    quantity: str
    seeds: int
    mean: float
    sd: float
    interval: Interval

    @property
    def status(self) -> Status:
        """Status of the claim that they differ: HOLDS, or UNDECIDED."""
        return Status.HOLDS if self.interval.leaves_out_zero else Status.UNDECIDED


def changed_options(
    config: Mapping[str, Any], other: Mapping[str, Any]
) -> dict[str, tuple[Any, Any]]:
    """Find what a comparison is about: the options that comparable runs differ in.

    Args:
        config: The options of a run, as its `config.json` has them.
        other: Those of the other one.

    Returns:
        Both values by option, None where a run does not have it; without those that choose the
        data, the rows, the length and the machine.
    """
    fixed = (*OF_THE_DATA, *OF_THE_ROWS, *OF_THE_LENGTH, *NOT_RECORDED, EDITION)
    names = [name for name in {**config, **other} if name not in fixed]
    pairs = {name: (config.get(name), other.get(name)) for name in names}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def differences(history: History, other: History, level: float) -> list[Difference]:
    """Compare W1 and W2 of each regime; all intervals hold together with probability 1 − level.

    Args:
        history: History of a run. Seeds and generations that only one run has are left out.
        other: History of the other run.
        level: Family-wise error rate, in (0, 1).

    Returns:
        One row for each regime and each of W1 and W2.

    Raises:
        ValueError: If the regimes are not the same, or there are fewer than two seeds to compare.
    """
    curves = {
        quantity: (history.repeats(quantity), other.repeats(quantity)) for quantity in QUANTITIES
    }
    one, two = curves["w1"]
    if one.keys() != two.keys():
        names = [printable(", ".join(run)) for run in (one, two)]
        raise ValueError(f"the runs must have the same regimes, got {names[0]} and {names[1]}")

    seeds = min(values.shape[1] for values in (*one.values(), *two.values()))
    if seeds < 2:
        raise ValueError("a comparison takes two seeds or more, got 1")

    share = level / (len(QUANTITIES) * len(one))
    return [
        _difference(
            regime,
            quantity,
            pair[0][regime],
            pair[1][regime],
            share,
        )
        for regime in one
        for quantity, pair in curves.items()
    ]


def _difference(
    regime: str, quantity: str, run: NDArray[np.float64], other: NDArray[np.float64], level: float
) -> Difference:
    """From the values of each run, (T, S)."""
    first, interval = paired_difference(run, other, level)
    mean, sd = float(first.mean()), float(first.std(ddof=1))
    return Difference(regime, quantity, len(first), mean, sd, interval)


def read_plane_run(folder: Path) -> RecordedRun:
    """Read a run of a 2-D experiment.

    Args:
        folder: Of the run.

    Returns:
        Its options and history, with W1 and W2 of every chain, and equally many seeds a row.

    Raises:
        UsageError: If it is none, or has no finished generation, or is damaged.
        OSError: If it has no config.json.
    """
    try:
        run = read_run(folder)
    except HistoryError as error:
        raise UsageError(f"{error}; it is damaged") from None
    except RunDirectoryError:
        raise FileNotFoundError(
            errno.ENOENT, os.strerror(errno.ENOENT), str(folder / CONFIG)
        ) from None
    if not run.config.keys() >= NEEDED or "data" in run.config:
        raise UsageError(f"{folder} is not a run of a 2-D experiment (toy.run, toy.two_moons, …)")
    file, history = folder / HISTORY, run.history
    if not history:
        raise UsageError(f"{file} has no finished generation")
    if not set(QUANTITIES) <= set(history.keys()) or len(set(map(len, history.rows.values()))) > 1:
        raise UsageError(f"{file} has no W1 and W2 of every chain, or other seeds in each row")
    if not all(np.isfinite(x).all() for q in QUANTITIES for x in history.values(q).values()):
        raise UsageError(f"{file} has distances that are not finite")
    return run


def main(config: Compare) -> None:
    """Print the comparison.

    Args:
        config: Options of the command.

    Raises:
        UsageError: If a folder has no such run, or the runs are not comparable.
        OSError: If a folder has no config.json.
    """
    runs = [read_plane_run(run) for run in (config.run, config.other)]
    options = [run.config for run in runs]
    require_same_data(*runs)
    try:
        rows = differences(runs[0].history, runs[1].history, config.level)
    except ValueError as error:
        raise UsageError(str(error)) from None

    table = plain_table("difference, other − run, paired over seeds")
    for column in ("regime", "", "run", "difference", "they differ"):
        # in a narrow window words are broken, and numbers are whole
        words = column in ("regime", "they differ")
        table.add_column(column, justify="left" if words else "right", no_wrap=not words)
    for row in rows:
        table.add_row(
            printable(row.regime),
            row.quantity.upper(),
            f"{row.mean:.3f} ± {row.sd:.3f}",
            f"[{row.interval.low:+.3f}, {row.interval.high:+.3f}]",
            row.status.value,
        )
    table.caption = (
        f"{rows[0].seeds} seeds; intervals that all hold together with probability "
        f"{1 - config.level:g}"
    )
    console = make_console()
    console.print(table)
    console.print(_compared(*options), soft_wrap=True)


def _compared(config: Mapping[str, Any], other: Mapping[str, Any]) -> str:
    """Text with the options that differ, and with the part of the longer run that was left out."""
    changed = changed_options(config, other)
    shown = ", ".join(
        f"--{printable(name).replace('_', '-')} {_value(one)} → {_value(two)}"
        for name, (one, two) in changed.items()
    )
    left_out = [
        f"--{option} {_value(config[option])} and {_value(other[option])}"
        for option in OF_THE_LENGTH
        if config[option] != other[option]
    ]
    words = f"compared: {shown or 'equal options'}"
    return words + (f"; the part that both have of {', '.join(left_out)}" if left_out else "")


def _value(value: Any) -> str:
    return "–" if value is None else printable(json.dumps(value, ensure_ascii=False).strip('"'), 40)


if __name__ == "__main__":
    command(Compare, main)
