"""DDPM networks in the format of diffusers' `UNet2DModel`, such as google/ddpm-cifar10-32: a
folder with a JSON configuration and a safetensors file. The network is that of ddpm-torch,
under other names.
"""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from deep.formats.checkpoint_error import CheckpointError
from deep.formats.checkpoint_record import LARGEST_FILE, Checkpoint, own_copy, plain
from deep.formats.safetensors_file import safetensors_tensors
from deep.networks.state_dict import shapes_of
from deep.networks.unet_ddpm import GROUPS, DDPMNetwork
from stability.runs.untrusted import (
    UntrustedFileError,
    open_regular,
    parse_json,
    printable,
    read_bytes,
)

__all__ = ["network_from_config", "read_diffusers_folder", "their_names", "weights_file"]

CONFIG, WEIGHTS, SCHEDULER = (
    "config.json",
    "diffusion_pytorch_model.safetensors",
    "scheduler_config.json",
)
LARGEST_JSON = 2**20

_DIFFUSION = {
    "prediction_type": "epsilon",
    "beta_schedule": "linear",
    "beta_start": 0.0001,
    "beta_end": 0.02,
    "num_train_timesteps": 1000,
    "trained_betas": None,
    "rescale_betas_zero_snr": False,
}
"""What a scheduler may say of the diffusion: these are diffusers' defaults, and DDPM's own."""

_SAID = {
    "_class_name": "UNet2DModel",
    "attention_head_dim": None,
    "downsample_padding": 0,
    "flip_sin_to_cos": False,
    "freq_shift": 1,
    "norm_eps": 1e-6,
}
"""What a configuration must say if the network is to be ddpm-torch's: diffusers' defaults are
others."""
_NOT_CONTRADICTED = {
    "act_fn": "silu",
    "add_attention": True,
    "attn_norm_num_groups": None,
    "center_input_sample": False,
    "class_embed_type": None,
    "downsample_type": "conv",
    "mid_block_scale_factor": 1,
    "norm_num_groups": GROUPS,
    "num_class_embeds": None,
    "resnet_time_scale_shift": "default",
    "time_embedding_type": "positional",
    "upsample_type": "conv",
}
"""What it may say or not: these are diffusers' defaults."""
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


def read_diffusers_folder(folder: Path) -> Checkpoint:
    """The weights in the folder, or in its sub-folder `unet`.

    Raises:
        CheckpointError: If it holds none, another network, or what would be ignored: an average of
            the weights beside them, or a scheduler that is not DDPM's own.
    """
    inner = folder if (folder / CONFIG).exists() else folder / "unet"
    if not (inner / CONFIG).exists():
        raise CheckpointError(f"is a folder without {CONFIG}")
    if inner != folder and (folder / "unet_ema").exists():
        raise CheckpointError(
            "holds the weights in training (unet) and their average (unet_ema): name the "
            "sub-folder that you want, "
            "the average for what diffusers samples with"
        )
    network = network_from_config(_json(inner / CONFIG))
    extra = {"diffusers": _json(inner / CONFIG), **_schedule(folder)}
    with open_regular(_weights_file(inner), LARGEST_FILE) as file:
        theirs = own_copy(safetensors_tensors(file)[0])

    with torch.device("meta"):
        shapes = shapes_of(network.build().state_dict())
    ours = {
        name: _taken(theirs, their_names(name, network), shape) for name, shape in shapes.items()
    }
    if theirs:
        raise CheckpointError(f"holds a tensor {min(theirs)}, which this network does not have")
    return Checkpoint(network, state=ours, extra=plain(extra))


def weights_file(folder: Path) -> Path:
    """The file with the weights that `read_diffusers_folder` reads."""
    return (folder if (folder / CONFIG).exists() else folder / "unet") / WEIGHTS


def _json(path: Path) -> dict[str, Any]:
    try:
        value = parse_json(read_bytes(path, LARGEST_JSON))
    except UntrustedFileError as error:
        raise CheckpointError(f"{path.name} {error}") from None
    if not isinstance(value, dict):
        raise CheckpointError(f"{path.name} is no JSON object")
    return value


def _weights_file(folder: Path) -> Path:
    """The one file with the weights. CheckpointError that says how to make it of what is there."""
    if (folder / WEIGHTS).exists():
        return folder / WEIGHTS
    load = "with diffusers, UNet2DModel.from_pretrained(FOLDER"
    stem = WEIGHTS.removesuffix(".safetensors")
    for pattern, what, how in (
        (
            f"{stem}*.index.json",
            "in several files",
            f"{load}).save_pretrained(OUT, max_shard_size='100GB')",
        ),
        (
            f"{stem}.fp16.*",
            "in half precision alone",
            f"{load}, variant='fp16').save_pretrained(OUT)",
        ),
        (f"{stem}.bin", "as a pickle", f"{load}, use_safetensors=False).save_pretrained(OUT)"),
    ):
        if found := sorted(path.name for path in folder.glob(pattern)):
            raise CheckpointError(
                f"holds its weights {what} ({printable(found[0])}), which is not read: {how} "
                f"writes {WEIGHTS}"
            )
    raise CheckpointError(f"is a folder without {WEIGHTS}")


def _schedule(folder: Path) -> dict[str, Any]:
    """The scheduler beside the network, if its diffusion is the one of `deep.models.ddpm.DDPM`'s
    defaults.
    """
    for path in (folder / "scheduler" / SCHEDULER, folder / SCHEDULER):
        if not path.exists():
            continue
        said = _json(path)
        for name, value in _DIFFUSION.items():
            if said.get(name, value) != value:
                raise CheckpointError(
                    f"has a scheduler with {name} = {printable(said[name])}, which is not read; "
                    f"only {value} is "
                    f"known: to use the weights without it, name a folder with {CONFIG} and "
                    f"{WEIGHTS} alone"
                )
        return {"scheduler": said}
    return {}


def network_from_config(config: Mapping[str, Any]) -> DDPMNetwork:
    """The network that a `config.json` describes.

    Raises:
        CheckpointError: If it is not of ddpm-torch's family.
    """
    for name, value in (_SAID | _NOT_CONTRADICTED).items():
        said = config.get(name, _NOT_CONTRADICTED.get(name, "nothing"))
        if said != value:
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
    if type(size) is not int:
        raise CheckpointError(
            f"has sample_size = {printable(json.dumps(size))}; write the one side of its square "
            "training images, in "
            f"pixels, into {CONFIG}"
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
        dropout=config.get("dropout", 0.0),
    )


def their_names(name: str, network: DDPMNetwork) -> list[str]:
    """What diffusers calls a tensor of `DDPMUNet`: one name, or those of the query, the key and
    the value.
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
