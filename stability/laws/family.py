"""What a model family must provide: a log-density that torch can differentiate, and a sampler.

Derivatives follow.
"""

from typing import Protocol, runtime_checkable

import torch
from torch import Tensor
from torch.func import grad, jacrev, vmap

__all__ = ["Family", "hessians", "scores"]


@runtime_checkable
class Family(Protocol):
    """A parametric family p_θ on R^d.

    θ is a vector (P,), unconstrained or with a documented domain; float64.
    """

    def log_prob(self, theta: Tensor, x: Tensor) -> Tensor:
        """log p_θ of each point: (P,), (n, d) -> (n,).

        Twice differentiable in θ by torch.func; −inf off support.
        """
        ...

    def sample(self, theta: Tensor, n: int, generator: torch.Generator) -> Tensor:
        """n independent draws, (n, d), from `generator` alone."""
        ...


def scores(family: Family, theta: Tensor, x: Tensor) -> Tensor:
    """∇_θ log p_θ at each point: (n, P)."""
    return vmap(grad(lambda t, point: family.log_prob(t, point[None])[0]), (None, 0))(theta, x)


def hessians(family: Family, theta: Tensor, x: Tensor) -> Tensor:
    """∇²_θ log p_θ at each point: (n, P, P)."""
    return vmap(jacrev(grad(lambda t, point: family.log_prob(t, point[None])[0])), (None, 0))(
        theta, x
    )
