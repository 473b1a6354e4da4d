"""Distance of a generation from the real data as a whole, in a space of random features.

Rows become points: numbers standardised by the real data's median and spread, categories and
missing cells as indicators. A point becomes random Fourier features of Gaussian kernels at three
widths, and the distance is between mean features: the maximum mean discrepancy (MMD) of that
kernel, in time that is linear in the rows.

Sources: Gretton et al. 2012 (MMD), Rahimi and Recht 2007 (random features).
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from stability.planning.scores import NumberScale, ScoreSet
from stability.runs.table_files import CLASS_FOLDER
from stability.runs.table_schema import CodedTable

__all__ = ["Embedding", "RealDistance", "distance", "embedding_of", "points_of"]

FREQUENCIES = 128
WIDTHS = (0.5, 1.0, 2.0)
"""Widths of the kernels, in medians of the distance between two real points."""
BLOCKS = 20
HALVES = 200
LARGEST_COORDINATE = 10.0
_ROWS = 8192


@dataclass(frozen=True, eq=False)
class Embedding:
    """Mean random features of a set of rows, by block, so that its error can be told.

    Attributes:
        blocks: Mean features of each block of rows, shape (B, F); the features of a row have
            squared length 1.
        rows: Rows of each block, shape (B,).
    """

    blocks: NDArray[np.float64]
    rows: NDArray[np.int64]

    @property
    def n(self) -> int:
        """All rows."""
        return int(self.rows.sum())

    @property
    def mean(self) -> NDArray[np.float64]:
        """Mean features, (F,)."""
        return self.rows @ self.blocks / self.n

    @property
    def noise(self) -> float:
        """Unbiased estimate of the squared error of the mean, E|mean − its expectation|²."""
        return float(_noise(self.mean, np.array(self.n)))


@dataclass(frozen=True)
class RealDistance:
    """Distance of a generation to the real data, in units of what two sets of real data show.

    Attributes:
        squared: Unbiased estimate of the squared MMD.
        error: Its standard error.
        baseline: Squared distance that real data of these two sizes show on average: noise alone.
        floor: Value of `ratio` that 95 of 100 pairs of real data stay within.
    """

    squared: float
    error: float
    baseline: float
    floor: float

    @property
    def ratio(self) -> float:
        """The error of the generation, times that of real data: 1 where nothing differs."""
        return _ratio(self.squared, self.baseline)

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """Interval of the ratio, for one look.

        Args:
            level: Confidence.

        Returns:
            Lower and upper end.
        """
        reach = float(ndtri((1 + level) / 2)) * self.error
        return tuple(_ratio(self.squared + sign * reach, self.baseline) for sign in (-1, 1))  # type: ignore[return-value]

    @property
    def ratio_error(self) -> float:
        """Standard error of the ratio."""
        return self.error / max(2 * self.baseline * max(self.ratio, 1.0), 1e-15)


def _ratio(squared: float, baseline: float) -> float:
    if baseline <= 1e-15:  # constant data: nothing is noise
        return 1.0 if squared <= 1e-12 else math.inf
    return math.sqrt(max(squared + baseline, 0.0) / baseline)


def points_of(table: CodedTable, scores: ScoreSet) -> NDArray[np.float64]:
    """Rows as points.

    Args:
        table: The rows.
        scores: Scales of the numbers and levels of the categories.

    Returns:
        Shape (n, d): numbers standardised and clipped at ±10 (a missing one is 0), an indicator of
        missing cells where the real data have some, and an indicator a level.
    """
    parts = []
    for name, scale in scores.scales.items():
        parts.append(_standardised(table.cells[name], scale))
        if name in scores.gaps or np.isnan(table.cells[name]).any():
            parts.append(np.isnan(table.cells[name]).astype(float))
        else:
            parts.append(np.zeros(table.rows))
    for name, levels in scores.levels.items():
        if name == CLASS_FOLDER:
            continue
        places = {level: i for i, level in enumerate(table.levels[name])}
        codes = table.cells[name]
        shown = [places[level] for level in levels]
        parts += [(codes == place).astype(float) for place in shown]
        parts.append((~np.isin(codes, shown)).astype(float))
    return np.stack(parts, axis=1)


def _standardised(values: NDArray[np.float64], scale: NumberScale) -> NDArray[np.float64]:
    with np.errstate(over="ignore"):
        z = (values - scale.centre) / scale.spread
    return np.where(np.isnan(z), 0.0, np.clip(z, -LARGEST_COORDINATE, LARGEST_COORDINATE))


def _frequencies(fitted: NDArray[np.float64]) -> NDArray[np.float64]:
    """Random frequencies (d, F/2) for kernels whose widths come from fitted points (n, d)."""
    n, d = fitted.shape
    rng = np.random.default_rng(d)  # the same features in every look
    one, other = rng.integers(n, size=(2, 2000))
    gaps = np.sqrt(np.square(fitted[one] - fitted[other]).sum(axis=1))
    width = float(np.median(gaps[gaps > 0])) if (gaps > 0).any() else 1.0
    widths = width * np.resize(WIDTHS, FREQUENCIES)
    return rng.standard_normal((d, FREQUENCIES)) / widths


def embedding_of(
    points: NDArray[np.float64], fitted: NDArray[np.float64], ordered: bool = False
) -> Embedding:
    """Mean random features of points.

    Args:
        points: Shape (n, d), n >= 2.
        fitted: Real points that fix the kernels' widths, shape (k, d).
        ordered: Whether rows depend on their neighbours: blocks are then neighbours, otherwise
            random.

    Returns:
        The embedding.
    """
    frequencies = _frequencies(fitted)
    n, count = len(points), min(BLOCKS, len(points))
    block = np.arange(n) * count // n
    if not ordered:
        block = np.random.default_rng(n).permutation(block)
    total = np.zeros((count, 2 * FREQUENCIES))
    for begin in range(0, n, _ROWS):
        phase = points[begin : begin + _ROWS] @ frequencies
        features = np.concatenate([np.cos(phase), np.sin(phase)], axis=1) / math.sqrt(FREQUENCIES)
        part = block[begin : begin + _ROWS]
        for b in range(count):
            total[b] += features[part == b].sum(axis=0)
    rows = np.bincount(block, minlength=count)
    return Embedding(total / rows[:, None], rows)


def distance(real: Embedding, drawn: Embedding) -> RealDistance:
    """Compare two sets of rows.

    Args:
        real: Of the real data.
        drawn: Of a generation.

    Returns:
        The distance, with a standard error from the blocks of both sides (jackknife).
    """
    squared = _squared(real, drawn)
    variance = _jackknife(real, drawn) + _jackknife(drawn, real)
    baseline = real.noise * (1 + real.n / drawn.n)
    return RealDistance(squared, math.sqrt(variance), baseline, _floor(real))


def _squared(one: Embedding, other: Embedding) -> float:
    gap = one.mean - other.mean
    return float(gap @ gap) - one.noise - other.noise


def _jackknife(left: Embedding, fixed: Embedding) -> float:
    """Variance of the squared distance from leaving out each block of one side."""
    count = len(left.rows)
    if count < 3:
        return 0.0
    rows = left.n - left.rows  # (B,)
    means = (left.n * left.mean - left.rows[:, None] * left.blocks) / rows[:, None]
    gaps = np.square(means - fixed.mean).sum(axis=1)
    return (count - 1) * float(np.var(gaps - _noise(means, rows)))


def _noise(means: NDArray[np.float64], rows: NDArray[Any]) -> NDArray[np.float64]:
    """Squared errors of means (…, F) of so many rows (…)."""
    return (1 - np.square(means).sum(axis=-1)) / np.maximum(rows - 1, 1)


def _floor(real: Embedding) -> float:
    """95 % point of the ratio of halves of the real data."""
    count = len(real.rows)
    if count < 4:
        return math.inf
    order = np.argsort(np.random.default_rng(count).random((HALVES, count)), axis=1)
    chosen = order < count // 2  # (H, B)
    sides = []
    for half in (chosen, ~chosen):
        weights = half * real.rows
        rows = weights.sum(axis=1)
        sides.append((weights @ real.blocks / rows[:, None], rows))

    (a, n), (b, m) = sides
    noise = _noise(a, n) + _noise(b, m)
    gaps = np.square(a - b).sum(axis=1)  # = squared distance + noise
    usual = noise > 1e-15  # a constant column has none
    if not usual.any():
        return 1.0
    return float(np.quantile(np.sqrt(gaps[usual] / noise[usual]), 0.95))
