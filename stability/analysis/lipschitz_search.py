"""L of Assumption 1: from the family, between atoms, or by a search, which bounds it from below."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.func import grad, jacfwd, jvp, vmap

from stability.laws.bracket import Bracket
from stability.laws.capabilities import HasLipschitz
from stability.laws.expectation import Rule
from stability.laws.family import Family, hessians
from stability.laws.law import Member, draw

__all__ = ["Constant", "lipschitz_constant", "lipschitz_search", "sampled_lipschitz"]

_MOST_CELLS = 2_000_000
"""Numbers in the third derivatives of a search, d P² a point; beyond, chords are looked at."""
_CHORDS, _POWERS = 200, 3


@dataclass(frozen=True)
class Constant:
    """L with how it was found.

    Attributes:
        value: L, or a lower bound on it; possibly inf.
        reason: How it was found, one line.
        is_upper_bound: False if it was only searched for, and L may be larger.
    """

    value: float
    reason: str
    is_upper_bound: bool

    @property
    def bracket(self) -> Bracket:
        """L itself, or all that is not below what a search found."""
        return Bracket(self.value, self.value if self.is_upper_bound else math.inf, self.reason)


def lipschitz_constant(
    family: Family, theta: Tensor, model: Rule, data: Rule, seed: int = 0
) -> Constant:
    """L of a family at θ: what the family says, all chords between atoms, or a search.

    Args:
        family: With `lipschitz`, or without.
        theta: (P,).
        model: For expectations under p_θ.
        data: For expectations under the data.
        seed: Of the search, >= 0.

    Returns:
        The constant.
    """
    if isinstance(family, HasLipschitz):
        known = family.lipschitz(theta)
        return Constant(float(known.value), known.reason, is_upper_bound=True)
    if model.method == "exact":
        return _between_atoms(model.points, hessians(family, theta, model.points))
    generator = torch.Generator().manual_seed(seed)
    seen = [
        law.points[torch.randint(len(law.points), (500,), generator=generator)]
        for law in (model, data)
    ]
    return lipschitz_search(family, theta, torch.cat(seen), generator)


def sampled_lipschitz(
    family: Family, within: Family, theta: Tensor, model: Member, points: Tensor, seed: int
) -> Constant:
    """L of a family in many dimensions: what the family says, or a search among draws.

    Args:
        family: With `lipschitz`, or without.
        within: The same on the complement of its flat directions, where the search is done.
        theta: (P,) in `within`.
        model: p_θ.
        points: (n, d) draws of the data.
        seed: Of the search, >= 0.

    Returns:
        The constant; a lower bound unless the family says it.
    """
    if isinstance(family, HasLipschitz):
        known = family.lipschitz(model.theta)
        return Constant(float(known.value), known.reason, is_upper_bound=True)
    generator = torch.Generator().manual_seed(seed + 4)
    own = draw(model, 500, generator)
    theirs = points[torch.randint(len(points), (500,), generator=generator)]
    if len(theta) ** 2 * points.shape[1] * 11_000 <= _MOST_CELLS * 100:
        return lipschitz_search(within, theta, torch.cat([own, theirs]), generator)
    return _steepest_chord(within, theta, own[:_CHORDS], theirs[:_CHORDS], generator)


def _steepest_chord(
    family: Family, theta: Tensor, one: Tensor, two: Tensor, generator: torch.Generator
) -> Constant:
    """|vᵀ(H(x) − H(y))v|/‖x − y‖ over pairs of draws, v by power iteration: no matrix is formed."""

    def product(x: Tensor, v: Tensor) -> Tensor:
        return jvp(grad(lambda t: family.log_prob(t, x[None])[0]), (theta,), (v,))[1]

    v = torch.randn(len(one), len(theta), generator=generator, dtype=torch.float64)
    for _ in range(_POWERS):
        v = v / v.norm(dim=1, keepdim=True)
        v = vmap(product)(one, v) - vmap(product)(two, v)
    slopes = v.norm(dim=1) / (one - two).norm(dim=1)
    return Constant(
        float(torch.nan_to_num(slopes).max()),
        f"steepest of {len(one)} chords between draws: a lower bound on L",
        is_upper_bound=False,
    )


def _between_atoms(x: Tensor, hessian: Tensor) -> Constant:
    """Steepest of all chords between finitely many points (k, d)."""
    i, j = torch.triu_indices(len(x), len(x), 1)
    chords = torch.linalg.matrix_norm(hessian[i] - hessian[j], 2) / (x[i] - x[j]).norm(dim=1)
    return Constant(
        float(chords.max()) if len(chords) else 0.0,
        "the steepest of all chords between the atoms",
        True,
    )


def lipschitz_search(
    family: Family, theta: Tensor, points: Tensor, generator: torch.Generator
) -> Constant:
    """The steepest slope of x ↦ ∇² log p_θ(x) that a search finds: a lower bound on L of Assumption
    1.

    Args:
        family: The family whose Hessian is searched.
        theta: Parameters, (P,).
        points: (n, d) where to begin; the search goes on at up to 1000 times their distance from
            their median, wherever log p_θ is finite, and then refines around the steepest. In d > 1
            the slope is taken in the steepest direction in Frobenius norm. A search cannot exclude
            that L is larger elsewhere, or infinite.
        generator: Source of all random draws.

    Returns:
        The steepest slope, as a lower bound on L.

    Raises:
        ValueError: If `log_prob` is finite at none of the points.
    """

    def slopes(x: Tensor) -> Tensor:
        x = x[torch.isfinite(family.log_prob(theta, x))]
        # (n, P, P, d)
        change = vmap(jacfwd(lambda point: hessians(family, theta, point[None])[0]))(x)
        # a slope that overflowed proves nothing
        flat = torch.nan_to_num(change.flatten(1, 2), posinf=0.0, neginf=0.0)
        direction = torch.linalg.svd(flat, full_matrices=False).Vh[:, 0]  # (n, d)
        norms = torch.linalg.matrix_norm(
            torch.einsum("npqd,nd->npq", flat.unflatten(1, change.shape[1:3]), direction), 2
        )
        return torch.cat([norms[:, None], x], 1)

    centre = points.median(0).values
    shells = slopes(torch.cat([centre + 2.0**k * (points - centre) for k in range(11)]))
    if not len(shells):
        raise ValueError(
            f"log_prob must be finite at some of the points, got none of {len(points)}"
        )
    best = shells[shells[:, 0].argmax()]
    reach = (shells[:, 1:] - centre).norm(dim=1)
    inner = float(shells[reach <= reach.max() / 2, 0].max())
    radius = (points - centre).abs().median(0).values
    for _ in range(16):
        near = slopes(
            best[1:]
            + radius * torch.randn(200, points.shape[1], generator=generator, dtype=torch.float64)
        )
        best = torch.cat([best[None], near])
        best = best[best[:, 0].argmax()]
        radius = radius / 4
    edge = (
        "; it still grows at the edge of the search: L may be infinite"
        if float(best[0]) > 1.01 * inner
        else ""
    )
    where = ", ".join(f"{value:.4g}" for value in best[1:].tolist())
    return Constant(
        float(best[0]),
        f"steepest slope found, at x = ({where}): a lower bound on L, so the condition of Theorem "
        "1 computed from it "
        f"is only necessary{edge}",
        is_upper_bound=False,
    )
