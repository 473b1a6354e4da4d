"""Protocol that a shipped family adds to `stability.laws.family.Family`, and the checks of
arguments that all families share.
"""

from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from stability.families.lipschitz import Lipschitz
from stability.laws.family import Family

__all__ = ["ParametricFamily", "is_vector", "require_points", "require_theta", "uniforms"]


@runtime_checkable
class ParametricFamily(Family, Protocol):
    """A family with names, a domain, a starting point for maximum likelihood, and the constant of
    Assumption 1.

    Where the Fisher information has a closed form there is also `fisher(theta) -> (P, P)`.
    `sample`, `lipschitz` and `fisher` raise ValueError outside the domain; `log_prob`, which is
    differentiated and mapped, checks nothing.
    """

    @property
    def dimension(self) -> int:
        """d, the number of coordinates of a point."""
        ...

    @property
    def parameter_names(self) -> tuple[str, ...]:
        """P names, in the order of θ."""
        ...

    @property
    def support(self) -> tuple[tuple[float, float], ...]:
        """(lower, upper) of each of the d coordinates, possibly infinite; the same for every θ."""
        ...

    def in_domain(self, theta: Tensor) -> bool:
        """True if p_θ is a density: θ finite, of shape (P,), and inside the parameter domain.

        Args:
            theta: Parameters, (P,).
        """
        ...

    def start(self, x: Tensor) -> Tensor:
        """A deterministic starting point in the domain for maximum likelihood.

        Args:
            x: Points, (n, d).

        Returns:
            Starting point, (P,).

        Raises:
            ValueError: If x has another shape, is not finite, lies off the support, or is too
                degenerate to start from.
        """
        ...

    def lipschitz(self, theta: Tensor) -> Lipschitz:
        """Lipschitz constant of x ↦ ∇²_θ log p_θ(x) at θ, over the whole support.

        Args:
            theta: Parameters in the domain, (P,).

        Returns:
            The constant, with how it was found.
        """
        ...


def require_points(x: Tensor, dimension: int, minimum: int = 1) -> Tensor:
    """Return x if it is a finite float64 tensor of enough points.

    Args:
        x: Points, (n, dimension).
        dimension: Number of coordinates of a point.
        minimum: Least number of points.

    Returns:
        x itself, (n, dimension).

    Raises:
        ValueError: If x has another shape or dtype, too few points, or is not finite.
    """
    if x.ndim != 2 or x.shape[1] != dimension or len(x) < minimum or x.dtype != torch.float64:
        raise ValueError(
            f"x must be a float64 tensor of shape (n, {dimension}) with n >= {minimum}, "
            f"got {x.dtype} of shape {tuple(x.shape)}"
        )
    if not torch.isfinite(x).all():
        raise ValueError("x must be finite, got NaN or Inf")
    return x


def require_theta(family: ParametricFamily, theta: Tensor) -> Tensor:
    """Return theta if it is in the domain of the family.

    Args:
        family: The family whose domain is asked for.
        theta: Parameters, (P,).

    Returns:
        theta itself, (P,).

    Raises:
        ValueError: If theta is outside the domain.
    """
    if not family.in_domain(theta):
        raise ValueError(
            f"theta must be a finite point of the domain of {type(family).__name__}, "
            f"({', '.join(family.parameter_names)}), got {theta.tolist()}"
        )
    return theta


def is_vector(theta: Tensor, size: int) -> bool:
    """True if theta is finite and of shape (size,).

    Args:
        theta: Parameters, of any shape.
        size: Length that theta must have.
    """
    return theta.shape == (size,) and bool(torch.isfinite(theta).all())


def uniforms(n: int, columns: int, generator: torch.Generator) -> Tensor:
    """Uniform draws in the open interval (0, 1), (n, columns); row i does not depend on n.

    Args:
        n: Number of rows, >= 0.
        columns: Number of columns.
        generator: Source of all random draws.

    Returns:
        Uniform draws, (n, columns), float64.

    Raises:
        ValueError: If n < 0.
    """
    if n < 0:
        raise ValueError(f"n must be >= 0, got {n}")
    # torch.randn draws row i differently for n < 16 and n >= 16; torch.rand does not, and all
    # samplers invert from it
    u = torch.rand(n, columns, generator=generator, dtype=torch.float64)
    return u * (1 - 2**-53) + 2**-54
