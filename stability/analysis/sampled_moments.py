"""θ*, A, B and C where expectations are means of draws: in batches, chunk by chunk.

B is −E s sᵀ, so that μ >= 0 by construction (S1) and no second derivative under the model is
needed. The moments of a leave-one-out replicate are taken at its own θ*: one Newton step away,
with derivatives of the moments along it (`_drift`).
"""

from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor

from stability.analysis.replicates import BATCHES, Replicates, ScoreMoments
from stability.laws.family import Family, mean_hessian, scores
from stability.laws.law import Member, draw

__all__ = ["sampled_moments"]

_CELLS = 4_000_000
"""Numbers in the scores of a chunk of points."""
_STEP = 1e-6
"""Step of forward differences along the way to a replicate's θ*, relative to 1 + ‖θ*‖."""


def sampled_moments(
    family: Family,
    theta: Tensor,
    points: Tensor,
    exact_data: bool,
    own_law: bool,
    draws: int,
    seed: int,
) -> tuple[ScoreMoments, Replicates]:
    """ScoreMoments at θ*, and one replicate for each batch of draws that is left out.

    Args:
        family: Log-density and sampler.
        theta: (P,) θ*, the maximum on `points`.
        points: (n, d) the data, or draws of their law.
        exact_data: Whether the points are the law of the data itself, and no draws of it.
        own_law: Whether the data are the member θ* itself, by construction: A = B = −C, and θ* is
            known.
        draws: Of the model.
        seed: Of the draws, >= 0.

    Returns:
        The moments and their replicates.
    """
    generator = torch.Generator().manual_seed(seed + 1)
    model = draw(Member(family, theta), draws, generator)
    model_batches = list(model.tensor_split(BATCHES))
    _, fisher = _stacked(_first_and_outer(family, theta, x) for x in model_batches)
    if own_law:
        return _alike(theta, fisher)
    data_batches = [points] if exact_data else list(points.tensor_split(BATCHES))

    gradient, C = _stacked(_first_and_outer(family, theta, x) for x in data_batches)
    A = np.stack([mean_hessian(family, theta, x).numpy() for x in data_batches])
    whole = ScoreMoments(theta.numpy(), A.mean(0), -fisher.mean(0), C.mean(0), fisher.mean(0))

    def without(values: np.ndarray, j: int) -> np.ndarray:
        return values.mean(0) if len(values) == 1 else np.delete(values, j, axis=0).mean(0)

    # a climb may leave a gradient behind, where log p has kinks: replicates leave the same
    rest = gradient.mean(0)
    steps = np.stack(
        [-np.linalg.lstsq(without(A, j), without(gradient, j) - rest)[0] for j in range(BATCHES)]
    )
    if exact_data:
        steps = np.zeros_like(steps)
    drift = _drift(family, theta, data_batches[0], model_batches[0], steps)
    replicates = []
    for j in range(BATCHES):
        by_A, by_C, by_fisher = drift(steps[j])
        F = without(fisher, j) + by_fisher
        replicates.append(
            ScoreMoments(
                theta.numpy() + steps[j], without(A, j) + by_A, -F, without(C, j) + by_C, F
            )
        )
    return whole, Replicates(tuple(replicates), "jackknife")


def _alike(theta: Tensor, fisher: np.ndarray) -> tuple[ScoreMoments, Replicates]:
    """A = B = −C = −F: of the member θ on its own law, from its Fisher information by batches."""
    parts = [fisher.mean(0), *(np.delete(fisher, j, axis=0).mean(0) for j in range(len(fisher)))]
    whole, *rest = (ScoreMoments(theta.numpy(), -F, -F, F, F) for F in parts)
    return whole, Replicates(tuple(rest), "jackknife")


def _stacked(pairs: Iterator[tuple[Tensor, Tensor]]) -> tuple[np.ndarray, np.ndarray]:
    first, second = zip(*pairs, strict=True)
    return torch.stack(first).numpy(), torch.stack(second).numpy()


def _first_and_outer(family: Family, theta: Tensor, points: Tensor) -> tuple[Tensor, Tensor]:
    """Means of s (P,) and of s sᵀ (P, P) over points (n, d), chunk by chunk."""
    P = len(theta)
    first, outer = theta.new_zeros(P), theta.new_zeros(P, P)
    for x in points.split(max(1, _CELLS // P)):
        s = scores(family, theta, x)
        first, outer = first + s.sum(0), outer + s.T @ s
    return first / len(points), outer / len(points)


def _drift(
    family: Family, theta: Tensor, data: Tensor, model: Tensor, steps: np.ndarray
) -> Callable[[np.ndarray], tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Change of A, C and the Fisher information along a step, to first order.

    Derivatives are taken on one batch, along an orthonormal basis of all steps; that of the law
    p_θ itself is (s·v) of each draw.
    """
    size = np.linalg.norm(steps, axis=1).max()
    if size == 0:
        zero = np.zeros((len(theta), len(theta)))
        return lambda step: (zero, zero, zero)
    _, sizes, basis = np.linalg.svd(steps, full_matrices=False)
    basis = basis[sizes > 1e-9 * sizes[0]]
    h = _STEP * (1 + float(theta.norm()))

    def moments(at: Tensor) -> list[Tensor]:
        return [
            mean_hessian(family, at, data),
            _first_and_outer(family, at, data)[1],
            _first_and_outer(family, at, model)[1],
        ]

    slopes, here = [], moments(theta)
    for v in torch.from_numpy(basis):
        pairs = zip(moments(theta + h * v), here, strict=True)
        A, C, F = ((there - value) / h for there, value in pairs)
        slopes.append((A.numpy(), C.numpy(), (F + _tilted(family, theta, model, v)).numpy()))
    along = [np.stack(parts) for parts in zip(*slopes, strict=True)]

    def drift(step: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        by = [np.einsum("r,rpq->pq", basis @ step, part) for part in along]
        return by[0], by[1], by[2]

    return drift


def _tilted(family: Family, theta: Tensor, points: Tensor, v: Tensor) -> Tensor:
    """Mean of (s·v) s sᵀ: how E s sᵀ changes as the draws' law does."""
    P = len(theta)
    total = theta.new_zeros(P, P)
    for x in points.split(max(1, _CELLS // P)):
        s = scores(family, theta, x)
        total = total + (s * (s @ v)[:, None]).T @ s
    return total / len(points)
