"""Checkpoints of this project: one safetensors file with the tensors, and everything else as JSON in its header.

One file is either whole or not there, and cannot be parted from its description. Any reader of safetensors finds the
weights under `state/NAME` and `ema/NAME` with the official names, and the JSON under `checkpoint` in the metadata.
"""

import json
from dataclasses import asdict
from typing import Any

import safetensors.torch
import torch
from torch import Tensor

from deep.formats.checkpoint_record import NETWORKS, Checkpoint, CheckpointError, own_copy
from deep.formats.torch_file import with_deduced_network

__all__ = ["read_safetensors", "safetensors_content"]

_VERSION = 1


def safetensors_content(checkpoint: Checkpoint) -> bytes:
    """The bytes of the file."""
    tensors = {
        f"{kind}/{name}": value
        for kind, weights in (("state", checkpoint.state), ("ema", checkpoint.ema))
        for name, value in (weights or {}).items()
    }
    description = {
        "version": _VERSION,
        "kind": checkpoint.kind,
        "network": asdict(checkpoint.network),
        "step": checkpoint.step,
        "images": checkpoint.images,
        "extra": checkpoint.extra,
        "assumed": checkpoint.assumed,
    }
    if checkpoint.optimizer is not None:
        description["param_groups"] = checkpoint.optimizer["param_groups"]
        for i, moments in checkpoint.optimizer["state"].items():
            for name, value in moments.items():  # Adam's number of steps was once a plain number
                tensors[f"optimizer/{i}/{name}"] = value if isinstance(value, Tensor) else torch.tensor(float(value))
    contiguous = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    return safetensors.torch.save(contiguous, {"checkpoint": json.dumps(description, allow_nan=False)})


def read_safetensors(content: bytes, resolution: int = 32, head_channels: int = 64) -> Checkpoint:
    """What such a file holds, or one with a bare state dict under official names.

    resolution, head_channels: for a bare state dict, see `with_deduced_network`. CheckpointError, or what safetensors
    raises, if it is neither.
    """
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    tensors = safetensors.torch.load(content)
    if "checkpoint" not in header.get("__metadata__", {}):
        return with_deduced_network(resolution, head_channels, state=own_copy(tensors))
    description = json.loads(header["__metadata__"]["checkpoint"])
    if description["version"] != _VERSION:
        raise CheckpointError(f"is of version {description['version']}; only {_VERSION} is known")
    parts: dict[str, dict[str, Tensor]] = {}
    for name, value in own_copy(tensors).items():
        kind, _, rest = name.partition("/")
        parts.setdefault(kind, {})[rest] = value
    return Checkpoint(
        NETWORKS[description["kind"]](**_tuples(description["network"])),
        parts.get("state"),
        parts.get("ema"),
        _optimizer(parts.get("optimizer", {}), description),
        description["step"],
        description["images"],
        description["extra"],
        tuple(description["assumed"]),
    )


def _optimizer(moments: dict[str, Tensor], description: dict[str, Any]) -> dict[str, Any] | None:
    if "param_groups" not in description:
        return None
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in moments.items():
        i, _, moment = name.partition("/")
        state.setdefault(int(i), {})[moment] = value
    groups = [{**_tuples(group), "params": group["params"]} for group in description["param_groups"]]
    return {"state": state, "param_groups": groups}


def _tuples(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: tuple(value) if isinstance(value, list) else value for name, value in fields.items()}
