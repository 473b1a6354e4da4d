"""DDPM networks in the format of diffusers' `UNet2DModel`, such as google/ddpm-cifar10-32: a
folder with a JSON configuration and files of weights, and maybe a scheduler. The network is that of
ddpm-torch under other names, but for details that both say.
"""

import json
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor

from deep.formats.checkpoint_error import CheckpointError
from deep.formats.checkpoint_record import LARGEST_FILE, Checkpoint, own_copy, plain
from deep.formats.diffusers_scheduler import PIPELINES, model_of_scheduler
from deep.formats.safetensors_file import safetensors_tensors
from deep.formats.torch_container import load_torch
from deep.models.ddpm import DDPM
from deep.networks.state_dict import shapes_of
from deep.networks.unet_ddpm import DDPMNetwork
from stability.runs.untrusted import (
    UntrustedFileError,
    open_regular,
    parse_json,
    printable,
    read_bytes,
)

__all__ = [
    "diffusers_content",
    "folder_settings",
    "network_from_config",
    "read_diffusers_folder",
    "their_names",
    "weights_files",
]

CONFIG, WEIGHTS, SCHEDULER = (
    "config.json",
    "diffusion_pytorch_model.safetensors",
    "scheduler_config.json",
)
LARGEST_JSON = 2**20

_NOT_CONTRADICTED = {
    "_class_name": "UNet2DModel",
    "act_fn": "silu",
    "add_attention": True,
    "attn_norm_num_groups": None,
    "center_input_sample": False,
    "class_embed_type": None,
    "downsample_type": "conv",
    "mid_block_scale_factor": 1,
    "num_class_embeds": None,
    "resnet_time_scale_shift": "default",
    "time_embedding_type": "positional",
    "upsample_type": "conv",
}
"""Settings that a configuration may have or not: these are diffusers' defaults."""
_DETAILS: dict[str, tuple[str, Any, type | tuple[type, ...]]] = {
    "norm_groups": ("norm_num_groups", 32, int),
    "norm_eps": ("norm_eps", 1e-5, float),
    "head_channels": ("attention_head_dim", 8, (int, type(None))),
    "cosines_first": ("flip_sin_to_cos", True, bool),
    "freq_shift": ("freq_shift", 0, int),
    "downsample_padding": ("downsample_padding", 1, int),
    "dropout": ("dropout", 0.0, (int, float)),
}
"""Field of `DDPMNetwork` -> diffusers' setting, its default there, and its type."""
_OUTSIDE_BLOCKS = {
    "embed.0": "time_embedding.linear_1",
    "embed.2": "time_embedding.linear_2",
    "in_conv": "conv_in",
    "out_conv.0": "conv_norm_out",
    "out_conv.2": "conv_out",
    "middle.0": "mid_block.resnets.0",
    "middle.1": "mid_block.attentions.0",
    "middle.2": "mid_block.resnets.1",
}
_IN_BLOCKS = {
    "fc": "time_emb_proj",
    "skip": "conv_shortcut",
    "norm": "group_norm",
    "project_out": "to_out.0",
}
_EARLIER = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
"""Layers of the attention, and their names in older files."""


def read_diffusers_folder(folder: Path, resolution: int | None = None) -> Checkpoint:
    """Read a network, or a pipeline whose networks are in `unet` and `unet_ema`.

    Weights may be in one safetensors file or several, in half precision, or in files of torch,
    which are read without executing anything.

    Args:
        folder: The folder.
        resolution: Pixels a side where the configuration does not say; None: 32.

    Returns:
        The weights, and their average where there is a `unet_ema`.

    Raises:
        CheckpointError: If it holds none, another network, two that differ, or a scheduler whose
            algorithm is not one of ours.
    """
    states: dict[str, dict[str, Tensor]] = {}
    configs: list[dict[str, Any]] = []
    network: DDPMNetwork | None = None
    for which, inner in _networks(folder).items():
        configs.append(_json(inner / CONFIG))
        found = network_from_config(configs[-1], resolution)
        if network not in (None, found):
            raise CheckpointError(
                "holds two networks of different configurations, unet and unet_ema"
            )
        network, states[which] = found, _state(inner, found)
    assert network is not None
    assumed = ("resolution",) if configs[0]["sample_size"] is None else ()
    extra = plain({"diffusers": configs[0], **_schedule(folder)})
    state, ema = states.get("state"), states.get("ema")
    return Checkpoint(network, state, ema, extra=extra, assumed=assumed)


def weights_files(folder: Path) -> list[Path]:
    """List the files with the weights that `read_diffusers_folder` reads, in its order.

    Args:
        folder: The pipeline's folder.

    Returns:
        Their paths.
    """
    return [path for inner in _networks(folder).values() for path in _weights_files(inner)]


def diffusers_content(checkpoint: Checkpoint) -> dict[str, bytes]:
    """Content of a folder that diffusers loads as a `DDPMPipeline`.

    Args:
        checkpoint: Weights of a DDPM network without classes; their average is taken if there is
            one, as it is what samples are drawn with. The scheduler of a folder that they began
            from is written with them.

    Returns:
        Content by path within the folder, the configuration of each part behind its weights.

    Raises:
        CheckpointError: If the network is another one.
    """
    network = checkpoint.network
    if not isinstance(network, DDPMNetwork) or network.label_dim:
        raise CheckpointError(
            "is no DDPM network without classes, which is all that diffusers' UNet2DModel can hold"
        )
    theirs: dict[str, Tensor] = {}
    for name, value in checkpoint.weights("ema").items():
        names = their_names(name, network)
        # maps of the attention are matrices there, 1 × 1 convolutions here
        is_map = "attentions" in names[0] and value.dim() == 4
        parts = (value.flatten(1) if is_map else value).chunk(len(names))
        theirs |= {own: part.clone() for own, part in zip(names, parts, strict=True)}
    scheduler = {"_class_name": "DDPMScheduler", **checkpoint.extra.get("scheduler", {})}
    name = scheduler["_class_name"]
    index = {
        "_class_name": PIPELINES[name],
        "scheduler": ["diffusers", name],
        "unet": ["diffusers", "UNet2DModel"],
    }
    weights = safetensors.torch.save(theirs, metadata={"format": "pt"})
    described = {
        f"unet/{CONFIG}": _config(network),
        f"scheduler/{SCHEDULER}": scheduler,
        "model_index.json": index,
    }
    texts = {name: json.dumps(value, indent=2).encode() for name, value in described.items()}
    return {f"unet/{WEIGHTS}": weights, **texts}


def _config(network: DDPMNetwork) -> dict[str, Any]:
    """The configuration that makes diffusers build this network; `network_from_config` reads it."""
    resolutions = [network.resolution >> level for level in range(len(network.channel_mult))]
    attended = [r in network.attn_resolutions for r in resolutions]
    details = {theirs: getattr(network, ours) for ours, (theirs, _, _) in _DETAILS.items()}
    return {
        **_NOT_CONTRADICTED,
        **details,
        "sample_size": network.resolution,
        "in_channels": network.channels,
        "out_channels": network.channels,
        "layers_per_block": network.num_blocks,
        "block_out_channels": [mult * network.model_channels for mult in network.channel_mult],
        "down_block_types": ["AttnDownBlock2D" if one else "DownBlock2D" for one in attended],
        "up_block_types": ["AttnUpBlock2D" if one else "UpBlock2D" for one in attended[::-1]],
    }


def _networks(folder: Path) -> dict[str, Path]:
    """Folders of the weights (`state`) and of their average (`ema`), of which there is one."""
    if (folder / CONFIG).exists():
        return {"state": folder}
    named = {"state": folder / "unet", "ema": folder / "unet_ema"}
    found = {which: inner for which, inner in named.items() if (inner / CONFIG).exists()}
    if not found:
        raise CheckpointError(f"is a folder without {CONFIG}")
    return found


def _state(inner: Path, network: DDPMNetwork) -> dict[str, Tensor]:
    """The tensors of a network under our names."""
    theirs = _tensors(inner)
    with torch.device("meta"):
        shapes = shapes_of(network.build().state_dict())
    ours = {
        name: _taken(theirs, their_names(name, network), shape) for name, shape in shapes.items()
    }
    if theirs:
        raise CheckpointError(f"holds a tensor {min(theirs)}, which this network does not have")
    return ours


def _tensors(inner: Path) -> dict[str, Tensor]:
    """The tensors of all files of weights under diffusers' names, float32."""
    files = _weights_files(inner)
    if sum(path.stat().st_size for path in files) > LARGEST_FILE:
        raise CheckpointError(f"holds more than {LARGEST_FILE:,} bytes of weights")
    found: dict[str, Tensor] = {}
    for path in files:
        with open_regular(path, LARGEST_FILE) as file:
            tensors = (
                safetensors_tensors(file)[0] if path.suffix == ".safetensors" else load_torch(file)
            )
        if not isinstance(tensors, Mapping):
            raise CheckpointError(f"{path.name} holds no tensors under names")
        own = own_copy(tensors)
        if twice := found.keys() & own.keys():
            raise CheckpointError(f"holds the tensor {min(twice)} in two files")
        found |= own
    return found


def _weights_files(inner: Path) -> list[Path]:
    """The files with the weights of one network: full precision before half, safetensors before
    files of torch, one file before several.
    """
    stem = WEIGHTS.removesuffix(".safetensors")
    for precision in ("", ".fp16"):
        for kind in ("safetensors", "bin"):
            whole = inner / f"{stem}{precision}.{kind}"
            if whole.exists():
                return [whole]
            index = inner / f"{stem}.{kind}.index{precision}.json"
            if index.exists():
                return _parts(index, kind)
    raise CheckpointError(f"is a folder without {WEIGHTS}")


def _parts(index: Path, kind: str) -> list[Path]:
    """The files that an index names, each of them beside it."""
    names = _json(index).get("weight_map")
    if not isinstance(names, dict) or not names:
        raise CheckpointError(f"{index.name} has no weight_map")
    for name in names.values():
        if not (isinstance(name, str) and re.fullmatch(rf"[\w-][\w.-]*\.{kind}", name)):
            raise CheckpointError(
                f"{index.name} names {printable(repr(name))}, which is no .{kind} file beside it"
            )
    found = sorted(set(names.values()))
    if missing := [name for name in found if not (index.parent / name).is_file()]:
        raise CheckpointError(f"is a folder without {missing[0]}, which {index.name} names")
    return [index.parent / name for name in found]


def _json(path: Path) -> dict[str, Any]:
    try:
        value = parse_json(read_bytes(path, LARGEST_JSON))
    except UntrustedFileError as error:
        raise CheckpointError(f"{path.name} {error}") from None
    if not isinstance(value, dict):
        raise CheckpointError(f"{path.name} is no JSON object")
    return value


def _schedule(folder: Path) -> dict[str, Any]:
    """The scheduler beside the network, if its algorithm is one of ours."""
    for path in (folder / "scheduler" / SCHEDULER, folder / SCHEDULER):
        if path.exists():
            said = _json(path)
            model_of_scheduler(said)  # refuses what is not read
            return {"scheduler": said}
    return {}


def folder_settings(folder: Path, base: DDPM) -> tuple[DDPMNetwork, DDPM]:
    """The network, the diffusion and the sampler of a folder, without its weights.

    Args:
        folder: Of a network or a pipeline.
        base: Gives what a folder does not say.

    Returns:
        Configuration of the network, and of loss and sampler.

    Raises:
        CheckpointError: As of `read_diffusers_folder`.
    """
    inner = next(iter(_networks(folder).values()))
    schedule = _schedule(folder)
    model = model_of_scheduler(schedule["scheduler"], base) if schedule else base
    return network_from_config(_json(inner / CONFIG)), model


def _details(config: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of the network that a `config.json` may say. CheckpointError if of another type."""
    details = {}
    for ours, (theirs, default, kind) in _DETAILS.items():
        details[ours] = config.get(theirs, default)
        if not isinstance(details[ours], kind) or (
            isinstance(details[ours], bool) and kind is not bool
        ):
            raise CheckpointError(
                f"has {theirs} = {printable(json.dumps(details[ours]))}, which is of another type"
            )
    return details


def network_from_config(config: Mapping[str, Any], resolution: int | None = None) -> DDPMNetwork:
    """The network that a `config.json` describes.

    Args:
        config: Its content.
        resolution: Pixels a side where it says null; None: 32.

    Raises:
        CheckpointError: If it is not of ddpm-torch's family.
    """
    for name, value in _NOT_CONTRADICTED.items():
        if (said := config.get(name, value)) != value:
            raise CheckpointError(f"has {name} = {printable(repr(said))}; only {value!r} is known")

    try:
        widths, size, channels = (
            config["block_out_channels"],
            config["sample_size"],
            config["in_channels"],
        )
        down, up, blocks = (
            config["down_block_types"],
            config["up_block_types"],
            config["layers_per_block"],
        )
    except KeyError as error:
        raise CheckpointError(f"has no {error.args[0]}") from None
    size = (resolution or 32) if size is None else size
    size = size[0] if isinstance(size, list) and len(size) == 2 and size[0] == size[1] else size
    if type(size) is not int:
        raise CheckpointError(
            f"has sample_size = {printable(json.dumps(size))}; only square images are known"
        )
    if not all(isinstance(value, list) and value for value in (widths, down, up)) or any(
        type(width) is not int or width < 1 for width in widths
    ):
        raise CheckpointError(
            "has block_out_channels, down_block_types or up_block_types that are no lists"
        )

    attended = [kind == "AttnDownBlock2D" for kind in down]
    mirrored = ["AttnUpBlock2D" if attention else "UpBlock2D" for attention in reversed(attended)]
    if (
        not set(down) <= {"DownBlock2D", "AttnDownBlock2D"}
        or up != mirrored
        or len(down) != len(widths)
    ):
        raise CheckpointError(
            f"has the blocks {down}, {up}; only (Attn)DownBlock2D and the same upwards are known"
        )
    if config.get("out_channels") != channels or any(width % widths[0] for width in widths):
        raise CheckpointError(
            f"has the widths {widths}, {channels} channels in and {config.get('out_channels')} out"
        )
    return DDPMNetwork(
        resolution=size,
        channels=channels,
        model_channels=widths[0],
        channel_mult=tuple(width // widths[0] for width in widths),
        num_blocks=blocks,
        attn_resolutions=tuple(
            size >> level for level, attention in enumerate(attended) if attention
        ),
        **_details(config),
    )


def their_names(name: str, network: DDPMNetwork) -> list[str]:
    """Names in diffusers of a tensor of `DDPMUNet`.

    Args:
        name: Name of the tensor in `DDPMUNet`.
        network: Configuration of the network.

    Returns:
        One name, or those of the query, the key and the value.
    """
    layer, kind = name.rsplit(".", 1)
    for ours, theirs in _OUTSIDE_BLOCKS.items():
        if layer == ours or layer.startswith(f"{ours}."):
            return _inside(theirs, layer.removeprefix(ours), kind)
    side, level, i, *rest = layer.split(".")
    level, deepest = int(level.removeprefix("level_")), len(network.channel_mult) - 1
    down = side == "downsamples"
    at = f"down_blocks.{level}" if down else f"up_blocks.{deepest - level}"
    if int(i) == network.num_blocks + (not down):
        return [f"{at}.{'downsamplers' if down else 'upsamplers'}.0.conv.{kind}"]
    attends = network.resolution >> level in network.attn_resolutions
    part, *rest = rest if attends else ["0", *rest]
    return _inside(
        f"{at}.{'resnets' if part == '0' else 'attentions'}.{i}",
        "".join(f".{r}" for r in rest),
        kind,
    )


def _inside(block: str, layer: str, kind: str) -> list[str]:
    if layer == ".project_in":
        return [f"{block}.{projection}.{kind}" for projection in ("to_q", "to_k", "to_v")]
    inner = layer.removeprefix(".")
    return [".".join(part for part in (block, _IN_BLOCKS.get(inner, inner), kind) if part)]


def _taken(theirs: dict[str, Tensor], names: Sequence[str], shape: torch.Size) -> Tensor:
    """The tensor of this shape made of those with these names, which are taken out of `theirs`."""
    expected = (shape[0] // len(names), *shape[1:])
    parts = []
    for name in names:
        earlier = next(
            (
                name.replace(f".{new}.", f".{old}.")
                for new, old in _EARLIER.items()
                if f".{new}." in name
            ),
            "",
        )
        found = name if name in theirs else earlier
        if found not in theirs:
            raise CheckpointError(f"lacks the tensor {name}")
        part = theirs.pop(found)
        if tuple(part.shape) not in (expected, expected[:2]) or part.numel() != math.prod(expected):
            raise CheckpointError(
                f"tensor {found} has shape {tuple(part.shape)}; it must have {expected}"
            )
        # the attention's maps are matrices there, 1 × 1 convolutions here
        parts.append(part.reshape(expected))
    return torch.cat(parts)
