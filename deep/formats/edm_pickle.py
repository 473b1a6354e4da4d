"""EDM's network snapshots, read without running anything that they contain.

A snapshot (`network-snapshot-*.pkl`, also the released `edm-*.pkl`) is a pickle whose objects carry the source text of
their module, for the official loader to execute. Here an object becomes a name and a dictionary, its source text is
never looked at, and a pickle that asks for anything but what tensors and plain containers need is refused.
"""

import io
import pickle
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from deep.formats.checkpoint_record import Checkpoint, CheckpointError, own_copy, plain
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
_FIXED = {**_ARCHITECTURE, "label_dim": 0, "sigma_min": 0, "sigma_max": float("inf")}
_WITHOUT_EFFECT = {"use_fp16", "label_dropout"}  # on the weights, and on a network without class labels


def read_snapshot(content: bytes) -> Checkpoint:
    """The average of the weights in a snapshot. CheckpointError, or whatever the unpickler raises, if it is none."""
    snapshot = _Unpickler(io.BytesIO(content)).load()
    ema = snapshot.get("ema") if isinstance(snapshot, dict) else None
    if not isinstance(ema, _Object):
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

    state: tells whether there is an augmentation label, where the arguments do not.
    CheckpointError if they describe a network of another family: conditional, NCSN++, ADM, …
    """
    for name, value in arguments.items():
        if name in _FIXED and value != _FIXED[name]:
            raise CheckpointError(f"holds a network with {name} = {value!r}; only {_FIXED[name]!r} is known")
        if name not in _FIXED and name not in _ARGUMENTS and name not in _WITHOUT_EFFECT:
            raise CheckpointError(f"holds a network with the unknown argument {name} = {value!r}")
    for name in ("img_resolution", "img_channels", "channel_mult"):
        if name not in arguments:
            raise CheckpointError(f"holds a network without the argument {name}")
    fields = {field: arguments[name] for name, field in _ARGUMENTS.items() if name in arguments}
    labels = "model.map_augment.weight"
    fields.setdefault("augment_dim", size({n: t.shape for n, t in state.items()}, labels, 1) if labels in state else 0)
    resolutions = [fields["resolution"] >> level for level in range(len(fields["channel_mult"]))]
    fields["attn_resolutions"] = tuple(r for r in resolutions if r in fields.get("attn_resolutions", [16]))
    return EDMNetwork(**{**fields, "channel_mult": tuple(fields["channel_mult"])})


def network_arguments(network: EDMNetwork) -> dict[str, Any]:
    """What the official constructor (`training.networks.EDMPrecond`) is to be called with to make this network."""
    arguments = {name: getattr(network, field) for name, field in _ARGUMENTS.items()}
    lists = {name: list(value) for name, value in arguments.items() if isinstance(value, tuple)}
    return {**_ARCHITECTURE, **arguments, **lists}


# Pickle


@dataclass(frozen=True)
class _Object:
    """An official "persistent" object: its class's name, and what its `__dict__` was."""

    class_name: str
    state: dict[str, Any]


class _ModuleDict:
    """A torch.nn.ModuleDict: what its `__dict__` was."""

    state: dict[str, Any]

    def restore(self, state: dict[str, Any]) -> None:
        self.state = state


class _Dtype:
    """The type of a NumPy number."""

    def __init__(self, code: str, *_: object) -> None:
        if code not in ("b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8"):
            raise CheckpointError(f"holds a NumPy value of type {code!r}")
        self.dtype = np.dtype(code)

    def restore(self, state: tuple[Any, ...]) -> None:
        if state[1] not in ("<", "|"):
            raise CheckpointError(f"holds a NumPy value of byte order {state[1]!r}")


def _object(meta: dict[str, Any]) -> _Object:
    return _Object(meta["class_name"], meta["state"])


def _storage(content: bytes) -> Tensor:
    """The numbers of a storage, in one row."""
    storage = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    return torch.empty(0, dtype=storage.dtype).set_(storage)


def _tensor(storage: Tensor, offset: int, shape: tuple[int, ...], stride: tuple[int, ...], *_: object) -> Tensor:
    tensor = storage.as_strided(shape, stride, offset)
    if tensor.numel() > storage.numel():  # strides of 0: a small file that claims to be a large tensor
        raise CheckpointError(f"holds a tensor of shape {shape} with {storage.numel()} numbers")
    return tensor


def _parameter(tensor: Tensor, *_: object) -> Tensor:
    return tensor


def _scalar(kind: _Dtype, content: bytes) -> Any:
    return np.frombuffer(content, kind.dtype)[0].item()


_GLOBALS: dict[str, Callable[..., Any]] = {
    "torch_utils.persistence._reconstruct_persistent_obj": _object,
    "torch.nn.modules.container.ModuleDict": _ModuleDict,
    "torch.storage._load_from_bytes": _storage,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_parameter": _parameter,
    "numpy.dtype": _Dtype,
    "numpy.core.multiarray.scalar": _scalar,
    "numpy._core.multiarray.scalar": _scalar,
    "collections.OrderedDict": OrderedDict,
    "dnnlib.util.EasyDict": dict,
}
"""Everything that a snapshot may ask for, and what it gets."""


class _Unpickler(pickle._Unpickler):  # the one in C sizes its memory by a number in the file
    """Plain containers, and what `_GLOBALS` make."""

    stack: list[Any]

    def find_class(self, module: str, name: str) -> Callable[..., Any]:
        if f"{module}.{name}" not in _GLOBALS:
            raise CheckpointError(f"asks for {module}.{name}, which no snapshot needs: refused, nothing was run")
        return _GLOBALS[f"{module}.{name}"]

    def load_build(self) -> None:
        """Set the state of an object. The inherited method would set any attribute of anything."""
        state = self.stack.pop()
        if not isinstance(self.stack[-1], _ModuleDict | _Dtype):
            raise CheckpointError(f"sets the attributes of a {type(self.stack[-1]).__name__}: refused, nothing was run")
        self.stack[-1].restore(state)

    dispatch: ClassVar[dict[int, Any]] = {**pickle._Unpickler.dispatch, pickle.BUILD[0]: load_build}


def _described(value: Any) -> Any:
    """An object as its class's name and the arguments it was made with."""
    return {"class_name": value.class_name, **value.state["_init_kwargs"]} if isinstance(value, _Object) else value


def _named_tensors(module: Any, prefix: str = "") -> Iterator[tuple[str, Tensor]]:
    """(name, tensor) of a module's state dict, in its order."""
    for kind in ("_parameters", "_buffers"):
        for name, value in module.state[kind].items():
            if value is not None:
                yield prefix + name, value
    for name, child in module.state["_modules"].items():
        yield from _named_tensors(child, f"{prefix}{name}.")
