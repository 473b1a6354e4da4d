"""θ* and the moments there by means of draws, in any dimension.

Source: eq. (3) for θ*, Theorem 1 for A, B and J.
"""

import math
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from stability.analysis.at_maximum import (
    NOT_LOOKED_FOR,
    AnalysisOptions,
    AtMaximum,
    require_concave,
)
from stability.analysis.flat_directions import Section, flat_directions
from stability.analysis.hypotheses import heavy_tails, require_exact_sampling
from stability.analysis.jacobian import jacobian
from stability.analysis.lipschitz_search import sampled_lipschitz
from stability.analysis.matrix_free import climb_matrix_free
from stability.analysis.operators import NoMaximum, maximum_likelihood
from stability.analysis.replicates import Replicates, ScoreMoments
from stability.analysis.sampled_moments import sampled_moments
from stability.analysis.total_mass import require_unit_mass
from stability.laws.capabilities import Discrete
from stability.laws.family import Family, mean_hessian, scores
from stability.laws.law import Empirical, Law, Member, draw

__all__ = ["by_sampling"]

_FEW = 60
"""Parameters up to which the search for θ* forms matrices at each step."""
_PARTS = 10
"""Parts of the draws from which the noise of the second route is estimated."""


def by_sampling(
    family: Family,
    law: Law,
    points: Tensor,
    start: Tensor,
    known: bool,
    options: AnalysisOptions,
) -> AtMaximum:
    """Find θ* and the moments there by means of draws.

    Directions along which p_θ does not change are left out.

    Args:
        family: Any family.
        law: Of the data.
        points: (n, d) its points, or draws of it.
        start: (P,) or (s, P) where the search begins; θ* itself if `known`.
        known: Whether the data are the member `start` itself.
        options: The rest.

    Returns:
        What was found.
    """
    lam, draws, _, seed, bounds = options
    theta = start if known else _sampled_maximum(family, points, start)
    require_exact_sampling(family, theta, seed)
    atoms = isinstance(family, Discrete) and family.atoms is not None
    notes = "" if atoms else require_unit_mass(family, theta, seed)
    flat = flat_directions(family, theta, points, seed)
    within = Section(family, theta, flat)
    at = theta.new_zeros(len(theta) - flat.shape[1])

    exact = isinstance(law, Empirical)
    moments, replicates = sampled_moments(within, at, points, exact, known, draws, seed)
    require_concave(moments.A, theta)
    replicates = replace(replicates, moments=tuple(map(within.lifted, replicates.moments)))
    gap, allowed = _second_route(within, at, moments, replicates, lam, draws, seed)
    model = Member(family, theta)
    A_error = replicates.error(moments.A, np.stack([each.A for each in replicates.moments]))
    B_error = replicates.error(moments.B, np.stack([each.B for each in replicates.moments]))
    return AtMaximum(
        **vars(within.lifted(moments)),
        lipschitz=sampled_lipschitz(family, within, at, model, points, seed)
        if bounds
        else NOT_LOOKED_FOR,
        eps=options.eps(model, law),
        method=f"{'exact' if exact else 'monte carlo'} under the data, monte carlo under the model",
        integration_error=float(max(A_error.max(), B_error.max())) / 2,
        jacobian_gap=gap,
        jacobian_allowed=allowed,
        jacobian_check="λ(A + λ E ∇² log p)⁻¹ E ∇² log p",
        replicates=replicates,
        flat=flat.numpy(),
        note="; ".join(filter(None, (heavy_tails(scores(family, theta, points[:20_000])), notes))),
    )


def _sampled_maximum(family: Family, points: Tensor, start: Tensor) -> Tensor:
    """θ* on points: with matrices for few parameters, without for many or redundant ones."""
    starts = start.reshape(-1, start.shape[-1])
    if starts.shape[1] <= _FEW:
        redundant = flat_directions(family, starts[0], points)
        if not redundant.shape[1]:
            return maximum_likelihood(family, points, start).theta
    weights = torch.full((len(points),), 1 / len(points), dtype=torch.float64)
    try:
        found = [climb_matrix_free(family, points, weights, each) for each in starts]
    except ArithmeticError as error:
        raise NoMaximum(str(error)) from error
    return max(found, key=lambda theta: float(weights @ family.log_prob(theta, points)))


def _second_route(
    family: Family,
    theta: Tensor,
    moments: ScoreMoments,
    replicates: Replicates,
    lam: float,
    draws: int,
    seed: int,
) -> tuple[float, float]:
    """Largest difference of J from that by the Hessian under the model, and what noise allows."""
    if not lam or len(theta) > _FEW:
        return math.nan, math.nan
    model = draw(
        Member(family, theta), draws // 4 + _PARTS, torch.Generator().manual_seed(seed + 3)
    )
    others = np.stack(
        [
            jacobian(moments.A, mean_hessian(family, theta, part).numpy(), lam)
            for part in model.tensor_split(_PARTS)
        ]
    )
    J = jacobian(moments.A, moments.B, lam)
    own = replicates.error(J, np.stack([jacobian(m.A, m.B, lam) for m in replicates.moments]))
    noise = 8.0 * others.std(axis=0, ddof=1) / math.sqrt(_PARTS) + 3 * own
    gaps = np.abs(others.mean(axis=0) - J)
    worst = np.unravel_index(np.argmax(gaps / (noise + 1e-300)), gaps.shape)
    return float(gaps[worst]), float(noise[worst])
