"""Scores of a table's rows that an alarm bets on, fixed from a part of the real data.

Each score maps a row to [0, 1]. A column of numbers has four: with u the value's place between 0
and 1 in the real data, u (higher), 1 − u (lower), 1 − |2u − 1| (narrower) and |2u − 1| (wider). A
category has an indicator a level, in both directions; missing cells are a level. Pairs of numbers
have the product of their places, in both directions.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from stability.planning.e_process import FRACTIONS, log_growth
from stability.runs.table_schema import CodedTable

__all__ = ["NumberScale", "ScoreSet", "ScoreSums", "fit_scores", "split_real"]

FITTED_FRACTION = 0.1
"""Fraction of the real rows that fix the scores; the others are the reference."""
MOST_FITTED = 5000
"""Rows that fix the scores, at most."""
MOST_LEVELS = 20
"""Levels of a category with scores of their own, the most frequent ones; the others are one."""
PAIR_SHARE = 0.2
"""Share of the alarm's initial wealth that bets on pairs."""
SPAN = 1.349  # interquartile range of a normal law in standard deviations
_ROWS = 8192


@dataclass(frozen=True)
class NumberScale:
    """Place of a number in the real data: Φ((x − centre)/spread).

    Attributes:
        centre: Median.
        spread: Interquartile range over 1.349, > 0.
    """

    centre: float
    spread: float

    def place(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Find the place between 0 and 1.

        Args:
            values: Any shape; NaN is missing.

        Returns:
            Φ of the standardised values; 1/2 for a missing one.
        """
        with np.errstate(over="ignore"):
            z = (values - self.centre) / self.spread
        return np.where(np.isnan(values), 0.5, ndtr(np.clip(z, -40, 40)))


@dataclass(frozen=True, eq=False)
class ScoreSums:
    """Sums of each score over the reference.

    Attributes:
        n: Rows.
        mean: Of each score, shape (J,).
        square: Mean of the squared difference from the score's centre, shape (J,).
    """

    n: int
    mean: NDArray[np.float64]
    square: NDArray[np.float64]

    def __add__(self, other: "ScoreSums") -> "ScoreSums":
        n = self.n + other.n
        a, b = self.n / n, other.n / n
        return ScoreSums(n, a * self.mean + b * other.mean, a * self.square + b * other.square)


@dataclass(frozen=True, eq=False)
class ScoreSet:
    """All scores of a table.

    Attributes:
        scales: Of each column of numbers or dates, by name.
        levels: Levels of each category with scores of their own, by name.
        gaps: Columns of numbers whose real cells are missing now and then.
        pairs: Pairs of columns of numbers.
        names: Of the scores, such as "age: higher", J of them.
        columns: Column (or pair) of each score.
        shares: Initial wealth of each score, with sum 1, shape (J,).
        centre: Mean of each score on the rows that fixed it, shape (J,).
        variance: Its variance there, shape (J,).
        binary: Whether the score is 0 or 1, shape (J,).
    """

    scales: dict[str, NumberScale]
    levels: dict[str, tuple[str, ...]]
    gaps: frozenset[str]
    pairs: tuple[tuple[str, str], ...]
    names: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    shares: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    centre: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    variance: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    binary: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, bool))

    def named(self, table: CodedTable) -> dict[tuple[str, str], NDArray[np.float64]]:
        """Evaluate the scores.

        Args:
            table: The rows.

        Returns:
            Score (n,) by its column and name.
        """
        found: dict[tuple[str, str], NDArray[np.float64]] = {}
        places = {}
        for name, scale in self.scales.items():
            values = table.cells[name]
            place = places[name] = scale.place(values)
            away = np.abs(2 * place - 1)
            found[name, "higher"], found[name, "lower"] = place, 1 - place
            found[name, "narrower"], found[name, "wider"] = 1 - away, away
            gap = np.isnan(values).astype(float)
            found[name, "missing more often"] = gap
            if name in self.gaps:
                found[name, "missing less often"] = 1 - gap

        for name, levels in self.levels.items():
            found |= _level_scores(name, levels, table)
        for one, other in self.pairs:
            product = (2 * places[one] - 1) * (2 * places[other] - 1)
            pair = f"{one} with {other}"
            found[pair, "more alike"], found[pair, "less alike"] = (
                (1 + product) / 2,
                (1 - product) / 2,
            )

        return found

    def evaluate(self, table: CodedTable) -> Iterator[NDArray[np.float64]]:
        """Evaluate the scores block by block.

        Args:
            table: The rows.

        Yields:
            Scores (block, J), in the order of the rows.
        """
        for begin in range(0, table.rows, _ROWS):
            block = table.take(np.arange(begin, min(begin + _ROWS, table.rows)))
            yield np.stack(list(self.named(block).values()), axis=1)

    def sums(self, table: CodedTable) -> ScoreSums:
        """Sum the scores of a table.

        Args:
            table: The rows.

        Returns:
            Means, and mean squares about `centre`.
        """
        total, square = np.zeros_like(self.centre), np.zeros_like(self.centre)
        for scores in self.evaluate(table):
            total += scores.sum(axis=0)
            square += np.square(scores - self.centre).sum(axis=0)
        return ScoreSums(table.rows, total / table.rows, square / table.rows)

    def growth(self, table: CodedTable, limits: NDArray[np.float64]) -> NDArray[np.float64]:
        """Growth of the gamblers' wealth on the rows of a generation.

        Args:
            table: The rows.
            limits: Of the scores' means under the null, shape (J,).

        Returns:
            Logarithms, shape (J, K).
        """
        growth = np.zeros((len(limits), len(FRACTIONS)))
        for scores in self.evaluate(table):
            growth += log_growth(scores, limits)
        return growth


def _level_scores(
    name: str, levels: tuple[str, ...], table: CodedTable
) -> dict[tuple[str, str], NDArray[np.float64]]:
    """Indicators of a category's levels, of all other levels, and of missing cells; NaN, on which
    nobody bets, where the generation lacks the column.
    """
    if name not in table.cells:
        names = [*levels, "other levels", "missing"]
        nothing = np.full(table.rows, np.nan)
        return {(name, f"{way} {level}"): nothing for level in names for way in ("more", "less")}
    codes, places = table.cells[name], {x: i for i, x in enumerate(table.levels[name])}
    shown = [places[level] for level in levels]
    indicators = {level: codes == place for level, place in zip(levels, shown, strict=True)}
    indicators["other levels"] = (codes >= 0) & ~np.isin(codes, shown)
    indicators["missing"] = codes < 0

    found = {}
    for level, hit in indicators.items():
        found[name, f"more {level}"] = hit.astype(float)
        found[name, f"less {level}"] = 1.0 - hit
    return found


def split_real(real: CodedTable) -> tuple[CodedTable, CodedTable]:
    """Part the real rows: those that fix the scores, and the reference.

    Args:
        real: At least 2 rows.

    Returns:
        Two tables without a common row; the same ones in every call.
    """
    order = np.random.default_rng(real.rows).permutation(real.rows)
    fitted = min(max(round(FITTED_FRACTION * real.rows), min(20, real.rows // 2)), MOST_FITTED)
    return real.take(np.sort(order[:fitted])), real.take(np.sort(order[fitted:]))


def fit_scores(fitted: CodedTable) -> ScoreSet:
    """Fix the scores.

    Args:
        fitted: The part of the real rows that is for it.

    Returns:
        The scores. Every column has the same initial wealth, and every score of a column.
    """
    schema = fitted.schema
    scales = {name: _scale(fitted.cells[name]) for name in schema.names("number", "date")}
    levels = {name: schema.column(name).levels[:MOST_LEVELS] for name in schema.names("category")}
    gaps = frozenset(name for name in scales if np.isnan(fitted.cells[name]).any())
    blank = ScoreSet(scales, levels, gaps, _strongest_pairs(fitted, scales))
    scores = blank.named(fitted)
    values = np.stack(list(scores.values()), axis=1)  # (n, J)

    columns = tuple(column for column, _ in scores)
    paired = {f"{one} with {other}" for one, other in blank.pairs}
    single, pair = len(set(columns) - paired), len(paired)
    each = {
        column: PAIR_SHARE / pair if column in paired else (1 - PAIR_SHARE * (pair > 0)) / single
        for column in set(columns)
    }
    return ScoreSet(
        scales,
        levels,
        gaps,
        blank.pairs,
        tuple(f"{column}: {what}" for column, what in scores),
        columns,
        np.array([each[column] / columns.count(column) for column in columns]),
        values.mean(axis=0),
        values.var(axis=0),
        np.array(["missing" in n or c in levels for c, n in scores]),
    )


def _scale(values: NDArray[np.float64]) -> NumberScale:
    finite = values[np.isfinite(values)]
    if not len(finite):
        return NumberScale(0.0, 1.0)
    low, centre, high = np.quantile(finite, [0.25, 0.5, 0.75])
    spread = (high - low) / SPAN or finite.std()
    return NumberScale(float(centre), float(max(spread, 1e-9 * max(abs(centre), 1.0))))


def _strongest_pairs(
    table: CodedTable, scales: dict[str, NumberScale]
) -> tuple[tuple[str, str], ...]:
    """As many pairs of columns as there are columns: those whose places are most alike."""
    names = [name for name in scales if np.ptp(np.nan_to_num(table.cells[name])) > 0]
    if len(names) < 2:
        return ()
    places = np.stack([2 * scales[name].place(table.cells[name]) - 1 for name in names])
    alike = np.abs(places @ places.T)
    rows, columns = np.triu_indices(len(names), 1)
    strongest = np.argsort(-alike[rows, columns], kind="stable")[: len(names)]
    return tuple((names[rows[i]], names[columns[i]]) for i in sorted(strongest))
