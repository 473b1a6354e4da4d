"""The number formats that a network may compute in; weights, optimiser, loss and sampler stay in
float32 or 64.
"""

from typing import Literal

import torch

__all__ = ["Precision", "autocast"]

Precision = Literal["fp32", "bf16", "fp16"]
FORMATS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def autocast(device: torch.device, precision: Precision) -> torch.autocast:
    """A context in which convolutions and matrix products are done in `precision`.

    Args:
        device: Device of the computation.
        precision: Number format; "fp32" changes nothing.

    Returns:
        The context.
    """
    return torch.autocast(device.type, dtype=FORMATS[precision], enabled=precision != "fp32")
