"""The device for numbers in float64 beside a network whose own device has none."""

import torch

__all__ = ["float64_device"]

WITHOUT_FLOAT64 = frozenset({"mps"})


def float64_device(device: torch.device) -> torch.device:
    """Device for numbers in float64 beside a network.

    Source: PyTorch, "MPS backend": "MPS framework doesn't support float64".

    Args:
        device: Device of the network.

    Returns:
        The same device, or the CPU if it has no float64, as `mps`.
    """
    return torch.device("cpu") if device.type in WITHOUT_FLOAT64 else device
