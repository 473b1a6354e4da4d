"""The width map: what retraining on its own samples does to a perfect diffusion or flow model
(theory S9).

Data N(0, v₀), no learning error, infinitely many samples: the sampler alone turns variance v into
φ(v). The loop is

    v_{t+1} = f(v_t) = (v₀ + λ φ(v_t))/(1+λ),    and φ(v_t) if fully synthetic (λ = ∞).

φ increases, so the loop moves from v₀ to the next fixed point on its side, without overshooting.
Since f(v) = v is λ = (v − v₀)/(φ(v) − v), the fixed points for all λ lie on one curve, drawn
without solving anything. Where it turns back (a fold) two of them are born together, and the loop
depends on where it starts. The proofs are in docs/theory/width-map.md.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import brentq

from stability.diffusion.flow import Dopri5, Euler, Flow
from stability.diffusion.heun import Heun
from stability.diffusion.multistep import DPMSolver2M, UniPC
from stability.diffusion.sampler import Sampler
from stability.diffusion.schedules import (
    edm_noise_levels,
    linear_alphas_cumprod,
    spaced_times,
)
from stability.diffusion.step_samplers import DDIM, Ancestral

__all__ = [
    "SAMPLERS",
    "FixedPoint",
    "Fold",
    "fixed_points",
    "folds",
    "lam_of_fixed_point",
    "limit",
    "orbit",
    "slope",
]

_DDPM_100 = linear_alphas_cumprod()
_DDPM_1000 = linear_alphas_cumprod(1000, 1e-4, 0.02)
_TWENTY = spaced_times(_DDPM_1000, 20, "logsnr")

SAMPLERS: Mapping[str, Sampler] = {
    "DDPM 100, fixed-large": Ancestral("large").over(_DDPM_100),
    "DDPM 100, fixed-small": Ancestral("small").over(_DDPM_100),
    "DDIM 100": DDIM().over(_DDPM_100),
    "DDPM 1000, fixed-large": Ancestral("large").over(_DDPM_1000),
    "DDPM 1000, fixed-small": Ancestral("small").over(_DDPM_1000),
    "DDIM 1000": DDIM().over(_DDPM_1000),
    "EDM Heun 10": Heun(edm_noise_levels(10)),
    "EDM Heun 18": Heun(edm_noise_levels(18)),
    "EDM Heun 40": Heun(edm_noise_levels(40)),
    "EDM DPM-Solver++(2M) 18": DPMSolver2M().along(edm_noise_levels(18)),
    "EDM UniPC 18": UniPC().along(edm_noise_levels(18)),
    "DDPM 1000, DPM-Solver++(2M) 20": DPMSolver2M().over(_DDPM_1000, _TWENTY),
    "DDPM 1000, UniPC 20": UniPC().over(_DDPM_1000, _TWENTY),
    "flow, Euler 99": Flow(Euler(99)),
    "flow, Euler 99, σ = 0.1": Flow(Euler(99), sigma=0.1),
    "flow, exact, σ = 0.1": Flow(Dopri5(), sigma=0.1),
}
"""T = 100, β 1e-3 … 0.2 (2-D script of ddpm-torch) and T = 1000, β 1e-4 … 0.02 (CIFAR-10); EDM σ
0.002 … 80, ρ = 7."""

_SMALLEST, _LARGEST = 1e-12, 1e12  # variances; a width below 1e-6 counts as collapsed
_GRID = np.geomspace(_SMALLEST, _LARGEST, 1 + 24 * 200)  # 200 a decade
_ROUNDING = np.float64(1e-13)  # relative; of a thousand steps


@dataclass(frozen=True)
class FixedPoint:
    """A fixed point of the loop.

    Attributes:
        variance: v with f(v) = v.
        slope: f'(v) = λφ'(v)/(1+λ).
    """

    variance: float
    slope: float

    @property
    def stable(self) -> bool:
        """True if the loop returns to it: |f'(v)| < 1."""
        return abs(self.slope) < 1


@dataclass(frozen=True)
class Fold:
    """Two fixed points meet at `lam` and `variance`: as λ grows they vanish there, or appear
    there (`appear`).
    """

    lam: float
    variance: float
    appear: bool


def slope(sampler: Sampler, v: ArrayLike) -> NDArray[np.float64]:
    """φ'(v), elementwise, to rounding: the imaginary part of φ(v + ih)/h.

    Args:
        sampler: Sampler with the map φ.
        v: Variances, any shape, > 0.

    Returns:
        φ'(v), of the same shape.
    """
    v = np.asarray(v, dtype=float)
    h = 1e-30 * v
    return np.imag(sampler.variance(v + 1j * h)) / h


def orbit(
    sampler: Sampler, v0: ArrayLike, lam: float, generations: int, start: ArrayLike | None = None
) -> NDArray[np.float64]:
    """v_0 … v_T of the loop, elementwise in the variance of the real data.

    Args:
        sampler: Sampler with the map φ.
        v0: Variance of the real data, any shape, > 0.
        lam: Synthetic points per real point, >= 0 or inf.
        generations: T, number of retrainings, >= 0.
        start: Variance of the first model, of a shape that broadcasts to that of `v0`; default v0.

    Returns:
        (T + 1, …).

    Raises:
        ValueError: If `lam` is negative.
    """
    real = np.asarray(v0, dtype=float)
    path = [np.broadcast_to(real if start is None else np.asarray(start, dtype=float), real.shape)]
    for _ in range(generations):
        path.append(_mix(real, sampler.variance(path[-1]), lam))
    return np.stack(path)


def _mix(real: ArrayLike, synthetic: ArrayLike, lam: float) -> NDArray[np.float64]:
    """Variance of real and synthetic points together, of equal means."""
    if not lam >= 0:
        raise ValueError(f"lam must be >= 0 or inf, got {lam}")
    share = 1.0 if math.isinf(lam) else lam / (1 + lam)
    return np.asarray((1 - share) * np.asarray(real) + share * np.asarray(synthetic))


def fixed_points(sampler: Sampler, v0: float, lam: float) -> list[FixedPoint]:
    """All v with (v₀ + λφ(v))/(1+λ) = v, increasing, between standard deviations 1e-6 and 1e6.

    Two that are closer than 1/200 of a decade can be missed; where φ is the identity there are none
    apart.

    Args:
        sampler: Sampler with the map φ.
        v0: Variance of the real data, > 0.
        lam: >= 0 or inf, where 0 is a fixed point of every φ with φ(0) = 0 and is not listed.

    Returns:
        The fixed points, with their slopes.

    Raises:
        ValueError: If `lam` is negative.
    """

    def gap(v: Any) -> Any:
        return _mix(v0, sampler.variance(v), lam) - v

    share = 1.0 if math.isinf(lam) else lam / (1 + lam)
    return [FixedPoint(v, share * float(slope(sampler, v))) for v in _roots(gap)]


def limit(sampler: Sampler, v0: float, lam: float, start: float | None = None) -> float:
    """lim v_t from a start: the next fixed point in the direction of the first step.

    By monotonicity it is stable, or λ is at a fold.

    Args:
        sampler: Sampler with the map φ.
        v0: Variance of the real data, > 0.
        lam: Synthetic points per real point, >= 0 or inf.
        start: Variance of the first model, > 0; default v₀.

    Returns:
        The variance; 0 if collapsed, inf if it grows without a bound.

    Raises:
        ValueError: If `lam` is negative.
    """
    begin = v0 if start is None else start
    step = float(_mix(v0, sampler.variance(begin), lam)) - begin
    if abs(step) <= _ROUNDING * begin:
        return begin
    found = [point.variance for point in fixed_points(sampler, v0, lam)]
    ahead = [v for v in found if (v > begin if step > 0 else v < begin)]
    if not ahead:
        return math.inf if step > 0 else 0.0
    return min(ahead) if step > 0 else max(ahead)


def lam_of_fixed_point(sampler: Sampler, v0: float, v: ArrayLike) -> NDArray[np.float64]:
    """The λ at which v is a fixed point, (v − v₀)/(φ(v) − v), elementwise.

    Args:
        sampler: Sampler with the map φ.
        v0: Variance of the real data, > 0.
        v: Variances, any shape, > 0.

    Returns:
        λ, of the same shape; nan where there is none in [0, ∞).
    """
    v = np.asarray(v, dtype=float)
    with np.errstate(divide="ignore", invalid="ignore"):
        lam = (v - v0) / (sampler.variance(v) - v)
    return np.where(lam >= 0, lam, np.nan)


def folds(sampler: Sampler, v0: float) -> list[Fold]:
    """Folds of the curve λ(v) of fixed points, by increasing variance: λφ'(v) = 1 + λ.

    Args:
        sampler: Sampler with the map φ.
        v0: Variance of the real data, > 0.

    Returns:
        The folds, of the same range and resolution as `fixed_points`.
    """

    def tangent(v: Any) -> Any:
        # numerator of d(1/λ)/dv: its zeros are the extrema of λ(v)
        return (slope(sampler, v) - 1) * (v - v0) - (sampler.variance(v) - v)

    found = []
    for v in _roots(tangent):
        lam = float(lam_of_fixed_point(sampler, v0, v))
        if math.isfinite(lam):
            nearby = lam_of_fixed_point(sampler, v0, v * np.array([1 - 1e-4, 1 + 1e-4]))
            found.append(Fold(lam, v, appear=bool((nearby > lam).all())))
    return found


def _roots(function: Any) -> list[float]:
    """Sign changes of a vectorised function of the variance, in its units."""
    values = function(_GRID)
    clear = np.flatnonzero(np.abs(values) > _ROUNDING * _GRID)
    changes = np.flatnonzero(np.diff(np.sign(values[clear])))
    roots: list[Any] = [
        brentq(function, _GRID[clear[i]], _GRID[clear[i + 1]], xtol=1e-300, rtol=_ROUNDING)
        for i in changes
    ]
    return [float(root) for root in roots]
