"""Proposition 3: near θ* the mixed objective H₁ + λH₂(θ, ·) has one local maximiser, at every λ.

Printed with the condition εL < α, under which ∇²H ≼ −α(1 + λ) + λεL ≺ 0 (eqs. (64)-(67)). The
condition is not needed (erratum E9): B = −F ≼ 0 for any likelihood, so A + λB ≼ −α − λ λmin(F) ≺ 0
at θ*, and by continuity near it.
"""

import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor

from stability.analysis.at_maximum import require_no_flat_directions
from stability.analysis.basin import axes
from stability.analysis.local_analysis import LocalAnalysis
from stability.analysis.operators import NoMaximum, climb
from stability.laws.bracket import Condition
from stability.laws.expectation import rule
from stability.laws.family import Family, hessians, scores
from stability.laws.law import Data, Law, Member
from stability.statements.claim import FINITE_L, Claim, Premise
from stability.statements.instances import DataName, Instance, assumptions, instance, mean_slack
from stability.statements.mutation import Mutation, scaled
from stability.statements.verdict import Verdict

__all__ = ["GRID", "MUTATIONS", "check"]

_claim = partial(
    Claim,
    source="Proposition 3",
    no_evidence="H₁ alone: it is concave at θ* by Assumption 2.",
)

PRINTED = _claim(
    id="Proposition 3, (67)",
    words="∇²H ≼ −α(1 + λ) + λεL ≺ 0 at θ* if εL < α",
    relation="<=",
    falsified_by="A family and data with εL < α and a larger eigenvalue.",
    needs=(FINITE_L, Premise("εL/α", "<", 1.0)),
)
WIDER = replace(
    PRINTED,
    id="Proposition 3, (67) for larger ε",
    words="∇²H ≼ −α(1 + λ) + λεL ≺ 0 at θ* if εL < α(1 + 1/λ)",
    falsified_by="A family, data and λ with εL < α(1 + 1/λ) and a larger eigenvalue.",
    erratum="E14",
    needs=(FINITE_L, Premise("λεL/(α(1 + λ))", "<", 1.0)),
)
CORRECTED = _claim(
    id="Proposition 3, without εL < α",
    words="∇²H ≼ −α − λ λmin(F) ≺ 0 at θ*, whatever εL is",
    relation="<=",
    falsified_by="A likelihood, data and λ with a larger eigenvalue.",
    erratum="E9",
)
CONCAVE = _claim(
    id="Proposition 3, in a neighbourhood",
    words="H(θ, ·) is strongly concave in a neighbourhood U of θ*, for θ in U",
    relation="<",
    falsified_by="A case in which no ellipsoid about θ* is small enough.",
    erratum="E9",
)
UNIQUE = _claim(
    id="Proposition 3",
    words="H(θ, ·) has one local maximiser in U",
    relation="==",
    falsified_by="Two points of U from which Newton's method reaches different maximisers.",
    erratum="E9",
)

Objective: TypeAlias = tuple[Tensor, Tensor]
"""θ' ↦ Σ weights_i log p_θ'(points_i): points (k, d), weights (k,)."""

GRID: tuple[dict[str, Any], ...] = (
    {"family": "student_t", "data": "misspecified", "lam": 1.0},  # εL > α
    {"family": "student_t", "data": "misspecified", "lam": 0.1},  # α < εL < α(1 + 1/λ)
    {"family": "logistic", "data": "misspecified", "lam": 30.0},  # εL > α
    {"family": "gamma", "data": "misspecified", "lam": 2.0},
    {"family": "binomial", "data": "misspecified", "lam": 0.2},
    {"family": "linkage", "data": "misspecified", "lam": 5.0},
    {"family": "curved_normal", "data": "misspecified", "lam": 1.0},  # L is infinite
)


def check(
    family: str | Family, data: DataName | Data, lam: float, start: Tensor | None = None
) -> list[Verdict]:
    """Strong concavity at θ* as printed and as corrected, then in an ellipsoid U around it, and the
    maximisers from U.

    Args:
        family: As for `instance`.
        data: As for `instance`.
        lam: Finite, >= 0.
        start: As for `instance`, (P,).

    Returns:
        The verdicts.

    Raises:
        ValueError: For bad arguments.
        NoMaximum: Where there is no θ*.
    """
    where = instance(family, data, start)
    local = where.local.at(lam)
    require_no_flat_directions(local)
    return [*_curvature(where, local), *_neighbourhood(where, local)]


_LINKAGE = {"family": "linkage", "data": "misspecified", "lam": 5.0}
_MIXTURE = {"family": "mixture", "data": "well specified", "lam": 0.05}
_HERE = "stability.statements.proposition3"


def _minus(right: Callable[..., Objective]) -> Callable[..., Objective]:
    return lambda one, two, factor: right(one, two, -factor)


MUTATIONS = (
    *(
        Mutation(
            claim,
            f"{_HERE}.limit_67",
            "−α(1 + λ), without λεL",
            _LINKAGE,
            lambda right: lambda lam, alpha, product: right(lam, alpha, 0.0),
        )
        for claim in (PRINTED, WIDER)
    ),
    Mutation(CORRECTED, f"{_HERE}.limit_e9", "−α − λ λmin(F) and 1 % more", _LINKAGE, scaled(1.01)),
    Mutation(CONCAVE, f"{_HERE}._sum", "H₁ − λH₂", _LINKAGE, _minus),
    Mutation(UNIQUE, f"{_HERE}._sum", "H₁ − λH₂", _LINKAGE, _minus),
    Mutation(
        UNIQUE,
        f"{_HERE}._radii",
        "U so wide that labels are switched in it",
        _MIXTURE,
        lambda right: lambda: (2.0,),
    ),
)
"""Slips, and the claim that each must break."""


def limit_67(lam: float, alpha: float, product: float) -> float:
    """−α(1 + λ) + λεL of (67); inf where εL is.

    Args:
        lam: Synthetic points per real point, >= 0.
        alpha: α, > 0.
        product: εL, >= 0, possibly inf.

    Returns:
        The limit.
    """
    return -alpha * (1 + lam) + lam * product if product < math.inf else math.inf


def limit_e9(lam: float, alpha: float, least: float) -> float:
    """−α − λ λmin(F), which needs no condition (E9).

    Args:
        lam: Synthetic points per real point, >= 0.
        alpha: α, > 0.
        least: λmin(F), >= 0.

    Returns:
        The limit.
    """
    return -alpha - lam * least


def _radii() -> tuple[float, ...]:
    """Sizes of U that are tried, in standard errors of one observation."""
    return tuple(2.0**-k for k in range(7))


def _curvature(where: Instance, local: LocalAnalysis) -> list[Verdict]:
    """λmax(A + λB) against (67) and against E9."""
    lam, k = local.lam, local.k
    met = k.below(1) is Condition.MET
    common: dict[str, Any] = {
        "measured": float(np.linalg.eigvalsh(local.A + lam * local.B)[-1]),
        "tolerance": (1 + lam) * mean_slack(local),
        "assumptions": assumptions(local)
        | {
            "εL/α": k.low if k.known else k,
            "λεL/(α(1 + λ))": k.map(lambda ratio: lam / (1 + lam) * ratio),
        },
    }
    case = f"{where.name}, λ = {lam:g}"
    printed, wider = (
        claim.verdict(
            case,
            claimed=k.map(lambda ratio: limit_67(lam, local.alpha, local.alpha * ratio)),
            method=f"λmax(A + λB); L: {local.lipschitz.reason}; tolerance: of integration",
            **common,
        )
        for claim in (PRINTED, WIDER)
    )
    least = max(0.0, float(np.linalg.eigvalsh(local.fisher)[0]))

    return [
        printed,
        wider,
        CORRECTED.verdict(
            case,
            claimed=limit_e9(lam, local.alpha, least),
            method="λmax(A + λB) from Hessians, F from scores; tolerance: of integration",
            in_place_of=printed,
            note="" if met else "the condition εL < α is not met, and not needed",
            **common,
        ),
    ]


def _neighbourhood(where: Instance, local: LocalAnalysis) -> list[Verdict]:
    """Two verdicts on U, the first ellipsoid of a radius in which H(θ, ·) is seen to be strongly
    concave; the smallest if it is nowhere.
    """
    V, P = axes(local), len(local.theta)
    radius, worst, spread = _ellipsoid(where, local, V)
    case = f"{where.name}, λ = {local.lam:g}"
    common: dict[str, Any] = {
        "claimed": 0.0,
        "scale": 1.0,
        "assumptions": assumptions(local) | {"radius of U": radius},
    }

    return [
        CONCAVE.verdict(
            case,
            measured=worst,
            method=f"λmax(∇²H) at {2 * P + 1} points of U, the largest, in units where it is −1 "
            f"at θ*: the centre and the ends of the axes of an ellipsoid of {radius:g} standard "
            "errors of one observation",
            **common,
        ),
        UNIQUE.verdict(
            case,
            measured=spread,
            tolerance=1e-6,
            method=f"Newton's method from {2 * P + 1} points of U; largest distance between what "
            "it reaches, in standard errors, for a θ at the edge of U; tolerance: where it stops",
            **common,
        ),
    ]


def _ellipsoid(where: Instance, local: LocalAnalysis, V: np.ndarray) -> tuple[float, float, float]:
    """Radius of U, the largest eigenvalue of ∇²H there, and how far apart maximisers from U are."""
    ends = [sign * unit for unit in np.eye(len(V)) for sign in (1, -1)]
    real = _points(where, where.law, torch.from_numpy(local.theta))
    worst, spread, radii = math.inf, math.inf, _radii()
    for radius in radii:
        offsets = [radius * offset for offset in [np.zeros(len(V)), *ends]]
        U = [torch.from_numpy(local.theta + V @ offset) for offset in offsets]
        if not all(where.contains(theta) for theta in U):
            continue
        objectives = [
            _sum(real, _points(where, Member(where.family, theta), theta), local.lam)
            for theta in U[:3]  # θ*, and both ends of the slowest axis
        ]
        curves = [_curve(where.family, H, theta, V) for H in objectives for theta in U]
        worst = max(curves) / (1 + local.lam)
        if worst < 0 or radius == radii[-1]:
            spread = _spread(where.family, objectives[1], U, V)
            return radius, worst, spread
    return radii[-1], worst, spread


def _points(where: Instance, law: Law, theta: Tensor) -> Objective:
    """E log p_θ' under a law, by a rule that is good for scores and Hessians at θ' = θ."""

    def functions(x: Tensor) -> Tensor:
        return torch.cat(
            [scores(where.family, theta, x), hessians(where.family, theta, x).flatten(1)], 1
        )

    good = rule(law, functions)
    return good.points, good.weights


def _sum(one: Objective, two: Objective, factor: float) -> Objective:
    """one + factor · two; the factor may be negative."""
    points, weights = torch.cat([one[0], two[0]]), torch.cat([one[1], factor * two[1]])
    return points[weights != 0], weights[weights != 0]


def _curve(family: Family, objective: Objective, theta: Tensor, V: np.ndarray) -> float:
    """The largest eigenvalue of the objective's Hessian at θ, in the units of V."""
    points, weights = objective
    mean = torch.einsum("n,npq->pq", weights, hessians(family, theta, points)).numpy()
    return float(np.linalg.eigvalsh(V.T @ mean @ V)[-1])


def _spread(family: Family, objective: Objective, starts: list[Tensor], V: np.ndarray) -> float:
    """The largest distance, in the units of V, from the maximiser reached from the first start
    to another; inf if one leads nowhere.
    """
    try:
        reached = [climb(family, *objective, start).theta.numpy() for start in starts]
    except NoMaximum:
        return math.inf
    return max(float(np.linalg.norm(np.linalg.solve(V, one - reached[0]))) for one in reached)
