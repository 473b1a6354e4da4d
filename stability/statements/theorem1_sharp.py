"""Theorem 1 with the best constant: what α, L and ε alone say about the Jacobian J of G∞ at θ*.

Let k = Lε/α and q = λ(1 + k). By (80) A⁻¹B = I + E with ‖E‖₂ <= k, so J = f(E) with f(z) = λ(1 +
z)/(1 + λ(1 + z)). Where λ(k − 1) < 1 this is analytic on the disc |z| <= k, and maps it onto a disc
around the real interval [f(−k), f(k)]. Hence, by von Neumann's inequality ‖f(E)‖ <= sup |f|,

    ‖J‖₂ <= max( q/(1 + q), λ(k − 1)/(1 − λ(k − 1)) ),

with equality for A = −α and B = −α(1 + k) or B = α(k − 1), that is, for some A ≼ −αI and ‖B − A‖₂
<= Lε. The paper has q/(1 − q) instead, by the Neumann series. This bound is below 1 iff λ(k − 1) <
½: at λ = 1 if εL < 1.5 α, and at **every** finite λ if εL <= α, which is the condition of
Proposition 3.

A likelihood has B ≼ 0 besides; then the eigenvalues μ of A⁻¹B are in [0, 1 + k], and by S1 ρ(J) <=
q/(1 + q) < 1 whatever k and λ are. (‖J‖₂ may then still exceed 1 if k > 1.)
"""

import math
from typing import Any

import numpy as np

from stability.analysis.bounds import contraction_bound, rate_bound, sharp_bound
from stability.analysis.jacobian import jacobian
from stability.statements.verdict import Status, Verdict, compare

__all__ = ["GRID", "check", "controls"]

GRID: tuple[dict[str, Any], ...] = (
    {"lam": 0.05, "k": 2.37, "d": 2},
    {"lam": 1.0, "k": 0.9, "d": 3},
    {"lam": 100.0, "k": 0.5, "d": 2},
    {"lam": 0.2, "k": 3.0, "d": 1},
    {"lam": 0.08, "k": 10.0, "d": 3},
    {"lam": 2.0, "k": 5.0, "d": 2},  # no bound on the norm; one on the spectral radius
)


def check(
    lam: float, k: float, d: int, rng: np.random.Generator, pairs: int = 20_000
) -> list[Verdict]:
    """The worst of random pairs of matrices (A, B), and whether the bound is attained.

    The bound holds for each pair, so that the draws bring no false alarm.

    Args:
        lam: Finite, >= 0.
        k: Lε/α, finite, >= 0.
        d: The matrices are (d, d).
        pairs: With A ≼ −I and ‖B − A‖₂ = k, that is, α = 1; the larger α are these, scaled. Half of
            them have A = −I.

    Raises:
        ValueError: For bad arguments.
    """
    return _check(lam, k, d, rng, pairs)


def controls(rng: np.random.Generator) -> list[Verdict]:
    """The same with the bounds 1 % smaller, and with B that is no Hessian of a likelihood: each
    is `violated`.
    """
    return [
        *_check(1.0, 0.9, 3, rng, spoil=0.99),  # the first term of the maximum is the larger
        *_check(0.08, 10.0, 2, rng, spoil=0.99)[:2],  # the second is
        _check(2.0, 5.0, 2, rng, signed=False)[2],  # ρ(J) without B ≼ 0
    ]


def _check(
    lam: float,
    k: float,
    d: int,
    rng: np.random.Generator,
    pairs: int = 20_000,
    *,
    spoil: float = 1.0,
    signed: bool = True,
) -> list[Verdict]:
    """Check both bounds; see `check`.

    Args:
        lam: See `check`.
        k: See `check`.
        d: See `check`.
        rng: See `check`.
        pairs: See `check`.
        spoil: Multiplies the bounds.
        signed: Whether the bound on ρ is tried on B ≼ 0 alone.
    """
    bound, rate = spoil * sharp_bound(lam, 1.0, k, 1.0), spoil * rate_bound(lam, 1.0, k, 1.0)
    if d < 1 or pairs < 2:
        raise ValueError(f"d must be >= 1 and pairs >= 2, got {d} and {pairs}")
    A, E = _pairs(k, d, rng, pairs)
    says = math.isfinite(bound)
    # there is no bound where J is infinite at B = α/λ, which is within Lε of A = −α
    seen = attained = math.inf
    if says:
        seen = float(np.linalg.norm(_jacobians(A, A + E, lam), 2, axis=(1, 2)).max())
        attained = max(
            float(abs(jacobian(-np.eye(1), np.array([[B]]), lam)[0, 0])) for B in (-(1 + k), k - 1)
        )
    # as far from A as it may be with B ≼ 0
    shrink = (
        np.maximum(1.0, np.linalg.eigvals(np.linalg.solve(-A, E)).real.max(axis=1))
        if signed
        else np.ones(pairs)
    )
    spectra = np.linalg.eigvals(_jacobians(A, A + E / shrink[:, None, None], lam))
    instance = f"λ = {lam:g}, Lε/α = {k:g}, {pairs} pairs of {d} × {d} matrices"
    common: dict[str, Any] = {
        "assumptions": {"λ(1 + Lε/α)": lam * (1 + k), "λ(Lε/α − 1)": lam * (k - 1)}
    }
    printed = contraction_bound(lam, 1.0, k, 1.0)
    return [
        Verdict(
            claim="Theorem 1, sharp",
            words="‖J‖₂ ≤ max(q/(1 + q), λ(k − 1)/(1 − λ(k − 1))), k = Lε/α, q = λ(1 + k)",
            instance=instance,
            measured=seen,
            relation="<=",
            stated=bound,
            status=compare(seen, "<=", bound, 1e-9 * bound) if says else Status.VACUOUS,
            method="the worst of random pairs with A ≼ −α and ‖B − A‖₂ = Lε; tolerance: rounding",
            tolerance=1e-9 * bound if says else 0.0,
            note=f"(11) gives {printed:.6g}",
            **common,
        ),
        Verdict(
            claim="Theorem 1, sharp, attained",
            words="the bound is attained: α, L and ε alone allow no better",
            instance=f"λ = {lam:g}, Lε/α = {k:g}",
            measured=attained,
            relation="==",
            stated=bound,
            status=compare(attained, "==", bound, 1e-9 * bound) if says else Status.VACUOUS,
            method="‖J‖₂ for A = −1 and B = −1 − k or B = k − 1; tolerance: rounding",
            tolerance=1e-9 * bound if says else 0.0,
            note=f"(11) gives {printed:.6g}",
            **common,
        ),
        Verdict(
            claim="S1, from α, L and ε",
            words="ρ(J) ≤ q/(1 + q) < 1 for an exact likelihood, at every λ",
            instance=instance,
            measured=float(np.abs(spectra).max()),
            relation="<=",
            stated=rate,
            status=compare(float(np.abs(spectra).max()), "<=", rate, 1e-9),
            method="the worst of random pairs with A ≼ −α, B ≼ 0 and ‖B − A‖₂ ≤ Lε; tolerance: "
            "rounding",
            tolerance=1e-9,
            **common,
        ),
    ]


def _pairs(k: float, d: int, rng: np.random.Generator, pairs: int) -> tuple[np.ndarray, np.ndarray]:
    """A ≼ −I and E = B − A with ‖E‖₂ = k, both (pairs, d, d)."""
    bases = np.linalg.qr(rng.standard_normal((2, pairs, d, d)))[0]
    # none in half of them
    excess = rng.exponential(size=(pairs, d)) * rng.integers(0, 2, (pairs, 1))
    spread = k * rng.uniform(-1, 1, (pairs, d))
    spread[:, 0] = k * rng.choice([-1, 1], pairs)
    values = np.stack([-1 - excess, spread])
    A, E = (bases * values[..., None, :]) @ bases.swapaxes(-1, -2)
    return (A + A.swapaxes(1, 2)) / 2, (E + E.swapaxes(1, 2)) / 2


def _jacobians(A: np.ndarray, B: np.ndarray, lam: float) -> np.ndarray:
    """J of each pair, (pairs, d, d)."""
    return np.linalg.solve(A + lam * B, lam * B)
