"""Sinusoidal embedding of a time or noise level."""

import torch
from torch import Tensor

__all__ = ["sines_and_cosines"]


def sines_and_cosines(position: Tensor, width: int, endpoint: bool) -> tuple[Tensor, Tensor]:
    """sin(p f_j) and cos(p f_j), each (n, h) float32, for h = width/2 frequencies from 1 down to
    1/10000.

    Args:
        position: p, (n,).
        width: Even.
        endpoint: f_j = 10000^(−j/(h−1)), the last is 1/10000; else f_j = 10000^(−j/h).
    """
    half = width // 2
    exponents = torch.arange(half, device=position.device, dtype=torch.float32) / (
        half - 1 if endpoint else half
    )
    angles = position.float()[:, None] * 10000**-exponents  # (n, h)
    return angles.sin(), angles.cos()
