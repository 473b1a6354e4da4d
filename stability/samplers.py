"""Samplers of diffusion and flow models, each with the variance that it gives to Gaussian data (theory S9).

A perfect learner of N(0, v) has the denoiser E[x₀ | x] = k x, so every step of a sampler is linear, and the variance of
its samples is a function φ(v) in closed form: the sampler's `variance`. With data N(μ, Σ) it acts on Σ's eigenvalues.
The same coefficients drive `run`, which takes any denoiser, on NumPy arrays and torch tensors alike.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = [
    "Flow",
    "Heun",
    "Sampler",
    "StepSampler",
    "ancestral",
    "ddim",
    "ddim_times",
    "edm_noise_levels",
    "linear_alphas_bar",
]

Array = Any  # of NumPy or of torch


class Sampler(Protocol):
    """What the width map needs to know of a sampler."""

    def variance(self, v: ArrayLike) -> NDArray[Any]:
        """φ(v), the variance of the samples if the model has learned N(0, v) perfectly; elementwise, v >= 0.

        Analytic in v: a complex argument gives the continuation, whence derivatives without cancellation.
        """
        ...


def linear_alphas_bar(steps: int = 100, first: float = 1e-3, last: float = 0.2) -> NDArray[np.float64]:
    """ᾱ_t = Π_{s ≤ t} (1 − β_s), β linear from `first` to `last`: (steps,), decreasing (Ho et al., 2020).

    The defaults are those of ddpm-torch's 2-D script; CIFAR-10 has 1000, 1e-4, 0.02.
    """
    return np.cumprod(1 - np.linspace(first, last, steps), dtype=np.float64)


@dataclass(frozen=True, eq=False)
class StepSampler:
    """A sampler that asks the denoiser once a step: x ← to_x0 · x̂₀ + to_x · x + sd · z, z ~ N(0, I), from x ~ N(0, I).

    alphas_bar, to_x0, to_x, sd: (steps,) float64, in increasing noise; the sampler goes through them backwards.
    At step i the point is taken as x = √ᾱ_i x₀ + √(1−ᾱ_i) ε.
    """

    alphas_bar: NDArray[np.float64]
    to_x0: NDArray[np.float64]
    to_x: NDArray[np.float64]
    sd: NDArray[np.float64]

    @property
    def noises(self) -> list[int]:
        """The steps that add noise, in the order of sampling."""
        return [i for i in reversed(range(len(self.sd))) if self.sd[i]]

    def run(self, denoise: Callable[[Array, int], Array], x: Array, noise: Callable[[int], Array]) -> Array:
        """Samples, of the shape of `x`, which holds draws of N(0, I).

        denoise: (x, i) -> x̂₀ at step i.   noise: i -> draws of N(0, I) like x, asked for at the steps `noises` only.
        """
        for i in reversed(range(len(self.sd))):
            x = float(self.to_x0[i]) * denoise(x, i) + float(self.to_x[i]) * x
            if self.sd[i]:
                x = x + float(self.sd[i]) * noise(i)
        return x

    def variance(self, v: ArrayLike) -> NDArray[Any]:
        """φ(v), see `Sampler`."""
        v = np.asarray(v) + 0.0
        out = np.ones_like(v)
        for i in reversed(range(len(self.sd))):
            a = self.alphas_bar[i]
            gain = self.to_x0[i] * np.sqrt(a) * v / (a * v + 1 - a) + self.to_x[i]
            out = gain * gain * out + self.sd[i] ** 2
        return out


def ancestral(alphas_bar: ArrayLike, noise: Literal["large", "small"] = "large") -> StepSampler:
    """DDPM's sampler (Ho et al., 2020): q(x_{t−1} | x_t, x₀), eqs. 6 and 7, at x̂₀ for x₀; the last step is noiseless.

    alphas_bar: (steps,), each in (0, 1), not increasing. A subset of a schedule gives fewer steps.
    noise: variance of a step, "large", β_t, or "small", β̃_t = β_t (1−ᾱ_{t−1})/(1−ᾱ_t), that of q(x_{t−1} | x_t, x₀).
    ValueError if out of range.
    """
    after = _levels(alphas_bar)
    before = np.concatenate([[1.0], after[:-1]])
    alpha = after / before
    beta = 1 - alpha
    small = beta * (1 - before) / (1 - after)
    sd = np.sqrt({"large": beta, "small": small}[noise])
    sd[0] = 0
    return StepSampler(after, beta * np.sqrt(before) / (1 - after), np.sqrt(alpha) * (1 - before) / (1 - after), sd)


def ddim(alphas_bar: ArrayLike) -> StepSampler:
    """DDIM with η = 0 (Song et al., 2021): x_{t−1} = √ᾱ_{t−1} x̂₀ + √(1−ᾱ_{t−1}) ε̂, where x_t = √ᾱ_t x̂₀ + √(1−ᾱ_t) ε̂.

    alphas_bar: (steps,), each in (0, 1), not increasing, e.g. a schedule at `ddim_times`. ValueError if out of range.
    """
    after = _levels(alphas_bar)
    before = np.concatenate([[1.0], after[:-1]])
    to_x = np.sqrt((1 - before) / (1 - after))
    return StepSampler(after, np.sqrt(before) - to_x * np.sqrt(after), to_x, np.zeros_like(after))


def ddim_times(total: int, steps: int, spacing: Literal["linear", "quadratic"] = "linear") -> NDArray[np.int64]:
    """Indices into a schedule of `total` steps, increasing, as ddpm-torch chooses them; some may repeat.

    linear: 0, total/steps, 2 total/steps, …   quadratic: round((i √(0.8 total)/(steps−1))²): starts at 0.8 total, where
    pure noise is taken for x_t, and is dense near the data.
    """
    if not 2 <= steps <= total:
        raise ValueError(f"steps must be in [2, {total}], got {steps}")
    if spacing == "linear":
        return np.arange(0, total, total // steps)[:steps]
    return np.round(np.linspace(0, np.sqrt(0.8 * total), steps) ** 2).astype(np.int64)


def _levels(alphas_bar: ArrayLike) -> NDArray[np.float64]:
    levels = np.array(alphas_bar, dtype=float)
    if levels.ndim != 1 or not len(levels) or not ((levels > 0) & (levels < 1)).all() or (np.diff(levels) > 0).any():
        raise ValueError(f"alphas_bar must be a list of numbers in (0, 1) that do not increase, got {levels}")
    return levels


def edm_noise_levels(
    steps: int = 18, smallest: float = 0.002, largest: float = 80.0, rho: float = 7.0
) -> NDArray[np.float64]:
    """Karras et al. (2022), eq. (5) without the final 0: (steps,), from `largest` down to `smallest`; steps >= 2."""
    if steps < 2:
        raise ValueError(f"steps must be >= 2, got {steps}")
    return np.linspace(largest ** (1 / rho), smallest ** (1 / rho), steps) ** rho


@dataclass(frozen=True, eq=False)
class Heun:
    """EDM's sampler (Karras et al., 2022, algorithms 1 and 2) from σ_0 z, with Heun's steps and an Euler step to σ = 0.

    noise_levels: (steps,), decreasing, > 0.   churn: S_churn, 0 for the deterministic sampler.
    churn_range: S_min and S_max.   churn_noise: S_noise.   ValueError if the levels are out of range.
    """

    noise_levels: NDArray[np.float64]
    churn: float = 0.0
    churn_range: tuple[float, float] = (0.0, np.inf)
    churn_noise: float = 1.0

    def __post_init__(self) -> None:
        levels = np.asarray(self.noise_levels)
        if levels.ndim != 1 or not len(levels) or not (levels > 0).all() or not (np.diff(levels) < 0).all():
            raise ValueError(f"noise_levels must be positive and decrease, got {levels}")

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

    def run(self, denoise: Callable[[Array, float], Array], x: Array, noise: Callable[[int], Array]) -> Array:
        """Samples, of the shape of `x`, which holds draws of N(0, I).

        denoise: (x, σ) -> x̂₀ for x = x₀ + σ ε.   noise: i -> draws of N(0, I) like x, at the steps `noises` only.
        """
        x = float(self.noise_levels[0]) * x
        for i, (here, start, end) in enumerate(self._steps()):
            if start > here:
                x = x + self.churn_noise * (start**2 - here**2) ** 0.5 * noise(i)
            slope = (x - denoise(x, start)) / start
            euler = x + (end - start) * slope
            corrected = (slope + (euler - denoise(euler, end)) / end) / 2 if end > 0 else slope
            x = x + (end - start) * corrected
        return x

    def variance(self, v: ArrayLike) -> NDArray[Any]:
        """φ(v), see `Sampler`."""
        v = np.asarray(v) + 0.0
        out = np.full_like(v, self.noise_levels[0] ** 2)
        for here, start, end in self._steps():
            out = out + self.churn_noise**2 * (start**2 - here**2)
            slope = start / (v + start**2)  # of x ↦ (x − k x)/σ
            euler = 1 + (end - start) * slope
            gain = 1 + (end - start) * (slope + euler * end / (v + end**2)) / 2 if end > 0 else euler
            out = gain * gain * out
        return out


@dataclass(frozen=True)
class Flow:
    """Flow matching from N(0, 1) along x_t = t x₁ + (1−t) x₀ + sigma ε (Lipman et al., 2023; Tong et al., 2023).

    steps: of Euler's method, or None for the exact solution, which an adaptive solver approaches.
    sigma: noise of the path, >= 0.
    correlation: of x₀ and x₁ in the coupling, from 0, independent pairs, to 1, optimal transport; minibatch plans lie
        between. ValueError if out of range.
    """

    steps: int | None = 99
    sigma: float = 0.0
    correlation: float = 0.0

    def __post_init__(self) -> None:
        if self.steps is not None and self.steps < 1:
            raise ValueError(f"steps must be >= 1 or None, got {self.steps}")
        if not (0 <= self.sigma < np.inf and 0 <= self.correlation <= 1):
            raise ValueError(f"sigma must be >= 0 and correlation in [0, 1], got {self.sigma} and {self.correlation}")

    def velocity(self, v: ArrayLike, t: float) -> NDArray[Any]:
        """u with E[x₁ − x₀ | x_t = x] = u x; elementwise in v."""
        v = np.asarray(v) + 0.0
        cross = self.correlation * np.sqrt(v)
        covariance = t * v - (1 - t) + (1 - 2 * t) * cross  # of x₁ − x₀ and x_t
        return covariance / (t * t * v + (1 - t) ** 2 + 2 * t * (1 - t) * cross + self.sigma**2)

    def variance(self, v: ArrayLike) -> NDArray[Any]:
        """φ(v), see `Sampler`. The exact solution is (v + σ²)/(1 + σ²), whatever the coupling."""
        v = np.asarray(v) + 0.0
        if self.steps is None:
            return (v + self.sigma**2) / (1 + self.sigma**2)
        gain = np.ones_like(v)
        for i in range(self.steps):
            gain = gain * (1 + self.velocity(v, i / self.steps) / self.steps)
        return gain * gain
