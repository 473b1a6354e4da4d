"""Self-correcting loops: synthetic data from (p_θ + γ p_θ*)/(1 + γ) instead of p_θ (Gillman et al.,
arXiv:2402.07087).

A corrector that moves samples of the model towards the best model θ* does what λγ/(1+γ) true points
of p_θ* for each real point would do, and leaves λ/(1+γ) of the model's own. With A, B and J as in
S1 the Jacobian becomes

    J_γ = J/(1 + γ),    ρ(J_γ) = λμ_max/((1 + λμ_max)(1 + γ)),

so that (11), divided by 1 + γ, is below 1 if λ(1 + Lε/α) < (1+γ)/(2+γ): their condition, ½ for γ =
0 and 1 for γ → ∞.
"""

import math
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from stability.analysis.bounds import contraction_bound
from stability.analysis.jacobian import jacobian, spectral_radius
from stability.analysis.local_analysis import analyse
from stability.analysis.operators import infinite_map
from stability.families import StudentT
from stability.laws.family import Family
from stability.laws.law import Blend, Density, Member, NormalMixture
from stability.statements.claim import Claim, Premise
from stability.statements.instances import assumptions
from stability.statements.mutation import Mutation
from stability.statements.verdict import Verdict

__all__ = ["GRID", "MUTATIONS", "check", "corrected_rate", "correction_bound"]

_claim = partial(
    Claim,
    source="Gillman et al., arXiv:2402.07087",
    no_evidence="That iterates of a corrected loop converge: they do without a corrector, by S1.",
)

JACOBIAN = _claim(
    id="Gillman et al., J",
    words="the Jacobian of the corrected map at θ* is J/(1 + γ)",
    relation="==",
    falsified_by="An entry of the finite differences that is farther off than their second order.",
)
RADIUS = _claim(
    id="Gillman et al., ρ",
    words="its spectral radius is λμ/((1 + λμ)(1 + γ)), below 1 at every λ",
    relation="==",
    falsified_by="A spectral radius of the finite differences that is another.",
)
NORM = _claim(
    id="Gillman et al., ‖J‖",
    words="its norm is at most (11) over 1 + γ",
    relation="<=",
    falsified_by="A norm of the finite differences above the bound.",
    needs=(Premise("λ(1 + Lε/α)", "<", 1.0),),
)

_STUDENT_T = {"family": StudentT(5.0), "data": NormalMixture((0.7, 0.3), (-1.0, 2.0), (0.6, 1.0))}

GRID: tuple[dict[str, Any], ...] = (
    {**_STUDENT_T, "lam": 0.2, "gamma": 2.0},
    {**_STUDENT_T, "lam": 1.0, "gamma": 0.5},
)


def correction_bound(lam: float, gamma: float, alpha: float, eps: float, lipschitz: float) -> float:
    """(11) over 1 + γ, an upper bound on ‖J_γ‖₂; inf where λ(1 + Lε/α) >= 1.

    Args:
        lam: As in (11).
        gamma: γ, strength of the corrector, >= 0.
        alpha: As in (11).
        eps: As in (11).
        lipschitz: As in (11).

    Returns:
        The bound.
    """
    return contraction_bound(lam, alpha, eps, lipschitz) / (1 + gamma)


def corrected_rate(lam: float, gamma: float, mu: float) -> float:
    """λμ/((1 + λμ)(1 + γ)), the spectral radius of J_γ.

    Args:
        lam: Synthetic points per real point, >= 0.
        gamma: γ, strength of the corrector, >= 0.
        mu: Largest eigenvalue of (−B, −A), >= 0.

    Returns:
        ρ(J_γ).
    """
    return lam * mu / ((1 + lam * mu) * (1 + gamma))


def corrected_jacobian(A: np.ndarray, B: np.ndarray, lam: float, gamma: float) -> np.ndarray:
    """J_γ = J/(1 + γ).

    Args:
        A: Negative definite, (P, P).
        B: Negative semi-definite, (P, P).
        lam: Synthetic points per real point, >= 0.
        gamma: γ, strength of the corrector, >= 0.

    Returns:
        (P, P).
    """
    return jacobian(A, B, lam) / (1 + gamma)


def check(
    family: Family, data: Density, lam: float, gamma: float, rng: np.random.Generator
) -> list[Verdict]:
    """J_γ, its spectral radius and its bound, against finite differences of the corrected map in a
    random basis.

    Args:
        family: As for `analyse`, in 1-D.
        data: See `family`.
        lam: Finite, > 0.
        gamma: See `lam`.
        rng: Source of the random basis.

    Returns:
        The verdicts.

    Raises:
        ValueError: If lam or gamma is out of range.
    """
    if not (math.isfinite(lam) and lam > 0 and math.isfinite(gamma) and gamma > 0):
        raise ValueError(f"lam and gamma must be finite and > 0, got {lam} and {gamma}")
    local = analyse(family, data, lam)
    moved = _differences(family, data, torch.tensor(local.theta), lam, gamma, rng)
    norm = float(np.linalg.norm(moved, 2))
    J = corrected_jacobian(local.A, local.B, lam, gamma)
    common: dict[str, Any] = {
        "method": "finite differences of the corrected G^∞; tolerance: 1e-5 ‖J_γ‖, for their "
        "second order",
        "tolerance": 1e-5 * norm,
        "assumptions": assumptions(local),
    }
    case = f"{type(family).__name__}, λ = {lam:g}, γ = {gamma:g}"

    return [
        JACOBIAN.verdict(
            case, measured=float(np.abs(moved - J).max()), claimed=0.0, scale=norm, **common
        ),
        RADIUS.verdict(
            case,
            measured=spectral_radius(moved),
            claimed=corrected_rate(lam, gamma, float(local.mu[0])),
            **common,
        ),
        NORM.verdict(
            case,
            measured=norm,
            claimed=correction_bound(
                lam, gamma, local.alpha, local.eps.high, local.lipschitz.value
            ),
            **common,
        ),
    ]


_CASE = {**_STUDENT_T, "lam": 0.1, "gamma": 2.0}
_HERE = "stability.statements.literature.correction"

MUTATIONS = (
    Mutation(JACOBIAN, f"{_HERE}.corrected_jacobian", "J_γ", _CASE),
    Mutation(RADIUS, f"{_HERE}.corrected_rate", "the rate", _CASE),
    Mutation(NORM, f"{_HERE}.correction_bound", "the bound", _CASE),
)
"""Slips, and the claim that each must break."""


def _differences(
    family: Family,
    data: Density,
    theta: Tensor,
    lam: float,
    gamma: float,
    rng: np.random.Generator,
    size: float = 1e-3,
) -> np.ndarray:
    """Jacobian (P, P) at θ* of the map that fits the data and λ points of (p_θ + γ p_θ*)/(1 + γ)
    for each of theirs.
    """
    true = lam * gamma / (1 + gamma)  # points of p_θ* for each real one
    blend = Blend(data, Member(family, theta), true)
    # for each point of the blend
    image = infinite_map(family, blend, lam / (1 + gamma) / (1 + true))
    basis = np.linalg.qr(rng.standard_normal((len(theta), len(theta))))[0]
    steps = size * torch.from_numpy(basis.T)
    rows = [
        (image(theta + step).theta - image(theta - step).theta).numpy() / (2 * size)
        for step in steps
    ]
    return np.array(rows).T @ basis.T
