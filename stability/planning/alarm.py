"""The alarm on a loop: scores of a table, limits from the reference, and what it can see.

Three nulls. `real`: no generation's expected scores exceed those of real data by more than τ.
`rows`: none exceeds the mean over the given real rows by more than τ; these are the rows that the
model was trained on. `stationary`: none exceeds the average of the loop's own first generations by
more than τ. The level α is parted: a share for the limits (the reference is reused in every round;
with `rows` for the noise of retraining), one for lost categories, the rest for betting.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from stability.laws.wright_fisher import loss_probability
from stability.planning.e_process import (
    FRACTIONS,
    EProcess,
    betting_upper_limit,
    binary_upper_limit,
    start,
    upper_limit,
)
from stability.planning.scores import ScoreSet, ScoreSums, fit_scores, split_real
from stability.runs.table_schema import CodedTable

__all__ = [
    "Alarm",
    "AlarmRound",
    "LevelLoss",
    "Null",
    "default_tolerance",
    "rows_tolerance",
    "start_alarm",
]

Null = Literal["real", "rows", "stationary"]
REFERENCE_SHARE, LOSS_SHARE = 0.6, 0.2
POWER = 0.8
MOST_BETTING = 4000
"""Reference rows up to which limits are found by betting, which needs all scores at once."""
_GRID = np.geomspace(0.01, 3.0, 40)


def default_tolerance(n: int) -> float:
    """Retraining noise that the null allows, in standard deviations of a score.

    The standard deviation of the mean of a loop that accumulates its data: its variance settles at
    π²/6 · C/n, and that of `Mix` at less for every λ.

    Args:
        n: Real points that each generation is trained on.

    Returns:
        √(π²/6) / √n.
    """
    return math.pi / math.sqrt(6 * n)


def rows_tolerance(n: int, level: float) -> float:
    """Retraining noise about the rows that a loop began with, in standard deviations of a score.

    Given those rows, the variance of an accumulating loop's mean settles at (π²/6 − 1) C/n: the n
    real points do not count. Of `Mix` it is λ/(1 + 2λ) · C/n, which is less.

    Args:
        n: Real points, all of which each generation is trained on.
        level: Probability that an accumulating loop's mean is further away, to one side.

    Returns:
        z √(π²/6 − 1)/√n, z the normal quantile of 1 − `level`.
    """
    return float(norm.isf(level)) * math.sqrt((math.pi**2 / 6 - 1) / n)


@dataclass(frozen=True)
class LevelLoss:
    """A category of the real data that a generation lacks.

    Attributes:
        column: Name of the column.
        level: The category; "(missing)" for missing cells.
        real: Its rows in the real data.
        real_rows: All rows there.
        chance: Probability that as many rows as the generation has lack it, if nothing changed.
        alarm: Whether the loss alone is an alarm at its share of the level.
    """

    column: str
    level: str
    real: int
    real_rows: int
    chance: float
    alarm: bool


@dataclass(frozen=True, eq=False)
class AlarmRound:
    """Record of one generation that the alarm keeps.

    Attributes:
        rows: Rows that were bet on.
        growth: Of each gambler's wealth, shape (J, K).
        losses: Categories that it lacks.
        shares: Share of each level of the real data, by column and level.
    """

    rows: int
    growth: NDArray[np.float64]
    losses: tuple[LevelLoss, ...] = ()
    shares: Mapping[tuple[str, str], float] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Alarm:
    """The alarm after some generations.

    Attributes:
        alpha: Probability of ever raising a false alarm.
        null: `real`, `rows` or `stationary`.
        tolerance: τ, in standard deviations of each score.
        scores: Fixed from real data.
        real: Sums of the scores over the reference rows of the real data; with `rows`, over all.
        real_limits: Upper confidence limits of the scores' means in real data, shape (J,); with
            `rows`, their means.
        levels: Rows of each level in all real data, by column.
        real_rows: All real rows.
        reference_rounds: Generations that `stationary` compares with.
        settled: Sums of the scores over those of them that were seen.
        seen: Generations so far, the reference ones among them.
        rounds: Generations that were judged.
    """

    alpha: float
    null: Null
    tolerance: float
    scores: ScoreSet
    real: ScoreSums
    real_limits: NDArray[np.float64]
    levels: dict[str, dict[str, int]]
    real_rows: int
    reference_rounds: int = 0
    settled: ScoreSums | None = None
    seen: int = 0
    rounds: tuple[AlarmRound, ...] = field(default=())

    @property
    def betting_level(self) -> float:
        """Part of α that is left for betting."""
        return self.alpha * (1 - REFERENCE_SHARE - LOSS_SHARE * bool(self.levels))

    @property
    def limits(self) -> NDArray[np.float64]:
        """Bound of each score's mean under the null, shape (J,)."""
        s, limit = self.scores, self.real_limits
        if self.null == "stationary":
            reference = self.settled
            assert reference is not None
            level = self.alpha * REFERENCE_SHARE * s.shares
            limit = upper_limit(reference.mean, reference.square, reference.n, level, s.variance)
        return limit + self.tolerance * np.sqrt(s.variance)

    def look(self, table: CodedTable) -> "Alarm":
        """Judge one more generation.

        Args:
            table: Its rows.

        Returns:
            The alarm after it. The first generations only make the reference of `stationary`.
        """
        seen = self.seen + 1
        if seen <= self.reference_rounds:
            sums = self.scores.sums(table)
            settled = sums if self.settled is None else self.settled + sums
            return self._with(seen=seen, settled=settled)

        one = AlarmRound(
            table.rows,
            self.scores.growth(table, self.limits),
            tuple(self._losses(table, seen)) if self.null != "stationary" else (),
            {key: count / table.rows for key, count in self._counts(table).items()},
        )
        return self._with(seen=seen, rounds=(*self.rounds, one))

    def _with(self, **changes: Any) -> "Alarm":
        return replace(self, **changes)

    def _losses(self, table: CodedTable, t: int) -> list[LevelLoss]:
        """Levels that are absent, each with the chance of that in generation t.

        Null: a level's share is at least the smallest of its shares in the real data (of which a
        lower limit is known) and in the generations before. Over all levels and rounds the false
        alarms have at most their share of α.
        """
        level = self.alpha * LOSS_SHARE / (2 * max(sum(map(len, self.levels.values())), 1))
        found = []
        for (column, name), count in self._counts(table).items():
            if count:
                continue
            k, n = self.levels[column][name], self.real_rows
            least = float(1 - binary_upper_limit(np.array(n - k), n, level))
            least = min(least, self.least.get((column, name), 1.0))
            bound = loss_probability(least, table.rows)
            chance = loss_probability(k / n, table.rows)
            found.append(LevelLoss(column, name, k, n, chance, bound <= level / (t * (t + 1))))
        return found

    def _counts(self, table: CodedTable) -> dict[tuple[str, str], int]:
        """Rows of each level of the real data."""
        counts = {}
        for column, real in self.levels.items():
            if column not in table.cells:
                continue
            places = {name: i + 1 for i, name in enumerate(table.levels[column])}
            here = np.bincount(table.cells[column] + 1, minlength=len(places) + 1)
            for name in real:
                counts[column, name] = int(here[places.get(name, 0)])
        return counts

    @property
    def least(self) -> dict[tuple[str, str], float]:
        """Smallest share of each level in the generations so far."""
        found: dict[tuple[str, str], float] = {}
        for one in self.rounds:
            for key, share in one.shares.items():
                found[key] = min(share, found.get(key, 1.0))
        return found

    def process(self, rounds: int | None = None) -> EProcess:
        """The e-process after some rounds.

        Args:
            rounds: Judged generations to count; None: all.

        Returns:
            The e-process.
        """
        process = start(self.scores.shares)
        for one in self.rounds[:rounds]:
            process = process.step(one.growth)
        return process

    @property
    def log_values(self) -> list[float]:
        """Logarithm of the e-process after each judged generation."""
        values, process = [], start(self.scores.shares)
        for one in self.rounds:
            process = process.step(one.growth)
            values.append(float(process.log_value))
        return values

    @property
    def raised(self) -> int | None:
        """Generation (from 1) in which the alarm was first raised; None: never."""
        for i, (value, one) in enumerate(zip(self.log_values, self.rounds, strict=True)):
            if value >= -math.log(self.betting_level) or any(x.alarm for x in one.losses):
                return self.reference_rounds + i + 1
        return None

    @property
    def since(self) -> int | None:
        """Generation (from 1) from which on the evidence speaks for a change; None: no alarm."""
        raised = self.raised
        if raised is None:
            return None
        last = raised - self.reference_rounds
        lost = [i for i in range(last) if any(x.alarm for x in self.rounds[i].losses)]
        begins = [lost[0]] if lost else []

        process = self.process(last)
        if process.log_value >= -math.log(self.betting_level):
            j = int(np.argmax(process.log_values + process.log_shares))
            growth = np.stack([one.growth[j] for one in self.rounds[:last]])  # (t, K)
            tails = growth[::-1].cumsum(axis=0)[::-1]
            begins.append(int(np.argmax(tails.max(axis=1))))
        return self.reference_rounds + min(begins) + 1

    def leading(self, count: int = 3) -> list[tuple[str, float]]:
        """List the scores with the strongest evidence.

        Args:
            count: How many.

        Returns:
            Their names and the logarithms of their own e-processes, those above 0 alone.
        """
        values = self.process().log_values
        order = np.argsort(-values, kind="stable")[:count]
        return [(self.scores.names[j], float(values[j])) for j in order if values[j] > 0]

    def smallest_effects(
        self, fitted: CodedTable, scale: float = 1.0
    ) -> dict[str, tuple[float, str]]:
        """The smallest change of each column that the alarm would find with power 80 %.

        The change is one that lasts through all judged generations: a shift of a column of numbers,
        in standard deviations, or the relative loss of share of a category's most frequent level.

        Args:
            fitted: Real rows, as of `split_real`.
            scale: As if there were so many times as many real rows and samples.

        Returns:
            By column: the size (inf: no change is large enough) and its unit.
        """
        s, points = self.scores, scale * sum(one.rows for one in self.rounds)
        mean = self.real.mean if self.settled is None else self.settled.mean
        limits = mean + (self.limits - mean) / math.sqrt(scale)
        rows = fitted.take(np.arange(min(fitted.rows, 400)))
        found: dict[str, tuple[float, str]] = {}
        for name, number in s.scales.items():
            values = rows.cells[name][np.isfinite(rows.cells[name])]
            if not len(values) or np.ptp(values) == 0:
                continue
            j = s.names.index(f"{name}: higher")
            shifted = number.place(values[:, None] + _GRID * values.std())  # (n, effects)
            # these rows have another mean than the reference
            limit = limits[j] - mean[j] + number.place(values).mean()
            found[name] = (self._least(_GRID, shifted, limit, s.shares[j], points), "sd")
        for name, levels in s.levels.items():
            j = s.names.index(f"{name}: less {levels[0]}")
            absent = mean[j]
            if absent >= 1:
                continue
            losses = np.minimum(_GRID[_GRID < 1.2], 1.0)
            kept = (1 - absent) * (1 - losses)
            two_point = np.stack([np.zeros_like(kept), np.ones_like(kept)])
            least = self._least(losses, two_point, limits[j], s.shares[j], points, 1 - kept)
            found[name] = (least, f"of the share of {levels[0]}")
        return found

    def _least(
        self,
        effects: NDArray[np.float64],
        scores: NDArray[np.float64],
        limit: float,
        share: float,
        points: float,
        ones: NDArray[np.float64] | None = None,
    ) -> float:
        """Smallest effect whose wealth reaches the level with power 80 %, by the normal law of its
        logarithm.

        Args:
            effects: (E,), increasing.
            scores: (n, E); with `ones`, the scores 0 and 1 in two rows.
            ones: Probability of the second row, (E,).
        """
        if limit >= 1:
            return math.inf
        weights = (
            np.full_like(scores, 1 / len(scores)) if ones is None else np.stack([1 - ones, ones])
        )
        needed = -math.log(self.betting_level * share / (2 * len(FRACTIONS)))
        reach = np.full(len(effects), -np.inf)
        for fraction in FRACTIONS:
            logs = np.log(1 - fraction + fraction * scores / limit)
            mean = (weights * logs).sum(axis=0)
            sd = np.sqrt(np.maximum((weights * logs**2).sum(axis=0) - mean**2, 0))
            reach = np.maximum(reach, points * mean - norm.ppf(POWER) * math.sqrt(points) * sd)
        seen = np.flatnonzero(reach >= needed)
        return float(effects[seen[0]]) if len(seen) else math.inf


def start_alarm(
    real: CodedTable,
    alpha: float = 0.05,
    null: Null = "real",
    tolerance: float | None = None,
    reference_rounds: int = 3,
) -> Alarm:
    """Make an alarm before its first generation.

    Args:
        real: All real rows that may be used, at least 2.
        alpha: Probability of ever raising a false alarm.
        null: `real`, `rows` or `stationary`.
        tolerance: τ in standard deviations; None: `default_tolerance` of the real rows, or
            `rows_tolerance`.
        reference_rounds: Generations that make the reference of `stationary`.

    Returns:
        The alarm.
    """
    fitted, reference = split_real(real)
    scores = fit_scores(fitted)
    sums = scores.sums(real if null == "rows" else reference)
    level = alpha * REFERENCE_SHARE * scores.shares
    levels = {}

    for column, places in real.levels.items():
        counts = np.bincount(real.cells[column] + 1, minlength=len(places) + 1)
        levels[column] = {
            name: int(k) for name, k in zip(("(missing)", *places), counts, strict=True) if k
        }

    limits = sums.mean if null == "rows" else _real_limits(scores, reference, sums, level)
    if tolerance is None:
        n = real.total_rows
        tolerance = (
            rows_tolerance(n, float(level.mean())) if null == "rows" else default_tolerance(n)
        )
    return Alarm(
        alpha,
        null,
        tolerance,
        scores,
        sums,
        limits,
        levels,
        real.rows,
        reference_rounds if null == "stationary" else 0,
    )


def _real_limits(
    scores: ScoreSet, reference: CodedTable, sums: ScoreSums, level: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Upper confidence limits of the scores' means in real data, (J,): the tightest that is exact
    for each.
    """
    if sums.n <= MOST_BETTING:
        all_scores = np.concatenate(list(scores.evaluate(reference)))
        limit = betting_upper_limit(all_scores, level, scores.variance)
    else:
        limit = upper_limit(sums.mean, sums.square, sums.n, level, scores.variance)
    binary = binary_upper_limit(np.round(sums.mean * sums.n), sums.n, level)
    return np.where(scores.binary, binary, limit)
