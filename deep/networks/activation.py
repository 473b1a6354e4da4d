"""SiLU, in place where that is free."""

import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["SiLU", "silu"]


def silu(x: Tensor) -> Tensor:
    """Compute x·sigmoid(x).

    Overwrites x when no gradient is recorded: fresh memory costs more than the arithmetic.

    Args:
        x: Numbers, any shape.

    Returns:
        Numbers, like x.
    """
    return functional.silu(x, inplace=not torch.is_grad_enabled())


class SiLU(nn.Module):
    """`silu` as a layer."""

    def forward(self, x: Tensor) -> Tensor:
        return silu(x)
