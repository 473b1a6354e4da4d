"""Denoisers made of noise predictors: x̂₀ from x_t and ε."""

from stability.diffusion.sampler import Array

__all__ = ["x0_from_noise"]


def x0_from_noise(x: Array, eps: Array, alpha_cumprod: float) -> Array:
    """Estimate x̂₀ = (x_t − √(1−ᾱ_t) ε)/√ᾱ_t of the clean point.

    Source: Ho et al. (2020), Section 3.2.

    Args:
        x: Noisy points x_t, (n, …).
        eps: Predicted noise, like x.
        alpha_cumprod: ᾱ_t, in (0, 1).

    Returns:
        x̂₀, like x.
    """
    return (x - (1 - alpha_cumprod) ** 0.5 * eps) / alpha_cumprod**0.5
