"""Rows that depend on their neighbours, and generations that were drawn with the same noise."""

import math
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.special import chdtr

from stability.runs.table_schema import CodedTable

__all__ = ["dependence", "same_noise", "thinned", "twin_correlation"]

LARGEST_LAG = 0.3
"""Lag-1 correlation in file order above which rows are said to depend on each other."""
LEFT = 0.05
"""Correlation at which rows so far apart are counted as independent."""
LEVEL = 1e-4
"""Probability that loops with fresh noise are said to share it."""


def dependence(table: CodedTable) -> tuple[str, float] | None:
    """Find a column of numbers whose neighbouring rows are alike.

    A sorted column is no evidence: sorting is what files are often saved after.

    Args:
        table: Rows in the order of the file.

    Returns:
        The column with the largest lag-1 correlation, and the correlation; None: nothing found.
    """
    found: tuple[str, float] | None = None
    for name in table.schema.names("number", "date"):
        x = table.cells[name]
        x = x[np.isfinite(x)]
        if len(x) < 20 or np.ptp(x) == 0:
            continue
        steps = np.diff(x)
        if (steps >= 0).all() or (steps <= 0).all():
            continue
        z = x - x.mean()
        lag = float(z[1:] @ z[:-1]) / float(z @ z)
        if lag > max(LARGEST_LAG, 5 / math.sqrt(len(x))) and (found is None or lag > found[1]):
            found = name, lag
    return found


def thinned(table: CodedTable, lag: float) -> CodedTable:
    """Keep rows that are far enough apart to count as independent.

    Args:
        table: Rows in the order of the file.
        lag: Lag-1 correlation, in (0, 1).

    Returns:
        Every k-th row, with lag^k <= 0.05; two rows at least.
    """
    step = math.ceil(math.log(LEFT) / math.log(min(max(lag, 1e-9), 1 - 1e-9)))
    step = min(step, max(table.rows // 2, 1))
    return table.take(np.arange(0, table.rows, step))


def twin_correlation(one: NDArray[np.float64], other: NDArray[np.float64]) -> float | None:
    """Correlation of row i with row i of the next generation, beyond what the columns have alone.

    Near 0 for fresh noise; near 1 where a sampler repeats its seed.

    Args:
        one: Points of a generation, (n, d).
        other: Points of the next, (n, d).

    Returns:
        The median over columns that vary; None: other numbers of rows, or fewer than 20.
    """
    if one.shape != other.shape or len(one) < 20:
        return None
    a, b = one - one.mean(axis=0), other - other.mean(axis=0)
    spread = np.sqrt(np.square(a).sum(axis=0) * np.square(b).sum(axis=0))
    varies = spread > 1e-12
    if not varies.any():
        return None
    return float(np.median((a * b).sum(axis=0)[varies] / spread[varies]))


def same_noise(means: NDArray[np.float64], covariance: NDArray[np.float64], rows: int) -> float:
    """Probability that means of generations with fresh noise are in so constant a ratio.

    With shared latents the deviations obey d_{t+1} − d_t = c (d_t − d_{t−1}) almost exactly; with
    fresh draws of m points each mean has noise of covariance Σ/m, and what is left after the best c
    cannot be small in all directions.

    Args:
        means: Mean point of each generation, (T, d), T >= 3.
        covariance: Σ of one point, (d, d).
        rows: Points m of each generation.

    Returns:
        A lower-tail probability, smallest over the triples of steps times their number; 1 where
        there are too few generations or columns.
    """
    values, vectors = np.linalg.eigh(covariance)
    keep = values > 1e-8 * max(values[-1], 1e-300)
    d = int(keep.sum())
    if len(means) < 3 or d < 2 or values[-1] <= 0:
        return 1.0
    white = means @ vectors[:, keep] / np.sqrt(values[keep] / rows)  # noise of covariance 1
    steps = np.diff(white, axis=0)

    smallest, tests = 1.0, len(steps) - 1
    for before, after in pairwise(steps):
        c = float(before @ after) / max(float(before @ before), 1e-300)
        left = after - c * before  # = noise of e_{t+2} − (1 + c) e_{t+1} + c e_t
        noise = 1 + (1 + c) ** 2 + c**2
        smallest = min(smallest, float(chdtr(d - 1, float(left @ left) / noise)))
    return min(1.0, smallest * tests)
