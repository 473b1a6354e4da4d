"""λn whole: where floor(λn) is λn, and a law that is stated in λ is that of the loop."""

from stability.loop.regimes import synthetic_count

__all__ = ["require_whole"]


def require_whole(lam: float, n: int) -> None:
    """Require that floor(λn), as the regimes take it, is λn up to the rounding of λ to a float.

    Args:
        lam: λ, synthetic points per real point.
        n: Number of real points.

    Raises:
        ValueError: If λn is not whole, or n < 1.
    """
    if n < 1:
        raise ValueError(f"n must be >= 1, got {n}")
    whole = round(lam * n)
    if abs(whole - lam * n) > 1e-9 * n or synthetic_count(lam, n) != whole:
        raise ValueError(
            f"lam * n must be whole, for floor(lam * n) to be that, got lam = {lam} and n = {n}"
        )
