"""Bounds on the Jacobian of G∞ from α, L, ε and λ alone: (11), the sharp one, and that on ρ(J)."""

import math

__all__ = ["condition", "contraction_bound", "rate_bound", "sharp_bound"]


def condition(lam: float, alpha: float, eps: float, lipschitz: float) -> float:
    """q = λ(1 + Lε/α), which Theorem 1 wants below ½ (E4).

    Args:
        lam: Synthetic points per real point, finite and >= 0.
        alpha: Strong concavity, finite and > 0 (Assumption 2).
        eps: W1(p_θ*, p_data), in units of x, >= 0; inf if a law has no mean.
        lipschitz: Of x ↦ ∇² log p_θ*(x), >= 0; inf if Assumption 1 fails, even if ε = 0.

    Returns:
        q; 0 for λ = 0, and inf where L or ε is.

    Raises:
        ValueError: If an argument is out of range.
    """
    for name, value in (("lam", lam), ("alpha", alpha)):
        if not (math.isfinite(value) and value >= 0):
            raise ValueError(f"{name} must be finite and >= 0, got {value}")
    if alpha == 0:
        raise ValueError("alpha must be > 0, got 0")
    for name, value in (("eps", eps), ("lipschitz", lipschitz)):
        if not value >= 0:
            raise ValueError(f"{name} must be >= 0 or inf, got {value}")
    if not lam:
        return 0.0
    return lam * (1 + lipschitz * eps / alpha) if max(eps, lipschitz) < math.inf else math.inf


def contraction_bound(lam: float, alpha: float, eps: float, lipschitz: float) -> float:
    """Upper bound on ‖J‖₂, J the Jacobian of G∞ at θ* (Theorem 1, eq. (11)).

    Args:
        lam: As in `condition`.
        alpha: As in `condition`.
        eps: As in `condition`.
        lipschitz: As in `condition`.

    Returns:
        q/(1 − q), below 1 where q < ½; inf where q >= 1: the theorem says nothing there.
    """
    q = condition(lam, alpha, eps, lipschitz)
    return q / (1 - q) if q < 1 else math.inf


def sharp_bound(lam: float, alpha: float, eps: float, lipschitz: float) -> float:
    """Upper bound on ‖J‖₂ from the same constants as (11), the best there is without the sign of B.

    Source: docs/theory/theorem1.md.

    Args:
        lam: As in `condition`.
        alpha: As in `condition`.
        eps: As in `condition`.
        lipschitz: As in `condition`.

    Returns:
        The bound; inf where λ(Lε/α − 1) >= 1, and where L or ε is.
    """
    q = condition(lam, alpha, eps, lipschitz)
    against = q - 2 * lam
    if not math.isfinite(q) or against >= 1:
        return math.inf
    return max(q / (1 + q), against / (1 - against))


def rate_bound(lam: float, alpha: float, eps: float, lipschitz: float) -> float:
    """Upper bound on ρ(J) for an exact likelihood: below 1 at every λ (S1).

    Args:
        lam: As in `condition`.
        alpha: As in `condition`.
        eps: As in `condition`.
        lipschitz: As in `condition`.

    Returns:
        q/(1 + q); 1 where L or ε is inf.
    """
    q = condition(lam, alpha, eps, lipschitz)
    return q / (1 + q) if math.isfinite(q) else 1.0
