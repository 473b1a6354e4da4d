"""Distance that the parameters of a network moved: Figure 9 of the paper.

The paper plots ‖θ_t − θ_0‖ "rescaled by the number of parameters p", beside the same for a random
initialisation. It does not say whether θ are the raw weights or their moving average: say so where
the number is shown.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from stability.diffusion.float64_device import float64_device

__all__ = ["ParameterDistance", "parameter_distance"]


@dataclass(frozen=True)
class ParameterDistance:
    """norm: ‖θ − θ_0‖₂ over all parameters.   count: p, the number of parameters."""

    norm: float
    count: int

    @property
    def per_parameter(self) -> float:
        """‖θ − θ_0‖₂ / p, the ordinate of Figure 9."""
        return self.norm / self.count


def parameter_distance(
    theta: Mapping[str, Tensor], origin: Mapping[str, Tensor]
) -> ParameterDistance:
    """Euclidean distance between two sets of parameters, summed in float64.

    Without buffers: they are no parameters. The reference line of Figure 9 is that of a network
    with fresh weights.

    Args:
        theta: Parameters by name, of any shape, e.g. `dict(network.named_parameters())`.
        origin: Parameters by name, of the same shapes.

    Returns:
        The distance and the number of parameters.

    Raises:
        ValueError: Naming the first parameter that only one of them has, that differs in shape, or
            that is not finite; or if there are none.
    """
    for name in sorted(theta.keys() | origin.keys()):
        if name not in theta or name not in origin:
            raise ValueError(f"parameter {name} is in one set only")
        if theta[name].shape != origin[name].shape:
            shapes = tuple(theta[name].shape), tuple(origin[name].shape)
            raise ValueError(f"parameter {name} has shapes {shapes[0]} and {shapes[1]}")
        if not (theta[name].isfinite().all() and origin[name].isfinite().all()):
            raise ValueError(f"parameter {name} is not finite")
    if not theta:
        raise ValueError("there are no parameters")

    with torch.no_grad():
        parts = [
            torch.linalg.vector_norm(
                each.to(place).double() - origin[name].to(place).double()
            ).cpu()
            for name, each in theta.items()
            for place in (float64_device(each.device),)
        ]
        norm = torch.linalg.vector_norm(torch.stack(parts))
    return ParameterDistance(float(norm), sum(value.numel() for value in theta.values()))
