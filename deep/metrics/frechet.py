"""Fréchet distance between two sets of features; with those of the FID Inception network this is
FID.

FD = ‖μ₁ − μ₂‖² + tr Σ₁ + tr Σ₂ − 2 tr (Σ₁Σ₂)^½, the squared W2 distance between N(μ₁, Σ₁) and N(μ₂,
Σ₂) (Heusel et al. 2017, eq. (6); Dowson and Landau 1982).

With Σᵢ = FᵢᵀFᵢ it is ‖μ₁ − μ₂‖² + min over rotations ‖U F₁ − V F₂‖²: a sum of squares, in which
nothing cancels however large one feature is beside the others. The best U and V are the singular
vectors of F₁F₂ᵀ. Those of large singular values are accurate; small ones drown in the rounding of
large ones, so what is left is factored again without them. (The large vectors are wrong by about
eps·σ₁/σ, and at the minimum that enters squared.)

F comes from the correlations, so that a feature's rounding errors are relative to its own scale.
Directions without variance (fewer images than features, features that are always 0) drop out of F
instead of turning rounding errors of 1e-16 into 1e-8 each. So no square root of an unsymmetric
matrix is needed, and nothing is added to the diagonal.
"""

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from deep.metrics.feature_sets import BLOCK, require_features

__all__ = ["FeatureMoments", "frechet_distance", "moments"]

_ACCURATE = 1e-6
"""Singular values above this share of the largest are taken from one factorisation: their
vectors are right to 1e-10."""


@dataclass(frozen=True, eq=False)
class FeatureMoments:
    """Mean (d,) and covariance (d, d) of a set of features, float64."""

    mean: Tensor
    covariance: Tensor

    @cached_property
    def factor(self) -> Tensor:
        """F (r, d) with FᵀF = Σ; r: how many eigenvalues of the correlations are above d·eps of
        the largest.
        """
        scale = self.covariance.diagonal().clamp(min=0).sqrt()
        safe = scale.where(scale > 0, 1)
        values, vectors = torch.linalg.eigh(self.covariance / safe / safe[:, None])
        resolved = values > len(values) * torch.finfo(values.dtype).eps * values[-1].clamp(min=0)
        return (vectors[:, resolved] * values[resolved].sqrt()).T * scale


def moments(features: Tensor) -> FeatureMoments:
    """Compute the mean and covariance of features in float64, on any device.

    The covariance divides by n − 1, as pytorch-fid, fls and EDM do. Takes d² numbers and a block of
    rows in float64 beside the features.

    Args:
        features: Features, (n, d), n >= 2.

    Returns:
        The moments, of shapes (d,) and (d, d).

    Raises:
        ValueError: If they are not finite.
    """
    require_features(2, features=features)
    n, d = features.shape
    mean = torch.zeros(d, dtype=torch.float64, device=features.device)
    for rows in features.split(BLOCK):
        mean += rows.double().sum(0) / n
    covariance = torch.zeros(d, d, dtype=torch.float64, device=features.device)
    for rows in features.split(BLOCK):
        gap = rows.double() - mean
        covariance.addmm_(gap.T, gap, alpha=1 / (n - 1))
    return FeatureMoments(mean, covariance)


def frechet_distance(one: FeatureMoments, two: FeatureMoments) -> float:
    """FD >= 0 between two sets of features, in units of a feature squared.

    It is symmetric, and 0 for equal moments.

    It is biased: with n points it exceeds its limit by about c/n, c unknown and depending on the
    model, so values are comparable at equal n alone (Chong and Forsyth 2020).

    Args:
        one: Moments of the first set.
        two: Moments of the second set.

    Returns:
        The distance.

    Raises:
        ValueError: If the dimensions differ.
    """
    if one.mean.shape != two.mean.shape:
        raise ValueError(
            f"the features must have equal dimension, got {len(one.mean)} and {len(two.mean)}"
        )
    shift = (one.mean - two.mean).square().sum()
    return float(shift + _squared_distance(one.factor, two.factor))


def _squared_distance(f1: Tensor, f2: Tensor) -> Tensor:
    """min ‖U F₁ − V F₂‖² over orthogonal U and V, for F₁ (r, d) and F₂ (s, d); the shorter one
    is filled with zeros.
    """
    total = f1.new_zeros(())
    while len(f1) and len(f2):
        left, values, right = torch.linalg.svd(f1 @ f2.T)
        accurate = int((values > _ACCURATE * values[0]).sum())
        if accurate == 0:  # all of them are 0
            break
        f1, f2 = left.T @ f1, right @ f2
        total += (f1[:accurate] - f2[:accurate]).square().sum()
        f1, f2 = f1[accurate:], f2[accurate:]
    return total + f1.square().sum() + f2.square().sum()
