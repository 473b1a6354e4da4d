"""A torch module with a density, a flow of zuko or normflows, as a family: θ is its parameters."""

import copy
from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.func import functional_call

from stability.laws.family import Family

__all__ = ["TorchFamily", "as_family"]


class _Density(nn.Module):
    """A module whose call is the log-density, so that `functional_call` can set parameters."""

    def __init__(self, flow: nn.Module) -> None:
        super().__init__()
        self.flow = flow

    def forward(self, x: Tensor | None, n: int = 0) -> Tensor:
        """log p of each point of x (n, d), or n draws where x is None.

        Args:
            x: Points, (n, d), or None for draws.
            n: Number of draws where x is None.

        Returns:
            log p, (n,), or draws, (n, d).
        """
        law: Any = self.flow if hasattr(self.flow, "log_prob") else self.flow()
        if x is not None:
            return law.log_prob(x)
        drawn = law.sample(n) if law is self.flow else law.sample((n,))
        return drawn[0] if isinstance(drawn, tuple) else drawn


class TorchFamily:
    """The densities that a module has under other parameters.

    Args:
        flow: A module with `log_prob(x)` and `sample(n)` (normflows), or one that returns a
            distribution when called (zuko). It is copied, in float64 and evaluation mode; θ are its
            trainable parameters, in their order, and the search begins at their present values.

    Raises:
        ValueError: If it has no trainable parameters.
    """

    def __init__(self, flow: nn.Module) -> None:
        self._call = _Density(copy.deepcopy(flow).double().eval())
        named = [(name, p) for name, p in self._call.named_parameters() if p.requires_grad]
        if not named:
            raise ValueError("flow must have parameters that require gradients, got none")
        self._names = [name for name, _ in named]
        self._shapes = [p.shape for _, p in named]
        self._theta = torch.cat([p.detach().reshape(-1) for _, p in named])
        for _, p in named:
            p.requires_grad = False

    def _parameters(self, theta: Tensor) -> dict[str, Tensor]:
        parts = theta.split([shape.numel() for shape in self._shapes])
        return {
            name: part.reshape(shape)
            for name, part, shape in zip(self._names, parts, self._shapes, strict=True)
        }

    def log_prob(self, theta: Tensor, x: Tensor) -> Tensor:
        """Log-density at each point.

        Args:
            theta: Parameters, (P,).
            x: Points, (n, d).

        Returns:
            log p_θ of each point, (n,).
        """
        return functional_call(self._call, self._parameters(theta), (x,))

    def sample(self, theta: Tensor, n: int, generator: torch.Generator) -> Tensor:
        """Draw n points; the flow draws from torch's global generator, which is put back.

        Args:
            theta: Parameters, (P,).
            n: Number of points.
            generator: Source of the seed of all draws.

        Returns:
            Points, (n, d).
        """
        seed = int(torch.randint(2**62, (1,), generator=generator))
        with torch.random.fork_rng(devices=[]), torch.no_grad(), _float64():
            torch.manual_seed(seed)  # in the fork
            return functional_call(self._call, self._parameters(theta), (None, n)).double()

    def start(self, x: Tensor) -> Tensor:
        """The module's own parameters.

        Args:
            x: Points, (n, d); not used.

        Returns:
            Parameters, (P,).
        """
        return self._theta.clone()


class _float64:  # noqa: N801 - used as a function is
    """torch's default type, for draws of a base law that asks for it."""

    def __enter__(self) -> None:
        self._before = torch.get_default_dtype()
        torch.set_default_dtype(torch.float64)

    def __exit__(self, *_: object) -> None:
        torch.set_default_dtype(self._before)


def as_family(given: Family | nn.Module) -> Family:
    """A family as it is, and a torch module as a family.

    Args:
        given: Either.

    Returns:
        The family.
    """
    if isinstance(given, nn.Module) and not _takes_theta(given):
        return TorchFamily(given)
    return cast(Family, given)


def _takes_theta(module: nn.Module) -> bool:
    """True if log_prob has a parameter for θ beside the points: a family already."""
    log_prob: Callable[..., Any] | None = getattr(module, "log_prob", None)
    code = getattr(log_prob, "__code__", None) or getattr(
        getattr(log_prob, "__func__", None), "__code__", None
    )
    return code is not None and "theta" in code.co_varnames[: code.co_argcount]
