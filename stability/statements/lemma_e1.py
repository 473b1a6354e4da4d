"""Lemma E.1: the Jacobian of G∞ near θ* (76) and at θ* (78), the two Hessians of H₂ (77), and how
far A and B differ.

Two corrections. B is ∇²_{θ'θ'}H₂(θ*, θ*); printed is the mixed ∇²_{θ,θ'}H₂, which is −B (erratum
E3). And away from θ* the first Hessian in (76) is that of H₁ at G(θ), where G(θ) maximises; printed
is that at θ (erratum E8).
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from stability.analysis.basin import axes
from stability.analysis.local_analysis import LocalAnalysis
from stability.analysis.operators import infinite_map
from stability.laws.expectation import rule
from stability.laws.family import Family, hessians, scores
from stability.laws.law import Data, Law, Member
from stability.statements.instances import DataName, Instance, assumptions, instance, mean_slack
from stability.statements.verdict import Status, Verdict, compare

__all__ = ["GRID", "check", "controls", "counterexamples"]

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
"""Of central differences, in standard errors of one observation."""
_DIFFERENCES = 1e-4
"""What central differences may be off: their squared step, times a third derivative of up to 100
in the same units."""
_AWAY = 0.25
"""How far from θ* (76) is looked at, in standard errors along each axis; nearer if the domain
ends within twice it."""


def check(
    family: str | Family, data: DataName | Data, lam: float, start: Tensor | None = None
) -> list[Verdict]:
    """(76) to (80), each Jacobian against central differences of the map itself.

    Arguments as in `instance`;

    Args:
        lam: Finite, >= 0. Expectations must be exact or by quadrature, not Monte Carlo, for the
            differences to mean something.

    Raises:
        ValueError: For bad arguments, NoMaximum where there is no θ*.
    """
    return _check(instance(family, data, start), lam)


def controls() -> list[Verdict]:
    """The same with a spoiled sign or constant: each is `violated`."""
    linkage, t = instance("linkage", "misspecified"), instance("student_t", "misspecified")
    return [
        _check(linkage, 0.5, sign=-1.0)[0],  # the mixed derivative with the sign of B
        _check(linkage, 0.5, scale=1.001)[1],  # 1.001 B in (77)
        _check(linkage, 0.5, sign=-1.0)[2],  # B as printed (E3)
        _check(linkage, 0.5, scale=1.01)[2],  # 1.01 B in (78)
        _check(linkage, 0.5, spread=0.1)[3],  # a tenth of Lε
        _check(t, 0.5, spread=0.1)[4],  # a tenth of Lε
    ]


def counterexamples() -> list[Verdict]:
    """(76) as printed, away from θ* (E8), and (78) with B as printed (E3)."""
    where, lam = instance("student_t", "misspecified"), 0.5
    local = where.local.at(lam)
    V = axes(local)
    mean = instance("gaussian_mean", "well specified")
    _, printed = _away(where, lam, V)
    return [
        _equal(
            "Lemma E.1 i), (76) as printed",
            "the Jacobian of G∞ at θ has ∇²H₁ at θ in it",
            printed,
            _DIFFERENCES,
            "largest difference from central differences of G∞, in the eigenbasis of J",
            instance=f"{where.name}, λ = {lam:g}, {_AWAY} standard errors from θ*",
            erratum="E8",
            note="with ∇²H₁ at G(θ) it holds",
        ),
        _equal(
            "Lemma E.1 ii), (78) as printed",
            "J = (I + λA⁻¹B)⁻¹ λA⁻¹B with B = ∇²_{θ,θ'}H₂",
            float(abs(_jacobian(mean.local.A, -mean.local.B, lam) - lam / (1 + lam))[0, 0]),
            1e-9,
            "difference from λ/(1 + λ), exact for the mean of a Gaussian",
            instance=f"{mean.name}, λ = {lam:g}",
            erratum="E3",
            note="with B = ∇²_{θ',θ'}H₂ it holds; the printed B gives −λ/(1 − λ)",
        ),
    ]


def _jacobian(A: np.ndarray, B: np.ndarray, lam: float) -> np.ndarray:
    """(78), as it is printed."""
    X = lam * np.linalg.solve(A, B)
    return np.linalg.solve(np.eye(len(A)) + X, X)


def _check(
    where: Instance, lam: float, *, sign: float = 1.0, scale: float = 1.0, spread: float = 1.0
) -> list[Verdict]:
    """sign, scale: multiply B.   spread: multiplies Lε."""
    local = where.local.at(lam)
    V, B = axes(local), sign * scale * local.B
    star = torch.from_numpy(local.theta)

    corrected, printed = _away(where, lam, V, sign)
    mixed = _differences(
        lambda theta: _mean_score(where.family, Member(where.family, theta), star), local.theta, V
    )
    opposite = float(np.abs(V.T @ (B @ V + mixed)).max())
    J = np.linalg.solve(V, _jacobian(local.A, B, lam) @ V)
    G = infinite_map(where.family, where.law, lam)
    seen = np.linalg.solve(V, _differences(lambda theta: G(theta).theta.numpy(), local.theta, V))
    common: dict[str, Any] = {
        "instance": f"{where.name}, λ = {lam:g}",
        "assumptions": assumptions(local),
    }
    method = (
        f"central differences of {{}}; largest difference, step {_STEP} standard errors, in "
        "the eigenbasis of J"
    )
    return [
        _equal(
            "Lemma E.1 i), (76)",
            "JG(θ) = −λ(∇²H₁(G(θ)) + λ∇²_{θ'θ'}H₂(θ, G(θ)))⁻¹ ∇²_{θθ'}H₂(θ, G(θ)) near θ*",
            corrected,
            _DIFFERENCES,
            method.format(f"G∞ at {_AWAY} standard errors from θ*"),
            erratum="E8",
            corrects=printed > _DIFFERENCES,
            note=f"with ∇²H₁ at θ, as printed, it is {printed:.2g} off",
            **common,
        ),
        _equal(
            "Lemma E.1 ii), (77)",
            "B = ∇²_{θ'θ'}H₂(θ*, θ*) = −∇²_{θθ'}H₂(θ*, θ*)",
            opposite,
            _DIFFERENCES,
            method.format("θ ↦ E_{p_θ} ∇ log p_θ*"),
            **common,
        ),
        _equal(
            "Lemma E.1 ii), (78)",
            "J = (I + λA⁻¹B)⁻¹ λA⁻¹B with B = ∇²_{θ',θ'}H₂",
            float(np.abs(J - seen).max()),
            _DIFFERENCES,
            method.format("G∞ at θ*"),
            erratum="E3",
            corrects=lam * float(local.mu[0]) > _DIFFERENCES,  # λμ/(1 + λμ) against −λμ/(1 − λμ)
            note="with B = ∇²_{θ,θ'}H₂, as printed, the sign is wrong",
            **common,
        ),
        _at_most(local, "(80)", "‖B − A‖₂ ≤ Lε", local.A - local.B, 0.0, spread, common),
        _at_most(
            local,
            "(79)",
            "‖A⁻¹B‖₂ ≤ 1 + Lε/α",
            np.linalg.solve(local.A, local.B),
            1.0,
            spread / local.alpha,
            common,
        ),
    ]


def _away(where: Instance, lam: float, V: np.ndarray, sign: float = 1.0) -> tuple[float, float]:
    """How far (76) is from central differences away from θ*: with ∇²H₁ at G(θ), and with ∇²H₁ at
    θ as printed.
    """
    size = _AWAY
    while not where.contains(torch.from_numpy(where.local.theta + V @ np.full(len(V), 2 * size))):
        size /= 2
    point = where.local.theta + V @ np.full(len(V), size)
    theta, G = torch.from_numpy(point), infinite_map(where.family, where.law, lam)
    image = G(theta).theta

    def both(x: Tensor) -> Tensor:
        """∇² at G(θ), and the score there times the score at θ, whose mean is ∇²_{θθ'}H₂: (n, 2,
        P, P).
        """
        score, outer = scores(where.family, theta, x), scores(where.family, image, x)
        return torch.stack(
            [hessians(where.family, image, x), outer[:, :, None] * score[:, None]], 1
        )

    law_rule = rule(Member(where.family, theta), lambda x: both(x).flatten(1))
    second, mixed = law_rule.expect(both(law_rule.points)).value.numpy()
    seen = np.linalg.solve(V, _differences(lambda at: G(at).theta.numpy(), point, V))
    gaps = []
    for at in (image, theta):
        K = np.linalg.inv(_mean_hessian(where.family, where.law, at) + lam * second)
        gaps.append(float(np.abs(np.linalg.solve(V, -lam * sign * K @ mixed @ V) - seen).max()))
    return gaps[0], gaps[1]


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


def _equal(
    claim: str,
    words: str,
    measured: float,
    tolerance: float,
    method: str,
    *,
    corrects: bool = False,
    **rest: Any,
) -> Verdict:
    """A verdict on a difference that must be 0.

    Args:
        corrects: Whether the statement as printed fails on this instance.
    """
    status = compare(measured, "==", 0.0, tolerance)
    return Verdict(
        claim=claim,
        words=words,
        measured=measured,
        relation="==",
        stated=0.0,
        status=Status.CORRECTED if corrects and status is Status.HOLDS else status,
        method=method,
        tolerance=tolerance,
        **rest,
    )


def _at_most(
    local: LocalAnalysis,
    number: str,
    words: str,
    matrix: np.ndarray,
    base: float,
    factor: float,
    common: dict[str, Any],
) -> Verdict:
    """‖matrix‖₂ <= base + factor · Lε, for a matrix that is linear in A or B with at most that
    factor.
    """
    L, measured, stated, tolerance = (
        local.lipschitz,
        float(np.linalg.norm(matrix, 2)),
        math.inf,
        0.0,
    )
    status, method = Status.NOT_APPLICABLE, "spectral norm; tolerance: of integration"
    if math.isfinite(L.value):
        stated = base + factor * L.value * local.eps.high
        tolerance = factor * (1 + max(1.0, measured)) * mean_slack(local) + 1e-12
        status = compare(measured, "<=", stated, tolerance)
        if status is Status.VIOLATED and not L.is_upper_bound:
            status = Status.UNDECIDED  # L may be larger than what the search found
    return Verdict(
        claim=f"Lemma E.1 iii), {number}",
        words=words,
        measured=measured,
        relation="<=",
        stated=stated,
        status=status,
        method=method,
        tolerance=tolerance,
        note=L.reason if status is Status.NOT_APPLICABLE else "",
        **common,
    )
