"""Theorem 1: if λ(1 + Lε/α) < ½ then ‖J‖₂ <= (11) < 1, J the Jacobian of G∞ at θ*, and retraining
returns to θ* (12).

True, but loose: `theorem1_sharp` has the best constant, and by S1 (`local_stability`) the iteration
is stable at every finite λ, condition or not. Section 6 quotes the condition with 1 in place of ½
(erratum E4): (11) is then not below 1.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from torch import Tensor

from stability.analysis.basin import axes, basin
from stability.analysis.bounds import condition, contraction_bound
from stability.analysis.jacobian import jacobian
from stability.analysis.local_analysis import LocalAnalysis
from stability.analysis.operators import infinite_map
from stability.laws.bracket import Bracket, Condition
from stability.laws.family import Family
from stability.laws.law import Data
from stability.statements.claim import FINITE_L, Claim, Premise
from stability.statements.instances import DataName, Instance, assumptions, instance, jacobian_slack
from stability.statements.mutation import Mutation
from stability.statements.verdict import Status, Verdict

__all__ = ["GRID", "MUTATIONS", "check", "counterexamples"]

_claim = partial(
    Claim,
    source="Theorem 1",
    no_evidence="Cases in which λ(1 + Lε/α) is far below ½: (11) is then many times ‖J‖₂.",
)
_FINITE = (FINITE_L, Premise("ε", "<", math.inf, Status.NOT_APPLICABLE))
_CONDITION = (*_FINITE, Premise("λ(1 + Lε/α)", "<", 0.5))

NORM = _claim(
    id="Theorem 1, (11)",
    words="‖J‖₂ ≤ λ(α + εL)/(α − λ(α + εL)) < 1 if λ(1 + Lε/α) < ½",
    relation="<=",
    falsified_by="A family, data and λ that meet the condition and have a larger ‖J‖₂.",
    needs=_CONDITION,
)
SHARP = _claim(
    id="Theorem 1, sharp, on a family",
    words="‖J‖₂ ≤ max(q/(1 + q), λ(k − 1)/(1 − λ(k − 1))), k = Lε/α, q = λ(1 + k)",
    relation="<=",
    source="own result, docs/theory/theorem1.md",
    falsified_by="A family, data and λ with a larger ‖J‖₂.",
    needs=_FINITE,
)
BASIN = _claim(
    id="Theorem 1, δ",
    words="there is δ > 0 such that θ_t → θ* from ‖θ_0 − θ*‖ ≤ δ",
    relation=">",
    falsified_by="A case that meets the condition and whose orbits leave θ* from however near.",
    needs=_CONDITION,
)
RATE = _claim(
    id="Theorem 1, (12)",
    words="‖θ_t − θ*‖ = Õ((11)^t)",
    relation="<=",
    falsified_by="An orbit that comes nearer by less than (11) a step, near θ*.",
    needs=_CONDITION,
)
BELOW_ONE = _claim(
    id="Theorem 1, (11) < 1",
    words="(11) is below 1 where λ(1 + Lε/α) < ½",
    relation="<",
    falsified_by="Constants that meet the condition with (11) >= 1.",
    needs=_CONDITION,
)
LIMIT = _claim(
    id="Theorem 1, the limit of λ",
    words="at λ = 1/(2(1 + Lε/α)) bound (11) is 1",
    relation="==",
    falsified_by="Constants for which (11) is another number there.",
    needs=_FINITE,
)
UNITS = _claim(
    id="Theorem 1, units",
    words="λ(1 + Lε/α) does not depend on the units of θ, in which α and L scale alike",
    relation="==",
    falsified_by="A factor of α and L that changes it.",
    needs=_FINITE,
)
SECTION_6 = _claim(
    id="Theorem 1, condition as in Section 6",
    words="(11) is < 1 if λ(1 + Lε/α) < 1",
    relation="<",
    source="Section 6",
    erratum="E4",
    falsified_by="Student's t at λ = 0.2.",
    refuted_because="The condition of Theorem 1 has ½, and (11) is 1 there.",
)
SECTION_6_NORM = _claim(
    id="Theorem 1, condition as in Section 6, any matrices",
    words="‖J‖₂ < 1 if A ≼ −α, ‖B − A‖₂ ≤ Lε and λ(1 + Lε/α) < 1",
    relation="<",
    source="Section 6",
    erratum="E4",
    falsified_by="A = −1 and B = 9 at λ = 0.08.",
    refuted_because="B ≼ 0 is needed besides, which a likelihood has.",
)

GRID: tuple[dict[str, Any], ...] = (
    {"family": "student_t", "data": "misspecified", "lam": 0.05},
    {"family": "student_t", "data": "misspecified", "lam": 0.2},  # it is in [½, 1): not met
    {"family": "student_t", "data": "misspecified", "lam": 1.0},  # nor here
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
    return [*_norms(where.name, local), *_orbits(where, local), *_limits(where.name, local)]


def counterexamples() -> list[Verdict]:
    """Erratum E4: λ(1 + Lε/α) < 1 does not make (11) less than 1; nor ‖J‖₂, for matrices without
    B ≼ 0.
    """
    t, lam, k = instance("student_t", "misspecified"), 0.08, 10.0
    local = t.local.at(0.2)
    J = jacobian(-np.eye(1), np.array([[k - 1]]), lam)

    return [
        SECTION_6.verdict(
            f"{t.name}, λ = 0.2",
            measured=local.bound.high,
            claimed=1.0,
            method="closed form",
            assumptions={"λ(1 + Lε/α)": local.condition.low},
            note="Theorem 1 has ½",
        ),
        SECTION_6_NORM.verdict(
            f"A = −1, B = {k - 1:g}, λ = {lam:g}",
            measured=float(np.linalg.norm(J, 2)),
            claimed=1.0,
            method="closed form",
            assumptions={"λ(1 + Lε/α)": lam * (1 + k)},
            note="B > 0: not the expected Hessian of a likelihood; S1 needs B ≼ 0 and no condition",
        ),
    ]


_T = {"family": "student_t", "data": "misspecified", "lam": 0.05}
_BINOMIAL = {"family": "binomial", "data": "misspecified", "lam": 0.45}
_NEAR = {**_BINOMIAL, "lam": 0.1}
_BOUNDS = "stability.analysis.bounds"
_LOCAL = "stability.analysis.local_analysis.LocalAnalysis"


def _overshooting(right: Callable[..., Any]) -> Callable[..., Any]:
    """A map that goes three times as far as G∞."""

    def orbits(G: Callable[[Any], Any], *rest: Any) -> Any:
        return right(lambda theta: theta + 3.0 * (G(theta) - theta), *rest)

    return orbits


def _halved(right: Callable[..., Any]) -> Callable[..., Any]:
    """Half of λ(1 + Lε/α): the same as 1 for ½ in the condition."""
    return lambda local: right(local).map(lambda value: value / 2)


MUTATIONS = (
    Mutation(NORM, f"{_LOCAL}.bound", "(11)", _T),
    Mutation(SHARP, f"{_LOCAL}.sharp_bound", "the bound", _BINOMIAL),
    Mutation(
        BASIN,
        "stability.analysis.basin.basin",
        "a map that overshoots θ*",
        _NEAR,
        _overshooting,
    ),
    Mutation(RATE, f"{_LOCAL}.bound", "(11)", _NEAR),
    Mutation(BELOW_ONE, f"{_LOCAL}.condition", "half of it", {**_T, "lam": 0.2}, _halved),
    Mutation(LIMIT, f"{_LOCAL}.lam_limit_theorem", "the limit", _T),
    Mutation(
        UNITS,
        f"{_BOUNDS}.condition",
        "Lεα for Lε/α",
        _T,
        lambda right: lambda lam, alpha, eps, lipschitz: right(lam, 1 / alpha, eps, lipschitz),
    ),
)
"""Slips, and the claim that each must break."""


def _norms(name: str, local: LocalAnalysis) -> list[Verdict]:
    """‖J‖₂ against (11) and against the sharp bound."""
    common: dict[str, Any] = {
        "measured": local.norm,
        "tolerance": jacobian_slack(local),
        "method": f"‖J‖₂, A and B by {local.method}; tolerance: of integration; L: "
        f"{local.lipschitz.reason}",
        "assumptions": assumptions(local),
    }
    met, sharp, case = local.theorem1_condition, local.sharp_bound, f"{name}, λ = {local.lam:g}"
    return [
        NORM.verdict(case, claimed=local.bound, note=_note(local), **common),
        SHARP.verdict(
            case,
            claimed=sharp,
            note=f"below 1 although the condition of Theorem 1 is {met}"
            if sharp.high < 1 and met is not Condition.MET
            else _open_above(sharp),
            **common,
        ),
    ]


def _orbits(where: Instance, local: LocalAnalysis) -> list[Verdict]:
    """A basin of θ*, and the rate at which the slowest orbit comes nearer."""
    G = infinite_map(where.family, where.law, local.lam)
    found = basin(lambda theta: G(theta).theta, local.theta, axes(local))
    common: dict[str, Any] = {"assumptions": assumptions(local), "note": _note(local)}
    case, orbits = (
        f"{where.name}, λ = {local.lam:g}",
        f"{2 * len(local.theta)} orbits of G∞; from the ends of the axes of an ellipsoid around θ*",
    )

    return [
        BASIN.verdict(
            case,
            measured=found.radius,
            claimed=0.0,
            method=f"{orbits}, which come closer at each step: its inner radius; "
            f"{found.ellipsoid:g} standard errors",
            **common,
        ),
        RATE.verdict(
            case,
            measured=found.rate,
            claimed=local.bound,
            tolerance=1e-6,
            method=f"{orbits}: the factor of a step of the slowest, near θ*; tolerance: of G∞",
            **common,
        ),
    ]


def _limits(name: str, local: LocalAnalysis) -> list[Verdict]:
    """The condition's purpose: (11) below 1, and 1 at its limit."""
    limit, L = local.lam_limit_theorem.high, local.lipschitz.value
    at_limit = contraction_bound(limit, local.alpha, local.eps.low, L)
    common: dict[str, Any] = {"assumptions": assumptions(local), "method": "closed form"}
    return [
        BELOW_ONE.verdict(
            f"{name}, λ = {local.lam:g}", measured=local.bound.high, claimed=1.0, **common
        ),
        LIMIT.verdict(
            f"{name}, λ = {limit:.4g}", measured=at_limit, claimed=1.0, tolerance=1e-9, **common
        ),
        UNITS.verdict(
            f"{name}, λ = {local.lam:g}",
            measured=condition(local.lam, 4 * local.alpha, local.eps.low, 4 * L),
            claimed=local.condition.low,
            tolerance=1e-9 * (1 + min(local.condition.low, 1e9)),
            **common,
        ),
    ]


def _open_above(bound: Bracket) -> str:
    """The words for a bound of which only a lower end is known."""
    return f"the bound is {bound:.4g}" if bound.low < bound.high == math.inf else ""


def _note(local: LocalAnalysis) -> str:
    """Reason that the theorem says nothing, or not surely, and the facts that hold all the same."""
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
