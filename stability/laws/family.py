"""Protocol of a model family: a log-density that torch can differentiate, and a sampler.

Derivatives follow.
"""

from typing import Protocol, runtime_checkable

import torch
from torch import Tensor
from torch.func import grad, jacfwd, jacrev, vmap

__all__ = ["Family", "hessians", "mean_hessian", "scores"]


_FEW_PARAMETERS = 8
"""Parameters up to which scores of many points are derivatives of all at once, forwards."""
_MANY_POINTS = 10_000
"""Points up to which scores are derivatives backwards, mapped over points: there torch's forward
mode spends most of its time on overheads."""
_TOGETHER = 32
"""Points whose scores are rows of one Jacobian."""
_ROWS, _LEAST_ROWS = 100_000, 400
"""Points of a chunk of a mean Hessian, times P, and points that it has however large P is."""
_DIRECTIONS = 32
"""Columns of a mean Hessian that are computed at once."""


@runtime_checkable
class Family(Protocol):
    """A parametric family p_θ on R^d.

    θ is a vector (P,), unconstrained or with a documented domain; float64.
    """

    def log_prob(self, theta: Tensor, x: Tensor) -> Tensor:
        """log p_θ of each point.

        Twice differentiable in θ by torch.func; −inf off support.

        Args:
            theta: Parameters, (P,).
            x: Points, (n, d).

        Returns:
            (n,).
        """
        ...

    def sample(self, theta: Tensor, n: int, generator: torch.Generator) -> Tensor:
        """Draw independent points of p_θ.

        Args:
            theta: Parameters, (P,).
            n: Number of draws.
            generator: Source of all randomness.

        Returns:
            (n, d).
        """
        ...


def scores(family: Family, theta: Tensor, x: Tensor) -> Tensor:
    """∇_θ log p_θ at each point.

    Args:
        family: Any family.
        theta: (P,).
        x: (n, d).

    Returns:
        (n, P).
    """
    if len(theta) <= _FEW_PARAMETERS and len(x) > _MANY_POINTS:
        try:
            return jacfwd(lambda t: family.log_prob(t, x))(theta)
        except RuntimeError:
            pass  # an operation without a forward derivative: backwards, point by point
    try:
        return vmap(grad(lambda t, point: family.log_prob(t, point[None])[0]), (None, 0))(theta, x)
    except RuntimeError as error:
        if "vmap" not in str(error) and "broadcast shape" not in str(error):
            raise
        # adds in place, which torch cannot map over points: rows of a Jacobian instead
        return torch.cat(
            [
                jacrev(lambda t, at=rows: family.log_prob(t, at))(theta)
                for rows in x.split(_TOGETHER)
            ]
        )


def hessians(family: Family, theta: Tensor, x: Tensor) -> Tensor:
    """∇²_θ log p_θ at each point.

    Args:
        family: Any family.
        theta: (P,).
        x: (n, d).

    Returns:
        (n, P, P).
    """
    return vmap(jacrev(grad(lambda t, point: family.log_prob(t, point[None])[0])), (None, 0))(
        theta, x
    )


def mean_hessian(family: Family, theta: Tensor, x: Tensor) -> Tensor:
    """∇²_θ of the mean of log p_θ over points, in memory that does not grow with n P².

    Args:
        family: Any family.
        theta: (P,).
        x: (n, d).

    Returns:
        (P, P).
    """
    rows = max(_LEAST_ROWS, _ROWS // max(1, len(theta)))
    total = theta.new_zeros(len(theta), len(theta))
    for chunk in x.split(rows):
        slope = grad(lambda t, points=chunk: family.log_prob(t, points).sum())
        total = total + jacrev(slope, chunk_size=_DIRECTIONS)(theta)
    return (total + total.T) / (2 * len(x))
