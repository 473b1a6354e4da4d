"""Precision and recall of Kynkäänniemi et al. (2019), density and coverage of Naeem et al. (2020).

Around each point of a set lies a ball that reaches to its k-th nearest *other* point of the same
set; the union of the balls estimates the support of the set's law.

The point itself is not counted. The libraries fls and fld count it, so their k is ours + 1: what
the paper reports as "k = 4" is k = 3 here, and in the original. A point on the sphere is inside, as
in the original; fls and fld want it strictly inside, which differs only where distances are equal.

Distances are computed in float64 whatever the features have, as ‖x‖² + ‖y‖² − 2xᵀy about a point
between them, the median of each feature. Where that cancels (two near points, both far from the
median) they are computed again from x − y. So no shift changes anything, a far point spoils nothing
but its own neighbourhood, and copies are at distance 0 exactly. What remains of rounding is 1e-9 of
a squared distance at most: a point so near to a sphere counts as on it.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from deep.metrics.feature_sets import BLOCK, require_features

__all__ = ["Neighbourhoods", "PrecisionRecall", "neighbourhoods", "precision_recall"]

_CANCELS = 1e-3
"""Squared distances below this share of ‖x‖² + ‖y‖² are computed from differences."""
_PAIRS = 1 << 22
"""Numbers in a block of differences."""


@dataclass(frozen=True, eq=False)
class Neighbourhoods:
    """Points (n, d) and the squared radii (n,), float64, of their balls; k as in
    `neighbourhoods`.
    """

    points: Tensor
    squared_radii: Tensor
    k: int


@dataclass(frozen=True)
class PrecisionRecall:
    """Mutual coverage of two sets, real and fake.

    Attributes:
        precision: Share of fake points in at least one ball of a real one, in [0, 1].
        recall: Share of real points in at least one ball of a fake one, in [0, 1].
        density: Mean number of real balls that a fake point lies in, over k; >= 0, mean 1 if both
            have the same law.
        coverage: Share of real points with at least one fake point in their ball, in [0, 1].
    """

    precision: float
    recall: float
    density: float
    coverage: float


def neighbourhoods(points: Tensor, k: int = 3) -> Neighbourhoods:
    """The balls of a set of features, on any device; k other points lie in or on each.

    Time n² d, memory a few blocks of 4096 × 4096 numbers beside the points.

    Args:
        points: Features, (n, d).
        k: Other points in a ball, from 1 to n − 1.

    Returns:
        The balls: centres and squared radii.

    Raises:
        ValueError: If k < 1, n <= k, or a feature is not finite.
    """
    if k < 1:
        raise ValueError(f"k must be >= 1 (the point itself does not count), got {k}")
    require_features(k + 1, points=points)
    nearest = points.new_full((len(points), k), torch.inf, dtype=torch.float64)
    for rows, columns, squared in _blocks(points, points):
        if rows == columns:
            squared.fill_diagonal_(torch.inf)
        nearest[rows] = torch.cat([nearest[rows], squared], 1).topk(k, largest=False).values
    return Neighbourhoods(points, nearest.amax(1), k)


def precision_recall(real: Neighbourhoods, fake: Neighbourhoods) -> PrecisionRecall:
    """Compare two sets, n real and m fake points. Time n m d, memory as in `neighbourhoods`.

    All four depend on n and m: compare at equal numbers.

    Args:
        real: Balls of the n real points.
        fake: Balls of the m fake points.

    Returns:
        Precision, recall, density and coverage.

    Raises:
        ValueError: If k or the dimensions differ.
    """
    if real.k != fake.k:
        raise ValueError(f"both sets must have the same k, got {real.k} and {fake.k}")
    require_features(real.k + 1, real=real.points, fake=fake.points)
    n, m = len(real.points), len(fake.points)
    precise, recalled, covered = (
        real.points.new_zeros(size, dtype=torch.bool) for size in (m, n, n)
    )
    slack = 1 + 2 * _rounding(real.points.shape[1]) / _CANCELS  # of a distance and of a radius
    balls = 0

    for rows, columns, squared in _blocks(real.points, fake.points):
        in_real = squared <= slack * real.squared_radii[rows, None]
        in_fake = squared <= slack * fake.squared_radii[columns]
        precise[columns] |= in_real.any(0)
        covered[rows] |= in_real.any(1)
        recalled[rows] |= in_fake.any(1)
        balls += int(in_real.sum())

    return PrecisionRecall(
        precision=int(precise.sum()) / m,
        recall=int(recalled.sum()) / n,
        density=balls / (real.k * m),
        coverage=int(covered.sum()) / n,
    )


def _blocks(x: Tensor, y: Tensor) -> Iterator[tuple[slice, slice, Tensor]]:
    """Rows of x, rows of y, and the squared distances between them: (n, d) and (m, d) in blocks
    of at most BLOCK².
    """
    centre = x.median(dim=0).values.double()
    for i in range(0, len(x), BLOCK):
        a = x[i : i + BLOCK].double() - centre
        for j in range(0, len(y), BLOCK):
            b = y[j : j + BLOCK].double() - centre
            yield slice(i, i + BLOCK), slice(j, j + BLOCK), _squared_distances(a, b)


def _squared_distances(x: Tensor, y: Tensor) -> Tensor:
    """(n, d), (m, d) float64 -> (n, m), right to `_rounding(d) / _CANCELS`."""
    size = x.square().sum(1)[:, None] + y.square().sum(1)  # (n, m)
    squared = torch.addmm(size, x, y.T, alpha=-2)
    rows, columns = (squared <= size.mul_(_CANCELS)).nonzero(as_tuple=True)
    step = max(1, _PAIRS // x.shape[1])
    for i in range(0, len(rows), step):
        one, two = rows[i : i + step], columns[i : i + step]
        squared[one, two] = (x[one] - y[two]).square_().sum(1)
    return squared


def _rounding(d: int) -> float:
    """Rounding error of a sum of d + 2 rounded terms, relative to the largest."""
    return (d + 2) * torch.finfo(torch.float64).eps
