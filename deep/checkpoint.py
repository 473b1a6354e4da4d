"""Read, describe and convert the weights of image models: python -m deep.checkpoint FILE

Known are EDM's snapshots (`.pkl`), the `.pt` files of ddpm-torch and torchcfm, folders of diffusers with a DDPM, and
this project's own files. Nothing that a file contains is ever run.
"""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
import tyro
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from deep.formats.checkpoint_record import Checkpoint, CheckpointError, parameter_count
from deep.formats.diffusers_folder import read_diffusers_folder
from deep.formats.edm_pickle import read_snapshot
from deep.formats.safetensors_file import read_safetensors, safetensors_content
from deep.formats.torch_file import official_content, read_torch_file
from deep.networks.state_dict import StateError
from stability.atomic import atomic_write
from stability.command_line import UsageError, command

__all__ = ["Checkpoint", "CheckpointError", "CheckpointFile", "export", "main", "read", "write"]

_TORCH_BEFORE_ZIP = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."  # the number, pickled, that such files start with


def read(path: Path | str, resolution: int | None = None, head_channels: int | None = None) -> Checkpoint:
    """What a file or folder holds. Its content tells the format, not its name.

    resolution, head_channels: of the network, for files that do not tell them (ddpm-torch, torchcfm); by default those
    of the official models, 32 and 64.
    Raises CheckpointError, one line that names the file and what is wrong with it, and OSError if it cannot be opened.
    """
    path = Path(path)
    content = b"" if path.is_dir() else path.read_bytes()
    try:
        checkpoint = (
            read_diffusers_folder(path) if path.is_dir() else _read(content, resolution or 32, head_channels or 64)
        )
        for name, value in (("resolution", resolution), ("head_channels", head_channels)):
            if value is not None and value != (found := getattr(checkpoint.network, name, None)):
                raise CheckpointError(f"is of a network with {name} = {found}, not {value}")
    except MemoryError:
        raise CheckpointError(f"{path}: does not fit into memory") from None
    except Exception as error:  # readers of damaged files raise anything
        reason = " ".join(str(error).split())
        if not isinstance(error, CheckpointError | StateError) and type(error) is not ValueError:  # a configuration's
            reason = f"is damaged or of another format ({type(error).__name__}: {reason[:200]})"
        raise CheckpointError(f"{path}: {reason}") from error
    return checkpoint


def _read(content: bytes, resolution: int, head_channels: int) -> Checkpoint:
    if content[8:9] == b"{":
        return read_safetensors(content, resolution, head_channels)
    if content.startswith((b"PK", _TORCH_BEFORE_ZIP)):
        return read_torch_file(content, resolution, head_channels)
    if content.startswith(b"\x80"):
        return read_snapshot(content)
    raise CheckpointError("is neither a pickle, nor a file of torch, nor one of safetensors")


def write(path: Path | str, checkpoint: Checkpoint) -> None:
    """Write this project's format (`deep.formats.safetensors_file`), whole or not at all. OSError as from any file."""
    with atomic_write(Path(path)) as file:
        file.write(safetensors_content(checkpoint))


def export(path: Path | str, checkpoint: Checkpoint) -> None:
    """Write a `.pt` file for the official code (`deep.formats.torch_file`), whole or not at all. OSError as above."""
    with atomic_write(Path(path)) as file:
        torch.save(official_content(checkpoint), file)


@dataclass(frozen=True)
class CheckpointFile:
    """Show what a checkpoint holds, and convert it.

    Reads EDM's snapshots (.pkl), .pt files of ddpm-torch and torchcfm, folders of diffusers with a DDPM, and this
    project's .safetensors. Nothing that a file contains is ever run.
    """

    file: tyro.conf.Positional[Path]
    """File, or folder of diffusers."""
    convert: Path | None = None
    """Write this project's format to this .safetensors file."""
    export: Path | None = None
    """Write a .pt file for the official code of the model: ddpm-torch's or torchcfm's own format. EDM's own carries
    source code: there it is one with the official names and the arguments of the official constructor."""
    resolution: int | None = None
    """Pixels a side, where the file does not tell (ddpm-torch, torchcfm). Without: 32, as the official models."""
    head_channels: int | None = None
    """Width of an attention head, where the file does not tell (torchcfm). Without: 64, as the official model."""

    def __post_init__(self) -> None:
        for option, path, suffix in (("convert", self.convert, ".safetensors"), ("export", self.export, ".pt")):
            if path is not None and path.suffix != suffix:
                raise ValueError(f"--{option} must name a {suffix} file, got {path}")
        for option, value in (("resolution", self.resolution), ("head-channels", self.head_channels)):
            if value is not None and value < 1:
                raise ValueError(f"--{option} must be >= 1, got {value}")


def main(config: CheckpointFile) -> None:
    """Print, and write what is asked for."""
    for option, path in (("convert", config.convert), ("export", config.export)):
        if path is not None and path.exists():
            raise UsageError(f"--{option}: {path} exists already; choose another name")
    try:
        checkpoint = read(config.file, config.resolution, config.head_channels)
    except CheckpointError as error:
        raise UsageError(str(error)) from error
    console = Console()
    console.print(_description(checkpoint))
    for path, writer in ((config.convert, write), (config.export, export)):
        if path is not None:
            writer(path, checkpoint)
            console.print(f"wrote {path}", markup=False, highlight=False, soft_wrap=True)


def _description(checkpoint: Checkpoint) -> Table:
    table = Table(box=SIMPLE_HEAD, show_header=False, pad_edge=False)
    held = {"weights": checkpoint.state, "average": checkpoint.ema, "Adam's moments": checkpoint.optimizer}
    rows: dict[str, Any] = {"kind": checkpoint.kind}
    for name, value in asdict(checkpoint.network).items():
        rows[name] = f"{value}  (not in the file)" if name in checkpoint.assumed else value
    rows["parameters"] = f"{parameter_count(checkpoint.network):,}"
    rows["holds"] = ", ".join(what for what, content in held.items() if content is not None)
    rows |= {"step": checkpoint.step, "images": checkpoint.images}
    for name, value in (rows | checkpoint.extra).items():
        if value is not None:
            table.add_row(name, escape(str(value)))
    return table


if __name__ == "__main__":
    command(CheckpointFile, main)
