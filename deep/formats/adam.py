"""Adam's state from a file: moments that fit the network, counts and a learning rate that are
numbers.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from deep.formats.checkpoint_error import CheckpointError
from stability.runs.untrusted import printable

__all__ = ["checked_adam", "checked_rate", "updates_of"]

_MOMENTS = ("exp_avg", "exp_avg_sq")
MOST_GROUPS = 1000


def checked_adam(optimizer: Any, shapes: Sequence[torch.Size]) -> dict[str, Any]:
    """The state dict of torch's Adam, if it is one.

    Args:
        optimizer: What a file says to be one.
        shapes: Of the network's parameters, in their order.

    Returns:
        The same, moments as float32 on the CPU and counts of steps as tensors of one number;
        learning rates as float.

    Raises:
        CheckpointError: If it is no such state dict, does not fit the network, or holds a moment, a
            count or a learning rate that no Adam has.
    """
    try:
        groups, state = optimizer["param_groups"], optimizer["state"]
        numbers = [i for group in groups for i in group["params"]]
        items = list(state.items())
    except (AttributeError, KeyError, TypeError, IndexError) as error:
        raise CheckpointError(
            f"the optimiser is not Adam's state dict ({type(error).__name__}: {error})"
        ) from None
    if numbers != list(range(len(shapes))) or len(groups) > MOST_GROUPS:
        raise CheckpointError(
            f"the optimiser has {len(numbers)} parameters; they must be 0, …, {len(shapes) - 1}"
        )

    checked = {}
    for i, moments in items:
        if type(i) is not int or not 0 <= i < len(shapes):
            raise CheckpointError(
                f"the optimiser's moments of parameter {i} do not fit the network"
            )
        checked[i] = _moments(i, moments, shapes[i])
    counts = {float(moments["step"]) for moments in checked.values()}
    if len(counts) > 1:
        raise CheckpointError(
            f"the optimiser counts {min(counts):.0f} steps for one parameter and "
            f"{max(counts):.0f} for another"
        )
    return {**optimizer, "state": checked, "param_groups": [_group(group) for group in groups]}


def updates_of(optimizer: Mapping[str, Any] | None) -> int | None:
    """Adam's own count of its updates.

    Args:
        optimizer: State dict of Adam; None or empty: no Adam.

    Returns:
        The count; None if it has made none.
    """
    state = optimizer["state"] if optimizer else {}
    return int(next(iter(state.values()))["step"]) if state else None


def _moments(i: int, moments: Any, shape: torch.Size) -> dict[str, Any]:
    if not isinstance(moments, Mapping) or not {"step", *_MOMENTS} <= moments.keys():
        missing = sorted({"step", *_MOMENTS} - set(moments if isinstance(moments, Mapping) else ()))
        raise CheckpointError(
            f"the optimiser is not Adam's state dict: parameter {i} has no {', '.join(missing)}"
        )
    if surplus := moments.keys() - {"step", *_MOMENTS}:
        raise CheckpointError(
            f"the optimiser holds {min(map(str, surplus))} of parameter {i}: not of plain Adam"
        )

    checked: dict[str, Any] = {"step": _count(i, moments["step"])}
    for name in _MOMENTS:
        value = moments[name]
        if not isinstance(value, Tensor) or value.shape != shape:
            raise CheckpointError(
                f"the optimiser's moments of parameter {i} do not fit the network"
            )
        if not value.is_floating_point():
            raise CheckpointError(f"the optimiser's {name} of parameter {i} has type {value.dtype}")
        value = value.detach().to("cpu", torch.float32)
        if not value.isfinite().all():
            raise CheckpointError(
                f"the optimiser's {name} of parameter {i} has values that are not finite"
            )
        if name == "exp_avg_sq" and (value < 0).any():
            raise CheckpointError(
                f"the optimiser's exp_avg_sq of parameter {i} has negative values"
            )
        checked[name] = value
    return checked


def _count(i: int, step: Any) -> Tensor:
    """A number of steps: a tensor of one number; once it was a plain one."""
    one = (
        isinstance(step, Tensor)
        and step.numel() == 1
        and step.dtype not in (torch.bool, torch.complex64)
    )
    number = step.item() if one else step
    if type(number) not in (int, float) or not (
        math.isfinite(number) and number >= 0 and number == int(number)
    ):
        raise CheckpointError(
            f"the optimiser's step of parameter {i} must be a count, got {_shown(step)}"
        )
    return step.detach().cpu() if isinstance(step, Tensor) else torch.tensor(float(number))


def _group(group: Any) -> dict[str, Any]:
    """The settings of a group of parameters, its learning rates as float."""
    if "lr" not in group:
        raise CheckpointError("the optimiser has no learning rate")
    checked = dict(group)
    for name, value in group.items():
        parts = value if isinstance(value, list | tuple) and name != "params" else [value]
        if name not in ("lr", "initial_lr", "params") and not all(
            _is_setting(part) for part in parts
        ):
            raise CheckpointError(
                f"the optimiser's {printable(name, 50)} is no number, got {_shown(value)}"
            )
    for name in ("lr", "initial_lr"):
        if name in group:
            checked[name] = checked_rate(group[name])
    return checked


def _is_setting(value: Any) -> bool:
    return (
        value is None
        or type(value) in (bool, int)
        or (type(value) is float and math.isfinite(value))
    )


def checked_rate(rate: Any) -> float:
    """Check a learning rate from a file.

    Args:
        rate: Number, or tensor of one number.

    Returns:
        The rate, >= 0.

    Raises:
        CheckpointError: If it is no finite number >= 0.
    """
    number = rate.item() if isinstance(rate, Tensor) and rate.numel() == 1 else rate
    if type(number) not in (int, float) or not (math.isfinite(number) and number >= 0):
        raise CheckpointError(
            f"the optimiser's learning rate must be finite and >= 0, got {_shown(rate)}"
        )
    return float(number)


def _shown(value: Any) -> str:
    return (
        repr(value)[:100] if isinstance(value, int | float | str) else f"a {type(value).__name__}"
    )
