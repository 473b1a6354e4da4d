"""Kernel distance between two sets of features; with those of the FID Inception network this is
KID.

MMD² = E k(x, x') + E k(y, y') − 2 E k(x, y) with k(x, y) = (xᵀy/d + 1)³, estimated without bias:
pairs of a point with itself are left out (Bińkowski et al. 2018). So, unlike FID, it does not
depend on the number of points on average.

The kernel is replaced by h(x, y) = k(x, y) − k(x, c) − k(c, y) + k(c, c) with a point c between the
sets, which gives the same estimate and the same error: the subtracted terms depend on one argument
alone and drop out. Far from the origin k is large and nearly constant, and sums of it cancel; h is
computed from x − c and y − c, and they do not.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from deep.metrics.feature_sets import BLOCK, require_features

__all__ = ["KernelDistance", "kernel_distance", "subset_kernel_distances"]


@dataclass(frozen=True)
class KernelDistance:
    """An unbiased estimate of MMD², negative values included, and its delete-one jackknife standard
    error.

    The jackknife's variance is on average not below the true one (Efron and Stein 1981). Between
    sets of the same law, where the first-order term of MMD² vanishes, it is about twice the true
    one.
    """

    value: float
    standard_error: float


class Choice(Protocol):
    """A NumPy generator; an old RandomState too, which the published numbers were made with."""

    def choice(self, a: int, size: int, replace: bool) -> np.ndarray: ...


def kernel_distance(x: Tensor, y: Tensor) -> KernelDistance:
    """MMD² between two sets of features from all pairs, on any device.

    Time (n + m)² d, memory a few blocks of 4096 × 4096 numbers beside the features.

    Args:
        x: Features, (n, d), n >= 3.
        y: Features, (m, d), m >= 3.

    Returns:
        The estimate and its standard error.

    Raises:
        ValueError: If they are not finite or differ in d.
    """
    require_features(3, x=x, y=y)
    n, m = len(x), len(y)
    centre = (_middle(x) + _middle(y)) / 2
    (xx, _), (yy, _) = (_sums(points, points, centre, alone=True) for points in (x, y))
    xy, yx = _sums(x, y, centre)
    value = xx.sum() / (n * (n - 1)) + yy.sum() / (m * (m - 1)) - 2 * xy.sum() / (n * m)
    # n − 1 times what the estimate loses when a point is left out, up to a constant
    loss_x = 2 * (xx / (n - 2) - xy / m)
    loss_y = 2 * (yy / (m - 2) - yx / n)
    return KernelDistance(float(value), float((loss_x.var() / n + loss_y.var() / m).sqrt()))


def subset_kernel_distances(
    fake: Tensor, real: Tensor, rng: Choice, subsets: int = 100, size: int | None = None
) -> np.ndarray:
    """MMD² between random subsets of both sets; fld and torch-fidelity report its mean and sd.

    Subsets overlap, so sd/√subsets is the error of choosing them, not that of the data; see
    `kernel_distance`.

    Args:
        fake: Features of generated images, (n, d).
        real: Features of real images, (m, d).
        rng: For each subset it first chooses from `fake`, then from `real`, without replacement:
            RandomState(42) gives fld's numbers, RandomState(2020) torch-fidelity's.
        subsets: Number of subsets.
        size: Points of each subset; None: min(1000, n/2, m/2) as in fld.

    Returns:
        MMD² of each pair of subsets, (subsets,).

    Raises:
        ValueError: If a set is smaller than a subset.
    """
    size = min(1000, len(fake) // 2, len(real) // 2) if size is None else size
    require_features(max(size, 3), fake=fake, real=real)

    def subset(x: Tensor) -> Tensor:
        return x[torch.from_numpy(rng.choice(len(x), size, replace=False)).to(x.device)]

    return np.array([kernel_distance(subset(fake), subset(real)).value for _ in range(subsets)])


def _middle(x: Tensor) -> Tensor:
    """A point that a few far ones do not move, (d,) float64: the median of each feature."""
    return x.median(dim=0).values.double()


def _sums(x: Tensor, y: Tensor, centre: Tensor, alone: bool = False) -> tuple[Tensor, Tensor]:
    """Σⱼ h(xᵢ, yⱼ), (n,), and Σᵢ h(xᵢ, yⱼ), (m,), float64;

    Args:
        alone: Of one set with itself, without j = i.
    """
    rows, columns = (points.new_zeros(len(points), dtype=torch.float64) for points in (x, y))
    for i in range(0, len(x), BLOCK):
        a = x[i : i + BLOCK].double() - centre
        for j in range(0, len(y), BLOCK):
            kernel = _kernel(a, y[j : j + BLOCK].double() - centre, centre)
            if alone and i == j:
                # not subtracted later: a far point's own term would swallow the others
                kernel.fill_diagonal_(0)
            rows[i : i + BLOCK] += kernel.sum(1)
            columns[j : j + BLOCK] += kernel.sum(0)
    return rows, columns


def _kernel(a: Tensor, b: Tensor, centre: Tensor) -> Tensor:
    """h between a + c, (n, d), and b + c, (m, d), float64 -> (n, m).

    With e = cᵀc/d + 1, p = aᵀc/d, q = bᵀc/d and g = aᵀb/d it is (e + p + q + g)³ − (e + p)³ − (e +
    q)³ + e³ = 3pq(2e + p + q) + g(3s² + 3sg + g²), s = e + p + q.
    """
    d = len(centre)
    e = centre @ centre / d + 1
    p, q = (a @ centre / d)[:, None], b @ centre / d
    s = e + p + q
    g = a @ b.T / d
    cubic = (g + 3 * s).mul_(g).addcmul_(s, s, value=3).mul_(g)
    return cubic.add_(s.add_(e).mul_(3 * p).mul_(q))
