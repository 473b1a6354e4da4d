"""Directions in which θ changes and p_θ does not: redundant parameters, quotiented out."""

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from stability.analysis.replicates import ScoreMoments
from stability.laws.capabilities import Bounded, Discrete, HasLandmarksAt, in_domain
from stability.laws.family import Family, scores

__all__ = ["Section", "flat_directions"]

_POINTS = 2000
_NOTHING = 1e-14
"""Eigenvalues of the mean of s sᵀ below this, relative to the largest in units of its diagonal."""
_NO_SCORE = 1e-12
"""Scores below this, relative to the largest, have no unit of their own."""
_ASIDE = 1e-3
"""Distance from θ at which the rank is looked at once more, relative to 1 + ‖θ‖."""


def flat_directions(family: Family, theta: Tensor, points: Tensor, seed: int = 0) -> Tensor:
    """The directions along which the score vanishes at every point, here and beside θ.

    A score that vanishes at θ alone, as that of N(θ², 1) at 0, is a singular point of the family
    and no redundancy: it does not count.

    Args:
        family: Any family.
        theta: (P,).
        points: (n, d) with n > P; at most 2000 + 2 P of them are looked at.
        seed: Of the place beside θ, >= 0.

    Returns:
        (P, k) orthonormal; k = 0 for most families.
    """
    some = points[: _POINTS + 2 * len(theta)]
    if len(some) <= len(theta):
        return theta.new_zeros(len(theta), 0)
    here = _null_space(_scores(family, theta, some))
    if not here.shape[1]:
        return here
    generator = torch.Generator().manual_seed(seed)
    direction = torch.randn(len(theta), generator=generator, dtype=torch.float64)
    size = _ASIDE * (1 + float(theta.norm())) / direction.norm()
    beside = _null_space(_scores(family, theta + size * direction, some))
    if beside.shape[1] >= here.shape[1]:
        return here

    # redundant directions turn as θ moves: those here that are nearest to those beside
    nearest = torch.linalg.svd(here.T @ beside)[0][:, : beside.shape[1]]
    return here @ nearest


def _scores(family: Family, theta: Tensor, points: Tensor) -> Tensor:
    """Finite scores of the points, (<= n, P)."""
    s = torch.cat([scores(family, theta, x) for x in points.split(500)])
    return s[torch.isfinite(s).all(1)]


def _null_space(s: Tensor) -> Tensor:
    """Directions (P, k) along which the mean of (s·v)² is rounding, in units of the scores."""
    size = s.square().mean(0).sqrt()
    unit = size.clamp(min=float(_NO_SCORE * size.max()) or 1.0).reciprocal()
    values, vectors = torch.linalg.eigh((s * unit).T @ (s * unit) / max(1, len(s)))
    kept = vectors[:, values <= _NOTHING * values[-1].clamp(min=1e-300) * s.shape[1]]
    return torch.linalg.qr(unit[:, None] * kept)[0] if kept.shape[1] else kept


class Section:
    """A family on the complement of its flat directions: θ = centre + basis η, η (P − k,).

    Args:
        family: With redundant parameters.
        centre: (P,) where η is 0.
        flat: (P, k) orthonormal, as found by `flat_directions`.
    """

    def __init__(self, family: Family, centre: Tensor, flat: Tensor) -> None:
        self.family, self.centre = family, centre
        self.basis = torch.linalg.qr(flat, mode="complete")[0][:, flat.shape[1] :]

    def whole(self, eta: Tensor) -> Tensor:
        """θ of a point η of the complement.

        Args:
            eta: η, (P − k,).

        Returns:
            θ, (P,).
        """
        return self.centre + self.basis @ eta

    def lifted(self, moments: ScoreMoments) -> ScoreMoments:
        """ScoreMoments with θ* (P,) for their η*; matrices stay on the complement.

        Args:
            moments: Moments at η*, with `theta` of shape (P − k,).

        Returns:
            The same moments with `theta` (P,).
        """
        return replace(moments, theta=self.whole(torch.from_numpy(moments.theta)).numpy())

    @property
    def support(self) -> Any:
        """Support of the family; None if it has none."""
        return self.family.support if isinstance(self.family, Bounded) else None

    @property
    def atoms(self) -> Any:
        """Atoms of the family; None if it has none."""
        return self.family.atoms if isinstance(self.family, Discrete) else None

    def landmarks(self, theta: Tensor) -> Any:
        """The landmarks of the family, at η = `theta`; None if it has none.

        Args:
            theta: η, (P − k,).
        """
        if isinstance(self.family, HasLandmarksAt):
            return self.family.landmarks(self.whole(theta))
        return None

    def in_domain(self, theta: Tensor) -> bool:
        """True if η = `theta` is in the domain of the family.

        Args:
            theta: η, (P − k,).
        """
        return in_domain(self.family, self.whole(theta))

    def log_prob(self, theta: Tensor, x: Tensor) -> Tensor:
        """log p of each point, at η = `theta`.

        Args:
            theta: η, (P − k,).
            x: Points, (n, d).

        Returns:
            log p of each point, (n,).
        """
        return self.family.log_prob(self.whole(theta), x)

    def sample(self, theta: Tensor, n: int, generator: torch.Generator) -> Tensor:
        """n draws at η = `theta`.

        Args:
            theta: η, (P − k,).
            n: Number of points.
            generator: Source of all random draws.

        Returns:
            Points, (n, d).
        """
        return self.family.sample(self.whole(theta), n, generator)
