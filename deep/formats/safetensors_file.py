"""Checkpoints of this project: one safetensors file with the tensors, and everything else as JSON
in its header.

One file is either whole or not there, and cannot be parted from its description. Any reader of
safetensors finds the weights under `state/NAME` and `ema/NAME` with the official names, and the
JSON under `checkpoint` in the metadata. Its last field is the SHA-256 of the tensors and of the
fields before, since version 2: a file of version 1 has none.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import IO, Any

import safetensors.torch
from torch import Tensor

from deep.formats.checkpoint_error import CheckpointError
from deep.formats.checkpoint_record import NETWORKS, Checkpoint, own_copy, weights_digest
from deep.formats.torch_file import with_deduced_network
from deep.formats.unpickler import bytes_left
from stability.runs.untrusted import UntrustedFileError, parse_json, printable

__all__ = ["read_safetensors", "safetensors_content", "safetensors_tensors"]

_VERSION = 2
LARGEST_HEADER = 2**25
"""Bytes of the header: 32 MiB."""
NO_DIGEST = "no digest in the file (version 1): a flipped bit would not be noticed"


def safetensors_content(checkpoint: Checkpoint) -> bytes:
    """The bytes of the file.

    Args:
        checkpoint: What the file is to hold.

    Returns:
        The bytes, with a digest of the content.
    """
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
            tensors |= {f"optimizer/{i}/{name}": value for name, value in moments.items()}

    contiguous = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    text = json.dumps(description, allow_nan=False)
    sealed = f'{text[:-1]}, "sha256": "{_digest(contiguous, text)}"}}'
    # of several names, the order would be random
    return safetensors.torch.save(contiguous, {"checkpoint": sealed})


def read_safetensors(file: IO[bytes], resolution: int = 32, head_channels: int = 64) -> Checkpoint:
    """Read such a file, or one with a bare state dict under official names.

    Args:
        file: The file, open for reading.
        resolution: For a bare state dict, see `with_deduced_network`.
        head_channels: See `resolution`.

    Returns:
        The checkpoint.

    Raises:
        CheckpointError: If it is neither, or its digest is another one; safetensors may raise other
            errors.
    """
    tensors, metadata = safetensors_tensors(file)
    if "checkpoint" not in metadata:
        return with_deduced_network(resolution, head_channels, state=own_copy(tensors))

    description = _parsed(metadata["checkpoint"], "description")
    version = description.get("version") if isinstance(description, dict) else None
    if type(version) is not int or not 1 <= version <= _VERSION:
        raise CheckpointError(
            f"is of version {printable(version, 20)}; only 1 and {_VERSION} are known"
        )
    seal = re.search(r', "sha256": "([0-9a-f]{64})"\}\Z', metadata["checkpoint"])
    text = metadata["checkpoint"][: seal.start()] + "}" if seal else ""
    if version > 1 and (not seal or seal[1] != _digest(tensors, text)):
        raise CheckpointError(
            "is damaged: its content does not have the digest (SHA-256) that it was written with"
        )
    found = _checkpoint(tensors, description)
    return found if version > 1 else replace(found, remarks=(NO_DIGEST,))


def safetensors_tensors(file: IO[bytes]) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors of any safetensors file, and its metadata.

    Args:
        file: The file, at its start.

    Returns:
        Name -> tensor on the CPU, and the metadata.

    Raises:
        CheckpointError: If the header is too large, or describes other bytes than there are.
    """
    length, left = int.from_bytes(file.read(8), "little"), bytes_left(file)
    if length > min(LARGEST_HEADER, left):
        raise CheckpointError(
            f"is damaged, or no safetensors file: its header would have {length:,} bytes, of "
            f"{left:,}"
        )
    header = _parsed(file.read(length), "header")
    metadata = header.get("__metadata__", {}) if isinstance(header, dict) else None
    if not isinstance(metadata, dict) or not all(
        isinstance(value, str) for value in metadata.values()
    ):
        raise CheckpointError("is damaged: its metadata is no text under names")

    file.seek(0)
    try:
        return safetensors.torch.load(file.read()), metadata
    except safetensors.SafetensorError as error:
        raise CheckpointError(
            f"is damaged, or no safetensors file ({printable(str(error))})"
        ) from error


def _parsed(text: bytes | str, what: str) -> Any:
    try:
        return parse_json(text, LARGEST_HEADER)
    except UntrustedFileError as error:
        raise CheckpointError(f"is damaged, or no safetensors file: its {what} {error}") from None


def _digest(tensors: Mapping[str, Tensor], text: str) -> str:
    return weights_digest({"": tensors}, text)


def _checkpoint(tensors: dict[str, Tensor], description: dict[str, Any]) -> Checkpoint:
    """Checkpoint from the content of a file whose digest is right: maybe of another program."""
    for name in ("kind", "network", "step", "images", "extra", "assumed"):
        if name not in description:
            raise CheckpointError(f"has a description without {name}")
    for name, kind in (("network", dict), ("extra", dict), ("assumed", list)):
        if not isinstance(value := description[name], kind):
            raise CheckpointError(
                f"has a description whose {name} is a {type(value).__name__}, not a {kind.__name__}"
            )
    if description["kind"] not in tuple(NETWORKS):
        raise CheckpointError(
            f"is of the kind {printable(description['kind'], 50)}; known are {', '.join(NETWORKS)}"
        )

    parts: dict[str, dict[str, Tensor]] = {}
    for name, value in own_copy(tensors).items():
        kind, _, rest = name.partition("/")
        parts.setdefault(kind, {})[rest] = value
    if unknown := parts.keys() - {"state", "ema", "optimizer"}:
        raise CheckpointError(f"holds tensors {min(unknown)}/…, which are not known")
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
    groups = [
        {**_tuples(group), "params": group["params"]} for group in description["param_groups"]
    ]
    return {"state": state, "param_groups": groups}


def _tuples(fields: dict[str, Any]) -> dict[str, Any]:
    return {
        name: tuple(value) if isinstance(value, list) else value for name, value in fields.items()
    }
