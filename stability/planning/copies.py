"""Copies of training rows among the drawn ones: exact ones, and ones that are too close."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest, hypergeom
from sklearn.neighbors import NearestNeighbors

from stability.runs.table_files import CLASS_FOLDER
from stability.runs.table_schema import CodedTable
from stability.runs.text_cells import text_hashes

__all__ = ["Copies", "copies", "row_hashes"]

LEVEL = 0.001
"""Probability that a generation without memorisation is flagged, at one look."""
FACTOR = 2
"""Copies are too many if they are so many times as frequent as among fresh real rows."""
MOST_ROWS = 2000
_ODD = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True)
class Copies:
    """Rows of a generation that stand in the training data.

    Attributes:
        exact: Drawn rows that equal a real row in all columns but keys.
        rows: Drawn rows.
        expected: Fraction of fresh real rows that equal a real row: of the holdout, or of the real
            rows themselves, each left out in turn.
        holdout_overlap: Holdout rows that stand in the real data, and all holdout rows.
        closer: Fraction of drawn rows that are closer to a training row than to any of as many
            holdout rows; 1/2 without memorisation. None: no usable holdout.
        memorised: Whether there are more copies, or closer rows, than chance allows.
    """

    exact: int
    rows: int
    expected: float
    holdout_overlap: tuple[int, int] | None = None
    closer: float | None = None
    memorised: bool = False


def row_hashes(table: CodedTable) -> NDArray[np.uint64]:
    """Hash each row; equal rows have equal hashes, whatever the order of the levels.

    Args:
        table: The rows.

    Returns:
        Shape (n,).
    """
    total = np.zeros(table.rows, np.uint64)
    for name, cells in table.cells.items():
        if name == CLASS_FOLDER:
            continue
        kind = table.schema.column(name).kind
        if kind == "category":
            words = text_hashes(np.array([*table.levels[name], None], object))[cells]
        elif kind == "text":
            words = cells
        else:
            words = np.where(np.isnan(cells), np.nan, cells + 0.0).view(np.uint64) * _ODD
        total = (total * _ODD) ^ (words + (total >> np.uint64(29)))
    return total


def copies(
    real: CodedTable,
    drawn: CodedTable,
    holdout: CodedTable | None,
    points: tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64] | None],
) -> Copies:
    """Look for copies.

    Args:
        real: The training data.
        drawn: A generation.
        holdout: Real rows that were not trained on.
        points: The three as points, (n, d) each, in the same space.

    Returns:
        What was found.
    """
    known, here = row_hashes(real), row_hashes(drawn)
    exact = int(np.isin(here, known).sum())
    overlap, twins, fresh = None, _twins(known), real.rows
    closer = None
    if holdout is not None:
        also = np.isin(row_hashes(holdout), known)
        overlap = (int(also.sum()), holdout.rows)
    if holdout is not None and overlap is not None and overlap[0] == 0:
        twins, fresh = 0, holdout.rows
        closer, count = _closer(points)
        too_close = closer is not None and (
            binomtest(round(closer * count), count, 0.5, alternative="greater").pvalue < LEVEL
        )
    else:
        too_close = False

    more = exact / drawn.rows > FACTOR * twins / fresh  # coarse cells coincide by themselves
    too_many = more and _chance(exact, drawn.rows, twins, fresh) < LEVEL
    return Copies(exact, drawn.rows, twins / fresh, overlap, closer, bool(too_many or too_close))


def _chance(exact: int, rows: int, twins: int, fresh: int) -> float:
    """Probability of so many copies among drawn rows if fresh ones have as many: Fisher's test."""
    return float(hypergeom.sf(exact - 1, rows + fresh, exact + twins, rows))


def _twins(hashes: NDArray[np.uint64]) -> int:
    """Rows that another row equals."""
    _, inverse, counts = np.unique(hashes, return_inverse=True, return_counts=True)
    return int((counts[inverse] > 1).sum())


def _closer(
    points: tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64] | None],
) -> tuple[float, int]:
    """Fraction of drawn points that are closer to training than to holdout points, ties halved."""
    real, drawn, holdout = points
    assert holdout is not None
    size = min(len(real), len(holdout), MOST_ROWS)
    rng = np.random.default_rng(size)
    sides = [x[rng.permutation(len(x))[:size]] for x in (real, holdout)]
    some = drawn[rng.permutation(len(drawn))[:MOST_ROWS]]
    near = [NearestNeighbors(n_neighbors=1).fit(x).kneighbors(some)[0][:, 0] for x in sides]
    return float((near[0] < near[1]).mean() + (near[0] == near[1]).mean() / 2), len(some)
