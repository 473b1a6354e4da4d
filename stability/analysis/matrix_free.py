"""The maximum of a likelihood in many parameters: Newton's method by products with the Hessian.

Source: Nocedal and Wright, "Numerical Optimization" (2006), sections 7.1 (conjugate gradients in a
trust region) and 7.2 (L-BFGS).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from scipy.optimize import minimize
from torch import Tensor
from torch.func import grad, jvp

from stability.laws.family import Family, scores

__all__ = ["NEAR", "Climb", "climb_matrix_free"]

NEAR = 0.1
"""Squared distance from a maximum, in standard errors and a direction, at which a climb is near."""

_ROWS = 20_000
_CELLS = 4_000_000
"""Numbers in the scores of a chunk of points."""
_FLOOR = 1e-6
"""Mean of (s·v)² below which a direction's unit is not its own, relative to the largest."""
_KINKS = 1e-4
"""Squared distance from a maximum, in standard errors and a direction, at which a climb may end."""
_GRADIENT = 1e-7
"""Gradient of the mean log-likelihood at which a climb ends, relative to 1 + |its value|."""
_WARM_STEPS, _MOST_STEPS = 300, 30
_ROUNDS, _NEARER = 8, 10
"""Most rounds; and the factor by which a round must come nearer for another one, near a maximum."""


@dataclass(frozen=True)
class Climb:
    """End of a climb.

    Attributes:
        theta: Where it ended, (P,).
        gradient_norm: Norm of the gradient of the mean log-likelihood there.
        decrement: n ∇ᵀ(mean s sᵀ)⁻¹∇ there: the squared distance from a maximum in standard errors,
            to first order, over all P directions.
        ended: Whether the gradient vanishes, or is so small that the maximum is within a tenth of
            a standard error (as where log p has kinks in θ).
        steps: Steps of the second method.
    """

    theta: Tensor
    gradient_norm: float
    decrement: float
    ended: bool
    steps: int

    @property
    def near(self) -> bool:
        """True if the maximum is at most √`NEAR` standard errors a direction away."""
        return self.decrement <= NEAR * len(self.theta)


def climb_matrix_free(family: Family, points: Tensor, weights: Tensor, start: Tensor) -> Climb:
    """Climb to the local maximum of θ ↦ Σ weights_i log p_θ(points_i) near `start`.

    L-BFGS to come near, then Newton's method in a trust region, with conjugate gradients (SciPy's
    trust-ncg): no Hessian is formed, and points are taken in chunks. Both work in units in which
    the mean of s sᵀ where they begin is the identity, so that they need few steps where directions
    of θ matter very unequally. From a start far away these units are wrong: both are repeated from
    where they came to, until the climb has ended, or is near a maximum and comes hardly nearer.

    Args:
        family: Any family.
        points: (n, d).
        weights: (n,).
        start: (P,).

    Returns:
        Where the climb ended, and whether that is a maximum.
    """
    objective = _Objective(family, points, weights)
    climb, before = _round(objective, points, start), math.inf
    for _ in range(_ROUNDS - 1):
        if climb.ended or (climb.near and climb.decrement > before / _NEARER):
            break
        before = climb.decrement
        climb = _round(objective, points, climb.theta)
    return climb


def _round(objective: "_Objective", points: Tensor, start: Tensor) -> Climb:
    """Both methods, each in the units of where it begins."""
    family = objective.family
    first = objective.in_units(start, _units(_outer(family, start, points)))
    warm = {"maxiter": _WARM_STEPS}
    near = minimize(first.value, first.zero, jac=first.slope, method="L-BFGS-B", options=warm)

    middle = first.whole(near.x)
    second = objective.in_units(middle, _units(_outer(family, middle, points)))
    allowed = _GRADIENT * (1 + abs(float(near.fun)))
    found = minimize(
        second.value,
        second.zero,
        jac=second.slope,
        hessp=second.product,
        method="trust-ncg",
        options={"gtol": allowed, "maxiter": _MOST_STEPS},
    )

    theta = second.whole(found.x)
    gradient = objective.slope(theta)
    size = float(gradient.norm())
    whitened = _units(_outer(family, theta, points)).T @ gradient
    decrement = len(points) * float(whitened @ whitened)
    ended = size <= allowed or decrement <= _KINKS * len(theta)
    return Climb(theta, size, decrement, ended, found.nit)


class _Objective:
    """Minus the weighted mean log-likelihood, chunk by chunk."""

    def __init__(self, family: Family, points: Tensor, weights: Tensor) -> None:
        self.family = family
        self.chunks = list(zip(points.split(_ROWS), weights.split(_ROWS), strict=True))

    def _summed(self, of_chunk: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
        return -torch.stack([of_chunk(x, w) for x, w in self.chunks]).sum(0)

    def value(self, theta: Tensor) -> float:
        found = float(self._summed(lambda x, w: (w @ self.family.log_prob(theta, x)).detach()))
        return found if np.isfinite(found) else np.inf

    def slope(self, theta: Tensor) -> Tensor:
        return self._summed(lambda x, w: grad(lambda t: w @ self.family.log_prob(t, x))(theta))

    def product(self, theta: Tensor, v: Tensor) -> Tensor:
        def one(x: Tensor, w: Tensor) -> Tensor:
            return jvp(grad(lambda t: w @ self.family.log_prob(t, x)), (theta,), (v,))[1]

        return self._summed(one)

    def in_units(self, centre: Tensor, units: Tensor) -> "_InUnits":
        return _InUnits(self, centre, units)


@dataclass(frozen=True)
class _InUnits:
    """The objective as a function of η, θ = centre + units η, in NumPy for SciPy."""

    objective: _Objective
    centre: Tensor
    units: Tensor

    @property
    def zero(self) -> np.ndarray:
        return np.zeros(len(self.centre))

    def whole(self, eta: np.ndarray) -> Tensor:
        return self.centre + self.units @ torch.from_numpy(eta)

    def value(self, eta: np.ndarray) -> float:
        return self.objective.value(self.whole(eta))

    def slope(self, eta: np.ndarray) -> np.ndarray:
        return (self.units.T @ self.objective.slope(self.whole(eta))).numpy()

    def product(self, eta: np.ndarray, direction: np.ndarray) -> np.ndarray:
        v = self.units @ torch.from_numpy(direction)
        return (self.units.T @ self.objective.product(self.whole(eta), v)).numpy()


def _outer(family: Family, theta: Tensor, points: Tensor) -> Tensor:
    """Mean of s sᵀ over at most `_ROWS` points, (P, P)."""
    some = points[:: -(-len(points) // _ROWS)]
    total = theta.new_zeros(len(theta), len(theta))
    for x in some.split(max(1, _CELLS // len(theta))):
        s = scores(family, theta, x)
        s = s[torch.isfinite(s).all(1)]
        total = total + s.T @ s
    return total / len(some)


def _units(outer: Tensor) -> Tensor:
    """W (P, P) with Wᵀ outer W = I, but for directions of almost no score, which are not blown
    up.
    """
    diagonal = outer.diagonal()
    unit = diagonal.clamp(min=_FLOOR * float(diagonal.max()) or 1.0).rsqrt()
    values, vectors = torch.linalg.eigh(outer * unit[:, None] * unit)
    floor = _FLOOR * float(values[-1]) or 1.0
    return unit[:, None] * vectors * values.clamp(min=floor).rsqrt()
