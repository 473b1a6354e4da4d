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
from functools import partial
from typing import Any

import numpy as np

from stability.analysis.bounds import contraction_bound, rate_bound, sharp_bound
from stability.analysis.jacobian import jacobian
from stability.statements.claim import Claim, Premise
from stability.statements.mutation import Mutation
from stability.statements.verdict import Verdict

__all__ = ["FROM_CONSTANTS", "GRID", "MUTATIONS", "SHARP", "check"]

_claim = partial(
    Claim,
    source="own result, docs/theory/theorem1.md",
    no_evidence="Pairs with A = B, where the bound is λ/(1 + λ) at best.",
)
_BELOW_ONE = Premise("λ(Lε/α − 1)", "<", 1.0)

SHARP = _claim(
    id="Theorem 1, sharp",
    words="‖J‖₂ ≤ max(q/(1 + q), λ(k − 1)/(1 − λ(k − 1))), k = Lε/α, q = λ(1 + k)",
    relation="<=",
    falsified_by="A ≼ −α and B with ‖B − A‖₂ ≤ Lε and a larger ‖J‖₂.",
    needs=(_BELOW_ONE,),
)
ATTAINED = _claim(
    id="Theorem 1, sharp, attained",
    words="the bound is attained: α, L and ε alone allow no better",
    relation="==",
    falsified_by="A smaller bound that holds for every such pair.",
    needs=(_BELOW_ONE,),
)
FROM_CONSTANTS = _claim(
    id="S1, from α, L and ε, any matrices",
    words="ρ(J) ≤ q/(1 + q) < 1 for an exact likelihood, at every λ",
    relation="<=",
    source="own result S1",
    falsified_by="A ≼ −α and B ≼ 0 with ‖B − A‖₂ ≤ Lε and a larger ρ(J).",
)

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
        rng: Source of all draws.
        pairs: With A ≼ −I and ‖B − A‖₂ = k, that is, α = 1; the larger α are these, scaled. Half of
            them have A = −I.

    Returns:
        The verdicts.

    Raises:
        ValueError: For bad arguments.
    """
    if d < 1 or pairs < 2:
        raise ValueError(f"d must be >= 1 and pairs >= 2, got {d} and {pairs}")
    bound, rate = sharp_bound(lam, 1.0, k, 1.0), rate_bound(lam, 1.0, k, 1.0)
    A, E = _pairs(k, d, rng, pairs)
    # there is no bound where J is infinite at B = α/λ, which is within Lε of A = −α
    seen = attained = math.inf
    if math.isfinite(bound):
        seen = float(np.linalg.norm(_jacobians(A, A + E, lam), 2, axis=(1, 2)).max())
        attained = _at_the_ends(lam, k)
    radii = np.abs(np.linalg.eigvals(_jacobians(A, A + _signed(A, E), lam)))

    case = f"λ = {lam:g}, Lε/α = {k:g}, {pairs} pairs of {d} × {d} matrices"
    assumed = {"λ(1 + Lε/α)": lam * (1 + k), "λ(Lε/α − 1)": lam * (k - 1)}
    exact: dict[str, Any] = {
        "claimed": bound,
        "tolerance": 1e-9 * bound if math.isfinite(bound) else 0.0,
        "note": f"(11) gives {contraction_bound(lam, 1.0, k, 1.0):.6g}",
        "assumptions": assumed,
    }
    return [
        SHARP.verdict(
            case,
            measured=seen,
            method="the worst of random pairs with A ≼ −α and ‖B − A‖₂ = Lε; tolerance: rounding",
            **exact,
        ),
        ATTAINED.verdict(
            f"λ = {lam:g}, Lε/α = {k:g}",
            measured=attained,
            method="‖J‖₂ for A = −1 and B = −1 − k or B = k − 1; tolerance: rounding",
            **exact,
        ),
        FROM_CONSTANTS.verdict(
            case,
            measured=float(radii.max()),
            claimed=rate,
            tolerance=1e-9,
            method="the worst of random pairs with A ≼ −α, B ≼ 0 and ‖B − A‖₂ ≤ Lε; tolerance: "
            "rounding",
            assumptions=assumed,
        ),
    ]


def _at_the_ends(lam: float, k: float) -> float:
    """The larger |J| of A = −1 with B = −1 − k and with B = k − 1."""
    ends = (np.array([[B]]) for B in (-(1 + k), k - 1))
    return max(float(abs(jacobian(-np.eye(1), B, lam)[0, 0])) for B in ends)


_FIRST = {"lam": 1.0, "k": 0.9, "d": 3}  # the first term of the maximum is the larger
_SECOND = {"lam": 0.08, "k": 10.0, "d": 2}  # the second is
_BOUNDS = "stability.analysis.bounds"

MUTATIONS = (
    *(
        Mutation(claim, f"{_BOUNDS}.sharp_bound", "the bound", case)
        for case in (_FIRST, _SECOND)
        for claim in (SHARP, ATTAINED)
    ),
    Mutation(FROM_CONSTANTS, f"{_BOUNDS}.rate_bound", "the bound", _FIRST),
    Mutation(
        FROM_CONSTANTS,
        "stability.statements.theorem1_sharp._signed",
        "any sign of B",
        {"lam": 2.0, "k": 5.0, "d": 2},
        lambda right: lambda A, E: E,
    ),
)
"""Slips, and the claim that each must break."""


def _signed(A: np.ndarray, E: np.ndarray) -> np.ndarray:
    """E, shrunk where it must be for A + E ≼ 0: as far from A as a likelihood allows."""
    largest = np.linalg.eigvals(np.linalg.solve(-A, E)).real.max(axis=1)
    return E / np.maximum(1.0, largest)[:, None, None]


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
