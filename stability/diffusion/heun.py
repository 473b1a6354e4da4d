"""EDM's sampler: Heun's method for the probability flow, with noise put back if asked to."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from stability.diffusion.sampler import Array
from stability.diffusion.schedules import require_levels

__all__ = ["Heun"]


@dataclass(frozen=True, eq=False)
class Heun:
    """Heun's method for dx/dσ = (x − D(x, σ))/σ from σ_0 z, with a last step of Euler to σ = 0.

    Source: Karras et al. (2022), Algorithms 1 and 2.

    Attributes:
        noise_levels: σ_i, (steps,), decreasing, > 0.
        churn: S_churn >= 0, noise put back in the course of sampling. 0: deterministic.
        churn_range: S_min and S_max: noise is put back at levels between them only.
        churn_noise: S_noise, standard deviation of the noise put back, in units of what keeps
            the level exact.
    """

    noise_levels: NDArray[np.float64]
    churn: float = 0.0
    churn_range: tuple[float, float] = (0.0, np.inf)
    churn_noise: float = 1.0

    def __post_init__(self) -> None:
        require_levels(self.noise_levels)

    def _steps(self) -> list[tuple[float, float, float]]:
        """σ_i, σ̂_i after the churn, and σ_{i+1}, for each step."""
        levels = [float(sigma) for sigma in self.noise_levels]
        gamma = min(self.churn / len(levels), np.sqrt(2) - 1)
        low, high = self.churn_range
        return [
            (here, here * (1 + gamma) if low <= here <= high else here, there)
            for here, there in zip(levels, [*levels[1:], 0.0], strict=True)
        ]

    @property
    def noises(self) -> list[int]:
        """The steps that add noise, in the order of sampling."""
        return [i for i, (here, start, _) in enumerate(self._steps()) if start > here]

    @property
    def evaluations(self) -> int:
        """Calls of the denoiser for one sample."""
        return 2 * len(self.noise_levels) - 1

    def sample(
        self, denoise: Callable[[Array, float], Array], x: Array, noise: Callable[[int], Array]
    ) -> Array:
        """Draw samples.

        Args:
            denoise: Maps x = x₀ + σ ε and σ to x̂₀.
            x: Draws of N(0, I), (n, …).
            noise: Maps a step to draws of N(0, I) like x; called for the steps `noises` only.

        Returns:
            The samples, like x.
        """
        x = float(self.noise_levels[0]) * x
        for i, (here, start, end) in enumerate(self._steps()):
            if start > here:
                x = x + self.churn_noise * (start**2 - here**2) ** 0.5 * noise(i)

            slope = (x - denoise(x, start)) / start
            euler = x + (end - start) * slope
            if end > 0:
                slope = (slope + (euler - denoise(euler, end)) / end) / 2
            x = x + (end - start) * slope
        return x

    def variance(self, v: ArrayLike) -> NDArray[Any]:
        """Variance φ(v) of the samples; see `Sampler`.

        Args:
            v: Variances >= 0 of the data, of any shape.

        Returns:
            φ(v), elementwise.
        """
        v = np.asarray(v) + 0.0
        out = np.full_like(v, self.noise_levels[0] ** 2)
        for here, start, end in self._steps():
            out = out + self.churn_noise**2 * (start**2 - here**2)

            slope = start / (v + start**2)  # of x ↦ (x − k x)/σ
            gain = euler = 1 + (end - start) * slope
            if end > 0:
                gain = 1 + (end - start) * (slope + euler * end / (v + end**2)) / 2
            out = gain * gain * out
        return out
