"""Changes of each column of a table, beside what honest samples of the same size show."""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from stability.runs.table_schema import CodedTable, TableColumn

__all__ = ["ColumnChange", "column_changes", "constant_columns", "pair_trends"]

FLOOR_LEVEL = 0.95
KS_QUANTILE = math.sqrt(-math.log((1 - FLOOR_LEVEL) / 2) / 2)  # of Kolmogorov's law, two-sided
ROUNDING = 1e-6
"""Standard deviations of the real values by which a drawn value may differ from an equal one."""
_DRAWS = 2000


@dataclass(frozen=True)
class ColumnChange:
    """Distance of one column of a generation from the real data.

    Attributes:
        column: Its name.
        kind: `number`, `date` or `category`.
        measure: "KS": largest difference of distribution functions. "TV": total variation, with
            missing cells as a level.
        distance: The distance, 0 to 1; NaN where all cells are missing on one side.
        floor: At most this in 95 of 100 pairs of samples of these sizes from one law.
        missing: Fraction of missing cells in the real data and in the generation.
        infinite: Infinite cells in the real data and in the generation.
        distinct: Distinct values in the real data and in the generation.
        new_levels: Levels that the real data lack, with their rows.
    """

    column: str
    kind: str
    measure: Literal["KS", "TV"]
    distance: float
    floor: float
    missing: tuple[float, float]
    infinite: tuple[int, int] = (0, 0)
    distinct: tuple[int, int] = (0, 0)
    new_levels: tuple[tuple[str, int], ...] = ()

    @property
    def above_floor(self) -> bool:
        """Return whether the distance is more than chance shows in 95 of 100 cases: one look."""
        return self.distance > self.floor


def column_changes(real: CodedTable, drawn: CodedTable) -> list[ColumnChange]:
    """Compare all columns that can be compared.

    Args:
        real: The real data.
        drawn: A generation, read with the real data's schema.

    Returns:
        A change for each, in the order of the columns.
    """
    found = []
    for column in real.schema.columns:
        if column.kind in ("number", "date"):
            found.append(_number_change(column, real.cells[column.name], drawn.cells[column.name]))
        elif column.kind == "category" and column.name in drawn.cells:
            found.append(_category_change(column, real, drawn))
    return found


def _number_change(
    column: TableColumn, real: NDArray[np.float64], drawn: NDArray[np.float64]
) -> ColumnChange:
    x, y = np.sort(real[~np.isnan(real)]), np.sort(drawn[~np.isnan(drawn)])
    y = np.sort(_snapped(y, x))
    distance = floor = math.nan
    if len(x) and len(y):
        every = np.concatenate([x, y])
        below = [np.searchsorted(part, every, side="right") / len(part) for part in (x, y)]
        distance = float(np.abs(below[0] - below[1]).max())
        floor = KS_QUANTILE * math.sqrt(1 / len(x) + 1 / len(y))
    return ColumnChange(
        column.name,
        column.kind,
        "KS",
        distance,
        floor,
        (1 - len(x) / len(real), 1 - len(y) / len(drawn)),
        (int(np.isinf(x).sum()), int(np.isinf(y).sum())),
        (len(np.unique(x)), len(np.unique(y))),
    )


def _snapped(values: NDArray[np.float64], to: NDArray[np.float64]) -> NDArray[np.float64]:
    """Values, each replaced by the nearest of `to`, (n,) sorted, if that is equal but for rounding:
    of 0.3 and 0.30000001, KS would take all the rows for a change.
    """
    finite = to[np.isfinite(to)]
    if not len(finite):
        return values
    right = np.searchsorted(finite, values).clip(1, max(len(finite) - 1, 1))
    low, high = finite[right - 1], finite[np.minimum(right, len(finite) - 1)]
    with np.errstate(invalid="ignore"):  # inf − inf
        nearest = np.where(abs(values - low) <= abs(values - high), low, high)
        return np.where(abs(values - nearest) <= ROUNDING * finite.std(), nearest, values)


def _category_change(column: TableColumn, real: CodedTable, drawn: CodedTable) -> ColumnChange:
    levels = drawn.levels[column.name]
    there, here = (
        np.bincount(table.cells[column.name] + 1, minlength=len(levels) + 1)
        for table in (real, drawn)
    )
    p, q = there / there.sum(), here / here.sum()
    known = len(column.levels) + 1
    new = sorted(zip(levels[known - 1 :], here[known:], strict=True), key=lambda pair: -pair[1])
    return ColumnChange(
        column.name,
        column.kind,
        "TV",
        float(np.abs(p - q).sum() / 2),
        _variation_floor(p, int(there.sum()), int(here.sum())),
        (float(p[0]), float(q[0])),
        distinct=(int((there[1:] > 0).sum()), int((here[1:] > 0).sum())),
        new_levels=tuple((str(level), int(count)) for level, count in new),
    )


def _variation_floor(p: NDArray[np.float64], n: int, m: int) -> float:
    """Total variation that 95 of 100 pairs of samples from the shares p stay within."""
    shares = p[p > 0]
    if len(shares) == 1:
        return 0.0
    if len(shares) == 2:  # by the normal law of one share
        return 1.959964 * math.sqrt(shares[0] * shares[1] * (1 / n + 1 / m))
    rng = np.random.default_rng([n, m])  # the same floor in every report of the same data
    x, y = rng.multinomial(n, shares, _DRAWS) / n, rng.multinomial(m, shares, _DRAWS) / m
    return float(np.quantile(np.abs(x - y).sum(axis=1) / 2, FLOOR_LEVEL))


def constant_columns(table: CodedTable) -> list[str]:
    """List the columns with one value.

    Args:
        table: The rows.

    Returns:
        Their names.
    """
    return [
        name
        for name in table.schema.names("number", "date", "category")
        if name in table.cells and len(np.unique(table.cells[name])) == 1
    ]


def pair_trends(real: CodedTable, drawn: CodedTable) -> list[tuple[str, str, float, float]]:
    """Rank correlations of all pairs of numbers that changed most.

    Args:
        real: The real data.
        drawn: A generation.

    Returns:
        Column, column, correlation in the real data and in the generation: at most five pairs, the
        largest change first. Columns that are constant on a side have no correlation.
    """
    names = [
        name
        for name in real.schema.names("number", "date")
        if all(np.isfinite(x).any() and np.ptp(_filled(x)) > 0 for x in _both(real, drawn, name))
    ]
    if len(names) < 2:
        return []
    before, after = (
        np.asarray(np.corrcoef(np.stack([_ranks(_filled(table.cells[name])) for name in names])))
        for table in (real, drawn)
    )
    pairs = [
        (one, other, float(before[i, j]), float(after[i, j]))
        for i, one in enumerate(names)
        for j, other in enumerate(names)
        if i < j
    ]
    return sorted(pairs, key=lambda pair: -abs(pair[2] - pair[3]))[:5]


def _both(
    real: CodedTable, drawn: CodedTable, name: str
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    return real.cells[name], drawn.cells[name]


def _filled(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Missing and infinite cells at the median."""
    finite = np.isfinite(values)
    return np.where(finite, values, np.median(values[finite]))


def _ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Ranks, ties at their middle."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    middle: NDArray[np.float64] = np.cumsum(counts) - (counts + 1) / 2
    return middle[place]
