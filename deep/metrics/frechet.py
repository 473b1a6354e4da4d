"""Fréchet distance between two sets of features; with those of the FID Inception network this is FID.

FD = ‖μ₁ − μ₂‖² + tr Σ₁ + tr Σ₂ − 2 tr (Σ₁Σ₂)^½, the squared W2 distance between N(μ₁, Σ₁) and N(μ₂, Σ₂)
(Heusel et al. 2017, eq. (6); Dowson and Landau 1982).

With Σᵢ = Fᵢᵀ Fᵢ the last trace is the sum of the singular values of F₁F₂ᵀ, since Σ₁Σ₂ and (F₁F₂ᵀ)(F₁F₂ᵀ)ᵀ have the same
eigenvalues but for zeros. These are real and not negative, whatever rounding does, and directions without variance
(fewer images than features, features that are always 0) drop out of F instead of turning rounding errors of 1e-16 into
1e-8 each. So no square root of an unsymmetric matrix is needed, and nothing is added to the diagonal.
"""

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from deep.metrics.feature_sets import BLOCK, require_features

__all__ = ["Moments", "frechet_distance", "moments"]


@dataclass(frozen=True, eq=False)
class Moments:
    """Mean (d,) and covariance (d, d) of a set of features, float64."""

    mean: Tensor
    covariance: Tensor

    @cached_property
    def factor(self) -> Tensor:
        """F (r, d) with FᵀF = Σ, r its numerical rank: the eigenvalues above d·eps of the largest."""
        values, vectors = torch.linalg.eigh(self.covariance)
        resolved = values > len(values) * torch.finfo(values.dtype).eps * values[-1].clamp(min=0)
        return (vectors[:, resolved] * values[resolved].sqrt()).T


def moments(features: Tensor) -> Moments:
    """Of features (n, d), n >= 2, on any device; the covariance divides by n − 1, as pytorch-fid, fls and EDM do.

    Takes d² numbers and a block of rows in float64 beside the features. ValueError if they are not finite.
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
    return Moments(mean, covariance)


def frechet_distance(one: Moments, two: Moments) -> float:
    """FD >= 0 between two sets of features, in units of a feature squared. It is symmetric, and 0 for equal moments.

    It is biased: with n points it exceeds its limit by about c/n, c unknown and depending on the model, so values are
    comparable at equal n alone (Chong and Forsyth 2020). ValueError if the dimensions differ.
    """
    if one.mean.shape != two.mean.shape:
        raise ValueError(f"the features must have equal dimension, got {len(one.mean)} and {len(two.mean)}")
    overlap = one.factor @ two.factor.T  # (r1, r2)
    gram = overlap @ overlap.T if len(overlap) <= overlap.shape[1] else overlap.T @ overlap
    fidelity = torch.linalg.eigvalsh(gram).clamp(min=0).sqrt().sum()
    shift = (one.mean - two.mean).square().sum()
    return float((shift + one.covariance.trace() + two.covariance.trace() - 2 * fidelity).clamp(min=0))
