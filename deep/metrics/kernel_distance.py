"""Kernel distance between two sets of features; with those of the FID Inception network this is KID.

MMD² = E k(x, x') + E k(y, y') − 2 E k(x, y) with k(x, y) = (xᵀy/d + 1)³, estimated without bias: pairs of a point with
itself are left out (Bińkowski et al. 2018). So, unlike FID, it does not depend on the number of points on average.
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
    """An unbiased estimate of MMD², negative values included, and its delete-one jackknife standard error.

    The jackknife's variance is on average not below the true one (Efron and Stein 1981). Between sets of the same law,
    where the first-order term of MMD² vanishes, it is about twice the true one.
    """

    value: float
    standard_error: float


class Choice(Protocol):
    """A NumPy generator; an old RandomState too, which the published numbers were made with."""

    def choice(self, a: int, size: int, replace: bool) -> np.ndarray: ...


def kernel_distance(x: Tensor, y: Tensor) -> KernelDistance:
    """MMD² between x (n, d) and y (m, d) from all pairs, on any device; n, m >= 3.

    Time (n + m)² d, memory a few blocks of 4096 × 4096 numbers beside the features. ValueError if they are not finite
    or differ in d.
    """
    require_features(3, x=x, y=y)
    n, m = len(x), len(y)
    xx, yy = (_sums(points, points)[0] - _self_kernel(points) for points in (x, y))
    xy, yx = _sums(x, y)
    value = xx.sum() / (n * (n - 1)) + yy.sum() / (m * (m - 1)) - 2 * xy.sum() / (n * m)
    # n − 1 times what the estimate loses when a point is left out, up to a constant
    loss_x = 2 * (xx / (n - 2) - xy / m)
    loss_y = 2 * (yy / (m - 2) - yx / n)
    return KernelDistance(float(value), float((loss_x.var() / n + loss_y.var() / m).sqrt()))


def subset_kernel_distances(
    fake: Tensor, real: Tensor, rng: Choice, subsets: int = 100, size: int | None = None
) -> np.ndarray:
    """MMD² between random subsets of both sets, (subsets,): what fld and torch-fidelity report the mean and sd of.

    size: of each subset; None: min(1000, n/2, m/2) as in fld. For each subset `rng` first chooses from `fake`, then
    from `real`, without replacement: RandomState(42) gives fld's numbers, RandomState(2020) torch-fidelity's.
    Subsets overlap, so sd/√subsets is the error of choosing them, not that of the data; see `kernel_distance`.
    ValueError if a set is smaller than a subset.
    """
    size = min(1000, len(fake) // 2, len(real) // 2) if size is None else size
    require_features(max(size, 3), fake=fake, real=real)

    def subset(x: Tensor) -> Tensor:
        return x[torch.from_numpy(rng.choice(len(x), size, replace=False)).to(x.device)]

    return np.array([kernel_distance(subset(fake), subset(real)).value for _ in range(subsets)])


def _kernel(product: Tensor, d: int) -> Tensor:
    return (product / d + 1) ** 3


def _self_kernel(x: Tensor) -> Tensor:
    return torch.cat([_kernel(rows.double().square().sum(1), x.shape[1]) for rows in x.split(BLOCK)])


def _sums(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Σⱼ k(xᵢ, yⱼ), (n,), and Σᵢ k(xᵢ, yⱼ), (m,), float64."""
    rows, columns = (points.new_zeros(len(points), dtype=torch.float64) for points in (x, y))
    for i in range(0, len(x), BLOCK):
        a = x[i : i + BLOCK].double()
        for j in range(0, len(y), BLOCK):
            kernel = _kernel(a @ y[j : j + BLOCK].double().T, x.shape[1])
            rows[i : i + BLOCK] += kernel.sum(1)
            columns[j : j + BLOCK] += kernel.sum(0)
    return rows, columns
