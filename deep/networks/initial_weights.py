"""Networks with fresh weights, drawn from a generator of one's own."""

from collections.abc import Callable, Mapping
from typing import TypeVar

import torch
from torch import nn

__all__ = ["fresh", "xavier"]

Network = TypeVar("Network", bound=nn.Module)


def fresh(make: Callable[[], Network], initialise: Callable[[Network], None]) -> Network:
    """Make a network with initial weights and no draw from torch's global generator.

    Weights are made on the CPU and moved to torch's default device, so they are the same on every
    device. Inside `with torch.device("meta")` the network has names and shapes only, and takes no
    memory.

    Args:
        make: Constructs the network.
        initialise: Sets its weights.

    Returns:
        The network.
    """
    device = torch.get_default_device()
    with torch.device("meta"):
        network = make()
    if device.type != "meta":
        with torch.device("cpu"):
            initialise(network.to_empty(device="cpu"))
        network.to(device)
    return network


def xavier(
    network: nn.Module, gains: Mapping[str, float], generator: torch.Generator | None
) -> None:
    """Draw weights ~ U(−a, a), a = gain·√(6/(fan_in + fan_out)).

    Biases are 0; normalisation starts as the identity.

    Args:
        network: Network whose weights are set.
        gains: Gain by the end of a layer's name; 1 where none fits.
        generator: Generator on the CPU; None: torch's global one.
    """
    for name, module in network.named_modules():
        if isinstance(module, nn.GroupNorm):
            module.reset_parameters()
        elif isinstance(module, nn.Conv2d | nn.Linear):
            gain = next((gain for end, gain in gains.items() if name.endswith(end)), 1.0)
            nn.init.xavier_uniform_(module.weight, gain, generator)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
