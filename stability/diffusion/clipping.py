"""Clipping of the estimate x̂₀, which samplers offer, and which leaves no φ(v) in closed form.

Source: Ho et al. 2020, whose code clips x̂₀ to [−1, 1]; the width map φ is an own result (S9).
"""

from stability.diffusion.sampler import Array

__all__ = ["clipped", "require_linear"]


def clipped(estimate: Array, bound: float | None) -> Array:
    """An estimate of x₀ with each coordinate in [−bound, bound].

    Args:
        estimate: x̂₀, (n, …).
        bound: Bound on the coordinates, > 0. None: no bound.

    Returns:
        The estimate, (n, …).
    """
    return estimate if bound is None else estimate.clip(-bound, bound)


def require_linear(bound: float | None) -> None:
    """Refuse the variance of a sampler that clips.

    Args:
        bound: Of `clipped`.

    Raises:
        ValueError: If there is a bound: the steps are then not linear.
    """
    if bound is not None:
        raise ValueError(
            f"a sampler that clips x̂₀ (x0_clip = {bound:g}) has no linear steps, "
            "hence no φ(v) in closed form"
        )
