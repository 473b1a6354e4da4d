"""Names and shapes that a network's state dict must hold, and what they tell about the network."""

import re
from collections.abc import Mapping
from typing import TypeAlias

import torch
from torch import Tensor, nn

__all__ = ["Shapes", "StateError", "count", "has", "require_state", "shapes_of", "size"]

Shapes: TypeAlias = Mapping[str, torch.Size]


class StateError(ValueError):
    """A state dict is not that of the network; the message names the tensor."""


def shapes_of(state: Mapping[str, Tensor]) -> Shapes:
    """Shapes of tensors by name.

    Args:
        state: Tensors by name, of any shape.

    Returns:
        Shapes by name.
    """
    return {name: value.shape for name, value in state.items()}


def size(shapes: Shapes, name: str, axis: int = 0) -> int:
    """Length of one axis of a tensor.

    Args:
        shapes: Shapes by name.
        name: Name of the tensor.
        axis: The axis, >= 0.

    Returns:
        The length.

    Raises:
        StateError: If there is no such tensor or axis.
    """
    if name not in shapes:
        raise StateError(f"lacks the tensor {name}")
    if len(shapes[name]) <= axis:
        raise StateError(
            f"tensor {name} has shape {tuple(shapes[name])}; it must have more than {axis} axes"
        )
    return shapes[name][axis]


def has(shapes: Shapes, prefix: str) -> bool:
    """Tell whether a name begins so: a layer is there even if one of its tensors is missing.

    Args:
        shapes: Shapes by name.
        prefix: Beginning of the name.

    Returns:
        True if there is one.
    """
    return any(name.startswith(prefix) for name in shapes)


def count(shapes: Shapes, pattern: str) -> int:
    """1 + the largest number that the group of `pattern` matches at the start of a name.

    Args:
        shapes: Shapes by name.
        pattern: Regular expression with one group, of digits.

    Returns:
        That number; 0 if no name matches.

    Raises:
        StateError: If that is more than there are tensors: a few bytes in a file must not ask for a
            network without end.
    """
    numbers = {int(match[1]): name for name in shapes if (match := re.match(pattern, name))}
    largest = max(numbers, default=-1)
    if largest >= len(shapes):
        raise StateError(f"holds a tensor {numbers[largest]}, but only {len(shapes)} tensors")
    return largest + 1


def require_state(network: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Check that a state dict has the names and shapes of a network.

    Args:
        network: May be on the meta device.
        state: Tensors by name, of any shape.

    Raises:
        StateError: Naming a tensor that `state` lacks, has in excess, or has with another shape or
            type.
    """
    expected, got = shapes_of(network.state_dict()), shapes_of(state)
    for name, shape in expected.items():
        if name not in got:
            raise StateError(f"lacks the tensor {name}")
        if got[name] != shape:
            raise StateError(
                f"tensor {name} has shape {tuple(got[name])}; it must have {tuple(shape)}"
            )
        if not state[name].is_floating_point():
            raise StateError(
                f"tensor {name} has type {state[name].dtype}; it must be of floating-point numbers"
            )
    for name in got:
        if name not in expected:
            raise StateError(f"holds a tensor {name}, which this network does not have")
