"""Theorem 1: if λ(1 + Lε/α) < ½ then ‖J‖₂ <= (11) < 1, J the Jacobian of G∞ at θ*, and retraining
returns to θ* (12).

True, but loose: `theorem1_sharp` has the best constant, and by S1 (`local_stability`) the iteration
is stable at every finite λ, condition or not. Section 6 quotes the condition with 1 in place of ½
(erratum E4): (11) is then not below 1.
"""

import math
from typing import Any

import numpy as np
from torch import Tensor

from stability.analysis.basin import axes, basin
from stability.analysis.local_analysis import LocalAnalysis, contraction_bound, jacobian
from stability.analysis.operators import infinite_map
from stability.laws.expectation import Data
from stability.laws.family import Family
from stability.statements.instances import DataName, Instance, assumptions, instance, jacobian_slack
from stability.statements.theorem1_sharp import sharp_bound
from stability.statements.verdict import Status, Verdict, compare

__all__ = ["GRID", "check", "controls", "counterexamples"]

GRID: tuple[dict[str, Any], ...] = (
    {"family": "student_t", "data": "misspecified", "lam": 0.05},
    {"family": "student_t", "data": "misspecified", "lam": 1.0},  # the condition is not met
    {"family": "student_t", "data": "well specified", "lam": 0.4},
    {"family": "logistic", "data": "misspecified", "lam": 0.1},
    {"family": "binomial", "data": "misspecified", "lam": 0.45},
    {"family": "linkage", "data": "misspecified", "lam": 0.2},
    {"family": "curved_normal", "data": "misspecified", "lam": 0.1},  # L is infinite
)


def check(
    family: str | Family, data: DataName | Data, lam: float, start: Tensor | None = None
) -> list[Verdict]:
    """(11), the sharp bound in its place, and by iterating G∞ a basin of θ* and the rate of (12).

    Arguments as in `instance`;

    Args:
        lam: Finite, >= 0.

    Raises:
        ValueError: For bad ones, NoMaximum where there is no θ*.
    """
    where = instance(family, data, start)
    local = where.local.at(lam)
    return [*_norms(where.name, local), *_orbits(where, local)]


def controls() -> list[Verdict]:
    """Each with a spoiled constant: each is `violated`."""
    t, binomial = instance("student_t", "misspecified"), instance("binomial", "misspecified")
    return [
        _norms(t.name, t.local.at(0.05), spoil=0.1)[0],  # a tenth of (11)
        _norms(binomial.name, binomial.local.at(0.45), spoil=0.99)[1],  # 0.99 of the sharp bound
        _orbits(binomial, binomial.local.at(0.1), reach=3.0)[0],  # a map that overshoots θ*
        _orbits(binomial, binomial.local.at(0.1), spoil=0.1)[1],  # a tenth of (11)
    ]


def counterexamples() -> list[Verdict]:
    """Erratum E4: λ(1 + Lε/α) < 1 does not make (11) less than 1; nor ‖J‖₂, for matrices without
    B ≼ 0.
    """
    t, lam, k = instance("student_t", "misspecified"), 0.08, 10.0
    local = t.local.at(0.2)
    J = jacobian(-np.eye(1), np.array([[k - 1]]), lam)
    found = []
    for words, name, condition, measured, note in (
        (
            "(11) is < 1 if λ(1 + Lε/α) < 1",
            f"{t.name}, λ = 0.2",
            local.condition,
            local.bound,
            "Theorem 1 has ½",
        ),
        (
            "‖J‖₂ < 1 if A ≼ −α, ‖B − A‖₂ ≤ Lε and λ(1 + Lε/α) < 1",
            f"A = −1, B = {k - 1:g}, λ = {lam:g}",
            lam * (1 + k),
            float(np.linalg.norm(J, 2)),
            "B > 0: not the expected Hessian of a likelihood; S1 needs B ≼ 0 and no condition",
        ),
    ):
        found.append(
            Verdict(
                claim="Theorem 1, condition as in Section 6",
                words=words,
                instance=name,
                measured=measured,
                relation="<",
                stated=1.0,
                status=compare(measured, "<", 1.0),
                method="closed form",
                assumptions={"λ(1 + Lε/α)": condition},
                erratum="E4",
                note=note,
            )
        )
    return found


def _norms(name: str, local: LocalAnalysis, *, spoil: float = 1.0) -> list[Verdict]:
    """spoil: multiplies the bounds."""
    constants = local.lam, local.alpha, local.eps, local.lipschitz.value
    tolerance = jacobian_slack(local)
    printed, sharp = spoil * contraction_bound(*constants), spoil * sharp_bound(*constants)
    common: dict[str, Any] = {
        "instance": f"{name}, λ = {local.lam:g}",
        "measured": local.norm,
        "relation": "<=",
        "tolerance": tolerance,
        "method": f"‖J‖₂, A and B by {local.method}; tolerance: of integration; L: "
        f"{local.lipschitz.reason}",
        "assumptions": assumptions(local),
    }
    met, smaller = local.theorem1_applies, compare(local.norm, "<=", sharp, tolerance)
    return [
        Verdict(
            claim="Theorem 1, (11)",
            words="‖J‖₂ ≤ λ(α + εL)/(α − λ(α + εL)) < 1 if λ(1 + Lε/α) < ½",
            stated=printed,
            status=_status(local, compare(local.norm, "<=", printed, tolerance), met),
            note=_note(local),
            **common,
        ),
        Verdict(
            claim="Theorem 1, sharp",
            words="‖J‖₂ ≤ max(q/(1 + q), λ(k − 1)/(1 − λ(k − 1))), k = Lε/α, q = λ(1 + k)",
            stated=sharp,
            status=_status(local, smaller, math.isfinite(sharp)),
            note="below 1 although the condition of Theorem 1 is not met"
            if sharp < 1 and not met
            else "",
            **common,
        ),
    ]


def _orbits(
    where: Instance, local: LocalAnalysis, *, spoil: float = 1.0, reach: float = 1.0
) -> list[Verdict]:
    """Args:
    spoil: Multiplies (11).
    reach: How far to go from θ to G∞(θ); 1 is there, more overshoots.
    """
    G = infinite_map(where.family, where.law, local.lam)
    found = basin(lambda theta: theta + reach * (G(theta).theta - theta), local.theta, axes(local))
    bound = spoil * contraction_bound(local.lam, local.alpha, local.eps, local.lipschitz.value)
    common: dict[str, Any] = {
        "instance": f"{where.name}, λ = {local.lam:g}",
        "assumptions": assumptions(local),
        "note": _note(local),
    }
    orbits = (
        f"{2 * len(local.theta)} orbits of G∞; from the ends of the axes of an ellipsoid around θ*"
    )
    return [
        Verdict(
            claim="Theorem 1, δ",
            words="there is δ > 0 such that θ_t → θ* from ‖θ_0 − θ*‖ ≤ δ",
            measured=found.radius,
            relation=">",
            stated=0.0,
            status=_status(local, compare(found.radius, ">", 0.0), local.theorem1_applies),
            method=f"{orbits}, which come closer at each step: its inner radius; "
            f"{found.ellipsoid:g} standard errors",
            **common,
        ),
        Verdict(
            claim="Theorem 1, (12)",
            words="‖θ_t − θ*‖ = Õ((11)^t)",
            measured=found.rate,
            relation="<=",
            stated=bound,
            status=_status(local, compare(found.rate, "<=", bound, 1e-6), local.theorem1_applies),
            method=f"{orbits}: the factor of a step of the slowest, near θ*; tolerance: of G∞",
            tolerance=1e-6,
            **common,
        ),
    ]


def _status(local: LocalAnalysis, compared: Status, condition: bool) -> Status:
    if not math.isfinite(local.lipschitz.value):
        return Status.NOT_APPLICABLE
    if not condition or (compared is Status.VIOLATED and not local.lipschitz.is_upper_bound):
        # where L was only searched for, it may be larger, and so may the bound
        return Status.VACUOUS
    return compared


def _note(local: LocalAnalysis) -> str:
    if not math.isfinite(local.lipschitz.value):
        return (
            f"Assumption 1 fails: {local.lipschitz.reason}; stable all the same, ρ(J) = "
            f"{local.rho:.4g}"
        )
    if not local.theorem1_applies:
        return f"the condition is not met; stable all the same, ρ(J) = {local.rho:.4g}"
    return (
        "" if local.lipschitz.is_upper_bound else "L was searched for: the condition is not refuted"
    )
