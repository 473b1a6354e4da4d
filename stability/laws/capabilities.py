"""Optional capabilities of a law or a family, to find its mass and its parameters.

Structural: a class that has the attribute has the capability; nothing is inherited or registered.
An attribute that is None is the same as none.
"""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from numpy.typing import ArrayLike
from torch import Tensor

__all__ = [
    "Bounded",
    "Discrete",
    "HasDomain",
    "HasFisher",
    "HasLandmarks",
    "HasLandmarksAt",
    "HasLipschitz",
    "HasStart",
    "LipschitzConstant",
    "Normal",
    "in_domain",
]


@runtime_checkable
class Bounded(Protocol):
    """A law or a family that says where it lives."""

    @property
    def support(self) -> Sequence[tuple[float, float]] | None:
        """(lower, upper) of each of the d coordinates, possibly infinite."""
        ...


@runtime_checkable
class Discrete(Protocol):
    """A law or a family whose mass lies on finitely many points."""

    @property
    def atoms(self) -> ArrayLike | None:
        """The points, (k, d)."""
        ...


@runtime_checkable
class HasLandmarks(Protocol):
    """A law that knows points near its modes."""

    @property
    def landmarks(self) -> ArrayLike | None:
        """The points, (k, d)."""
        ...


@runtime_checkable
class HasLandmarksAt(Protocol):
    """A family that knows points near the modes of each of its laws."""

    def landmarks(self, theta: Tensor) -> Tensor:
        """Points near the modes of p_θ.

        Args:
            theta: Parameters, (P,).

        Returns:
            (k, d).
        """
        ...


@runtime_checkable
class HasDomain(Protocol):
    """A family whose θ cannot be every vector."""

    def in_domain(self, theta: Tensor) -> bool:
        """Tell whether p_θ is a density.

        Args:
            theta: Parameters, (P,).

        Returns:
            True if it is.
        """
        ...


@runtime_checkable
class HasStart(Protocol):
    """A family that knows where to look for the maximum of a likelihood."""

    def start(self, x: Tensor) -> Tensor:
        """A point in the domain at which the search for a maximum can begin.

        Args:
            x: Data, (n, d).

        Returns:
            Parameters, (P,).
        """
        ...


class LipschitzConstant(Protocol):
    """A constant and the reason for it."""

    @property
    def value(self) -> float:
        """L >= 0, or inf."""
        ...

    @property
    def reason(self) -> str:
        """Source of the constant, one line."""
        ...


@runtime_checkable
class HasLipschitz(Protocol):
    """A family with the constant of Assumption 1 in closed form."""

    def lipschitz(self, theta: Tensor) -> LipschitzConstant:
        """Lipschitz constant of x ↦ ∇²_θ log p_θ(x).

        Args:
            theta: Parameters, (P,).

        Returns:
            The constant and its reason.
        """
        ...


@runtime_checkable
class Normal(Protocol):
    """A family of normal laws."""

    def mean_and_covariance(self, theta: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and covariance of p_θ.

        Args:
            theta: Parameters, (P,).

        Returns:
            Mean, (d,), and covariance, (d, d).
        """
        ...


@runtime_checkable
class HasFisher(Protocol):
    """A family with its Fisher information in closed form."""

    def fisher(self, theta: Tensor) -> Tensor:
        """Fisher information of p_θ.

        Args:
            theta: Parameters, (P,).

        Returns:
            (P, P).
        """
        ...


def in_domain(family: object, theta: Tensor) -> bool:
    """Tell whether a parameter is in the domain of a family.

    Args:
        family: Any family.
        theta: (P,).

    Returns:
        What the family says; True if it has no `in_domain`.
    """
    # not by `isinstance`: a search asks at each step, and a protocol's takes longer than the answer
    known = getattr(family, "in_domain", None)
    return bool(known(theta)) if callable(known) else True
