"""`.pt` files of ddpm-torch and of torchcfm, and of EDM as far as it needs no source code, read and
written.

ddpm-torch     model, optimizer, ema (decay, shadow, num_updates), scheduler, epoch, loss
torchcfm       net_model, ema_model, sched, optim, step
lucidrains     ema_model (online_model.NAME, ema_model.NAME, initted, step)
EDM            network_kwargs (arguments of the official constructor), ema, net, optimizer_state,
               step, images
any of them    a bare state dict; model and ema as bare state dicts
"""

from collections.abc import Mapping
from typing import IO, Any

from torch import Tensor

from deep.formats.adam import checked_rate
from deep.formats.checkpoint_error import CheckpointError
from deep.formats.checkpoint_record import Checkpoint, State, own_copy, plain
from deep.formats.edm_pickle import network_arguments, network_from_arguments
from deep.formats.torch_container import load_torch
from deep.networks.state_dict import has, shapes_of
from deep.networks.unet_cfm import CFMNetwork
from deep.networks.unet_ddpm import UNOFFICIAL, DDPMNetwork
from deep.networks.unet_edm import EDMNetwork
from stability.runs.untrusted import printable

__all__ = ["official_content", "read_torch_file", "with_deduced_network"]


def read_torch_file(file: IO[bytes], resolution: int = 32, head_channels: int = 64) -> Checkpoint:
    """Read a `.pt` file; see `deep.formats.torch_container`.

    Args:
        file: The file, open for reading.
        resolution: See `with_deduced_network`.
        head_channels: See `resolution`.

    Returns:
        The checkpoint.

    Raises:
        CheckpointError: If it holds nothing that is known.
    """
    found = load_torch(file)
    if not isinstance(found, dict) or not found:
        raise CheckpointError(f"holds a {type(found).__name__}, not a checkpoint")
    if "network_kwargs" in found:
        state, ema = _own(found.get("net")), _own(found.get("ema"))
        network = network_from_arguments(found["network_kwargs"], state or ema or {})
        return Checkpoint(
            network,
            state,
            ema,
            found.get("optimizer_state"),
            found.get("step"),
            found.get("images"),
        )
    if all(isinstance(value, Tensor) for value in found.values()):
        parts: dict[str, Any] = _parts_of_state_dict(found)
    elif "net_model" in found or "ema_model" in found:
        parts = _parts_of_torchcfm(found)
    elif "model" in found or "ema" in found:
        parts = _parts_of_ddpm_torch(found)
    else:
        names = ", ".join(printable(name, 50) for name in [*found][:10])
        raise CheckpointError(f"holds {names}: nothing that is known")

    return with_deduced_network(resolution, head_channels, **parts)


def with_deduced_network(
    resolution: int,
    head_channels: int,
    state: State | None = None,
    ema: State | None = None,
    **others: Any,
) -> Checkpoint:
    """The checkpoint of whatever network the weights belong to.

    Its `assumed` fields are those that no tensor tells.

    Args:
        resolution: Pixels a side, of ddpm-torch's and torchcfm's networks.
        head_channels: Channels of an attention head, of torchcfm's.
        state: Weights in training; None: the file has only their average.
        ema: Average of the weights; None: the file has none.
        others: Fields of Checkpoint.

    Returns:
        The checkpoint.

    Raises:
        CheckpointError: If the weights belong to no network that is known.
        StateError: If a tensor is missing that tells the configuration.
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
        raise CheckpointError(
            f"holds the tensors of no network that is known: {', '.join([*shapes][:3])}, …"
        )
    return Checkpoint(network, state, ema, **others, assumed=assumed)


def _own(state: Any) -> State | None:
    if state is not None and not isinstance(state, dict):
        raise CheckpointError(
            f"holds weights that are a {type(state).__name__}, not tensors under names"
        )
    return None if state is None else own_copy(state)


def _parts_of_state_dict(state: Mapping[str, Any]) -> dict[str, Any]:
    """A bare state dict; that of lucidrains' `EMA` holds the weights and their average, torch's
    `AveragedModel` that.

    Their counts (`initted`, `step`; `n_averaged`) are not of the network.
    """
    inner = {
        prefix: {
            str(name).removeprefix(prefix): v
            for name, v in state.items()
            if str(name).startswith(prefix)
        }
        for prefix in ("online_model.", "ema_model.")
    }
    if inner["ema_model."] and len(inner["ema_model."]) + len(inner["online_model."]) + sum(
        name in state for name in ("initted", "step")
    ) == len(state):
        return {"state": _own(inner["online_model."] or None), "ema": _own(inner["ema_model."])}
    if "n_averaged" in state:
        return {"ema": _own({name: value for name, value in state.items() if name != "n_averaged"})}
    return {"state": _own(state)}


def _averaged(average: Any, name: str) -> dict[str, Any]:
    """The average of the weights that a file holds under `name`, and the weights if they stand in
    it too.

    Raises:
        CheckpointError: If it is not tensors under names.
    """
    if average is None:
        return {"ema": None}
    if (
        not isinstance(average, dict)
        or not average
        or not all(isinstance(v, Tensor) for v in average.values())
    ):
        raise CheckpointError(
            f"holds an average of the weights, {name!r}, that is a {type(average).__name__} and "
            "not tensors under "
            f"names, which is not read: save the file without {name!r} to use the weights in "
            "training"
        )
    parts = _parts_of_state_dict(average)
    return parts if "ema" in parts else {"ema": parts["state"]}


def _refuse_other_averages(names: Mapping[str, Any], known: set[str]) -> None:
    """CheckpointError if there is an average of the weights under a name that is not read: it
    would be ignored.
    """
    for name, value in names.items():
        if (
            "ema" in str(name).lower()
            and str(name) not in known
            and isinstance(value, dict | list | tuple)
        ):
            raise CheckpointError(
                f"holds {name!r}, which may be an average of the weights and is not read: save "
                "the file without it, "
                f"or with it as 'ema'"
            )


def _parts_of_torchcfm(file: Mapping[str, Any]) -> dict[str, Any]:
    """`step` is the number of the last step, from 0: Adam has made one more."""
    _refuse_other_averages(file, {"ema_model"})
    parts = _averaged(file.get("ema_model"), "ema_model")
    if "net_model" in file:
        parts["state"] = _own(file["net_model"])
    return {
        **parts,
        "optimizer": file.get("optim"),
        "step": file.get("step"),
        "extra": plain({"sched": _schedule(file["sched"])} if "sched" in file else {}),
    }


def _parts_of_ddpm_torch(file: Mapping[str, Any]) -> dict[str, Any]:
    """`ema` is ddpm-torch's own record, whose `shadow` is the average, or the average itself."""
    _refuse_other_averages(file, {"ema"})
    record = file.get("ema")
    average, extra = (
        record,
        {name: v for name, v in file.items() if name not in ("model", "optimizer", "ema")},
    )
    counted = None
    if isinstance(record, dict) and isinstance(record.get("shadow"), dict):
        average, counted = record["shadow"], record.get("num_updates")
        extra["ema"] = {name: value for name, value in record.items() if name != "shadow"}
    if "scheduler" in file:
        extra["scheduler"] = _schedule(file["scheduler"])

    steps = (extra.get("scheduler") or {}).get("last_epoch")
    parts = _averaged(average, "ema")
    if "model" in file:
        parts["state"] = _own(file["model"])

    return {
        **parts,
        "optimizer": file.get("optimizer"),
        "step": counted if steps is None else steps,
        "extra": plain(extra),
    }


def _schedule(schedule: Any) -> dict[str, Any] | None:
    """The state of a LambdaLR. CheckpointError if its rates are no numbers."""
    if schedule is None:
        return None
    if not isinstance(schedule, dict):
        raise CheckpointError(
            f"holds a learning rate's schedule that is a {type(schedule).__name__}"
        )
    checked = dict(schedule)
    for name in ("base_lrs", "_last_lr"):
        if name in schedule:
            rates = schedule[name]
            if not isinstance(rates, list | tuple):
                raise CheckpointError(
                    f"holds a learning rate's schedule whose {name} is a {type(rates).__name__}"
                )
            checked[name] = [checked_rate(rate) for rate in rates]
    return checked


def official_content(checkpoint: Checkpoint) -> dict[str, Any]:
    """Content that `torch.save` must write for the official code: see the top of this module.

    Where the weights in training or their average are missing, the other ones stand for them.

    Args:
        checkpoint: What to write.

    Returns:
        The content, by the official names.

    Raises:
        CheckpointError: If the official code would make another network of it.
    """
    network = checkpoint.network
    names = () if isinstance(network, EDMNetwork) else UNOFFICIAL
    for name in names if isinstance(network, DDPMNetwork) else names[:1]:
        if (value := getattr(network, name)) != (always := getattr(type(network), name)):
            raise CheckpointError(
                f"is of a network with {name} = {value}; the official code has {always} always"
            )
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
            average = {
                "decay": 0.9999,
                "num_updates": checkpoint.step or 0,
                **checkpoint.extra.get("ema", {}),
            }
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
        "base_lrs": [
            group.get("initial_lr", group["lr"]) for group in checkpoint.optimizer["param_groups"]
        ],
        "last_epoch": checkpoint.step,
        "_step_count": checkpoint.step + 1,
        "_last_lr": rates,
        "lr_lambdas": [None] * len(rates),
    }
