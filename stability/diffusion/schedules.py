"""Noise schedules of the official systems: DDPM's ᾱ_t, DDIM's time steps, EDM's noise levels."""

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = [
    "Spacing",
    "ddim_times",
    "edm_noise_levels",
    "linear_alphas_cumprod",
    "require_levels",
    "require_schedule",
    "spaced_times",
]

Spacing = Literal["linear", "quadratic", "logsnr"]
"""Ways to choose the steps of a schedule where a sampler calls the denoiser."""


def linear_alphas_cumprod(
    steps: int = 100, beta_start: float = 1e-3, beta_end: float = 0.2
) -> NDArray[np.float64]:
    """Cumulative products ᾱ_t = Π_{s ≤ t} (1 − β_s) of a linear β schedule.

    Source: Ho et al. (2020), Section 4. The defaults are those of ddpm-torch's 2-D script; its
    CIFAR-10 model has 1000, 1e-4, 0.02.

    Args:
        steps: T, number of noise levels, >= 1.
        beta_start: β of the smallest noise level, in (0, 1).
        beta_end: β of the largest noise level, in (0, 1).

    Returns:
        ᾱ, (steps,), decreasing.
    """
    return np.cumprod(1 - np.linspace(beta_start, beta_end, steps), dtype=np.float64)


def ddim_times(
    total: int, steps: int, spacing: Literal["linear", "quadratic"] = "linear"
) -> NDArray[np.int64]:
    """Indices into a schedule of `total` steps, as ddpm-torch chooses them for DDIM.

    Source: Song et al. (2021), Appendix D.2.

    Args:
        total: T, length of the schedule.
        steps: Indices to choose, from 2 to `total`.
        spacing: "linear": 0, total/steps, 2 total/steps, …; "quadratic": round((i √(0.8
            total)/(steps−1))²), which ends at 0.8 total, where pure noise is taken for x_t, and is
            dense near the data.

    Returns:
        The indices, (steps,), increasing; some quadratic ones may repeat.

    Raises:
        ValueError: If `steps` is out of range.
    """
    if not 2 <= steps <= total:
        raise ValueError(f"steps must be in [2, {total}], got {steps}")

    if spacing == "linear":
        return np.arange(0, total, total // steps)[:steps]
    return np.round(np.linspace(0, np.sqrt(0.8 * total), steps) ** 2).astype(np.int64)


def edm_noise_levels(
    steps: int = 18, sigma_min: float = 0.002, sigma_max: float = 80.0, rho: float = 7.0
) -> NDArray[np.float64]:
    """EDM's noise levels, without the final 0.

    Source: Karras et al. (2022), eq. (5).

    Args:
        steps: Number of levels, >= 1.
        sigma_min: Last level, in units of x, > 0.
        sigma_max: First level, > `sigma_min`.
        rho: Exponent ρ > 0: the levels are equally spaced in σ^(1/ρ).

    Returns:
        The levels, (steps,), decreasing.

    Raises:
        ValueError: If `steps` is out of range.
    """
    if steps < 1:
        raise ValueError(f"steps must be >= 1, got {steps}")

    high, low = sigma_max ** (1 / rho), sigma_min ** (1 / rho)
    return (high + np.arange(steps) / max(steps - 1, 1) * (low - high)) ** rho


def spaced_times(
    alphas_cumprod: NDArray[np.float64], steps: int, spacing: Spacing = "linear"
) -> NDArray[np.int64]:
    """Indices into a schedule where a sampler calls the denoiser.

    Source: Song et al. (2021), Appendix D.2; Lu et al. (2022), Section 3.4, for "logsnr".

    Args:
        alphas_cumprod: ᾱ, (T,), as of `require_schedule`.
        steps: Indices to choose, from 2 to T.
        spacing: As in `ddim_times`; "logsnr": the noise levels nearest to equal distances in
            log(ᾱ/(1−ᾱ)), both ends included.

    Returns:
        The indices, (steps,), not decreasing; some may repeat.

    Raises:
        ValueError: If `steps` is out of range.
    """
    if spacing != "logsnr":
        return ddim_times(len(alphas_cumprod), steps, spacing)
    if not 2 <= steps <= len(alphas_cumprod):
        raise ValueError(f"steps must be in [2, {len(alphas_cumprod)}], got {steps}")

    log_snr = np.log(alphas_cumprod) - np.log1p(-alphas_cumprod)
    wanted = np.linspace(log_snr[0], log_snr[-1], steps)
    return np.abs(log_snr - wanted[:, None]).argmin(axis=1).astype(np.int64)


def require_schedule(alphas_cumprod: ArrayLike) -> NDArray[np.float64]:
    """Refuse anything that is no schedule.

    Args:
        alphas_cumprod: ᾱ, (T,).

    Returns:
        A copy, in float64.

    Raises:
        ValueError: Unless they are numbers in (0, 1) that do not increase.
    """
    levels = np.array(alphas_cumprod, dtype=float)
    in_order = levels.ndim == 1 and len(levels) > 0 and not (np.diff(levels) > 0).any()
    if not (in_order and ((levels > 0) & (levels < 1)).all()):
        raise ValueError(
            f"alphas_cumprod must be a list of numbers in (0, 1) that do not increase, got {levels}"
        )
    return levels


def require_levels(noise_levels: ArrayLike) -> NDArray[np.float64]:
    """Refuse numbers that are no noise levels of a sampler.

    Args:
        noise_levels: σ_i, (steps,).

    Returns:
        A copy, in float64.

    Raises:
        ValueError: Unless they are positive and decrease.
    """
    levels = np.array(noise_levels, dtype=float)
    in_order = levels.ndim == 1 and len(levels) > 0 and (levels > 0).all()
    if not (in_order and (np.diff(levels) < 0).all()):
        raise ValueError(f"noise_levels must be positive and decrease, got {levels}")
    return levels
