"""S9: with a perfect learner the sampler decides whether a diffusion loop shrinks or spreads.

Fixed-small DDPM, DDIM and Euler's method for a flow collapse from every width. Fixed-large DDPM and
Heun's method collapse below a width and spread above it. Path noise in flow matching is a floor.
Mixed with real data the bias is bounded, and the loop is stable where it settles; for large λ it
can have a second stable width. See `width_map`.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.integrate import quad
from scipy.stats import chi2
from torch import Tensor

from stability.diffusion.flow import Dopri5, Flow
from stability.diffusion.heun import Heun
from stability.diffusion.sampler import Sampler
from stability.diffusion.step_samplers import StepSampler
from stability.diffusion.width_map import SAMPLERS, Fold, fixed_points, folds, limit, slope
from stability.statements.verdict import Relation, Verdict, compare

__all__ = ["GRID", "check", "controls"]

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
        s0: Standard deviations of the real data, > 0.
        lam: Finite, > 0.
        particles: Of the simulation.
        false_alarm: Of each verdict that simulates; the others have no randomness.
    """
    map_ = SAMPLERS[sampler]
    return [
        *(_closed_form(sampler, map_, map_, s, rng, particles, false_alarm) for s in s0),
        _at_zero(sampler, map_),
        _direction(sampler, map_),
        *(_settles(sampler, map_, s, value) for s in s0 for value in lam),
        *(verdict for s in s0 for verdict in _bistable(sampler, map_, s)),
    ]


def controls(rng: np.random.Generator) -> list[Verdict]:
    """Each claim where it is false: each is `violated`."""
    large, small, noisy = (
        SAMPLERS[name]
        for name in ("DDPM 100, fixed-large", "DDPM 100, fixed-small", "flow, exact, σ = 0.1")
    )
    (fold,) = folds(large, 0.1**2)
    return [
        _closed_form("fixed-small for fixed-large", large, small, 0.1, rng, 20_000, 1e-6),
        _closed_form("path noise forgotten", Flow(Dopri5()), noisy, 0.1, rng, 20_000, 1e-6),
        _at_zero("path noise forgotten", noisy, order=2.0),
        _direction("fixed-large said to shrink", large, shrinks=True),
        _settles("the unstable end", large, 0.1, 2 * fold.lam, at=1),
        _bistable("twice the fold's λ for below it", large, 0.1, scale=2.0)[0],
        _bistable("half the fold's λ for above it", large, 0.1, scale=0.5)[1],
    ]


def _closed_form(
    name: str,
    truth: Sampler,
    sampler: Sampler,
    s0: float,
    rng: np.random.Generator,
    particles: int,
    false_alarm: float,
) -> Verdict:
    v = s0**2
    if isinstance(sampler, Flow) and isinstance(sampler.integrator, Dopri5):
        growth, _ = quad(
            lambda t: float(2 * sampler.velocity(v, t)),
            0,
            1,
            points=(1 - sampler.sigma,),
            epsabs=1e-12,
        )
        measured, tolerance, method = (
            math.exp(growth),
            1e-9,
            "quadrature of the ODE; tolerance: of the quadrature",
        )
        false_alarm = 0.0
    else:
        measured = float(np.mean(_simulate(sampler, v, particles, rng) ** 2))
        # the particles are independent normals: their sum of squares over φ is χ²
        tail = chi2.isf([false_alarm / 2, 1 - false_alarm / 2], particles) / particles - 1
        tolerance = float(np.abs(tail).max() * truth.variance(v))
        method = (
            f"simulation with the exact denoiser, {particles} particles; tolerance: quantile of χ²"
        )
    stated = float(truth.variance(v))
    return Verdict(
        claim="S9, width map",
        words="with the exact denoiser of N(0, v) the samples have variance φ(v)",
        instance=f"{name}, √v = {s0:g}",
        measured=measured,
        relation="==",
        stated=stated,
        status=compare(measured, "==", stated, tolerance),
        method=method,
        tolerance=tolerance,
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
    if isinstance(sampler, Heun):
        return sampler.sample(lambda x, sigma: v / (v + sigma**2) * x, x, noise)
    if isinstance(sampler, Flow):

        def velocity(t: Tensor, x: Tensor) -> Tensor:
            return float(sampler.velocity(v, float(t[0]))) * x

        return sampler.integrator.sample(velocity, torch.from_numpy(x)).numpy()
    raise TypeError(f"no simulation of {sampler}")


def _at_zero(name: str, sampler: Sampler, order: float | None = None) -> Verdict:
    v, tolerance = 1e-12, 1e-5
    floor = isinstance(sampler, Flow) and sampler.sigma > 0
    stated = (0.0 if floor else 2.0) if order is None else order
    measured = float(v * slope(sampler, v) / sampler.variance(v))
    return Verdict(
        claim="S9, small widths",
        words="φ(0) > 0: path noise is a floor"
        if floor
        else "φ(v) = O(v²) at 0: narrow enough, the loop collapses",
        instance=name,
        measured=measured,
        relation="==",
        stated=stated,
        status=compare(measured, "==", stated, tolerance),
        method="d log φ/d log v at √v = 1e-6; tolerance: O(v over the smallest noise variance)",
        tolerance=tolerance,
    )


def _direction(name: str, sampler: Sampler, shrinks: bool = False) -> Verdict:
    ends = [] if shrinks else fixed_points(sampler, 1.0, math.inf)
    widths = [math.sqrt(point.variance) for point in ends]
    relation: Relation = "<"
    if not ends:
        grid = np.geomspace(1e-12, 1e12, 4801)
        measured = float((sampler.variance(grid) / grid).max())
        words, method = (
            "φ(v) < v: collapse from every width",
            "the largest φ(v)/v for √v in 1e-6 … 1e6",
        )
    elif len(ends) == 1:
        measured = ends[0].slope
        words, method = f"one fixed point, sd {widths[0]:.4f}, stable", "φ' at the fixed point"
    else:
        measured, relation = ends[0].slope, ">"
        words = f"below sd {widths[0]:.4f} collapse, above it spreading up to sd {widths[1]:.4f}"
        method = "φ' at the threshold"
    return Verdict(
        claim="S9, fully synthetic",
        words=words,
        instance=name,
        measured=measured,
        relation=relation,
        stated=1.0,
        status=compare(measured, relation, 1.0),
        method=method,
    )


def _settles(name: str, sampler: Sampler, s0: float, lam: float, at: int | None = None) -> Verdict:
    points = fixed_points(sampler, s0**2, lam)
    settled = limit(sampler, s0**2, lam)
    point = min(points, key=lambda p: abs(p.variance - settled)) if at is None else points[at]
    return Verdict(
        claim="S9, mixed loop",
        words="λφ'(v)/(1+λ) < 1 at the fixed point that the loop reaches from the real data's "
        "width",
        instance=f"{name}, √v₀ = {s0:g}, λ = {lam:g}",
        measured=point.slope,
        relation="<",
        stated=1.0,
        status=compare(point.slope, "<", 1.0),
        method="root of f(v) = v, derivative by a complex step",
        note=f"sd {math.sqrt(point.variance):.4f}, {100 * (point.variance / s0**2 - 1):+.1f} % in "
        "variance",
    )


def _bistable(name: str, sampler: Sampler, s0: float, scale: float = 1.0) -> list[Verdict]:
    """One fixed point just below the λ of a fold, three just above it. scale: of λ, spoils it."""
    return [
        _count(name, sampler, s0, scale * factor * fold.lam, stated, fold)
        for fold in folds(sampler, s0**2)
        for factor, stated in ((0.99, 1), (1.01, 3))
    ]


def _count(name: str, sampler: Sampler, s0: float, lam: float, stated: int, fold: Fold) -> Verdict:
    measured = len(fixed_points(sampler, s0**2, lam))
    return Verdict(
        claim="S9, second stable width",
        words="below a fold there is one fixed point"
        if stated == 1
        else "above a fold there are three fixed points",
        instance=f"{name}, √v₀ = {s0:g}, λ = {lam:.4g}",
        measured=measured,
        relation="==",
        stated=stated,
        status=compare(measured, "==", stated),
        method="sign changes of f(v) − v, 200 points a decade",
        note=f"fold at λ = {fold.lam:.4g}, sd {math.sqrt(fold.variance):.4f}",
    )
