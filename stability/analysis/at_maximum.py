"""Numbers found at θ*, whatever λ is: the derivatives' moments, L and ε, each with its errors."""

import math
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from torch import Tensor

from stability.analysis.lipschitz_search import Constant
from stability.analysis.operators import NoMaximum
from stability.analysis.replicates import Replicates
from stability.laws.bracket import Bracket
from stability.laws.law import Law
from stability.transport.w1_bracket import w1_bracket

__all__ = [
    "EXACT",
    "NOT_LOOKED_FOR",
    "AnalysisOptions",
    "AtMaximum",
    "require_concave",
    "require_no_flat_directions",
]

EXACT = Replicates((), "exact")
NOT_LOOKED_FOR = Constant(0.0, "not looked for", is_upper_bound=False)
_CANCELLED = 1e-6
"""Curvature over the mean size of second derivatives below which it is 0: a climb to a maximum of
fourth order ends where it is 1e-8."""
_UNKNOWN = Bracket(0.0, math.inf, "not looked for")


class AnalysisOptions(NamedTuple):
    """The arguments of `analyse` but for the family and the data.

    Attributes:
        lam: Synthetic points per real point.
        draws: Of each law, where expectations are means.
        tol: Of quadrature; None for the default.
        seed: Of all draws.
        bounds: Whether L and ε are looked for.
    """

    lam: float
    draws: int
    tol: float | None
    seed: int
    bounds: bool

    def eps(self, model: Law, law: Law) -> Bracket:
        """ε between the two laws, or all that it may be.

        Args:
            model: p_θ*.
            law: Of the data.

        Returns:
            The interval.
        """
        return w1_bracket(model, law, seed=self.seed) if self.bounds else _UNKNOWN


@dataclass(frozen=True)
class AtMaximum:
    """θ* and what the two laws say there; P parameters.

    Attributes:
        theta: (P,) θ* of eq. (7).
        lipschitz: L (Assumption 1).
        A: (P, P) E_data ∇² log p, E_p ∇² log p, and E_data s sᵀ, at θ* (s the score).
        B: See `A`.
        C: See `A`.
        fisher: (P, P) E_p s sᵀ, which must be −B, and is found without second derivatives.
        eps: ε = W1(p_θ*, p_data) (eq. (8)), in units of x, between two bounds; see `w1_bracket`.
        method: How A … fisher were found.
        integration_error: Largest error of an entry of A and B: of quadrature, or one standard
            error.
        jacobian_gap: Difference between J and what `jacobian_check` says, another way to it, in
            the entry where it is largest; nan if not looked at.
        jacobian_allowed: What integration and noise leave open of that difference.
        jacobian_check: The other way.
        replicates: The moments as they might have come out; see `LocalAnalysis.error`.
        flat: (P', P' − P) directions of θ that are left out, orthonormal; A … fisher are on their
            complement. Along them p_θ does not change, but for `unresolved` of them.
        unresolved: Number of directions left out along which the draws do not tell the curvature
            of the likelihood from 0.
        note: What else the reader must know, or "".
    """

    theta: np.ndarray
    lipschitz: Constant
    A: np.ndarray
    B: np.ndarray
    C: np.ndarray
    fisher: np.ndarray
    eps: Bracket
    method: str
    integration_error: float
    jacobian_gap: float
    jacobian_allowed: float
    jacobian_check: str
    replicates: Replicates = EXACT
    flat: np.ndarray = field(default_factory=lambda: np.zeros((0, 0)), repr=False)
    unresolved: int = 0
    note: str = ""


def require_no_flat_directions(local: AtMaximum) -> None:
    """Refuse a family with redundant parameters, where a statement is about θ itself.

    Args:
        local: The analysis.

    Raises:
        NoMaximum: If p_θ does not change along a direction of θ, a maximum that is not strict, or
            so little that it was left out.
    """
    if local.flat.size:
        little = ", or too little to tell from so many draws," if local.unresolved else ""
        raise NoMaximum(
            f"not strongly concave: p_θ does not change{little} along "
            f"{local.flat.shape[1]} direction(s) of θ at theta = {local.theta.tolist()}"
        )


def require_concave(A: np.ndarray, theta: Tensor, sizes: np.ndarray | None = None) -> None:
    """Refuse a point where the likelihood has no strict maximum.

    Args:
        A: (P, P) E_data ∇² log p.
        theta: (P',) where.
        sizes: (P,) E_data |∂² log p/∂θ_k²|; a mean that is rounding beside them is refused too.

    Raises:
        NoMaximum: Unless A is negative definite.
    """
    alpha = float(-np.linalg.eigvalsh(A)[-1])
    if not alpha > 0:
        raise NoMaximum(f"not strongly concave: alpha = {alpha:.3g} at theta = {theta.tolist()}")
    if sizes is None or not (np.isfinite(sizes).all() and (sizes > 0).all()):
        return
    unit = 1 / np.sqrt(sizes)
    if -float(np.linalg.eigvalsh(A * unit[:, None] * unit)[-1]) < _CANCELLED:
        raise NoMaximum(
            f"not strongly concave: alpha = {alpha:.3g} at theta = {theta.tolist()}, where second "
            "derivatives cancel: a maximum that is not strict"
        )
