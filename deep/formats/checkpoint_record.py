"""Content of a checkpoint, whatever file it came from."""

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, TypeAlias

import torch
from torch import Tensor, nn

from deep.formats.adam import checked_adam
from deep.formats.checkpoint_error import CheckpointError
from deep.networks.state_dict import StateError, require_state
from deep.networks.unet_cfm import CFMNetwork
from deep.networks.unet_ddpm import DDPMNetwork
from deep.networks.unet_edm import EDMNetwork

__all__ = [
    "NETWORKS",
    "Checkpoint",
    "Kind",
    "Network",
    "State",
    "heads_of",
    "label_dim_of",
    "own_copy",
    "parameter_count",
    "plain",
    "weights_digest",
]

Kind = Literal["edm", "ddpm", "otcfm"]
Network: TypeAlias = EDMNetwork | DDPMNetwork | CFMNetwork
State: TypeAlias = Mapping[str, Tensor]

NETWORKS: dict[Kind, type[Network]] = {"edm": EDMNetwork, "ddpm": DDPMNetwork, "otcfm": CFMNetwork}


LARGEST_FILE = 2**33
"""Bytes of a file of weights: 8 GiB, ten times the largest official one."""
LONGEST_TEXT = 2**20
"""Characters that a file may hold beside the weights."""


@dataclass(frozen=True)
class Checkpoint:
    """A network's weights, their average, and the optimiser that goes on with them.

    Raises CheckpointError if a tensor is missing, left over, misshapen, not of floating-point
    numbers or not finite.
    """

    network: Network
    """Configuration."""
    state: State | None = None
    """The weights in training, under the official names and in their order. None where only the
    average was kept."""
    ema: State | None = None
    """Their exponential moving average, in the same way: what samples are drawn with. None where
    there is none."""
    optimizer: dict[str, Any] | None = None
    """State dict of torch's Adam over the parameters in their order, see `deep.formats.adam`. An
    Adam that loads it goes on in its tensors."""
    step: int | None = None
    """Optimiser steps taken."""
    images: int | None = None
    """Training images seen."""
    extra: dict[str, Any] = field(default_factory=dict)
    """Other content of the file: numbers, strings, lists and dicts of them."""
    assumed: tuple[str, ...] = ()
    """Fields of `network` that the file does not tell; they are the official ones or what the
    reader was given."""

    remarks: tuple[str, ...] = ()
    """Remarks for the user about the file, one line each."""

    def __post_init__(self) -> None:
        if self.state is None and self.ema is None:
            raise CheckpointError("holds no weights")
        blocks, held = (
            self.network.num_blocks * len(self.network.channel_mult),
            len(self.state or self.ema or {}),
        )
        if blocks > held:  # building it would take seconds for nothing
            raise CheckpointError(
                f"lacks tensors: it holds {held}, for a network of more than {blocks} blocks"
            )

        module = _on_meta(self.network)
        for name, what in (("state", " (the weights)"), ("ema", " (the average)")):
            if (state := getattr(self, name)) is not None:
                _check(module, state, what if self.state and self.ema else "")
                object.__setattr__(
                    self, name, {tensor: state[tensor] for tensor in module.state_dict()}
                )

        if self.optimizer is not None:
            shapes = [parameter.shape for parameter in module.parameters()]
            object.__setattr__(self, "optimizer", checked_adam(self.optimizer, shapes))
        if not isinstance(self.extra, dict) or not all(
            isinstance(name, str) for name in self.extra
        ):
            raise CheckpointError("extra must be a dict with text as keys")
        if not isinstance(self.assumed, tuple) or not all(
            isinstance(name, str) for name in self.assumed
        ):
            raise CheckpointError("assumed must be names of fields")

        for name, value in (("step", self.step), ("images", self.images)):
            if value is not None and not (type(value) is int and 0 <= value < 2**53):
                raise CheckpointError(f"{name} must be a count, got {value!r}")

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the weights and their average: equal in every format, and for equal weights
        alone.
        """
        return weights_digest({"state": self.state or {}, "ema": self.ema or {}})

    @property
    def kind(self) -> Kind:
        """Kind of the network."""
        return next(kind for kind, network in NETWORKS.items() if isinstance(self.network, network))

    def weights(self, which: Literal["ema", "state"] = "ema") -> State:
        """The average, or the weights in training; the one that there is if there is only one.

        Args:
            which: "ema" for the average, "state" for the weights in training.

        Returns:
            Tensors by name.
        """
        chosen, other = (self.ema, self.state) if which == "ema" else (self.state, self.ema)
        weights = other if chosen is None else chosen
        assert weights is not None
        return weights

    def build(self, which: Literal["ema", "state"] = "ema") -> nn.Module:
        """The network with a copy of these weights, on the CPU, in training mode.

        Args:
            which: See `weights`.

        Returns:
            The network.
        """
        module = _on_meta(self.network).to_empty(device="cpu")
        module.load_state_dict(self.weights(which))
        return module


def heads_of(network: Network) -> int | None:
    """Channels of an attention head.

    Args:
        network: A configuration.

    Returns:
        The number; None for networks that do not have this option.
    """
    return network.head_channels if isinstance(network, CFMNetwork) else None


def label_dim_of(network: Network) -> int:
    """Number of classes of a class-conditional network.

    Args:
        network: A configuration.

    Returns:
        The number; 0 for an unconditional network.
    """
    return 0 if isinstance(network, CFMNetwork) else network.label_dim


def parameter_count(network: Network) -> int:
    """Count the numbers that training changes.

    Args:
        network: Configuration of the network.

    Returns:
        Their count.
    """
    return sum(parameter.numel() for parameter in _on_meta(network).parameters())


def weights_digest(parts: Mapping[str, State], text: str = "") -> str:
    """SHA-256 over tensors and a text.

    Args:
        parts: Name of a part -> its tensors; their order does not matter.
        text: What stands beside them.

    Returns:
        64 hexadecimal digits.
    """
    found = hashlib.sha256()
    for part, tensors in sorted(parts.items()):
        for name, value in sorted(tensors.items()):
            array = value.detach().cpu().contiguous().numpy()
            little = array.astype(array.dtype.newbyteorder("<"), copy=False)
            found.update(f"{part}/{name} {little.dtype.str} {little.shape}\0".encode())
            found.update(little.data if little.size else b"")
    found.update(text.encode())
    return found.hexdigest()


_WRAPPERS = {"module", "_orig_mod"}
"""Parts of names that DataParallel and torch.compile put in."""


def own_copy(state: Mapping[str, Any]) -> dict[str, Tensor]:
    """Copy the tensors of a state dict from a file.

    They are on the CPU, float32 where they are floating-point numbers, contiguous, and share no
    memory. What data parallelism and torch.compile put into names is removed.

    Args:
        state: The state dict.

    Returns:
        Tensors by name.

    Raises:
        CheckpointError: If a value is no tensor, a name occurs twice, or the tensors are larger
            than the memory that they share.
    """
    there: dict[int, int] = {}  # bytes of each storage
    for name, value in state.items():
        if not (isinstance(name, str) and isinstance(value, Tensor)):
            raise CheckpointError(
                f"{name!r} of a state dict is a {type(value).__name__}, not a tensor"
            )
        there[value.untyped_storage().data_ptr()] = value.untyped_storage().nbytes()
    if sum(value.nbytes for value in state.values()) > 2 * sum(there.values()):
        raise CheckpointError("holds tensors that share their numbers many times over: refused")

    own = {}
    for name, value in state.items():
        name = ".".join(part for part in name.split(".") if part not in _WRAPPERS)
        if name in own:
            raise CheckpointError(f"holds the tensor {name} twice")
        dtype = torch.float32 if value.is_floating_point() else value.dtype
        own[name] = value.detach().to("cpu", dtype).clone(memory_format=torch.contiguous_format)
    return own


def plain(value: Any) -> Any:
    """Reduce a value from a file to JSON: None, booleans, finite numbers, strings, lists and dicts.

    Args:
        value: A tensor of one number counts as that number.

    Returns:
        The value; anything else in a list or dict is left out.

    Raises:
        CheckpointError: If the text in it is longer than LONGEST_TEXT.
    """
    left = LONGEST_TEXT

    def taken(value: Any) -> Any:
        nonlocal left
        if isinstance(value, Tensor) and value.numel() == 1:
            value = value.item()
        if isinstance(value, Mapping):
            return {
                taken(str(name)): taken(item) for name, item in value.items() if _is_plain(item)
            }
        if isinstance(value, list | tuple):
            return [taken(item) for item in value if _is_plain(item)]
        if isinstance(value, str):
            left -= len(value)
            if left < 0:
                raise CheckpointError(
                    f"holds more than {LONGEST_TEXT:,} characters beside the weights"
                )
        return value

    return taken(value)


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
            raise CheckpointError(
                f"tensor {name} must be 0.25 everywhere: no other resampling is known"
            )
