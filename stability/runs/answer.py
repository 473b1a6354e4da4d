"""The answer of a run in one sentence: which rows grow, with intervals, or what it takes
to tell.
"""

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from stability.runs.option_error import worded
from stability.runs.outcome import Status
from stability.runs.trends import Trend, all_trends

__all__ = ["duration", "growth", "seeds_to_tell"]


def seeds_to_tell(rows: int, level: float) -> int:
    """Count the seeds that a sign test of each row in both directions needs to find anything.

    Args:
        rows: Rows that are tested, >= 1.
        level: Probability that any of the tests finds a trend although there is none.

    Returns:
        Least S with 2 · rows · 2^−S <= level.
    """
    return math.ceil(math.log2(2 * rows / level) - 1e-9)


def duration(seconds: float) -> str:
    """Say how long something takes.

    Args:
        seconds: How long, >= 0.

    Returns:
        It in seconds, minutes or hours, rounded.
    """
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{seconds / 60:.0f} minutes" if seconds < 5400 else f"{seconds / 3600:.1f} hours"


def growth(
    title: str,
    values: Mapping[str, NDArray[np.float64]],
    first: int,
    seconds: float = math.nan,
    level: float = 0.05,
    seeds_a_repeat: int = 1,
) -> str:
    """Answer whether a quantity grows over the retrainings.

    Args:
        title: Of the quantity.
        values: By row, (T + 1, S), S independent repeats.
        first: Generation from which on slopes are taken.
        seconds: That the run took; nan: not known.
        level: Probability that any row is said to grow or fall although it does not.
        seeds_a_repeat: Seeds that make one repeat: the models that train on each other's samples.

    Returns:
        A sentence: the rows that grow, fall or are undecided, with slopes, 95 % intervals and
        counts of seeds; where there are too few seeds to tell, how many it takes, and about how
        long.
    """
    some = next(iter(values.values()))
    if len(some) - first < 2:
        few = f"Too few retrainings to tell whether {_small(title)} grows"
        return worded(f"{few}: --retrainings {first + 1}.")

    repeats, enough = min(x.shape[1] for x in values.values()), seeds_to_tell(len(values), level)
    seeds, needed = repeats * seeds_a_repeat, enough * seeds_a_repeat
    trends = all_trends({title: values}, level, first, "").rows
    takes = "" if math.isnan(seconds) else f", about {duration(seconds * needed / seeds)}"
    if repeats == 1:
        few = "One seed" if seeds == 1 else f"{seeds} seeds that train on each other"
        one = f"{few} cannot tell whether {_small(title)} grows"
        return worded(f"{one}: --seeds {needed}{takes}.")

    said = "; ".join(
        f"{words} under {', '.join(found)}"
        for status, words in _WORDS.items()
        if (found := [_described(trend) for trend in trends if trend.status is status])
    )
    power = (
        f"{seeds} seeds cannot tell, {needed} can: --seeds {needed}{takes}."
        if seeds < needed
        else f"Chance of any false word about {_small(title)}: at most {100 * level:g} %."
    )
    return worded(f"{title} {said} (slope a retraining, 95 % interval, seeds that grow). {power}")


_WORDS = {
    Status.HOLDS: "grows",
    Status.VIOLATED: "falls",
    Status.UNDECIDED: "is not seen to grow or fall",
}


def _described(trend: Trend) -> str:
    slope, test = trend.slope, trend.test
    interval = f"[{slope.low:.2g}, {slope.high:.2g}]"
    return f"{trend.row} ({slope.mean:.2g}, {interval}, {test.positive} of {test.seeds})"


def _small(title: str) -> str:
    """A title within a sentence: `W2` stays, `Sliced W2` does not."""
    return title if title[1:2].isupper() or title[1:2].isdigit() else title[:1].lower() + title[1:]
