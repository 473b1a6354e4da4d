"""Laws on R^d, and the three ways in which one is given.

- an array of points (n, d): the empirical law;
- a density, `log_prob(x)` and `sample(n, generator)`;
- a sampler, `sample(n, generator)` alone.

A density may say where it lives: `support`, bounds (lower, upper) for each of d coordinates,
infinite where there are none; or `atoms` (k, d), the points that carry all mass of a discrete law,
whose `log_prob` is then the log-probability. `landmarks` (k, d), points near the modes, help to
find those that are narrow or far away, on the line.
"""

import math
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from stability.laws.capabilities import Bounded, Discrete, HasLandmarks, HasLandmarksAt
from stability.laws.family import Family

__all__ = [
    "Blend",
    "Data",
    "Density",
    "Empirical",
    "Law",
    "Member",
    "NormalMixture",
    "as_law",
    "draw",
    "require_mass",
]

_SMALL = 1e-3
"""Missing mass below this is called that; above it the density is called not normalised."""


@runtime_checkable
class Law(Protocol):
    """A law on R^d that can be sampled: n independent draws (n, d), float64, from `generator`
    alone.
    """

    def sample(self, n: int, generator: torch.Generator) -> Tensor: ...


@runtime_checkable
class Density(Law, Protocol):
    """A law whose density is known: log p(x) of each point, (n, d) -> (n,), −inf where there is
    no mass.
    """

    def log_prob(self, x: Tensor) -> Tensor: ...


Data: TypeAlias = "np.ndarray | Tensor | Law"


@dataclass(frozen=True)
class Empirical:
    """Equal weight on each of `points` (n, d)."""

    points: Tensor

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        """Draw points with replacement.

        Args:
            n: Number of draws.
            generator: Source of all randomness.

        Returns:
            (n, d).
        """
        return self.points[torch.randint(len(self.points), (n,), generator=generator)]


@dataclass(frozen=True)
class Member:
    """The law p_θ of a family; `support` and `atoms` are the family's, where it has them."""

    family: Family
    theta: Tensor

    def __repr__(self) -> str:
        theta = ", ".join(f"{value:.4g}" for value in self.theta.tolist())
        return f"{type(self.family).__name__} at theta = [{theta}]"

    def log_prob(self, x: Tensor) -> Tensor:
        """log p_θ of each point.

        Args:
            x: Points, (n, d).

        Returns:
            (n,).
        """
        return self.family.log_prob(self.theta, x)

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        """Draw points of p_θ.

        Args:
            n: Number of draws.
            generator: Source of all randomness.

        Returns:
            (n, d).
        """
        return self.family.sample(self.theta, n, generator)

    @property
    def support(self) -> Any:
        return self.family.support if isinstance(self.family, Bounded) else None

    @property
    def atoms(self) -> Any:
        return self.family.atoms if isinstance(self.family, Discrete) else None

    @property
    def landmarks(self) -> Any:
        family = self.family
        return family.landmarks(self.theta) if isinstance(family, HasLandmarksAt) else None


@dataclass(frozen=True)
class NormalMixture:
    """Σ weights_k N(means_k, sds_k²) on R. weights > 0 with sum 1; sds > 0; equal lengths.

    ValueError otherwise.
    """

    weights: tuple[float, ...]
    means: tuple[float, ...]
    sds: tuple[float, ...]

    def __post_init__(self) -> None:
        if not 0 < len(self.weights) == len(self.means) == len(self.sds):
            raise ValueError(f"weights, means and sds must have one length >= 1, got {self}")
        if min(self.weights) <= 0 or abs(sum(self.weights) - 1) > 1e-12:
            raise ValueError(f"weights must be > 0 with sum 1, got {self.weights}")
        if not (min(self.sds) > 0 and all(map(math.isfinite, self.means + self.sds))):
            raise ValueError(
                f"means must be finite, and sds finite and > 0, got {self.means} and {self.sds}"
            )

    def log_prob(self, x: Tensor) -> Tensor:
        """Log-density of each point.

        Args:
            x: Points, (n, 1).

        Returns:
            (n,).
        """
        weights, means, sds = (
            torch.tensor(v, dtype=torch.float64) for v in (self.weights, self.means, self.sds)
        )
        z = (x - means) / sds  # (n, components)
        return torch.logsumexp(weights.log() - sds.log() - z**2 / 2, 1) - math.log(2 * math.pi) / 2

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        """Draw independent points.

        Args:
            n: Number of draws.
            generator: Source of all randomness.

        Returns:
            (n, 1).
        """
        weights, means, sds = (
            torch.tensor(v, dtype=torch.float64) for v in (self.weights, self.means, self.sds)
        )
        k = torch.multinomial(weights, n, replacement=True, generator=generator)
        return (means[k] + sds[k] * torch.randn(n, generator=generator, dtype=torch.float64))[
            :, None
        ]

    @property
    def landmarks(self) -> Tensor:
        """The means, (components, 1)."""
        return torch.tensor(self.means, dtype=torch.float64)[:, None]


@dataclass(frozen=True)
class Blend:
    """(p + w q)/(1 + w), the law of a point that is drawn from q with probability w/(1 + w).  w
    >= 0.
    """

    p: Density
    q: Density
    w: float

    def log_prob(self, x: Tensor) -> Tensor:
        """Log-density of each point.

        Args:
            x: Points, (n, d).

        Returns:
            (n,).
        """
        return torch.logaddexp(
            self.p.log_prob(x), math.log(self.w) + self.q.log_prob(x)
        ) - math.log1p(self.w)

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        """Draw independent points.

        Args:
            n: Number of draws.
            generator: Source of all randomness.

        Returns:
            (n, d).
        """
        first, second = self.p.sample(n, generator), self.q.sample(n, generator)
        chosen = torch.rand(n, 1, generator=generator, dtype=torch.float64) < self.w / (1 + self.w)
        return torch.where(chosen, second, first)

    @property
    def landmarks(self) -> Tensor | None:
        """Landmarks of p and of q, (k, d); None if neither has any."""
        hints = [law.landmarks for law in (self.p, self.q) if isinstance(law, HasLandmarks)]
        given = [torch.as_tensor(points) for points in hints if points is not None]
        return torch.cat(given) if given else None


def as_law(data: Data) -> Law:
    """`data` as a law; an array becomes the empirical law of its points.

    Args:
        data: Points (n, d), or (n,) on the line, or a law.

    Returns:
        The law.

    Raises:
        ValueError: If an array is empty, not finite, or not of shape (n, d) (or (n,), for points on
            a line).
    """
    if isinstance(data, np.ndarray | Tensor):
        points = torch.as_tensor(data, dtype=torch.float64)
        points = points[:, None] if points.ndim == 1 else points
        if points.ndim != 2 or points.numel() == 0 or not torch.isfinite(points).all():
            shape = tuple(points.shape)
            raise ValueError(
                f"data must be finite points of shape (n, d) with n >= 1, got shape {shape}, or "
                "NaN or Inf"
            )
        return Empirical(points)
    if not isinstance(data, Law):
        raise ValueError(
            f"data must be an array of points or have sample(n, generator), got {data!r}"
        )
    return data


def draw(law: Law, n: int, generator: torch.Generator) -> Tensor:
    """Draw points of a law, and check them.

    Args:
        law: The law.
        n: Number of draws.
        generator: Source of all randomness.

    Returns:
        (n, d).

    Raises:
        ValueError: If the law returns another shape, or numbers that are not finite.
    """
    points = torch.as_tensor(law.sample(n, generator), dtype=torch.float64)
    if points.ndim != 2 or len(points) != n or not torch.isfinite(points).all():
        raise ValueError(
            f"sample({n}, generator) must return finite points ({n}, d), got shape "
            f"{tuple(points.shape)}"
        )
    return points


def require_mass(law: Law, missing: float, doubtful: float) -> None:
    """Refuse a density whose mass is not 1.

    Args:
        law: The density, which an error names.
        missing: 1 − mass, as it came out.
        doubtful: How far it may be from 0 for known reasons, >= 0.

    Raises:
        ValueError: If it is farther, or not a number; says how to mend it.
    """
    if abs(missing) <= doubtful:
        return
    if not 0 < missing < _SMALL:
        raise ValueError(
            f"log_prob must be a normalised density, got mass {1 - missing:.6g} for {law!r}; "
            "a discrete law needs `atoms`, one on a half-line or an interval is easier to "
            "integrate with `support`, "
            "and one with modes too narrow to be found by quadrature needs `landmarks`, or can be "
            "given as a sampler"
        )
    raise ValueError(
        f"{missing:.1e} of the mass was not found for {law!r}: normalise log_prob, or pass "
        "`landmarks`, "
        "points near the modes that are narrow or far away"
    )
