"""EDM's network snapshots, read without running anything that they contain.

A snapshot (`network-snapshot-*.pkl`, also the released `edm-*.pkl`) is a pickle whose objects carry
the source text of their module, for the official loader to execute. Here an object becomes a name
and a dictionary, its source text is never looked at, and a pickle that asks for anything but what
tensors and plain containers need is refused (`deep.formats.unpickler`).
"""

import io
from collections.abc import Iterator, Mapping
from typing import IO, Any

from torch import Tensor

from deep.formats.checkpoint_error import CheckpointError
from deep.formats.checkpoint_record import Checkpoint, own_copy, plain
from deep.formats.torch_container import legacy_value
from deep.formats.unpickler import (
    Budget,
    ModuleDict,
    PersistentObject,
    Storage,
    Unpickler,
    bytes_left,
    require_bounded,
)
from deep.networks.state_dict import size
from deep.networks.unet_edm import EDMNetwork

__all__ = ["network_arguments", "network_from_arguments", "read_snapshot"]

_ARGUMENTS = {
    "img_resolution": "resolution",
    "img_channels": "channels",
    "model_channels": "model_channels",
    "channel_mult": "channel_mult",
    "num_blocks": "num_blocks",
    "attn_resolutions": "attn_resolutions",
    "augment_dim": "augment_dim",
    "dropout": "dropout",
    "channel_mult_emb": "channel_mult_emb",
    "sigma_data": "sigma_data",
    "label_dim": "label_dim",
}
"""Official argument -> field of EDMNetwork."""
_ARCHITECTURE = {
    "model_type": "SongUNet",
    "embedding_type": "positional",
    "encoder_type": "standard",
    "decoder_type": "standard",
    "channel_mult_noise": 1,
    "resample_filter": [1, 1],
}
"""Official arguments that make the SongUNet a "DDPM++"."""
_FIXED = {**_ARCHITECTURE, "sigma_min": 0, "sigma_max": float("inf")}
# on the weights, and on what a class-conditional network computes
_WITHOUT_EFFECT = {"use_fp16", "label_dropout"}


def read_snapshot(file: IO[bytes]) -> Checkpoint:
    """Read the average of the weights in a snapshot.

    Args:
        file: The pickle, seekable.

    Returns:
        The checkpoint, with the average alone.

    Raises:
        CheckpointError: If it is no snapshot; the unpickler may raise other errors.
    """
    budget = Budget(numbers=bytes_left(file))

    def storage(content: bytes) -> Storage:
        found = legacy_value(io.BytesIO(content), budget)
        if not isinstance(found, Storage):
            raise CheckpointError("holds numbers that are no storage of torch")
        return found

    snapshot = Unpickler(file, budget, {"torch.storage._load_from_bytes": storage}).load()
    require_bounded(snapshot)
    ema = snapshot.get("ema") if isinstance(snapshot, dict) else None
    if not isinstance(ema, PersistentObject):
        raise CheckpointError("is a pickle, but not of an EDM snapshot: it has no network 'ema'")
    if ema.class_name != "EDMPrecond":
        raise CheckpointError(f"holds a {ema.class_name}; only EDMPrecond is known")
    state = own_copy(dict(_named_tensors(ema)))
    return Checkpoint(
        network=network_from_arguments(ema.state["_init_kwargs"], state),
        ema=state,
        extra=plain({name: _described(value) for name, value in snapshot.items() if name != "ema"}),
    )


def network_from_arguments(arguments: Mapping[str, Any], state: Mapping[str, Tensor]) -> EDMNetwork:
    """The configuration that the official constructor's arguments describe.

    Args:
        arguments: Arguments of the constructor, by name.
        state: Tensors by name, of any shape; tells whether there is an augmentation label, where
            the arguments do not.

    Returns:
        The configuration.

    Raises:
        CheckpointError: If they describe a network of another family: NCSN++, ADM, …
    """
    for name, value in arguments.items():
        if name in _FIXED and value != _FIXED[name]:
            raise CheckpointError(
                f"holds a network with {name} = {value!r}; only {_FIXED[name]!r} is known"
            )
        if name not in _FIXED and name not in _ARGUMENTS and name not in _WITHOUT_EFFECT:
            raise CheckpointError(f"holds a network with the unknown argument {name} = {value!r}")

    for name in ("img_resolution", "img_channels", "channel_mult"):
        if name not in arguments:
            raise CheckpointError(f"holds a network without the argument {name}")

    fields = {field: arguments[name] for name, field in _ARGUMENTS.items() if name in arguments}
    labels = "model.map_augment.weight"
    fields.setdefault(
        "augment_dim",
        size({n: t.shape for n, t in state.items()}, labels, 1) if labels in state else 0,
    )
    resolutions = [fields["resolution"] >> level for level in range(len(fields["channel_mult"]))]
    fields["attn_resolutions"] = tuple(
        r for r in resolutions if r in fields.get("attn_resolutions", [16])
    )

    return EDMNetwork(**{**fields, "channel_mult": tuple(fields["channel_mult"])})


def network_arguments(network: EDMNetwork) -> dict[str, Any]:
    """Arguments of the official constructor (`training.networks.EDMPrecond`) for a network.

    Args:
        network: Configuration of the network.

    Returns:
        Arguments by name.
    """
    arguments = {name: getattr(network, field) for name, field in _ARGUMENTS.items()}
    lists = {name: list(value) for name, value in arguments.items() if isinstance(value, tuple)}
    if not network.label_dim:
        del arguments["label_dim"]  # as in the official files of unconditional networks
    return {**_ARCHITECTURE, **arguments, **lists}


def _described(value: Any) -> Any:
    """An object as its class's name and the arguments it was made with."""
    if not isinstance(value, PersistentObject):
        return value
    return {"class_name": value.class_name, **value.state["_init_kwargs"]}


def _named_tensors(module: Any, prefix: str = "") -> Iterator[tuple[str, Tensor]]:
    """(name, tensor) of a module's state dict, in its order."""
    if not isinstance(module, PersistentObject | ModuleDict):
        raise CheckpointError(f"holds a layer {prefix} that is a {type(module).__name__}")
    for kind in ("_parameters", "_buffers"):
        for name, value in module.state[kind].items():
            if value is not None:
                yield prefix + name, value
    for name, child in module.state["_modules"].items():
        yield from _named_tensors(child, f"{prefix}{name}.")
