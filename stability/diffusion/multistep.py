"""Multistep samplers of the probability flow: DPM-Solver++(2M) and UniPC.

Points are x = a x₀ + b ε, and ℓ = log(a/b) grows along the way to the data. From s to t, with
h = ℓ_t − ℓ_s, the flow is

    x_t = (b_t/b_s) x_s + a_t ∫₀¹ h e^{−h(1−r)} x̂₀(ℓ_s + r h) dr.

A sampler puts a polynomial through known estimates for x̂₀ under the integral, so that a step of any
order costs one call of the denoiser. The last step goes to b = 0, where h is infinite, and ends at
x̂₀. `DPMSolver2M` and `UniPC` say which sampler is meant; `over` a schedule or `along` noise levels
they give its coefficients, a `MultistepSampler`, which draws samples and has φ(v) in closed form.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from stability.diffusion.clipping import clipped, require_linear
from stability.diffusion.sampler import Array
from stability.diffusion.schedules import require_levels, require_schedule

__all__ = ["DPMSolver2M", "MultistepSampler", "MultistepStep", "UniPC"]

NODES, WEIGHTS = np.polynomial.legendre.leggauss(32)
"""Gauss–Legendre rule on [−1, 1]: exact to rounding for the moments of a step."""


@dataclass(frozen=True)
class MultistepStep:
    """A step from x: first to to_x x + Σ predictor[j] x̂₀[j], where the denoiser is asked again;
    then, if it is corrected, to to_x x + Σ corrector[j] x̂₀[j] with that new estimate among them.

    Attributes:
        to_x: Factor of x.
        predictor: Factors of the estimates x̂₀ up to x, the newest first.
        corrector: Factors of the estimates up to the end of the step, the newest first. None: the
            step is not corrected.
    """

    to_x: float
    predictor: tuple[float, ...]
    corrector: tuple[float, ...] | None = None


@dataclass(frozen=True, eq=False)
class MultistepSampler:
    """A deterministic sampler with one call of the denoiser a step, which uses earlier estimates.

    It starts from `start` times x ~ N(0, I). At step i the point is taken as x = a_i x₀ + b_i ε.

    Attributes:
        start: Factor of the first point.
        times: Time input of the denoiser at each step: an index of the model's schedule, or a noise
            level; (steps,).
        signal: a_i, (steps,), > 0.
        noise: b_i, (steps,), > 0.
        steps: The steps, in the order of sampling.
        x0_clip: Each coordinate of x̂₀ is clipped to [−x0_clip, x0_clip]. None: not clipped.
    """

    start: float
    times: Sequence[int] | Sequence[float]
    signal: NDArray[np.float64]
    noise: NDArray[np.float64]
    steps: tuple[MultistepStep, ...]
    x0_clip: float | None = None

    @property
    def noises(self) -> list[int]:
        """The steps that add noise: none."""
        return []

    @property
    def evaluations(self) -> int:
        """Calls of the denoiser for one sample."""
        return len(self.steps)

    def sample(
        self, denoise: Callable[[Array, Any], Array], x: Array, noise: Callable[[int], Array]
    ) -> Array:
        """Draw samples.

        Args:
            denoise: Maps x and one of `times` to x̂₀.
            x: Draws of N(0, I), (n, …).
            noise: Never called; here as other samplers have it.

        Returns:
            The samples, like x.
        """

        def estimate(x: Array, i: int) -> Array:
            return clipped(denoise(x, self.times[i]), self.x0_clip)

        return self._run(estimate, self.start * x)

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
        a, b = self.signal, self.noise
        # every step is linear: the end of the path from 1 is the factor of all others
        gain = self._run(
            lambda x, i: a[i] * v / (a[i] ** 2 * v + b[i] ** 2) * x, self.start * np.ones_like(v)
        )
        return gain * gain

    def _run(self, estimate: Callable[[Array, int], Array], x: Array) -> Array:
        """Take all steps from x; `estimate` maps x and the number of a step to x̂₀."""
        known = [estimate(x, 0)]
        for i, step in enumerate(self.steps):
            ahead = _blend(x, step.to_x, known, step.predictor)
            if i + 1 < len(self.steps):
                known = [estimate(ahead, i + 1), *known[:3]]
                if step.corrector is not None:
                    ahead = _blend(x, step.to_x, known, step.corrector)
            x = ahead
        return x


@dataclass(frozen=True)
class DPMSolver2M:
    """DPM-Solver++(2M): x̂₀ is a line through the last two estimates.

    The first step and the last are of first order, as in k-diffusion.
    Source: Lu et al. (2022), "DPM-Solver++", Algorithm 2.

    Attributes:
        x0_clip: Bound on the coordinates of x̂₀, > 0. None: no bound.
    """

    x0_clip: float | None = None

    def over(self, alphas_cumprod: ArrayLike, times: ArrayLike | None = None) -> MultistepSampler:
        """Coefficients of the sampler over a schedule; see `UniPC.over`.

        Args:
            alphas_cumprod: ᾱ, (T,), each in (0, 1), not increasing.
            times: Indices into the schedule, (k,), not decreasing. None: all of them.

        Returns:
            The sampler.

        Raises:
            ValueError: If the schedule is out of range.
        """
        return _over(alphas_cumprod, times, 2, False, self.x0_clip)

    def along(self, noise_levels: ArrayLike) -> MultistepSampler:
        """Coefficients of the sampler along noise levels; see `UniPC.along`.

        Args:
            noise_levels: σ_i, (steps,), decreasing, > 0.

        Returns:
            The sampler.

        Raises:
            ValueError: If the levels are out of range.
        """
        return _along(noise_levels, 2, False, self.x0_clip)


@dataclass(frozen=True)
class UniPC:
    """UniPC with B₂: a polynomial through the last `order` estimates predicts, and one through the
    estimate at the end of the step too corrects.

    The order rises from 1 at the first steps and falls to 1 at the last ones, as in the official
    code, where the last step is not corrected.
    Source: Zhao et al. (2023), "UniPC", Algorithms 5 to 8.

    Attributes:
        order: Order of the predictor, 1 to 3; that of the corrector is one more. With 3 a sampler
            of few steps is far off, and one of many is better than with 2.
        x0_clip: Bound on the coordinates of x̂₀, > 0. None: no bound.
    """

    order: Literal[1, 2, 3] = 2
    x0_clip: float | None = None

    def __post_init__(self) -> None:
        if self.order not in (1, 2, 3):
            raise ValueError(f"order must be 1, 2 or 3, got {self.order}")

    def over(self, alphas_cumprod: ArrayLike, times: ArrayLike | None = None) -> MultistepSampler:
        """Coefficients of the sampler over a schedule.

        Args:
            alphas_cumprod: ᾱ, (T,), each in (0, 1), not increasing.
            times: Indices into the schedule where the denoiser is called, (k,), not decreasing.
                None: all of them. Levels that repeat are one step.

        Returns:
            The sampler.

        Raises:
            ValueError: If the schedule is out of range.
        """
        return _over(alphas_cumprod, times, self.order, True, self.x0_clip)

    def along(self, noise_levels: ArrayLike) -> MultistepSampler:
        """Coefficients of the sampler for x = x₀ + σ ε.

        Args:
            noise_levels: σ_i, (steps,), decreasing, > 0.

        Returns:
            The sampler.

        Raises:
            ValueError: If the levels are out of range.
        """
        return _along(noise_levels, self.order, True, self.x0_clip)


def _over(
    alphas_cumprod: ArrayLike,
    times: ArrayLike | None,
    order: int,
    corrected: bool,
    x0_clip: float | None,
) -> MultistepSampler:
    """Along a variance-preserving schedule, backwards, from x ~ N(0, I)."""
    levels = require_schedule(alphas_cumprod)
    chosen = np.arange(len(levels)) if times is None else np.asarray(times)
    # of equal levels one is a step
    _, first = np.unique(-levels[chosen], return_index=True)
    down = chosen[first][::-1]
    kept = levels[down]

    signal, noise = np.sqrt(kept), np.sqrt(1 - kept)
    steps = _steps(signal, noise, order, corrected)
    return MultistepSampler(1.0, down.tolist(), signal, noise, steps, x0_clip)


def _along(
    noise_levels: ArrayLike, order: int, corrected: bool, x0_clip: float | None
) -> MultistepSampler:
    """Along noise levels, from x ~ N(0, σ₀² I)."""
    noise = require_levels(noise_levels)
    signal = np.ones_like(noise)
    steps = _steps(signal, noise, order, corrected)
    return MultistepSampler(float(noise[0]), noise.tolist(), signal, noise, steps, x0_clip)


def _steps(
    signal: NDArray[np.float64], noise: NDArray[np.float64], order: int, corrected: bool
) -> tuple[MultistepStep, ...]:
    """The steps between the levels (a_i, b_i), and the last one to x̂₀."""
    log_ratio = np.log(signal / noise)
    steps = []
    for i in range(len(signal) - 1):
        near_the_ends = min(order, i + 1, len(signal) - i)
        h = log_ratio[i + 1] - log_ratio[i]
        back = (log_ratio[i - near_the_ends + 1 : i][::-1] - log_ratio[i]) / h  # -1 and below
        whole = signal[i + 1] * -np.expm1(-h)

        predictor = whole * _weights(h, back)
        corrector = None
        if corrected:
            # the estimate at the end of the step comes first
            newest = np.concatenate([back, [1.0]])
            own, *rest = whole * _weights(h, newest)
            corrector = (float(rest[-1]), float(own), *map(float, rest[:-1]))
        to_x = float(noise[i + 1] / noise[i])
        steps.append(MultistepStep(to_x, tuple(map(float, predictor)), corrector))
    return (*steps, MultistepStep(0.0, (1.0,)))


def _weights(h: float, places: NDArray[np.float64]) -> NDArray[np.float64]:
    """Weights of the estimates at the start of a step, and at `places` of it, with sum 1.

    The mean of r^k over the step, with density ∝ e^{−h(1−r)}, is met for k = 1, 2, …; with one
    other estimate it is taken as ½ instead, which has the same order.
    """
    if not len(places):
        return np.ones(1)

    powers = np.arange(1, len(places) + 1)
    if len(places) == 1:
        factors = np.array([0.5])
    else:
        r = (1 + NODES) / 2
        density = WEIGHTS * np.exp(-h * (1 - r))
        means = (density * r ** powers[:, None]).sum(axis=1) / density.sum()
        factors = np.linalg.solve(places ** (powers[:, None] - 1), means)
    slopes = factors / places
    return np.concatenate([[1 - slopes.sum()], slopes])


def _blend(x: Array, to_x: float, known: Sequence[Array], factors: Sequence[float]) -> Array:
    """Compute to_x x + Σ factors[j] known[j]."""
    total = to_x * x
    for factor, clean in zip(factors, known[: len(factors)], strict=True):
        total = total + factor * clean
    return total
