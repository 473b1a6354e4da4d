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
from stability.analysis.jacobian import jacobian
from stability.analysis.local_analysis import LocalAnalysis
from stability.analysis.operators import infinite_map
from stability.laws.bracket import Bracket, Condition
from stability.laws.family import Family
from stability.laws.law import Data
from stability.statements.instances import DataName, Instance, assumptions, instance, jacobian_slack
from stability.statements.verdict import Status, Verdict, at_most, compare

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
            local.condition.low,
            local.bound.high,
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
    tolerance = jacobian_slack(local)
    printed, sharp = (bound.map(lambda b: spoil * b) for bound in (local.bound, local.sharp_bound))
    common: dict[str, Any] = {
        "instance": f"{name}, λ = {local.lam:g}",
        "measured": local.norm,
        "relation": "<=",
        "tolerance": tolerance,
        "method": f"‖J‖₂, A and B by {local.method}; tolerance: of integration; L: "
        f"{local.lipschitz.reason}",
        "assumptions": assumptions(local),
    }
    met = local.theorem1_condition
    return [
        Verdict(
            claim="Theorem 1, (11)",
            words="‖J‖₂ ≤ λ(α + εL)/(α − λ(α + εL)) < 1 if λ(1 + Lε/α) < ½",
            stated=_shown(printed),
            status=_status(local, at_most(local.norm, printed, tolerance), met),
            note=_note(local),
            **common,
        ),
        Verdict(
            claim="Theorem 1, sharp",
            words="‖J‖₂ ≤ max(q/(1 + q), λ(k − 1)/(1 − λ(k − 1))), k = Lε/α, q = λ(1 + k)",
            stated=_shown(sharp),
            status=_status(local, at_most(local.norm, sharp, tolerance), sharp.below(math.inf)),
            note=f"below 1 although the condition of Theorem 1 is {met}"
            if sharp.high < 1 and met is not Condition.MET
            else _open_above(sharp),
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
    bound = local.bound.map(lambda value: spoil * value)
    met = local.theorem1_condition
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
            status=_status(local, compare(found.radius, ">", 0.0), met),
            method=f"{orbits}, which come closer at each step: its inner radius; "
            f"{found.ellipsoid:g} standard errors",
            **common,
        ),
        Verdict(
            claim="Theorem 1, (12)",
            words="‖θ_t − θ*‖ = Õ((11)^t)",
            measured=found.rate,
            relation="<=",
            stated=_shown(bound),
            status=_status(local, at_most(found.rate, bound, 1e-6), met),
            method=f"{orbits}: the factor of a step of the slowest, near θ*; tolerance: of G∞",
            tolerance=1e-6,
            **common,
        ),
    ]


def _status(local: LocalAnalysis, compared: Status, condition: Condition) -> Status:
    """The status of a comparison under a condition that may be open."""
    if math.inf in (local.lipschitz.value, local.eps.low):
        return Status.NOT_APPLICABLE
    if condition is Condition.NOT_MET:
        return Status.VACUOUS
    return Status.UNDECIDED if condition is Condition.UNDECIDED else compared


def _shown(bound: Bracket) -> float:
    """The bound itself, or its upper end, or the lower one where there is no upper one."""
    return bound.high if math.isfinite(bound.high) else bound.low


def _open_above(bound: Bracket) -> str:
    """The words for a bound of which only a lower end is known."""
    return f"the bound is {bound:.4g}" if bound.low < bound.high == math.inf else ""


def _note(local: LocalAnalysis) -> str:
    """Why the theorem says nothing, or not surely, and what holds all the same."""
    stable = f"stable all the same, ρ(J) = {local.rho:.4g}"
    if not math.isfinite(local.lipschitz.value):
        return f"Assumption 1 fails: {local.lipschitz.reason}; {stable}"
    if local.eps.low == math.inf:
        return f"ε is infinite: {local.eps.reason}; {stable}"
    match local.theorem1_condition:
        case Condition.NOT_MET:
            return f"the condition is not met; {stable}"
        case Condition.UNDECIDED:
            why = "ε is known up to an interval"
            if not local.lipschitz.is_upper_bound:
                why = "L was searched for, and may be larger: the condition is not refuted"
            return "; ".join(filter(None, (why, _open_above(local.bound), stable)))
        case Condition.MET:
            return ""
