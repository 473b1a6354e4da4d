"""Do two runs have the same curves? Paired over seeds: python -m toy.compare RUN OTHER"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tyro
from numpy.typing import NDArray
from rich.box import SIMPLE_HEAD
from rich.table import Table
from scipy.stats import t as student_t

from stability.command_line import UsageError, command
from stability.console import make_console
from toy.tables import by_regime

__all__ = ["Compare", "Difference", "differences", "main"]

QUANTITIES = ("w1", "w2")


@dataclass(frozen=True)
class Compare:
    """Test whether W1 and W2 differ between two runs of the same regimes that began with the same --seed.

    They are compared on the seeds and generations that both have. A seed's value is its mean over the generations from
    a fifth of the run on. Seed by seed the two have the same real data and the same draws of the truth; the differences
    over seeds are tested with Student's t, two-sided.
    """

    run: tyro.conf.Positional[Path]
    """Folder of a run."""
    other: tyro.conf.Positional[Path]
    """Folder of the run that is compared with it."""
    level: float = 0.05
    """Probability that runs that are alike are told apart in any row; each row has its share of it."""

    def __post_init__(self) -> None:
        if not 0 < self.level < 1:
            raise ValueError(f"--level must be in (0, 1), got {self.level}")


@dataclass(frozen=True)
class Difference:
    """One row of the comparison, over so many seeds.

    mean, sd: over seeds, of the first run.   low, high: interval of the mean difference, other − run.
    """

    regime: str
    quantity: str
    seeds: int
    mean: float
    sd: float
    low: float
    high: float

    @property
    def different(self) -> bool:
        """Whether the interval leaves 0 out."""
        return self.low > 0 or self.high < 0


def differences(history: list[Any], other: list[Any], level: float) -> list[Difference]:
    """A row for each regime and each of W1 and W2; all intervals hold together with probability 1 − level.

    history, other: lines of `history.jsonl`. Seeds and generations that only one run has are left out.
    ValueError if the regimes are not the same, or there are fewer than two seeds to compare.
    """
    curves = {quantity: (by_regime(history, quantity), by_regime(other, quantity)) for quantity in QUANTITIES}
    one, two = curves["w1"]
    if one.keys() != two.keys():
        raise ValueError(f"the runs must have the same regimes, got {', '.join(one)} and {', '.join(two)}")
    generations = min(len(history), len(other))
    seeds = min(values.shape[1] for values in (*one.values(), *two.values()))
    if seeds < 2:
        raise ValueError("a comparison takes two seeds or more, got 1")
    common = np.s_[(generations - 1) // 5 : generations, :seeds]
    share = level / (len(QUANTITIES) * len(one))
    return [
        _difference(regime, quantity, pair[0][regime][common].mean(axis=0), pair[1][regime][common].mean(axis=0), share)
        for regime in one
        for quantity, pair in curves.items()
    ]


def _difference(
    regime: str, quantity: str, run: NDArray[np.float64], other: NDArray[np.float64], level: float
) -> Difference:
    """From one value a seed of each run, (S,)."""
    gap, seeds = other - run, len(run)
    half = student_t.ppf(1 - level / 2, seeds - 1) * gap.std(ddof=1) / seeds**0.5
    low, high = float(gap.mean() - half), float(gap.mean() + half)
    return Difference(regime, quantity, seeds, float(run.mean()), float(run.std(ddof=1)), low, high)


def _history(run: Path) -> list[Any]:
    """The lines of a run's history. UsageError if it is not that of a 2-D experiment, or still empty."""
    file = run / "history.jsonl"
    try:
        history = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    except ValueError as error:
        raise UsageError(f"{file} is damaged: {error}") from None
    if not history or any(quantity not in history[0]["chains"][0] for quantity in QUANTITIES):
        raise UsageError(f"{file} has no W1 and W2: is {run} a run of the 2-D experiments, with a finished generation?")
    return history


def main(config: Compare) -> None:
    """Print the comparison."""
    try:
        rows = differences(_history(config.run), _history(config.other), config.level)
    except ValueError as error:
        raise UsageError(str(error)) from None
    table = Table(title="difference, other − run, paired over seeds", box=SIMPLE_HEAD, pad_edge=False)
    for column in ("regime", "", "run", "difference", "outcome"):
        table.add_column(column, justify="left" if column in ("regime", "outcome") else "right", no_wrap=True)
    for row in rows:
        table.add_row(
            row.regime,
            row.quantity.upper(),
            f"{row.mean:.3f} ± {row.sd:.3f}",
            f"[{row.low:+.3f}, {row.high:+.3f}]",
            "differs" if row.different else "not told apart",
        )
    table.caption = f"{rows[0].seeds} seeds; intervals that all hold together with probability {1 - config.level:g}"
    make_console().print(table)


if __name__ == "__main__":
    command(Compare, main)
