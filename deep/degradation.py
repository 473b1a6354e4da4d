"""Do image models degrade when they are retrained? Tested over seeds: python -m deep.degradation
FOLDER

For all runs of deep.retrain in a folder, the slope over generations of each run's Fréchet distance,
and two questions: does the distance grow when training is fully synthetic, and does it grow faster
than with real data in the mix? Both are sign tests over seeds, exact without any assumption but
independent seeds; a seed's runs share their random numbers, so rows are compared seed by seed. That
something does not grow cannot be shown by a test: for those rows the interval of the slope is
printed, and that of its difference from λ = 0, which only trains longer on real data.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import tyro
from rich.table import Table

from deep.reports.found_runs import FoundRunError, Series, Setting, find_settings
from stability.loop.regimes import FullySynthetic, Mix
from stability.runs.command_line import UsageError, command
from stability.runs.console import make_console, print_paths
from stability.runs.option_error import OptionError
from stability.runs.output_folder import claim_output_folder, require_output_folder
from stability.runs.tables import plain_table
from stability.runs.trends import slopes, student_interval
from stability.statements.claim import Claim
from stability.statements.run_claims import sign_verdict, write_verdicts
from stability.statements.verdict import Verdict

__all__ = ["FASTER", "GROWS", "Degradation", "main", "slope_tests"]

COMMAND = "deep.degradation"
LEVEL = 0.05


@dataclass(frozen=True)
class Degradation:
    """Test whether the Fréchet distance grows over generations when training is fully synthetic,
    and whether it grows faster than in the other rows, over the seeds of the runs of
    deep.retrain in a folder.
    """

    folder: tyro.conf.Positional[Path]
    """Folder that holds the runs, in any depth."""
    reference: Literal["held-out", "train"] = "held-out"
    """Real images that the generated ones are compared with."""
    level: float = LEVEL
    """Probability that any of the tests finds something although nothing is there; each has its
    share of it."""
    out: Path | None = None
    """Folder for verdicts.json, which `python -m stability --runs` reads. Default: nothing is
    written."""

    def __post_init__(self) -> None:
        if not 0 < self.level < 1:
            raise OptionError(f"--level must be between 0 and 1, got {self.level}")


GROWS = Claim(
    id="Degradation, the distance grows",
    words="The Fréchet distance to real images grows over generations when training is fully "
    "synthetic: the p-value of an exact sign test over seeds is at most the level",
    relation="<=",
    source="`python -m deep.degradation`",
    falsified_by="The opposite sign of the slopes, found by the same test at the same level.",
    no_evidence="A single seed, and seeds of which another row has no run.",
    error_rate=LEVEL,
)
FASTER = replace(
    GROWS,
    id="Degradation, faster than with real data",
    words="The Fréchet distance grows faster when training is fully synthetic than with real data "
    "in the mix, seed by seed: the p-value of an exact sign test is at most the level",
)


def slope_tests(by_regime: dict[str, np.ndarray], alone: str, level: float) -> list[Verdict]:
    """Test whether one row grows, and whether it grows faster than the others.

    Args:
        by_regime: Slopes (S,) of each row, the same seeds in the same order.
        alone: The row that sees no real data.
        level: Probability that any of the tests finds growth although there is none.

    Returns:
        The verdict on that row, and one beside each other row.
    """
    others = [regime for regime in by_regime if regime != alone]
    each, unit = level / (1 + len(others)), "a retraining"
    slope = by_regime[alone]
    grows = sign_verdict(GROWS, f"grows when {alone}", slope, each, unit)
    faster = [
        sign_verdict(FASTER, f"and faster than at {name}", slope - by_regime[name], each, unit)
        for name in others
    ]
    return [grows, *faster]


def main(config: Degradation) -> None:
    """Print, for each setting in the folder, slopes and tests.

    Args:
        config: Options of the command.

    Raises:
        UsageError: If there is no run to read.
        RunDirectoryError: If the folder of results is not empty and not of this command.
    """
    if config.out:
        require_output_folder(config.out, COMMAND)
    try:
        settings = find_settings(config.folder)
    except FoundRunError as error:
        raise UsageError(f"FOLDER: {error}") from error

    console, found = make_console(), []
    for setting in settings:
        series = _frechet(setting, config.reference)
        by_regime = {regime: slopes(values) for regime, values in _common(setting, series).items()}
        seeds = len(next(iter(by_regime.values())))
        title = (
            f"{setting.name}: {series.label}, {series.images} images against "
            f"{series.reference}, {seeds} seeds"
        )
        control, alone = setting.row_of(Mix(0.0)), _alone(setting)

        console.print(_slopes_table(title, by_regime, control))
        verdicts = slope_tests(by_regime, alone, config.level)
        console.print(_tests_table(verdicts, config.level))
        console.print(_power(verdicts, seeds))
        found += [replace(each, instance=f"{setting.name}, {each.instance}") for each in verdicts]

    if config.out:
        claim_output_folder(config.out, COMMAND)
        title = "Growth of the Fréchet distance over generations, tested over seeds."
        print_paths(console, [write_verdicts(config.out, COMMAND, title, found)])


def _frechet(setting: Setting, reference: str) -> Series:
    """The Fréchet distance of most images against the reference."""
    found = [
        series for series in setting.series if series.is_frechet and series.reference == reference
    ]
    if not found:
        raise UsageError(
            f"--reference {reference}: {setting.name} has no Fréchet distance against it"
        )
    return max(found, key=lambda series: series.images)


def _common(setting: Setting, series: Series) -> dict[str, np.ndarray]:
    """Values (T + 1, S) of each regime, for the seeds and the generations that all of them have."""
    _alone(setting)
    chains = {
        regime: {chain.repeat: chain for chain in row} for regime, row in setting.rows.items()
    }
    seeds = sorted(set.intersection(*(set(row) for row in chains.values())))
    if not seeds:
        raise UsageError(f"FOLDER: the rows of {setting.name} have no seed in common")
    columns = {
        regime: [row[seed].values(series) for seed in seeds] for regime, row in chains.items()
    }
    shortest = min(len(column) for row in columns.values() for column in row)
    if shortest < 2:
        raise UsageError(
            f"FOLDER: a run of {setting.name} has one generation only, which has no slope"
        )
    return {
        regime: np.array([column[:shortest] for column in row]).T for regime, row in columns.items()
    }


def _alone(setting: Setting) -> str:
    """The fully synthetic row. UsageError if there is none."""
    row = setting.row_of(FullySynthetic())
    if row is None:
        raise UsageError(f"FOLDER: {setting.name} has no fully synthetic row")
    return row


def _slopes_table(title: str, by_regime: dict[str, np.ndarray], control: str | None) -> Table:
    table = plain_table(title)
    table.add_column("regime")
    for column in ("growth a retraining", f"more than at {Mix(0.0)}"):
        table.add_column(column, justify="right")
    for regime, values in by_regime.items():
        beside = control is not None and regime != control
        more = _interval(values - by_regime[control]) if beside and control else "–"
        table.add_row(regime, _interval(values), more)
    table.caption = "mean over seeds, and half of its 95 % interval"
    return table


def _interval(values: np.ndarray) -> str:
    """A mean over seeds, and half of its interval, which one seed has not."""
    interval = student_interval(values)
    half = interval.half_width
    return f"{interval.mean:.3g}" + (f" ± {half:.2g}" if math.isfinite(half) else "")


def _tests_table(verdicts: Sequence[Verdict], level: float) -> Table:
    table = plain_table("")
    for column in ("the distance", "seeds"):
        table.add_column(column)
    for column in ("p", "level", "outcome"):
        table.add_column(column, justify="right")
    for verdict in verdicts:
        table.add_row(
            verdict.instance,
            verdict.note.partition(" seeds")[0],
            f"{verdict.measured:.2g}",
            f"{verdict.false_alarm:.2g}",
            verdict.status.value,
        )
    table.caption = (
        f"sign tests; probability that any of them finds what is not there: at most {level:g}"
    )
    return table


def _power(verdicts: Sequence[Verdict], seeds: int) -> str:
    """A sentence on whether these seeds can tell at all: a sign test needs 2^−S <= its level."""
    levels = [verdict.false_alarm for verdict in verdicts if verdict.false_alarm]
    needed = math.ceil(-math.log2(min(levels)) - 1e-9)
    if seeds >= needed:
        return f"{seeds} seeds can tell: a sign test at this level needs {needed}."
    few = "One seed" if seeds == 1 else f"{seeds} seeds"
    return f"{few} cannot tell: a sign test at this level needs {needed}, each run with its --seed."


if __name__ == "__main__":
    command(Degradation, main)
