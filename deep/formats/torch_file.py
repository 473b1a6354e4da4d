"""`.pt` files of ddpm-torch and of torchcfm, and of EDM as far as it needs no source code, read and written.

ddpm-torch     model, optimizer, ema (decay, shadow, num_updates), scheduler, epoch, loss
torchcfm       net_model, ema_model, sched, optim, step
EDM            network_kwargs (arguments of the official constructor), ema, net, optimizer_state, step, images
any of them    a bare state dict
"""

import io
import pickle
import re
import zipfile
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from deep.formats.checkpoint_record import Checkpoint, CheckpointError, State, own_copy, plain
from deep.formats.edm_pickle import network_arguments, network_from_arguments
from deep.networks.state_dict import has, shapes_of
from deep.networks.unet_cfm import CFMNetwork
from deep.networks.unet_ddpm import DDPMNetwork
from deep.networks.unet_edm import EDMNetwork

__all__ = ["official_content", "read_torch_file", "with_deduced_network"]


def read_torch_file(content: bytes, resolution: int = 32, head_channels: int = 64) -> Checkpoint:
    """What a `.pt` file holds, loaded with `weights_only=True`.

    resolution, head_channels: see `with_deduced_network`. CheckpointError, or what torch raises, if it holds nothing
    that is known.
    """
    if zipfile.is_zipfile(io.BytesIO(content)):
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            if damaged := archive.testzip():  # torch does not compare the checksums that it writes
                raise CheckpointError(f"is damaged: {damaged} does not have its checksum")
    try:
        file = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        if asked := re.search(r"GLOBAL (\S+)", str(error)):
            raise CheckpointError(f"asks for {asked[1]}, which tensors do not need: refused, nothing was run") from None
        raise
    if not isinstance(file, Mapping) or not file:
        raise CheckpointError(f"holds a {type(file).__name__}, not a checkpoint")
    if "network_kwargs" in file:
        state, ema = _own(file.get("net")), _own(file.get("ema"))
        network = network_from_arguments(file["network_kwargs"], state or ema or {})
        return Checkpoint(network, state, ema, file.get("optimizer_state"), file.get("step"), file.get("images"))
    if all(isinstance(value, Tensor) for value in file.values()):
        parts: dict[str, Any] = {"state": _own(file)}
    elif "net_model" in file or "ema_model" in file:
        parts = _parts_of_torchcfm(file)
    elif "model" in file or "ema" in file:
        parts = _parts_of_ddpm_torch(file)
    else:
        raise CheckpointError(f"holds {', '.join(map(str, file))}: nothing that is known")
    return with_deduced_network(resolution, head_channels, **parts)


def with_deduced_network(
    resolution: int, head_channels: int, state: State | None = None, ema: State | None = None, **others: Any
) -> Checkpoint:
    """The checkpoint of whatever network the weights belong to; its `assumed` fields are those that no tensor tells.

    resolution: of ddpm-torch's and torchcfm's networks.   head_channels: of torchcfm's.   others: fields of Checkpoint.
    CheckpointError or StateError if the weights belong to no network that is known.
    """
    shapes = shapes_of(state or ema or {})
    if has(shapes, "model.map_layer"):
        network, assumed = EDMNetwork.deduce(shapes), ("dropout", "sigma_data")
    elif has(shapes, "embed."):
        network, assumed = DDPMNetwork.deduce(shapes, resolution), ("resolution", "dropout")
    elif has(shapes, "time_embed."):
        network = CFMNetwork.deduce(shapes, resolution, head_channels)
        assumed = ("resolution", "head_channels", "dropout")
    else:
        raise CheckpointError(f"holds the tensors of no network that is known: {', '.join([*shapes][:3])}, …")
    return Checkpoint(network, state, ema, **others, assumed=assumed)


def _own(state: Mapping[str, Any] | None) -> State | None:
    return None if state is None else own_copy(state)


def _parts_of_torchcfm(file: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "state": _own(file.get("net_model")),
        "ema": _own(file.get("ema_model")),
        "optimizer": file.get("optim"),
        "step": file.get("step"),
        "extra": plain({"sched": file["sched"]} if "sched" in file else {}),
    }


def _parts_of_ddpm_torch(file: Mapping[str, Any]) -> dict[str, Any]:
    average = file.get("ema") or {}
    extra = {name: value for name, value in file.items() if name not in ("model", "optimizer", "ema")}
    extra["ema"] = {name: value for name, value in average.items() if name != "shadow"}
    return {
        "state": _own(file.get("model")),
        "ema": _own(average.get("shadow")),
        "optimizer": file.get("optimizer"),
        "step": (file.get("scheduler") or {}).get("last_epoch", average.get("num_updates")),
        "extra": plain(extra),
    }


def official_content(checkpoint: Checkpoint) -> dict[str, Any]:
    """What `torch.save` must write for the official code to go on: see the top of this module.

    Where the weights in training or their average are missing, the other ones stand for them.
    """
    state, ema = dict(checkpoint.weights("state")), dict(checkpoint.weights("ema"))
    match checkpoint.network:
        case EDMNetwork() as network:
            content = {
                "network_kwargs": network_arguments(network),
                "ema": ema,
                "net": state,
                "optimizer_state": checkpoint.optimizer,
                "step": checkpoint.step,
                "images": checkpoint.images,
            }
        case CFMNetwork():
            content = {
                "net_model": state,
                "ema_model": ema,
                "sched": checkpoint.extra.get("sched"),
                "optim": checkpoint.optimizer,
                "step": checkpoint.step,
            }
        case DDPMNetwork():
            average = {"decay": 0.9999, "num_updates": checkpoint.step or 0, **checkpoint.extra.get("ema", {})}
            content = {
                "scheduler": _scheduler(checkpoint),
                "epoch": 0,
                **checkpoint.extra,
                "model": state,
                "optimizer": checkpoint.optimizer,
                "ema": {**average, "shadow": ema},
            }
    return {name: value for name, value in content.items() if value is not None}


def _scheduler(checkpoint: Checkpoint) -> dict[str, Any] | None:
    """The state of the LambdaLR that warms ddpm-torch's learning rate up, after the steps taken."""
    if checkpoint.optimizer is None or checkpoint.step is None:
        return None
    rates = [group["lr"] for group in checkpoint.optimizer["param_groups"]]
    return {
        "base_lrs": [group.get("initial_lr", group["lr"]) for group in checkpoint.optimizer["param_groups"]],
        "last_epoch": checkpoint.step,
        "_step_count": checkpoint.step + 1,
        "_last_lr": rates,
        "lr_lambdas": [None] * len(rates),
    }
