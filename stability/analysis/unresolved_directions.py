"""Directions of θ along which so many points do not tell the curvature of the likelihood from 0.

A network of many parameters has directions along which p_θ changes, but so little that the second
derivatives of the mean log-likelihood are noise. There A is not negative definite by chance, θ* is
not determined, and nothing of the first order holds. They are left out, as redundant ones are:
what is analysed is the subfamily through θ along the others.

Source: our own rule, with random weights of batches for the noise of a mean.
"""

import torch
from torch import Tensor

from stability.analysis.replicates import BATCHES
from stability.laws.family import Family, mean_hessian, scores

__all__ = ["unresolved_directions"]

_APART = 4.0
"""Least curvature over the norm of its noise in the directions that are kept."""
_LEAST = 1e-10
"""Fisher information below this, relative to the largest in units of its diagonal, is rounding."""
_NOISES = 5
"""Noise matrices whose mean norm is the noise."""
_ROWS = 2000


def unresolved_directions(
    family: Family, theta: Tensor, points: Tensor, flat: Tensor, seed: int = 0
) -> Tensor:
    """Directions to leave out so that the curvature along all others stands out of its noise.

    Noise is told by the scatter of the curvature between batches of points, in units of the mean
    of s sᵀ. Directions are ordered by it, and as many are kept as it allows.

    Args:
        family: Any family.
        theta: Parameters near a maximum on the points, (P,).
        points: Points, (n, d), n >= 20.
        flat: Directions that are left out already, orthonormal, (P, k).
        seed: Seed of the noise, >= 0.

    Returns:
        Orthonormal, (P, m), orthogonal to `flat`; m = P − k where nothing is resolved.
    """
    basis = torch.linalg.qr(flat, mode="complete")[0][:, flat.shape[1] :]
    basis = basis @ _whitening(family, theta, points, basis)
    batches = points.tensor_split(BATCHES)
    curvature = torch.stack([-basis.T @ mean_hessian(family, theta, x) @ basis for x in batches])
    middle = curvature.mean(0)
    away = curvature - middle
    order = torch.linalg.eigh(torch.einsum("rpq,rqs->ps", away, away))[1]  # least noise first

    generator = torch.Generator().manual_seed(seed)
    weights = torch.randn(_NOISES, BATCHES, generator=generator, dtype=torch.float64)
    noise = torch.einsum("wr,rpq->wpq", weights, away) / BATCHES

    def stands_out(k: int) -> bool:
        kept = order[:, :k]
        norm = float(torch.linalg.matrix_norm(kept.T @ noise @ kept, 2).mean())
        return float(torch.linalg.eigvalsh(kept.T @ middle @ kept)[0]) > _APART * norm

    # bisection: the noise grows with the number of directions
    low, high = 0, order.shape[1] + 1
    while high - low > 1:
        k = (low + high) // 2
        low, high = (k, high) if stands_out(k) else (low, k)

    # these axes are not orthogonal in θ: left out is the complement of those that are kept
    kept = torch.cat([flat, basis @ order[:, :low]], 1)
    return torch.linalg.qr(kept, mode="complete")[0][:, kept.shape[1] :]


def _whitening(family: Family, theta: Tensor, points: Tensor, basis: Tensor) -> Tensor:
    """Axes (m, k) in a basis along which the mean of s sᵀ is the identity, k <= m.

    Those of no more than rounding are not among them.
    """
    size = basis.shape[1]
    outer = theta.new_zeros(size, size)
    for x in points.split(_ROWS):
        s = scores(family, theta, x) @ basis
        outer = outer + s.T @ s
    outer = outer / len(points)

    diagonal = outer.diagonal()
    unit = diagonal.clamp(min=_LEAST * float(diagonal.max())).rsqrt()
    values, vectors = torch.linalg.eigh(outer * unit[:, None] * unit)
    seen = values > _LEAST * values[-1]
    return unit[:, None] * vectors[:, seen] * values[seen].rsqrt()
