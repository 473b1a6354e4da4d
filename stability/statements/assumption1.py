"""Assumption 1: where L, the Lipschitz constant of x ↦ ∇² log p_θ(x), is known, no slope is
steeper, and a search that begins far away finds it.
"""

import math
from functools import partial
from typing import Any

import numpy as np
import torch

from stability.analysis.lipschitz_search import lipschitz_search
from stability.families.lipschitz import bernstein
from stability.laws.capabilities import HasLipschitz
from stability.statements.claim import Claim
from stability.statements.instances import instance
from stability.statements.mutation import Mutation, scaled
from stability.statements.verdict import Verdict

__all__ = ["GRID", "MUTATIONS", "check"]

_claim = partial(
    Claim,
    source="Assumption 1",
    no_evidence="A search near the data: the steepest slope can be far from them.",
)

UPPER = _claim(
    id="Assumption 1, L is an upper bound",
    words="no slope of x ↦ ∇² log p_θ(x) is above L",
    relation="<=",
    falsified_by="One point with a steeper slope.",
)
FOUND = _claim(
    id="Assumption 1, L is attained",
    words="a search from far away finds a slope of L",
    relation=">=",
    falsified_by="A family whose steepest slope the search misses.",
)
REMAINDER = _claim(
    id="Assumption 1, Bernstein",
    words="the second derivative of a trigonometric polynomial of degree 3 is at most 9 times its "
    "supremum, with equality for cos 3ψ",
    relation="==",
    falsified_by="A polynomial of degree 3 that bends more, or a larger constant than cos 3ψ has.",
)

GRID: tuple[dict[str, Any], ...] = tuple(
    {"family": family} for family in ("student_t", "mixture", "logistic", "generalised_logistic")
)


def check(family: str, distance: float = 30.0) -> list[Verdict]:
    """L as the family states it against a search, and the constant that its proof rests on.

    Args:
        family: Name of a family on the line with a finite L that is known.
        distance: Of the points where the search begins, from 0.

    Returns:
        The verdicts.
    """
    where = instance(family, "misspecified")
    theta = torch.from_numpy(where.local.theta)
    assert isinstance(where.family, HasLipschitz)
    known = float(where.family.lipschitz(theta).value)
    start = torch.linspace(distance - 1, distance + 1, 200, dtype=torch.float64)[:, None]
    found = lipschitz_search(where.family, theta, start, torch.Generator().manual_seed(0))

    method = f"steepest slope found, from points about {distance:g}; tolerance: "
    psi = np.linspace(-math.pi, math.pi, 6001)
    wave, step = np.cos(3 * psi), psi[1] - psi[0]
    bend = np.abs(np.diff(wave, 2)).max() / step**2 / np.abs(wave).max()
    return [
        UPPER.verdict(
            where.name,
            measured=found.value,
            claimed=known,
            tolerance=1e-7 * known,
            method=f"{method}automatic differentiation",
        ),
        FOUND.verdict(
            where.name,
            measured=found.value,
            claimed=known,
            tolerance=1e-3 * known,
            method=f"{method}where the search stops",
        ),
        REMAINDER.verdict(
            "cos 3ψ",
            measured=float(bend),
            claimed=bernstein(3),
            tolerance=1e-4,
            method="second differences at 6001 points; tolerance: the square of their step",
        ),
    ]


_CASE = {"family": "student_t"}


def _near(right: Any) -> Any:
    """A search that never leaves the points where it begins."""

    def search(family: Any, theta: Any, points: Any, generator: Any) -> Any:
        return right(family, theta, points[:1].expand(2, -1), generator)

    return search


MUTATIONS = (
    Mutation(UPPER, "stability.families.student_t.spectral_supremum", "the supremum", _CASE),
    Mutation(
        FOUND,
        "stability.analysis.lipschitz_search.lipschitz_search",
        "near the data alone",
        _CASE,
        _near,
    ),
    Mutation(REMAINDER, "stability.families.lipschitz.bernstein", "1 for 9", _CASE, scaled(1 / 9)),
)
"""Slips, and the claim that each must break."""
