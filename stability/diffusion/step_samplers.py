"""Samplers of models with a schedule ᾱ_t: ancestral steps (DDPM) and DDIM.

`Ancestral` and `DDIM` say which sampler is meant; `over` a schedule they give its coefficients, a
`StepSampler`, which draws samples with any denoiser and has φ(v) in closed form.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from stability.diffusion.clipping import clipped, require_linear
from stability.diffusion.sampler import Array
from stability.diffusion.schedules import Spacing, require_schedule, spaced_times

__all__ = ["DDIM", "Ancestral", "StepSampler"]


@dataclass(frozen=True, eq=False)
class StepSampler:
    """A sampler with one call of the denoiser a step: x ← to_x0 x̂₀ + to_x x + sd z, z ~ N(0, I).

    It starts from x ~ N(0, I) and goes through the steps backwards. At step i the point is taken as
    x = √ᾱ_i x₀ + √(1−ᾱ_i) ε.

    Attributes:
        alphas_cumprod: ᾱ_i of each step, (steps,), not increasing.
        times: Index of each step in the schedule of the model, (steps,).
        to_x0: Factor of x̂₀, (steps,).
        to_x: Factor of x, (steps,).
        sd: Standard deviation of the noise that a step adds, (steps,).
        x0_clip: Each coordinate of x̂₀ is clipped to [−x0_clip, x0_clip]. None: not clipped.
        to_excess: Factor of what clipping changed in x̂₀, (steps,), which a step adds. None: 0.
    """

    alphas_cumprod: NDArray[np.float64]
    times: NDArray[np.int64]
    to_x0: NDArray[np.float64]
    to_x: NDArray[np.float64]
    sd: NDArray[np.float64]
    x0_clip: float | None = None
    to_excess: NDArray[np.float64] | None = None

    @property
    def noises(self) -> list[int]:
        """The steps that add noise, in the order of sampling."""
        return [i for i in reversed(range(len(self.sd))) if self.sd[i]]

    @property
    def evaluations(self) -> int:
        """Calls of the denoiser for one sample."""
        return len(self.sd)

    def sample(
        self, denoise: Callable[[Array, int], Array], x: Array, noise: Callable[[int], Array]
    ) -> Array:
        """Draw samples.

        Args:
            denoise: Maps x and the time t, an index of the model's schedule, to x̂₀.
            x: Draws of N(0, I), (n, …).
            noise: Maps a step to draws of N(0, I) like x; called for the steps `noises` only.

        Returns:
            The samples, like x.
        """
        for i in reversed(range(len(self.sd))):
            estimate = denoise(x, int(self.times[i]))
            clean = clipped(estimate, self.x0_clip)
            x = float(self.to_x0[i]) * clean + float(self.to_x[i]) * x
            if self.to_excess is not None:
                x = x + float(self.to_excess[i]) * (clean - estimate)
            if self.sd[i]:
                x = x + float(self.sd[i]) * noise(i)
        return x

    def variance(self, v: ArrayLike) -> NDArray[Any]:
        """Variance φ(v) of the samples; see `Sampler`.

        Args:
            v: Variances >= 0 of the data, of any shape.

        Returns:
            φ(v), elementwise.

        Raises:
            ValueError: If x̂₀ is clipped: the steps are then not linear.
        """
        require_linear(self.x0_clip)
        v = np.asarray(v) + 0.0
        out = np.ones_like(v)
        for i in reversed(range(len(self.sd))):
            a = self.alphas_cumprod[i]
            gain = self.to_x0[i] * np.sqrt(a) * v / (a * v + 1 - a) + self.to_x[i]
            out = gain * gain * out + self.sd[i] ** 2
        return out


@dataclass(frozen=True)
class Ancestral:
    """DDPM's sampler: q(x_{t−1} | x_t, x₀) at x̂₀ for x₀; the last step adds no noise.

    Source: Ho et al. (2020), eqs. (6) and (7).

    Attributes:
        noise: Variance of a step. "large": β_t; "small": β̃_t = β_t (1−ᾱ_{t−1})/(1−ᾱ_t), that of
            q(x_{t−1} | x_t, x₀).
        x0_clip: Bound on the coordinates of x̂₀, > 0. None: no bound.
    """

    noise: Literal["large", "small"] = "large"
    x0_clip: float | None = None

    def over(self, alphas_cumprod: ArrayLike) -> StepSampler:
        """Coefficients of the sampler over a schedule.

        Args:
            alphas_cumprod: ᾱ, (steps,), each in (0, 1), not increasing.

        Returns:
            The sampler.

        Raises:
            ValueError: If the schedule is out of range.
        """
        after = require_schedule(alphas_cumprod)
        before = np.concatenate([[1.0], after[:-1]])
        alpha = after / before
        beta = 1 - alpha

        small = beta * (1 - before) / (1 - after)
        sd = np.sqrt({"large": beta, "small": small}[self.noise])
        sd[0] = 0

        return StepSampler(
            alphas_cumprod=after,
            times=np.arange(len(after)),
            to_x0=beta * np.sqrt(before) / (1 - after),
            to_x=np.sqrt(alpha) * (1 - before) / (1 - after),
            sd=sd,
            x0_clip=self.x0_clip,
        )


@dataclass(frozen=True)
class DDIM:
    """DDIM with η = 0, deterministic: √ᾱ_{t−1} x̂₀ + √(1−ᾱ_{t−1}) ε̂, where x_t = √ᾱ_t x̂₀ +
    √(1−ᾱ_t) ε̂.

    Where x̂₀ is clipped, ε̂ is computed from the clipped x̂₀: the rest of x_t counts as noise; or it
    stays as predicted.
    Source: Song et al. (2021), eq. (12).

    Attributes:
        steps: Number of steps, >= 2. None: every step of the schedule.
        spacing: Distance of the steps; see `spaced_times`.
        x0_clip: Bound on the coordinates of x̂₀, > 0. None: no bound.
        clipped_noise: Compute ε̂ from the clipped x̂₀; False: ε̂ as predicted.
    """

    steps: int | None = None
    spacing: Spacing = "linear"
    x0_clip: float | None = None
    clipped_noise: bool = True

    def over(self, alphas_cumprod: ArrayLike) -> StepSampler:
        """Coefficients of the sampler over a schedule.

        Args:
            alphas_cumprod: ᾱ, (T,), each in (0, 1), not increasing.

        Returns:
            The sampler.

        Raises:
            ValueError: If the schedule is out of range, or has fewer levels than `steps`.
        """
        levels = require_schedule(alphas_cumprod)
        times = np.arange(len(levels))
        if self.steps is not None:
            times = spaced_times(levels, self.steps, self.spacing)

        after = levels[times]
        before = np.concatenate([[1.0], after[:-1]])
        to_x = np.sqrt((1 - before) / (1 - after))

        return StepSampler(
            alphas_cumprod=after,
            times=times,
            to_x0=np.sqrt(before) - to_x * np.sqrt(after),
            to_x=to_x,
            sd=np.zeros_like(after),
            x0_clip=self.x0_clip,
            to_excess=None if self.clipped_noise else to_x * np.sqrt(after),
        )
