"""The basin of θ*: from how far away retraining returns to it, and how fast (eq. (12))."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from stability.analysis.jacobian import generalised_eigenvalues
from stability.analysis.local_analysis import LocalAnalysis
from stability.analysis.operators import NoMaximum

__all__ = ["Basin", "axes", "basin", "linear_rate"]

_RESOLVED = 1e-7
"""Distances, in standard errors of one observation, below which those of iterates are not told
from quadrature."""
_NEAR = 0.005
"""The distance within which G∞ counts as linear."""


def axes(local: LocalAnalysis) -> np.ndarray:
    """The eigenvectors of J, slowest first, as columns (P, P), orthonormal in the norm of (−A −
    λB)/(1 + λ).

    In that norm, in which J is symmetric (S1), a vector V c has length ‖c‖₂; its unit is the
    standard error of one observation, real and synthetic ones in their proportion.

    Args:
        local: The analysis at θ*.

    Returns:
        Axes as columns, (P, P).
    """
    mu, W = generalised_eigenvalues(local.A, local.B)
    return W * np.sqrt((1 + local.lam) / (1 + local.lam * mu))


@dataclass(frozen=True)
class Basin:
    """Region around θ* from which orbits of G∞ come closer at every step.

    The orbits begin at both ends of each axis of an ellipsoid ‖V⁻¹(θ − θ*)‖₂ = r.

    Attributes:
        ellipsoid: The largest r tried at which each orbit comes closer at every step; 0 if there is
            none.
        radius: δ, of the largest Euclidean ball in that ellipsoid, in units of θ.
        rate: The factor of one more step of the slowest orbit, where it has come near θ*; nan if
            there is none.
    """

    ellipsoid: float
    radius: float
    rate: float


def basin(
    G: Callable[[Tensor], Tensor],
    theta: np.ndarray,
    V: np.ndarray,
    *,
    largest: float = 2.0,
    smallest: float = 1 / 64,
    steps: int = 3,
) -> Basin:
    """Halve r from `largest` to `smallest` until each of the 2P orbits of `steps` >= 1 steps only
    comes closer.

    2P orbits are a sample of the ellipsoid, and no proof that it is a basin.

    Args:
        G: The map, (P,) -> (P,).
        theta: θ*, (P,).
        V: Axes of the ellipsoid as columns, see `axes`, (P, P).
        largest: First r that is tried, > 0.
        smallest: Least r that is tried, > 0.
        steps: Steps of each orbit, >= 1.

    Returns:
        The largest ellipsoid found, its ball, and the rate near θ*.
    """

    def step(offset: np.ndarray) -> np.ndarray:
        return np.linalg.solve(V, G(torch.from_numpy(theta + V @ offset)).numpy() - theta)

    r = largest
    while r >= smallest:
        orbits: list[list[np.ndarray]] = []
        for end in (r * sign * unit for unit in np.eye(len(theta)) for sign in (1, -1)):
            orbits.append(_orbit(step, end, steps))
            if not orbits[-1]:
                break  # one that does not come closer is enough
        if all(orbits):
            rate = _last_factor(
                step, max(orbits, key=lambda orbit: float(np.linalg.norm(orbit[-1])))
            )
            return Basin(r, r * float(np.linalg.norm(V, -2)), rate)
        r /= 2
    return Basin(0.0, 0.0, float("nan"))


def _orbit(
    step: Callable[[np.ndarray], np.ndarray], offset: np.ndarray, steps: int
) -> list[np.ndarray]:
    """Offsets from θ*, up to `steps` of them after the first; none if one is not closer, or
    meets no maximum.
    """
    orbit = [offset]
    while len(orbit) <= steps and np.linalg.norm(orbit[-1]) > _RESOLVED:
        try:
            orbit.append(step(orbit[-1]))
        except (NoMaximum, ValueError):  # outside the domain, or the basin
            return []
        if np.linalg.norm(orbit[-1]) >= np.linalg.norm(orbit[-2]):
            return []
    return orbit


def _last_factor(
    step: Callable[[np.ndarray], np.ndarray], orbit: list[np.ndarray], most: int = 12
) -> float:
    """The factor of a step that begins within _NEAR of θ*, or of the last one, of an orbit that
    goes on if it must.
    """
    while (
        len(orbit) <= most
        and np.linalg.norm(orbit[-2]) > _NEAR
        and np.linalg.norm(orbit[-1]) > _RESOLVED
    ):
        orbit = [*orbit, step(orbit[-1])]
    return float(np.linalg.norm(orbit[-1]) / np.linalg.norm(orbit[-2]))


def linear_rate(
    G: Callable[[Tensor], Tensor],
    theta: np.ndarray,
    V: np.ndarray,
    *,
    size: float = 0.01,
    steps: int = 2,
) -> float:
    """The factor a retraining of half the difference of two orbits, from θ* ± size V₁: ρ(J) up
    to O(size²).

    Args:
        G: The map, (P,) -> (P,).
        theta: θ*, (P,).
        V: Axes as columns, slowest first, see `axes`, (P, P).
        size: Distance of both starts from θ*, in units of V₁, > 0.
        steps: Retrainings, >= 1.

    Returns:
        Mean factor per retraining.
    """
    ends = [theta + sign * size * V[:, 0] for sign in (1, -1)]
    for _ in range(steps):
        ends = [G(torch.from_numpy(end)).numpy() for end in ends]
    gap = np.linalg.solve(V, ends[0] - ends[1]) / 2
    return float((np.linalg.norm(gap) / size) ** (1 / steps))
