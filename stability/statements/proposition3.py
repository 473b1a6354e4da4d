"""Proposition 3: near θ* the mixed objective H₁ + λH₂(θ, ·) has one local maximiser, at every λ.

Printed with the condition εL < α, under which ∇²H ≼ −α(1 + λ) + λεL ≺ 0 (eqs. (64)-(67)). The
condition is not needed (erratum E9): B = −F ≼ 0 for any likelihood, so A + λB ≼ −α − λ λmin(F) ≺ 0
at θ*, and by continuity near it.
"""

import math
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor

from stability.analysis.basin import axes
from stability.analysis.local_analysis import LocalAnalysis
from stability.analysis.operators import NoMaximum, climb
from stability.laws.bracket import Condition
from stability.laws.expectation import rule
from stability.laws.family import Family, hessians, scores
from stability.laws.law import Data, Law, Member
from stability.statements.instances import DataName, Instance, assumptions, instance, mean_slack
from stability.statements.verdict import Status, Verdict, compare

__all__ = ["GRID", "check", "controls"]

Objective: TypeAlias = tuple[Tensor, Tensor]
"""θ' ↦ Σ weights_i log p_θ'(points_i): points (k, d), weights (k,)."""

GRID: tuple[dict[str, Any], ...] = (
    {"family": "student_t", "data": "misspecified", "lam": 1.0},  # εL > α
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

    Arguments as in `instance`;

    Args:
        lam: Finite, >= 0.

    Raises:
        ValueError: For bad ones, NoMaximum where there is no θ*.
    """
    where = instance(family, data, start)
    local = where.local.at(lam)
    return [*_curvature(where, local), *_neighbourhood(where, local)]


def controls() -> list[Verdict]:
    """Each with a spoiled constant or sign: each is `violated`."""
    linkage, mixture = instance("linkage", "misspecified"), instance("mixture", "well specified")
    return [
        _curvature(linkage, linkage.local.at(5.0), spread=0.0)[0],  # −α(1 + λ), without λεL
        _curvature(linkage, linkage.local.at(5.0), share=1.01)[1],  # 1.01 λmin(F)
        *_neighbourhood(linkage, linkage.local.at(5.0), sign=-1.0),  # H₁ − λH₂
        # so wide that labels are switched in it
        _neighbourhood(mixture, mixture.local.at(0.05), radii=(2.0,))[1],
    ]


def _curvature(
    where: Instance, local: LocalAnalysis, *, spread: float = 1.0, share: float = 1.0
) -> list[Verdict]:
    """λmax(A + λB) against (67) and against E9.

    Args:
        spread: Multiplies εL. share: multiplies λmin(F).
    """
    lam, L, eps = local.lam, local.lipschitz.value, local.eps.high
    measured = float(np.linalg.eigvalsh(local.A + lam * local.B)[-1])
    tolerance = (1 + lam) * mean_slack(local)
    printed = (
        -local.alpha * (1 + lam) + lam * spread * eps * L if max(eps, L) < math.inf else math.inf
    )
    least = max(0.0, float(np.linalg.eigvalsh(local.fisher)[0]))
    corrected = -local.alpha - lam * share * least
    meets_condition = local.k.below(1) is Condition.MET
    common: dict[str, Any] = {
        "instance": f"{where.name}, λ = {lam:g}",
        "measured": measured,
        "relation": "<=",
        "tolerance": tolerance,
        "assumptions": assumptions(local) | {"εL/α": local.k},
    }
    as_printed, holds = (
        compare(measured, "<=", stated, tolerance) for stated in (printed, corrected)
    )
    if not math.isfinite(L):
        as_printed = Status.NOT_APPLICABLE
    elif local.k.below(1) is Condition.NOT_MET:
        as_printed = Status.VACUOUS
    elif local.k.below(1) is Condition.UNDECIDED:
        as_printed = Status.UNDECIDED
    return [
        Verdict(
            claim="Proposition 3, (67)",
            words="∇²H ≼ −α(1 + λ) + λεL ≺ 0 at θ* if εL < α",
            stated=printed,
            status=as_printed,
            method=f"λmax(A + λB); L: {local.lipschitz.reason}; tolerance: of integration",
            **common,
        ),
        Verdict(
            claim="Proposition 3, without εL < α",
            words="∇²H ≼ −α − λ λmin(F) ≺ 0 at θ*, whatever εL is",
            stated=corrected,
            status=Status.CORRECTED if holds is Status.HOLDS and not meets_condition else holds,
            method="λmax(A + λB) from Hessians, F from scores; tolerance: of integration",
            erratum="E9",
            note="" if meets_condition else "the condition εL < α is not met, and not needed",
            **common,
        ),
    ]


def _neighbourhood(
    where: Instance,
    local: LocalAnalysis,
    *,
    sign: float = 1.0,
    radii: Sequence[float] = tuple(2.0**-k for k in range(7)),
) -> list[Verdict]:
    """Two verdicts on U, the first ellipsoid of one of the `radii` in which H(θ, ·) is seen to be
    strongly concave.

    Args:
        sign: Of λ.
        radii: In standard errors of one observation; if H is nowhere concave U is the last.
    """
    V, P = axes(local), len(local.theta)
    ends = [sign_ * unit for unit in np.eye(P) for sign_ in (1, -1)]
    real = _points(where, where.law, torch.from_numpy(local.theta))
    worst, spread, radius = math.inf, math.inf, radii[-1]
    for radius in radii:
        U = [
            torch.from_numpy(local.theta + V @ (radius * offset)) for offset in [np.zeros(P), *ends]
        ]
        if not all(where.contains(theta) for theta in U):
            continue
        objectives = [
            _sum(real, _points(where, Member(where.family, theta), theta), sign * local.lam)
            for theta in U[:3]  # θ*, and both ends of the slowest axis
        ]
        worst = max(_curve(where.family, H, theta, V) for H in objectives for theta in U) / (
            1 + local.lam
        )
        if worst < 0 or radius == radii[-1]:
            spread = _spread(where.family, objectives[1], U, V)
            break
    common: dict[str, Any] = {
        "instance": f"{where.name}, λ = {local.lam:g}",
        "stated": 0.0,
        "assumptions": assumptions(local) | {"radius of U": radius},
        "erratum": "E9",
    }
    return [
        Verdict(
            claim="Proposition 3, in a neighbourhood",
            words="H(θ, ·) is strongly concave in a neighbourhood U of θ*, for θ in U",
            measured=worst,
            relation="<",
            status=compare(worst, "<", 0.0),
            method=f"λmax(∇²H) at {2 * P + 1} points of U, the largest, in units where it is −1 "
            "at θ*: the centre "
            f"and the ends of the axes of an ellipsoid of {radius:g} standard errors of one "
            "observation",
            **common,
        ),
        Verdict(
            claim="Proposition 3",
            words="H(θ, ·) has one local maximiser in U",
            measured=spread,
            relation="==",
            status=compare(spread, "==", 0.0, 1e-6),
            method=f"Newton's method from {2 * P + 1} points of U; largest distance between what "
            "it reaches, in "
            "standard errors, for a θ at the edge of U; tolerance: where it stops",
            tolerance=1e-6,
            **common,
        ),
    ]


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
