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
from stability.analysis.matrix_free import Climb, climb_matrix_free
from stability.analysis.operators import NoMaximum, maximum_likelihood
from stability.analysis.replicates import Replicates, ScoreMoments
from stability.analysis.sampled_moments import sampled_moments
from stability.analysis.total_mass import require_unit_mass
from stability.analysis.unresolved_directions import unresolved_directions
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

    Directions along which p_θ does not change are left out, and with many parameters those along
    which the draws do not tell the curvature from 0.

    Args:
        family: Any family.
        law: Of the data.
        points: (n, d) its points, or draws of it.
        start: (P,) or (s, P) where the search begins; θ* itself if `known`.
        known: Whether the data are the member `start` itself.
        options: The rest.

    Returns:
        What was found.

    Raises:
        NoMaximum: If there is no θ*, or A is not negative definite there.
    """
    lam, draws, _, seed, bounds = options
    theta, climbs = (start, "") if known else _sampled_maximum(family, points, start)
    flat = flat_directions(family, theta, points, seed)
    left_out = 0
    if climbs or (flat.shape[1] and not known):
        # directions beside redundant ones may matter so little that they are noise, too
        theta, flat, left_out = _resolved(family, theta, points, flat, seed, climbs)
    require_exact_sampling(family, theta, seed)
    atoms = isinstance(family, Discrete) and family.atoms is not None
    mass = "" if atoms else require_unit_mass(family, theta, seed)

    exact = isinstance(law, Empirical)
    found = _moments(family, theta, flat, points, exact, known, draws, seed)
    if not left_out and len(theta) > _FEW and _concavity(found[2]) <= 0:
        why = "the likelihood is not strictly concave at its maximum"
        theta, flat, left_out = _resolved(family, theta, points, flat, seed, why)
        found = _moments(family, theta, flat, points, exact, known, draws, seed)
    within, at, moments, replicates = found
    require_concave(moments.A, theta)

    gap, allowed = _second_route(within, at, moments, replicates, lam, draws, seed)
    model = Member(family, theta)
    A_error = replicates.error(moments.A, np.stack([each.A for each in replicates.moments]))
    B_error = replicates.error(moments.B, np.stack([each.B for each in replicates.moments]))
    notes = (heavy_tails(scores(family, theta, points[:20_000])), mass, _unresolved(left_out))
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
        unresolved=left_out,
        note="; ".join(filter(None, notes)),
    )


def _moments(
    family: Family,
    theta: Tensor,
    flat: Tensor,
    points: Tensor,
    exact: bool,
    known: bool,
    draws: int,
    seed: int,
) -> tuple[Section, Tensor, ScoreMoments, Replicates]:
    """The family without the directions that are left out, 0 of it, and the moments there."""
    within = Section(family, theta, flat)
    at = theta.new_zeros(len(theta) - flat.shape[1])
    moments, replicates = sampled_moments(within, at, points, exact, known, draws, seed)
    lifted = tuple(map(within.lifted, replicates.moments))
    return within, at, moments, replace(replicates, moments=lifted)


def _concavity(moments: ScoreMoments) -> float:
    return -float(np.linalg.eigvalsh(moments.A)[-1])


def _unresolved(left_out: int) -> str:
    if not left_out:
        return ""
    return (
        f"along {left_out} directions of θ the draws do not tell the curvature of the likelihood "
        "from 0: the numbers are of the subfamily through θ* along the others"
    )


def _resolved(
    family: Family, theta: Tensor, points: Tensor, flat: Tensor, seed: int, why: str
) -> tuple[Tensor, Tensor, int]:
    """θ* of the subfamily along which the points resolve the curvature, through θ.

    All directions that it leaves out, (P, k), and the number of those that are not flat.
    """
    unresolved = unresolved_directions(family, theta, points, flat, seed)
    left_out = torch.cat([flat, unresolved], 1)
    if left_out.shape[1] == len(theta):
        raise NoMaximum(
            f"not strongly concave: {why}, and along no direction of θ do {len(points)} points "
            "tell its curvature from 0"
        )
    within = Section(family, theta, left_out)
    zero = theta.new_zeros(len(theta) - left_out.shape[1])
    climb = climb_matrix_free(within, points, _equal(points), zero)
    if not climb.ended:
        raise NoMaximum(_did_not_end(climb))
    return within.whole(climb.theta), left_out, unresolved.shape[1]


def _equal(points: Tensor) -> Tensor:
    return torch.full((len(points),), 1 / len(points), dtype=torch.float64)


def _did_not_end(climb: Climb) -> str:
    return (
        f"the climb from start did not end: gradient norm {climb.gradient_norm:.3g} after "
        f"{climb.steps} steps"
    )


def _sampled_maximum(family: Family, points: Tensor, start: Tensor) -> tuple[Tensor, str]:
    """θ* on points: with matrices for few parameters, without for many or redundant ones.

    With it a line that says why the climb did not end, or "".
    """
    starts = start.reshape(-1, start.shape[-1])
    if starts.shape[1] <= _FEW:
        redundant = flat_directions(family, starts[0], points)
        if not redundant.shape[1]:
            return maximum_likelihood(family, points, start).theta, ""
    weights = _equal(points)
    climbs = [climb_matrix_free(family, points, weights, each) for each in starts]
    best = max(climbs, key=lambda climb: float(weights @ family.log_prob(climb.theta, points)))
    if best.ended:
        return best.theta, ""
    if not best.near:
        raise NoMaximum(_did_not_end(best))
    return best.theta, _did_not_end(best)


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
