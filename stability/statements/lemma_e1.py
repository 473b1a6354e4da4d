"""Lemma E.1: the Jacobian of G∞ near θ* (76) and at θ* (78), the two Hessians of H₂ (77), and how
far A and B differ.

Two corrections. B is ∇²_{θ'θ'}H₂(θ*, θ*); printed is the mixed ∇²_{θ,θ'}H₂, which is −B (erratum
E3). And away from θ* the first Hessian in (76) is that of H₁ at G(θ), where G(θ) maximises; printed
is that at θ (erratum E8).
"""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from stability.analysis.basin import axes
from stability.analysis.local_analysis import LocalAnalysis
from stability.analysis.operators import infinite_map
from stability.laws.bracket import Bracket
from stability.laws.expectation import rule
from stability.laws.family import Family, hessians, scores
from stability.laws.law import Data, Law, Member
from stability.statements.claim import FINITE_L, Claim
from stability.statements.instances import DataName, Instance, assumptions, instance, mean_slack
from stability.statements.mutation import Mutation, scaled
from stability.statements.verdict import Verdict

__all__ = ["GRID", "MUTATIONS", "check", "counterexamples"]

_claim = partial(
    Claim,
    source="Lemma E.1",
    no_evidence="θ* alone, where G(θ) = θ: (76) and what is printed agree there.",
)
_difference = partial(
    _claim,
    relation="==",
    falsified_by="A family, data and λ for which central differences of the map give another "
    "matrix.",
)

AWAY = _difference(
    id="Lemma E.1 i), (76)",
    words="JG(θ) = −λ(∇²H₁(G(θ)) + λ∇²_{θ'θ'}H₂(θ, G(θ)))⁻¹ ∇²_{θθ'}H₂(θ, G(θ)) near θ*",
    erratum="E8",
)
HESSIANS = _difference(
    id="Lemma E.1 ii), (77)", words="B = ∇²_{θ'θ'}H₂(θ*, θ*) = −∇²_{θθ'}H₂(θ*, θ*)"
)
JACOBIAN = _difference(
    id="Lemma E.1 ii), (78)",
    words="J = (I + λA⁻¹B)⁻¹ λA⁻¹B with B = ∇²_{θ',θ'}H₂",
    erratum="E3",
)
ANALYSED = _difference(
    id="Lemma E.1, J of the analysis",
    words="J = λ(A + λB)⁻¹B, the same matrix, as everything else here uses it",
)
DISTANCE = _claim(
    id="Lemma E.1 iii), (80)",
    words="‖B − A‖₂ ≤ Lε",
    relation="<=",
    falsified_by="A family and data with a larger distance.",
    needs=(FINITE_L,),
)
RATIO = _claim(
    id="Lemma E.1 iii), (79)",
    words="‖A⁻¹B‖₂ ≤ 1 + Lε/α",
    relation="<=",
    falsified_by="A family and data with a larger norm.",
    needs=(FINITE_L,),
)
PRINTED_AWAY = _difference(
    id="Lemma E.1 i), (76) as printed",
    words="the Jacobian of G∞ at θ has ∇²H₁ at θ in it",
    erratum="E8",
    refuted_because="G(θ) is where the gradient vanishes, so the Hessian of H₁ is needed there.",
)
PRINTED_SIGN = _difference(
    id="Lemma E.1 ii), (78) as printed",
    words="J = (I + λA⁻¹B)⁻¹ λA⁻¹B with B = ∇²_{θ,θ'}H₂",
    erratum="E3",
    refuted_because="∇²_{θ,θ'}H₂ = −∇²_{θ',θ'}H₂ at θ*: it would give −λ/(1 − λ) for λ/(1 + λ).",
)

GRID: tuple[dict[str, Any], ...] = (
    {"family": "gaussian", "data": "misspecified", "lam": 1.0},
    {"family": "gamma", "data": "misspecified", "lam": 0.5},
    {"family": "student_t", "data": "misspecified", "lam": 0.05},
    {"family": "logistic", "data": "misspecified", "lam": 3.0},
    {"family": "curved_normal", "data": "misspecified", "lam": 1.0},
    {"family": "binomial", "data": "misspecified", "lam": 1.0},
    {"family": "linkage", "data": "misspecified", "lam": 10.0},
)

_STEP = 1e-3
"""Step of central differences, in standard errors of one observation."""
_DIFFERENCES = 1e-4
"""Largest error of central differences: their squared step, times a third derivative of up to 100
in the same units."""
_AWAY = 0.25
"""Distance from θ* at which (76) is looked at, in standard errors along each axis; nearer if the
domain ends within twice it."""


def check(
    family: str | Family, data: DataName | Data, lam: float, start: Tensor | None = None
) -> list[Verdict]:
    """(76) to (80), each Jacobian against central differences of the map itself.

    Args:
        family: As for `instance`.
        data: As for `instance`.
        lam: Finite, >= 0. Expectations must be exact or by quadrature, not Monte Carlo, for the
            differences to mean something.
        start: As for `instance`, (P,).

    Returns:
        The verdicts.

    Raises:
        ValueError: For bad arguments.
        NoMaximum: Where there is no θ*.
    """
    where = instance(family, data, start)
    local = where.local.at(lam)
    V, star = axes(local), torch.from_numpy(local.theta)
    mixed = _differences(
        lambda theta: _mean_score(where.family, Member(where.family, theta), star), local.theta, V
    )
    G = infinite_map(where.family, where.law, lam)
    differences = _differences(lambda theta: G(theta).theta.numpy(), local.theta, V)
    seen = np.linalg.solve(V, differences)

    case = f"{where.name}, λ = {lam:g}"
    common: dict[str, Any] = {
        "claimed": 0.0,
        "tolerance": _DIFFERENCES,
        "assumptions": assumptions(local),
    }
    method = (
        f"central differences of {{}}; largest difference, step {_STEP} standard errors, in "
        "the eigenbasis of J"
    )
    at_star = {"method": method.format("G∞ at θ*"), **common}
    jacobian, analysed = _at_star(local, V, seen, case, at_star)
    return [
        _away_verdict(where, lam, V, case, method, common),
        HESSIANS.verdict(
            case,
            measured=float(np.abs(V.T @ (local.B @ V + mixed)).max()),
            scale=float(np.abs(V.T @ local.B @ V).max()),
            method=method.format("θ ↦ E_{p_θ} ∇ log p_θ*"),
            **common,
        ),
        jacobian,
        *_norms(local, case),
        analysed,
    ]


def _at_star(
    local: LocalAnalysis, V: np.ndarray, seen: np.ndarray, case: str, common: dict[str, Any]
) -> tuple[Verdict, Verdict]:
    """(78), and the J of the analysis, against differences of G∞ at θ*, `seen` in the basis V."""

    def gap(J: np.ndarray) -> float:
        return float(np.abs(_in(V, J) - seen).max())

    A, B, scale = local.A, local.B, float(np.abs(seen).max())
    jacobian = JACOBIAN.verdict(
        case,
        measured=gap(formula_78(A, B, local.lam)),
        scale=scale,
        in_place_of=PRINTED_SIGN.verdict(
            case, measured=gap(formula_78_printed(A, B, local.lam)), **common
        ),
        note="with B = ∇²_{θ,θ'}H₂, as printed, the sign is wrong",
        **common,
    )
    return jacobian, ANALYSED.verdict(case, measured=gap(local.J), scale=scale, **common)


def _in(V: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """A linear map in the basis of the columns of V, (P, P)."""
    return np.linalg.solve(V, matrix @ V)


def counterexamples() -> list[Verdict]:
    """(76) as printed, away from θ* (E8), and (78) with B as printed (E3)."""
    where, lam = instance("student_t", "misspecified"), 0.5
    local = where.local.at(lam)
    V = axes(local)
    mean = instance("gaussian_mean", "well specified")
    printed = np.abs(_away(where, lam, V, at_image=False)).max()
    jacobian_ = formula_78(mean.local.A, -mean.local.B, lam)

    return [
        PRINTED_AWAY.verdict(
            f"{where.name}, λ = {lam:g}, {_AWAY} standard errors from θ*",
            measured=float(printed),
            claimed=0.0,
            tolerance=_DIFFERENCES,
            method="largest difference from central differences of G∞, in the eigenbasis of J",
            note="with ∇²H₁ at G(θ) it holds",
        ),
        PRINTED_SIGN.verdict(
            f"{mean.name}, λ = {lam:g}",
            measured=float(abs(jacobian_ - lam / (1 + lam))[0, 0]),
            claimed=0.0,
            tolerance=1e-9,
            method="difference from λ/(1 + λ), exact for the mean of a Gaussian",
            note="with B = ∇²_{θ',θ'}H₂ it holds; the printed B gives −λ/(1 − λ)",
        ),
    ]


_CASE = {"family": "linkage", "data": "misspecified", "lam": 0.5}
_T = {"family": "student_t", "data": "misspecified", "lam": 0.05}
_HERE = "stability.statements.lemma_e1"
_CONSTANT = "stability.analysis.lipschitz_search.Constant.bracket"

MUTATIONS = (
    Mutation(AWAY, f"{_HERE}.formula_76", "the other sign", _CASE, scaled(-1.0)),
    Mutation(HESSIANS, f"{_HERE}._mean_score", "1.001 times E ∇ log p", _CASE, scaled(1.001)),
    Mutation(JACOBIAN, f"{_HERE}.formula_78", "the other sign", _CASE, scaled(-1.0)),
    Mutation(JACOBIAN, f"{_HERE}.formula_78", "J", _CASE),
    Mutation(ANALYSED, "stability.analysis.jacobian.jacobian", "the other sign", _T, scaled(-1.0)),
    Mutation(DISTANCE, f"{_HERE}.limit_80", "Lε", _CASE),
    Mutation(RATIO, f"{_HERE}.limit_79", "the bound", _T),
)
"""Slips, and the claim that each must break."""


def formula_76(first: np.ndarray, second: np.ndarray, mixed: np.ndarray, lam: float) -> np.ndarray:
    """(76): the Jacobian of G∞ at θ.

    Args:
        first: ∇²H₁ at G(θ), (P, P).
        second: ∇²_{θ'θ'}H₂ at G(θ), (P, P).
        mixed: ∇²_{θθ'}H₂, (P, P).
        lam: Synthetic points per real point, >= 0.

    Returns:
        (P, P).
    """
    return -lam * np.linalg.inv(first + lam * second) @ mixed


def formula_78(A: np.ndarray, B: np.ndarray, lam: float) -> np.ndarray:
    """(78), as it is printed.

    Args:
        A: ∇²H₁ at θ*, (P, P).
        B: ∇²_{θ'θ'}H₂ at θ*, (P, P).
        lam: Synthetic points per real point, >= 0.

    Returns:
        (P, P).
    """
    X = lam * np.linalg.solve(A, B)
    return np.linalg.solve(np.eye(len(A)) + X, X)


def formula_78_printed(A: np.ndarray, B: np.ndarray, lam: float) -> np.ndarray:
    """(78) with the printed B = ∇²_{θ,θ'}H₂, which is −B.

    Args:
        A: ∇²H₁ at θ*, (P, P).
        B: ∇²_{θ'θ'}H₂ at θ*, (P, P).
        lam: Synthetic points per real point, >= 0.

    Returns:
        (P, P); inf where it does not exist.
    """
    X = -lam * np.linalg.solve(A, B)
    try:
        return np.linalg.solve(np.eye(len(A)) + X, X)
    except np.linalg.LinAlgError:
        return np.full_like(X, np.inf)


def limit_80(local: LocalAnalysis) -> Bracket:
    """Lε of (80).

    Args:
        local: The analysis that holds L and ε.

    Returns:
        The interval that holds Lε.
    """
    L = local.lipschitz.bracket
    return Bracket(_product(L.low, local.eps.low), _product(L.high, local.eps.high))


def limit_79(local: LocalAnalysis) -> Bracket:
    """1 + Lε/α of (79).

    Args:
        local: The analysis that holds L, ε and α.

    Returns:
        The interval that holds it.
    """
    return limit_80(local).map(lambda product: 1 + product / local.alpha)


def _product(L: float, eps: float) -> float:
    """Lε; inf where L or ε is."""
    return L * eps if max(L, eps) < math.inf else math.inf


def _away_verdict(
    where: Instance, lam: float, V: np.ndarray, case: str, method: str, common: dict[str, Any]
) -> Verdict:
    """(76) away from θ*, with the printed formula beside it."""
    how = {"method": method.format(f"G∞ at {_AWAY} standard errors from θ*"), **common}
    printed = float(np.abs(_away(where, lam, V, at_image=False)).max())
    return AWAY.verdict(
        case,
        measured=float(np.abs(_away(where, lam, V)).max()),
        scale=lam / (1 + lam),
        in_place_of=PRINTED_AWAY.verdict(case, measured=printed, **how),
        note=f"with ∇²H₁ at θ, as printed, it is {printed:.2g} off",
        **how,
    )


def _norms(local: LocalAnalysis, case: str) -> list[Verdict]:
    """(80) and (79): ‖B − A‖₂ and ‖A⁻¹B‖₂ against what L, ε and α allow."""
    verdicts = []
    for claim, matrix, limit, factor in (
        (DISTANCE, local.A - local.B, limit_80(local), 1.0),
        (RATIO, np.linalg.solve(local.A, local.B), limit_79(local), 1 / local.alpha),
    ):
        measured = float(np.linalg.norm(matrix, 2))
        verdicts.append(
            claim.verdict(
                case,
                measured=measured,
                claimed=limit,
                tolerance=factor * (1 + max(1.0, measured)) * mean_slack(local) + 1e-12,
                method="spectral norm; tolerance: of integration",
                assumptions=assumptions(local),
                note=local.lipschitz.reason if local.lipschitz.value == math.inf else "",
            )
        )
    return verdicts


def _away(where: Instance, lam: float, V: np.ndarray, at_image: bool = True) -> np.ndarray:
    """(76) less central differences of G∞, away from θ*, in the units of V: (P, P).

    Args:
        where: The family and the data.
        lam: λ.
        V: Axes, (P, P).
        at_image: Whether ∇²H₁ is taken at G(θ); False: at θ, as printed.
    """
    size = _AWAY
    while not where.contains(torch.from_numpy(where.local.theta + V @ np.full(len(V), 2 * size))):
        size /= 2
    point = where.local.theta + V @ np.full(len(V), size)
    theta, G = torch.from_numpy(point), infinite_map(where.family, where.law, lam)
    image = G(theta).theta

    def both(x: Tensor) -> Tensor:
        """∇² at G(θ), and the score there times the score at θ, whose mean is ∇²_{θθ'}H₂.

        Args:
            x: Points, (n, d).

        Returns:
            (n, 2, P, P).
        """
        score, outer = scores(where.family, theta, x), scores(where.family, image, x)
        return torch.stack(
            [hessians(where.family, image, x), outer[:, :, None] * score[:, None]], 1
        )

    law_rule = rule(Member(where.family, theta), lambda x: both(x).flatten(1))
    second, mixed = law_rule.expect(both(law_rule.points)).value.numpy()
    seen = np.linalg.solve(V, _differences(lambda at: G(at).theta.numpy(), point, V))
    first = _mean_hessian(where.family, where.law, image if at_image else theta)
    return np.linalg.solve(V, formula_76(first, second, mixed, lam) @ V) - seen


def _mean_hessian(family: Family, law: Law, theta: Tensor) -> np.ndarray:
    law_rule = rule(law, lambda x: hessians(family, theta, x).flatten(1))
    return law_rule.expect(hessians(family, theta, law_rule.points)).value.numpy()


def _mean_score(family: Family, law: Law, theta: Tensor) -> np.ndarray:
    law_rule = rule(law, lambda x: scores(family, theta, x))
    return law_rule.expect(scores(family, theta, law_rule.points)).value.numpy()


def _differences(
    function: Callable[[Tensor], np.ndarray], point: np.ndarray, V: np.ndarray
) -> np.ndarray:
    """Derivatives of a function (P,) -> (Q,) at a point along the columns of V, (Q, P), by
    central differences.
    """
    ends = [
        [function(torch.from_numpy(point + sign * _STEP * column)) for sign in (1, -1)]
        for column in V.T
    ]
    return np.stack([(plus - minus) / (2 * _STEP) for plus, minus in ends], 1)
