"""What a checkpoint holds, whatever file it came from."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import torch
from torch import Tensor, nn

from deep.networks.state_dict import StateError, require_state
from deep.networks.unet_cfm import CFMNetwork
from deep.networks.unet_ddpm import DDPMNetwork
from deep.networks.unet_edm import EDMNetwork

__all__ = [
    "NETWORKS",
    "Checkpoint",
    "CheckpointError",
    "Kind",
    "Network",
    "State",
    "own_copy",
    "parameter_count",
    "plain",
]

Kind = Literal["edm", "ddpm", "otcfm"]
Network: TypeAlias = EDMNetwork | DDPMNetwork | CFMNetwork
State: TypeAlias = Mapping[str, Tensor]

NETWORKS: dict[Kind, type[Network]] = {"edm": EDMNetwork, "ddpm": DDPMNetwork, "otcfm": CFMNetwork}


class CheckpointError(ValueError):
    """A file does not hold a checkpoint that can be read; the message says what is wrong with it."""


@dataclass(frozen=True)
class Checkpoint:
    """A network's weights, their average, and the optimiser that goes on with them.

    Raises CheckpointError if a tensor is missing, left over, misshapen, not of floating-point numbers or not finite.
    """

    network: Network
    """Configuration."""
    state: State | None = None
    """The weights in training, under the official names and in their order. None where only the average was kept."""
    ema: State | None = None
    """Their exponential moving average, in the same way: what samples are drawn with. None where there is none."""
    optimizer: dict[str, Any] | None = None
    """State dict of torch's Adam over the parameters in their order. An Adam that loads it goes on in its tensors."""
    step: int | None = None
    """Optimiser steps taken."""
    images: int | None = None
    """Training images seen."""
    extra: dict[str, Any] = field(default_factory=dict)
    """What else the file says: numbers, strings, lists and dicts of them."""
    assumed: tuple[str, ...] = ()
    """Fields of `network` that the file does not tell; they are the official ones or what the reader was told."""

    def __post_init__(self) -> None:
        if self.state is None and self.ema is None:
            raise CheckpointError("holds no weights")
        module = _on_meta(self.network)
        for name, what in (("state", " (the weights)"), ("ema", " (the average)")):
            if (state := getattr(self, name)) is not None:
                _check(module, state, what if self.state and self.ema else "")
                object.__setattr__(self, name, {tensor: state[tensor] for tensor in module.state_dict()})
        if self.optimizer is not None:
            _check_optimizer(module, self.optimizer)
        for name, value in (("step", self.step), ("images", self.images)):
            if value is not None and not (isinstance(value, int) and value >= 0):
                raise CheckpointError(f"{name} must be a count, got {value!r}")

    @property
    def kind(self) -> Kind:
        """Which network it is."""
        return next(kind for kind, network in NETWORKS.items() if isinstance(self.network, network))

    def weights(self, which: Literal["ema", "state"] = "ema") -> State:
        """The average, or the weights in training; the one that there is if there is only one."""
        chosen, other = (self.ema, self.state) if which == "ema" else (self.state, self.ema)
        weights = other if chosen is None else chosen
        assert weights is not None
        return weights

    def build(self, which: Literal["ema", "state"] = "ema") -> nn.Module:
        """The network with a copy of these weights, on the CPU, in training mode."""
        module = _on_meta(self.network).to_empty(device="cpu")
        module.load_state_dict(self.weights(which))
        return module


def parameter_count(network: Network) -> int:
    """Numbers that training changes."""
    return sum(parameter.numel() for parameter in _on_meta(network).parameters())


def own_copy(state: Mapping[str, Any]) -> dict[str, Tensor]:
    """The tensors of a state dict from a file: on the CPU, float32 where they are floating-point numbers, contiguous,
    sharing no memory, without the prefix that data parallelism puts before names. CheckpointError if they are none.
    """
    for name, value in state.items():
        if not (isinstance(name, str) and isinstance(value, Tensor)):
            raise CheckpointError(f"{name!r} of a state dict is a {type(value).__name__}, not a tensor")
    prefix = "module." if state and all(name.startswith("module.") for name in state) else ""
    return {
        name.removeprefix(prefix): value.detach()
        .to("cpu", torch.float32 if value.is_floating_point() else value.dtype)
        .clone(memory_format=torch.contiguous_format)
        for name, value in state.items()
    }


def plain(value: Any) -> Any:
    """What JSON can hold of a value from a file: None, booleans, finite numbers, strings, lists and dicts of them.

    A tensor of one number is that number. Anything else in a list or dict is left out.
    """
    if isinstance(value, Tensor) and value.numel() == 1:
        value = value.item()
    if isinstance(value, Mapping):
        return {str(name): plain(item) for name, item in value.items() if _is_plain(item)}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value if _is_plain(item)]
    return value


def _is_plain(value: Any) -> bool:
    if isinstance(value, Tensor) and value.numel() == 1:
        value = value.item()
    if isinstance(value, float):
        return math.isfinite(value)
    return value is None or isinstance(value, bool | int | str | Mapping | list | tuple)


def _on_meta(network: Network) -> nn.Module:
    """The network's names and shapes."""
    with torch.device("meta"):
        return network.build()


def _check(module: nn.Module, state: State, which: str) -> None:
    try:
        require_state(module, state)
    except StateError as error:
        raise CheckpointError(f"{error}{which}") from None
    for name, value in state.items():
        if not value.isfinite().all():
            raise CheckpointError(f"tensor {name} has values that are not finite{which}")
        if name.endswith("resample_filter") and not (value == 0.25).all():
            raise CheckpointError(f"tensor {name} must be 0.25 everywhere: no other resampling is known")


def _check_optimizer(module: nn.Module, optimizer: Mapping[str, Any]) -> None:
    shapes = [parameter.shape for parameter in module.parameters()]
    try:
        numbers = [i for group in optimizer["param_groups"] for i in group["params"]]
        moments = {i: (state["exp_avg"].shape, state["exp_avg_sq"].shape) for i, state in optimizer["state"].items()}
    except (AttributeError, KeyError, TypeError) as error:
        raise CheckpointError(f"the optimiser is not Adam's state dict ({type(error).__name__}: {error})") from None
    if numbers != list(range(len(shapes))):
        raise CheckpointError(f"the optimiser has {len(numbers)} parameters; they must be 0, …, {len(shapes) - 1}")
    for i, both in moments.items():
        if i not in numbers or both != (shapes[i], shapes[i]):
            raise CheckpointError(f"the optimiser's moments of parameter {i} do not fit the network")
