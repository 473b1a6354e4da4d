"""S9: with a perfect learner the sampler decides whether a diffusion loop shrinks or spreads.

Fixed-small DDPM, DDIM and Euler's method for a flow collapse from every width. Fixed-large DDPM,
Heun's method, DPM-Solver++(2M) and UniPC collapse below a width and spread above it. Path noise in
flow matching is a floor. Mixed with real data the bias is bounded, and the loop is stable where it
settles; for large λ it can have a second stable width. See `width_map`.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.integrate import quad
from scipy.stats import chi2
from torch import Tensor

from stability.diffusion.flow import Dopri5, Flow
from stability.diffusion.heun import Heun
from stability.diffusion.multistep import MultistepSampler
from stability.diffusion.sampler import Sampler
from stability.diffusion.step_samplers import StepSampler
from stability.diffusion.width_map import SAMPLERS, fixed_points, folds, limit, slope
from stability.statements.claim import ERROR_RATE, Claim
from stability.statements.mutation import Mutation, instead
from stability.statements.verdict import Verdict

__all__ = ["GRID", "MUTATIONS", "check", "posterior"]

_claim = partial(
    Claim,
    source="own result S9",
    no_evidence="Trained models: they have errors of their own, often larger than the sampler's.",
)

STEPS = _claim(
    id="S9, steps",
    words="a step draws from the law of x_{t−1} given x_t and x̂₀ (its variance: β_t, if large)",
    relation="==",
    falsified_by="A coefficient that Bayes' rule on the forward chain does not give.",
)
WIDTH_MAP = _claim(
    id="S9, width map",
    words="with the exact denoiser of N(0, v) the samples have variance φ(v)",
    relation="==",
    falsified_by="A variance of particles outside the interval that χ² allows.",
    error_rate=ERROR_RATE,
)
COLLAPSE_AT_ZERO = _claim(
    id="S9, small widths",
    words="φ(v) = O(v²) at 0: narrow enough, the loop collapses",
    relation="==",
    falsified_by="A sampler without path noise with another order at 0.",
)
FLOOR = _claim(
    id="S9, small widths, path noise",
    words="φ(0) > 0: path noise is a floor",
    relation="==",
    falsified_by="A sampler with path noise whose φ vanishes at 0.",
)
COLLAPSES = _claim(
    id="S9, fully synthetic, collapse",
    words="φ(v) < v: collapse from every width",
    relation="<",
    falsified_by="A width that does not shrink.",
)
ONE_END = _claim(
    id="S9, fully synthetic, one width",
    words="one fixed point, stable",
    relation="<",
    falsified_by="A slope of 1 or more at the fixed point.",
)
THRESHOLD = _claim(
    id="S9, fully synthetic, threshold",
    words="below the smaller fixed point collapse, above it spreading up to the larger",
    relation=">",
    falsified_by="A slope of 1 or less at the threshold.",
)
MIXED = _claim(
    id="S9, mixed loop",
    words="λφ'(v)/(1+λ) < 1 at the fixed point that the loop reaches from the real data's width",
    relation="<",
    falsified_by="A λ at which the loop settles where the slope is 1 or more.",
)
FOLDS = _claim(
    id="S9, second stable width",
    words="one fixed point below a fold where two appear, three above it",
    relation="==",
    falsified_by="Another number of sign changes near a fold.",
)

GRID: tuple[dict[str, Any], ...] = tuple({"sampler": name} for name in SAMPLERS)


def check(
    sampler: str,
    rng: np.random.Generator,
    s0: Sequence[float] = (0.02, 0.1),
    lam: Sequence[float] = (1.0, 10.0),
    particles: int = 20_000,
    false_alarm: float = 1e-6,
) -> list[Verdict]:
    """φ against particles, what the sampler does to small widths and to all, and where the mixed
    loop settles.

    Args:
        sampler: A name in `SAMPLERS`.
        rng: Source of all draws.
        s0: Standard deviations of the real data, > 0.
        lam: Finite, > 0.
        particles: Of the simulation.
        false_alarm: Of each verdict that simulates; the others have no randomness.

    Returns:
        The verdicts.
    """
    map_ = SAMPLERS[sampler]
    return [
        *([_steps(sampler, map_)] if isinstance(map_, StepSampler) else []),
        *(_closed_form(sampler, map_, s, rng, particles, false_alarm) for s in s0),
        _at_zero(sampler, map_),
        _direction(sampler, map_),
        *(_settles(sampler, map_, s, value) for s in s0 for value in lam),
        *(verdict for s in s0 for verdict in _bistable(sampler, map_, s)),
    ]


_LARGE = {"sampler": "DDPM 100, fixed-large"}
_NOISY = {"sampler": "flow, exact, σ = 0.1"}
_HERE = "stability.statements.sampler_bias"
_MAP = "stability.diffusion.width_map"
_STEPS = "stability.diffusion.step_samplers.StepSampler"


def _fixed_small(right: Callable[..., Any]) -> Callable[..., Any]:
    small = SAMPLERS["DDPM 100, fixed-small"]
    return lambda sampler, v: right(small, v)


def _another_end(right: Callable[..., Any]) -> Callable[..., Any]:
    """The loop said to settle at the unstable end, where there are three."""

    def end(sampler: Sampler, v0: float, lam: float) -> float:
        points = fixed_points(sampler, v0, lam)
        return points[len(points) // 2].variance

    return end


def _moved_folds(right: Callable[..., Any]) -> Callable[..., Any]:
    return lambda sampler, v0: [replace(fold, lam=2 * fold.lam) for fold in right(sampler, v0)]


MUTATIONS = (
    Mutation(
        STEPS,
        f"{_HERE}.posterior",
        "β_t of the step before",
        _LARGE,
        lambda right: lambda before, after, large: right(before**1.1, after, large),
    ),
    Mutation(WIDTH_MAP, f"{_HERE}.width", "fixed-small for fixed-large", _LARGE, _fixed_small),
    Mutation(
        WIDTH_MAP,
        f"{_HERE}.width",
        "path noise forgotten",
        _NOISY,
        lambda right: lambda sampler, v: right(Flow(Dopri5()), v),
    ),
    Mutation(
        COLLAPSE_AT_ZERO,
        f"{_HERE}.order_at_zero",
        "φ = O(v)",
        {"sampler": "DDIM 100"},
        instead(lambda sampler: 1.0),
    ),
    Mutation(
        FLOOR,
        f"{_HERE}.order_at_zero",
        "path noise forgotten",
        _NOISY,
        instead(lambda sampler: 2.0),
    ),
    Mutation(
        COLLAPSES,
        f"{_MAP}.fixed_points",
        "no fixed point seen",
        _LARGE,
        lambda right: lambda sampler, v0, lam: right(sampler, v0, lam) if lam < math.inf else [],
    ),
    Mutation(
        ONE_END,
        f"{_MAP}.fixed_points",
        "the threshold alone",
        _LARGE,
        lambda right: lambda sampler, v0, lam: right(sampler, v0, lam)[:1],
    ),
    Mutation(
        THRESHOLD,
        f"{_MAP}.fixed_points",
        "the ends in another order",
        _LARGE,
        lambda right: lambda sampler, v0, lam: right(sampler, v0, lam)[::-1],
    ),
    Mutation(
        MIXED,
        f"{_MAP}.limit",
        "the unstable end",
        {**_LARGE, "s0": (0.1,), "lam": (190.0,)},
        _another_end,
    ),
    Mutation(FOLDS, f"{_MAP}.folds", "twice λ", {**_LARGE, "s0": (0.1,)}, _moved_folds),
)
"""Slips, and the claim that each must break."""


def posterior(before: float, after: float, large: bool) -> tuple[float, float, float]:
    """Factors of x̂₀ and of x_t in the mean of x_{t−1}, and its variance, by Bayes' rule.

    The forward chain is x_{t−1} = √before x₀ + √(1 − before) ε, x_t = √(after/before) x_{t−1} +
    √(1 − after/before) ε'. Its two Gaussian factors in x_{t−1} are multiplied, precision by
    precision.

    Args:
        before: ᾱ_{t−1}, in (0, 1).
        after: ᾱ_t.
        large: Whether the variance is β_t instead.

    Returns:
        Factor of x̂₀, factor of x_t, variance.
    """
    alpha = after / before
    from_start, from_end = 1 / (1 - before), alpha / (1 - alpha)
    variance = 1 / (from_start + from_end)
    mean = variance * from_start * math.sqrt(before), variance * from_end / math.sqrt(alpha)
    return *mean, (1 - alpha) if large else variance


def _steps(name: str, sampler: StepSampler) -> Verdict:
    """The coefficients of every step but the last, the farthest off."""
    after = sampler.alphas_cumprod
    deterministic = not sampler.sd.any()
    off = 0.0
    for i in range(1, len(after)):
        if deterministic:
            # x_t = √ᾱ_t x̂₀ + √(1−ᾱ_t) ε̂: what a step makes of x̂₀ alone, and of ε̂ alone
            seen = (
                sampler.to_x0[i] + sampler.to_x[i] * math.sqrt(after[i]),
                sampler.to_x[i] * math.sqrt(1 - after[i]),
                0.0,
            )
            stated = math.sqrt(after[i - 1]), math.sqrt(1 - after[i - 1]), 0.0
        else:
            seen = sampler.to_x0[i], sampler.to_x[i], sampler.sd[i] ** 2
            stated = posterior(float(after[i - 1]), float(after[i]), large="large" in name)
        gaps = (
            abs(one / two - 1) if two else abs(one) for one, two in zip(seen, stated, strict=True)
        )
        off = max(off, *gaps)
    return STEPS.verdict(
        name,
        measured=float(off),
        claimed=0.0,
        tolerance=1e-9,
        scale=1.0,
        method=f"{len(after) - 1} steps, the largest relative difference; tolerance: rounding"
        + ("; DDIM: what becomes of x̂₀ and of ε̂" if deterministic else ""),
    )


def width(sampler: Sampler, v: float) -> float:
    """φ(v) in closed form.

    Args:
        sampler: The sampler.
        v: Variance of its training set, >= 0.

    Returns:
        Variance of its samples.
    """
    return float(sampler.variance(v))


def _closed_form(
    name: str,
    sampler: Sampler,
    s0: float,
    rng: np.random.Generator,
    particles: int,
    false_alarm: float,
) -> Verdict:
    v = s0**2
    claimed = width(sampler, v)
    if isinstance(sampler, Flow) and isinstance(sampler.integrator, Dopri5):
        growth, _ = quad(
            lambda t: float(2 * sampler.velocity(v, t)),
            0,
            1,
            points=(1 - sampler.sigma,),
            epsabs=1e-12,
        )
        measured, tolerance, false_alarm = math.exp(growth), 1e-9, 0.0
        method = "quadrature of the ODE; tolerance: of the quadrature"
    else:
        measured = float(np.mean(_simulate(sampler, v, particles, rng) ** 2))
        # the particles are independent normals: their sum of squares over φ is χ²
        tail = chi2.isf([false_alarm / 2, 1 - false_alarm / 2], particles) / particles - 1
        tolerance = float(np.abs(tail).max() * claimed)
        method = (
            f"simulation with the exact denoiser, {particles} particles; tolerance: quantile of χ²"
        )
    return WIDTH_MAP.verdict(
        f"{name}, √v = {s0:g}",
        measured=measured,
        claimed=claimed,
        tolerance=tolerance,
        method=method,
        false_alarm=false_alarm,
    )


def _simulate(
    sampler: Sampler, v: float, particles: int, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Draws of the sampler with the exact denoiser of N(0, v): (particles,)."""
    x = rng.standard_normal(particles)

    def noise(step: int) -> NDArray[np.float64]:
        return rng.standard_normal(particles)

    if isinstance(sampler, StepSampler):
        a = sampler.alphas_cumprod
        return sampler.sample(lambda x, i: np.sqrt(a[i]) * v / (a[i] * v + 1 - a[i]) * x, x, noise)
    if isinstance(sampler, MultistepSampler):
        # what the denoiser is told is enough to know the level
        level = dict(
            zip(sampler.times, zip(sampler.signal, sampler.noise, strict=True), strict=True)
        )

        def multistep(x: NDArray[np.float64], at: float) -> NDArray[np.float64]:
            signal, spread = level[at]
            return signal * v / (signal**2 * v + spread**2) * x

        return sampler.sample(multistep, x, noise)
    if isinstance(sampler, Heun):
        return sampler.sample(lambda x, sigma: v / (v + sigma**2) * x, x, noise)
    if isinstance(sampler, Flow):

        def velocity(t: Tensor, x: Tensor) -> Tensor:
            return float(sampler.velocity(v, float(t[0]))) * x

        return sampler.integrator.sample(velocity, torch.from_numpy(x)).numpy()
    raise TypeError(f"no simulation of {sampler}")


def order_at_zero(sampler: Sampler) -> float:
    """The power of v that φ(v) is of at 0: 0 with path noise, else 2.

    Args:
        sampler: The sampler.

    Returns:
        The power, 0 or 2.
    """
    return 0.0 if isinstance(sampler, Flow) and sampler.sigma > 0 else 2.0


def _at_zero(name: str, sampler: Sampler) -> Verdict:
    v, noisy = 1e-12, isinstance(sampler, Flow) and sampler.sigma > 0
    return (FLOOR if noisy else COLLAPSE_AT_ZERO).verdict(
        name,
        measured=float(v * slope(sampler, v) / sampler.variance(v)),
        claimed=order_at_zero(sampler),
        tolerance=1e-5,
        scale=1.0,
        method="d log φ/d log v at √v = 1e-6; tolerance: O(v over the smallest noise variance)",
    )


def _direction(name: str, sampler: Sampler) -> Verdict:
    ends = fixed_points(sampler, 1.0, math.inf)
    widths = [math.sqrt(point.variance) for point in ends]
    if not ends:
        grid = np.geomspace(1e-12, 1e12, 4801)
        return COLLAPSES.verdict(
            name,
            measured=float((sampler.variance(grid) / grid).max()),
            claimed=1.0,
            method="the largest φ(v)/v for √v in 1e-6 … 1e6",
        )
    if len(ends) == 1:
        return ONE_END.verdict(
            name,
            measured=ends[0].slope,
            claimed=1.0,
            method="φ' at the fixed point",
            note=f"sd {widths[0]:.4f}",
        )

    return THRESHOLD.verdict(
        name,
        measured=ends[0].slope,
        claimed=1.0,
        method="φ' at the threshold",
        note=f"below sd {widths[0]:.4f} collapse, above it spreading up to sd {widths[1]:.4f}",
    )


def _settles(name: str, sampler: Sampler, s0: float, lam: float) -> Verdict:
    settled = limit(sampler, s0**2, lam)
    points = fixed_points(sampler, s0**2, lam)
    point = min(points, key=lambda p: abs(p.variance - settled))
    return MIXED.verdict(
        f"{name}, √v₀ = {s0:g}, λ = {lam:g}",
        measured=point.slope,
        claimed=1.0,
        method="root of f(v) = v, derivative by a complex step",
        note=f"sd {math.sqrt(point.variance):.4f}, {100 * (point.variance / s0**2 - 1):+.1f} % in "
        "variance",
    )


def _bistable(name: str, sampler: Sampler, s0: float) -> list[Verdict]:
    """Fixed points just below and just above the λ of each fold.

    Where two appear as λ grows there is one below and three above; where two vanish, three below
    and one above.
    """
    verdicts = []
    for fold in folds(sampler, s0**2):
        for factor, count in ((0.99, 1), (1.01, 3)) if fold.appear else ((0.99, 3), (1.01, 1)):
            lam = factor * fold.lam
            verdicts.append(
                FOLDS.verdict(
                    f"{name}, √v₀ = {s0:g}, λ = {lam:.4g}",
                    measured=len(fixed_points(sampler, s0**2, lam)),
                    claimed=count,
                    method="sign changes of f(v) − v, 200 points a decade",
                    note=f"fold at λ = {fold.lam:.4g}, sd {math.sqrt(fold.variance):.4f}",
                )
            )
    return verdicts
