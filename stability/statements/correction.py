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
from typing import Any

import numpy as np
import torch
from torch import Tensor

from stability.analysis.local_analysis import analyse, contraction_bound, jacobian, spectral_radius
from stability.analysis.operators import infinite_map
from stability.families import StudentT
from stability.laws.expectation import Blend, Density, Member, NormalMixture
from stability.laws.family import Family
from stability.statements.verdict import Status, Verdict, compare

__all__ = ["GRID", "check", "controls", "correction_bound"]

_STUDENT_T = {"family": StudentT(5.0), "data": NormalMixture((0.7, 0.3), (-1.0, 2.0), (0.6, 1.0))}

GRID: tuple[dict[str, Any], ...] = (
    {**_STUDENT_T, "lam": 0.2, "gamma": 2.0},
    {**_STUDENT_T, "lam": 1.0, "gamma": 0.5},
)


def correction_bound(lam: float, gamma: float, alpha: float, eps: float, lipschitz: float) -> float:
    """(11) over 1 + γ, an upper bound on ‖J_γ‖₂; inf where λ(1 + Lε/α) >= 1.   gamma: >= 0; the
    rest as in (11).
    """
    return contraction_bound(lam, alpha, eps, lipschitz) / (1 + gamma)


def check(
    family: Family, data: Density, lam: float, gamma: float, rng: np.random.Generator
) -> list[Verdict]:
    """J_γ, its spectral radius and its bound, against finite differences of the corrected map in a
    random basis.

    Args:
        family: As for `analyse`, in 1-D.
        data: See `family`.
        lam: Finite, > 0. ValueError otherwise.
        gamma: See `lam`.
    """
    return _check(family, data, lam, gamma, rng)


def controls(rng: np.random.Generator) -> list[Verdict]:
    """The same with spoiled constants: each is `violated`."""
    return _check(**_STUDENT_T, lam=0.1, gamma=2.0, rng=rng, spoil=0.2)


def _check(
    family: Family,
    data: Density,
    lam: float,
    gamma: float,
    rng: np.random.Generator,
    *,
    spoil: float = 1.0,
) -> list[Verdict]:
    if not (math.isfinite(lam) and lam > 0 and math.isfinite(gamma) and gamma > 0):
        raise ValueError(f"lam and gamma must be finite and > 0, got {lam} and {gamma}")
    local = analyse(family, data, lam)
    moved = _differences(family, data, torch.tensor(local.theta), lam, gamma, rng)
    J = spoil * jacobian(local.A, local.B, lam) / (1 + gamma)
    gap, tolerance = float(np.abs(moved - J).max()), 1e-5 * float(np.linalg.norm(moved, 2))
    rate, norm = spectral_radius(moved), float(np.linalg.norm(moved, 2))
    stated = spoil * lam * float(local.mu[0]) / ((1 + lam * float(local.mu[0])) * (1 + gamma))
    limit = spoil * correction_bound(lam, gamma, local.alpha, local.eps, local.lipschitz.value)
    common: dict[str, Any] = {
        "claim": "Gillman et al.",
        "instance": f"{type(family).__name__}, λ = {lam:g}, γ = {gamma:g}",
        "method": "finite differences of the corrected G^∞; tolerance: 1e-5 ‖J_γ‖, for their "
        "second order",
        "tolerance": tolerance,
        "assumptions": {
            "α": local.alpha,
            "L": local.lipschitz.value,
            "ε": local.eps,
            "λ(1 + Lε/α)": local.condition,
        },
    }
    return [
        Verdict(
            words="the Jacobian of the corrected map at θ* is J/(1 + γ)",
            measured=gap,
            relation="==",
            stated=0.0,
            status=compare(gap, "==", 0.0, tolerance),
            **common,
        ),
        Verdict(
            words="its spectral radius is λμ/((1 + λμ)(1 + γ)), below 1 at every λ",
            measured=rate,
            relation="==",
            stated=stated,
            status=compare(rate, "==", stated, tolerance),
            **common,
        ),
        Verdict(
            words="its norm is at most (11) over 1 + γ",
            measured=norm,
            relation="<=",
            stated=limit,
            status=compare(norm, "<=", limit, tolerance)
            if math.isfinite(limit)
            else Status.VACUOUS,
            **common,
        ),
    ]


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
