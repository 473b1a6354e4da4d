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
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import tyro
from rich.box import SIMPLE_HEAD
from rich.table import Table
from scipy.stats import binomtest
from scipy.stats import t as student_t

from deep.reports.found_runs import Chain, FoundRunError, Series, Setting, find_settings
from stability.loop.regimes import FullySynthetic, Mix
from stability.runs.command_line import UsageError, command
from stability.runs.console import make_console
from stability.runs.option_error import OptionError

__all__ = ["Degradation", "Slope", "SlopeTest", "main", "slope_tests", "slopes"]

FULLY_SYNTHETIC, CONTROL = str(FullySynthetic()), str(Mix(0.0))


@dataclass(frozen=True)
class Degradation:
    """Test whether the Fréchet distance grows over generations when training is fully synthetic,
    and whether it grows faster than in the other rows, over the seeds of the runs of
    deep.retrain in a folder.
    """

    folder: tyro.conf.Positional[Path]
    """Where the runs are, in any depth."""
    reference: Literal["held-out", "train"] = "held-out"
    """Real images that the generated ones are compared with."""
    level: float = 0.05
    """Probability that any of the tests finds something although nothing is there; each has its
    share of it."""

    def __post_init__(self) -> None:
        if not 0 < self.level < 1:
            raise OptionError(f"--level must be between 0 and 1, got {self.level}")


@dataclass(frozen=True)
class SlopeTest:
    """A sign test: is the median over seeds of `values` positive? p: exact, one-sided."""

    claim: str
    values: np.ndarray
    level: float

    @property
    def positive(self) -> int:
        return int((self.values > 0).sum())

    @property
    def p(self) -> float:
        return float(binomtest(self.positive, len(self.values), alternative="greater").pvalue)

    @property
    def outcome(self) -> str:
        """undecided: too few seeds to find anything, whatever they show."""
        if 0.5 ** len(self.values) > self.level:
            return "undecided"
        return "yes" if self.p <= self.level else "not found"


@dataclass(frozen=True)
class Slope:
    """A mean over seeds, and its 95 % interval by Student's t; infinite with one seed."""

    mean: float
    half_width: float

    @classmethod
    def of(cls, values: np.ndarray) -> "Slope":
        """values: (S,)."""
        n = len(values)
        half = (
            student_t.ppf(0.975, n - 1) * values.std(ddof=1) / math.sqrt(n) if n > 1 else math.inf
        )
        return cls(float(values.mean()), float(half))

    def __str__(self) -> str:
        return f"{self.mean:.3g} ± {self.half_width:.2g}"


def slopes(values: np.ndarray) -> np.ndarray:
    """Least-squares slopes over generations, (T + 1, S) -> (S,), for T >= 1."""
    t = np.arange(len(values)) - (len(values) - 1) / 2
    return t @ values / (t @ t)


def slope_tests(by_regime: dict[str, np.ndarray], level: float) -> list[SlopeTest]:
    """Args:
    by_regime: Slopes (S,) of each regime, the same seeds in the same order. level: of all tests
        together.
    """
    others = [regime for regime in by_regime if regime != FULLY_SYNTHETIC]
    each = level / (1 + len(others))
    alone = by_regime[FULLY_SYNTHETIC]
    grows = SlopeTest(f"grows when {FULLY_SYNTHETIC}", alone, each)
    return [
        grows,
        *(
            SlopeTest(f"and faster than at {name}", alone - by_regime[name], each)
            for name in others
        ),
    ]


def main(config: Degradation) -> None:
    """Print, for each setting in the folder, slopes and tests."""
    try:
        settings = find_settings(config.folder)
    except FoundRunError as error:
        raise UsageError(f"FOLDER: {error}") from error
    console = make_console()
    for setting in settings:
        series = _frechet(setting, config.reference)
        by_regime = {regime: slopes(values) for regime, values in _common(setting, series).items()}
        seeds = len(next(iter(by_regime.values())))
        title = (
            f"{setting.name}: {series.label}, {series.images} images against "
            f"{series.reference}, {seeds} seeds"
        )
        console.print(_slopes_table(title, by_regime))
        console.print(_tests_table(slope_tests(by_regime, config.level), config.level))


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
    if FULLY_SYNTHETIC not in setting.rows:
        raise UsageError(f"FOLDER: {setting.name} has no {FULLY_SYNTHETIC} row")
    chains = {
        regime: {chain.repeat: chain for chain in row} for regime, row in setting.rows.items()
    }
    seeds = sorted(set.intersection(*(set(row) for row in chains.values())))
    if not seeds:
        raise UsageError(f"FOLDER: the rows of {setting.name} have no seed in common")
    columns = {
        regime: [_values(row[seed], series) for seed in seeds] for regime, row in chains.items()
    }
    shortest = min(len(column) for row in columns.values() for column in row)
    if shortest < 2:
        raise UsageError(
            f"FOLDER: a run of {setting.name} has one generation only, which has no slope"
        )
    return {
        regime: np.array([column[:shortest] for column in row]).T for regime, row in columns.items()
    }


def _values(chain: Chain, series: Series) -> list[float]:
    return [record.measured[series][0] for record in chain.records]


def _slopes_table(title: str, by_regime: dict[str, np.ndarray]) -> Table:
    table = Table(title=title, box=SIMPLE_HEAD, pad_edge=False, title_style="bold")
    table.add_column("regime")
    for column in ("growth a retraining", f"more than at {CONTROL}"):
        table.add_column(column, justify="right")
    control = by_regime.get(CONTROL)
    for regime, values in by_regime.items():
        more = "–" if control is None or regime == CONTROL else str(Slope.of(values - control))
        table.add_row(regime, str(Slope.of(values)), more)
    table.caption = "mean over seeds, and half of its 95 % interval"
    return table


def _tests_table(tests: Sequence[SlopeTest], level: float) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("the distance")
    for column in ("seeds", "p", "level", "found"):
        table.add_column(column, justify="right")
    for test in tests:
        seeds = f"{test.positive} of {len(test.values)}"
        table.add_row(test.claim, seeds, f"{test.p:.2g}", f"{test.level:.2g}", test.outcome)
    table.caption = (
        f"sign tests; probability that any of them finds what is not there: at most {level:g}"
    )
    return table


if __name__ == "__main__":
    command(Degradation, main)
