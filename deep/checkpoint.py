"""Read, describe and convert the weights of image models: python -m deep.checkpoint FILE

Known are EDM's snapshots (`.pkl`), the `.pt` files of ddpm-torch and torchcfm, folders of diffusers
with a DDPM, and this project's own files. Nothing that a file contains is ever run.
"""

import hashlib
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

import torch
import tyro
from rich.box import SIMPLE_HEAD
from rich.table import Table

from deep.formats.checkpoint_error import CheckpointError
from deep.formats.checkpoint_record import LARGEST_FILE, Checkpoint, heads_of, parameter_count
from deep.formats.diffusers_folder import (
    diffusers_content,
    read_diffusers_folder,
    weights_files,
)
from deep.formats.edm_pickle import read_snapshot
from deep.formats.safetensors_file import read_safetensors, safetensors_content
from deep.formats.torch_container import BEFORE_ZIP
from deep.formats.torch_file import official_content, read_torch_file
from deep.networks.state_dict import StateError
from stability.runs.atomic import atomic_write
from stability.runs.command_line import UsageError, command
from stability.runs.console import make_console
from stability.runs.option_error import OptionError
from stability.runs.untrusted import UntrustedFileError, open_regular, printable

__all__ = [
    "Checkpoint",
    "CheckpointError",
    "CheckpointFile",
    "export",
    "export_diffusers",
    "file_digest",
    "main",
    "read",
    "write",
]

LONGEST_REASON = 500
"""Characters of a message about a file."""
BLOCK = 2**20
"""Bytes that are read at once."""
MOST_ROWS = 30
"""Rows of the table for what a file says of itself."""


def read(
    path: Path | str, resolution: int | None = None, head_channels: int | None = None
) -> Checkpoint:
    """Read a checkpoint from a file or folder. Its content tells the format, not its name.

    Args:
        path: The file, or the folder of a diffusers pipeline.
        resolution: Pixels a side, for files that do not tell them (ddpm-torch, torchcfm); None:
            that of the official model, 32.
        head_channels: Channels of an attention head, for files that do not tell them (torchcfm);
            None: that of the official model, 64.

    Returns:
        The checkpoint.

    Raises:
        CheckpointError: If it is no checkpoint, or of another network than the arguments say; one
            line that names the file and what is wrong with it.
        OSError: If it cannot be opened.
    """
    path = Path(path)

    try:
        if path.is_dir():
            checkpoint = read_diffusers_folder(path, resolution)
        else:
            with open_regular(path, LARGEST_FILE) as file:
                checkpoint = _read(file, resolution or 32, head_channels or 64)
        network = checkpoint.network
        stored = {"resolution": network.resolution, "head_channels": heads_of(network)}
        for name, value in (("resolution", resolution), ("head_channels", head_channels)):
            if value is not None and value != (found := stored[name]):
                raise CheckpointError(f"is of a network with {name} = {found}, not {value}")
    except MemoryError as error:
        raise CheckpointError(f"{path}: does not fit into memory") from error
    except Exception as error:  # readers of damaged files raise anything
        if isinstance(error, OSError) and error.filename is not None:  # it cannot be opened
            raise
        raise CheckpointError(f"{path}: {_reason(error)}") from error
    return checkpoint


def _reason(error: Exception) -> str:
    """One line that a terminal shows as it is."""
    said = printable(" ".join(str(error).split()), LONGEST_REASON)
    if (
        isinstance(error, CheckpointError | StateError | UntrustedFileError)
        or type(error) is ValueError
    ):
        return said  # ValueError: of a configuration
    about = "" if " at 0x" in said or not said else f": {said[:200]}"
    return f"is damaged or of another format ({type(error).__name__}{about})"


def _read(file: IO[bytes], resolution: int, head_channels: int) -> Checkpoint:
    start = file.read(len(BEFORE_ZIP))
    file.seek(0)
    if start[8:9] == b"{":
        return read_safetensors(file, resolution, head_channels)
    if start.startswith(b"PK") or start == BEFORE_ZIP:
        return read_torch_file(file, resolution, head_channels)
    if start.startswith(b"\x80"):
        return read_snapshot(file)
    raise CheckpointError("is neither a pickle, nor a file of torch, nor one of safetensors")


def file_digest(path: Path) -> str:
    """SHA-256 of a file; of a folder of diffusers, of its files with the weights in a row.

    Args:
        path: The file or the folder.

    Returns:
        The digest, hexadecimal.
    """
    found = hashlib.sha256()
    for part in weights_files(path) if path.is_dir() else [path]:
        with open_regular(part, LARGEST_FILE) as file:
            while block := file.read(BLOCK):
                found.update(block)
    return found.hexdigest()


def write(path: Path | str, checkpoint: Checkpoint) -> None:
    """Write this project's format (`deep.formats.safetensors_file`), whole or not at all.

    Args:
        path: File to write.
        checkpoint: Its content.

    Raises:
        OSError: As from any file.
    """
    with atomic_write(Path(path)) as file:
        file.write(safetensors_content(checkpoint))


def export(path: Path | str, checkpoint: Checkpoint) -> None:
    """Write a `.pt` file for the official code (`deep.formats.torch_file`), whole or not at all.

    Args:
        path: File to write.
        checkpoint: Its content.

    Raises:
        CheckpointError: If the official code would make another network of it.
        OSError: As from any file.
    """
    content = official_content(checkpoint)
    with atomic_write(Path(path)) as file:
        torch.save(content, file)


def export_diffusers(folder: Path | str, checkpoint: Checkpoint) -> None:
    """Write a folder that diffusers loads as a `DDPMPipeline` (`deep.formats.diffusers_folder`).

    Args:
        folder: The folder; its files are written one by one, each whole or not at all, and what
            names the parts last.
        checkpoint: Weights of a DDPM network.

    Raises:
        CheckpointError: If the network is another one.
        OSError: As from any file.
    """
    for name, content in diffusers_content(checkpoint).items():
        path = Path(folder) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(path) as file:
            file.write(content)


@dataclass(frozen=True)
class CheckpointFile:
    """Show the contents of a checkpoint, and convert it.

    Reads EDM's snapshots (.pkl), .pt files of ddpm-torch and torchcfm, folders of diffusers with a
    DDPM, and this project's .safetensors. Nothing that a file contains is ever run.
    """

    file: tyro.conf.Positional[Path]
    """File, or folder of diffusers."""
    convert: Path | None = None
    """Write this project's format to this .safetensors file."""
    export: Path | None = None
    """Write a .pt file for the official code of the model: ddpm-torch's or torchcfm's own
    format. EDM's own carries source code: there it is one with the official names and the
    arguments of the official constructor."""
    export_diffusers: Path | None = None
    """Write a new folder that diffusers loads as a DDPMPipeline, of a DDPM."""
    resolution: int | None = None
    """Pixels a side, where the file does not tell (ddpm-torch, torchcfm, diffusers with a
    sample_size of null). Without: 32, as the official models."""
    head_channels: int | None = None
    """Width of an attention head, where the file does not tell (torchcfm). Without: 64, as the
    official model."""
    sha256: str | None = None
    """Expected SHA-256, of the weights or of the file, as this command prints them; another one
    is an error."""

    def __post_init__(self) -> None:
        for option, path, suffix in (
            ("convert", self.convert, ".safetensors"),
            ("export", self.export, ".pt"),
        ):
            if path is not None and path.suffix != suffix:
                raise OptionError(f"--{option} must name a {suffix} file, got {path}")
        for option, value in (
            ("resolution", self.resolution),
            ("head-channels", self.head_channels),
        ):
            if value is not None and value < 1:
                raise OptionError(f"--{option} must be >= 1, got {value}")
            if value is not None and value > 2**14:
                raise OptionError(f"--{option} must be <= {2**14}, got {value}")
        if self.sha256 is not None and not re.fullmatch("[0-9a-fA-F]{64}", self.sha256):
            raise OptionError(
                f"--sha256 must be 64 hexadecimal digits, got {printable(self.sha256, 80)}"
            )


def main(config: CheckpointFile) -> None:
    """Print, and write what is asked for.

    Args:
        config: Options of the command.

    Raises:
        UsageError: If the file is no checkpoint, has another digest, or an output cannot be
            written.
    """
    outputs = {
        "convert": (config.convert, write),
        "export": (config.export, export),
        "export-diffusers": (config.export_diffusers, export_diffusers),
    }
    for option, (path, _) in outputs.items():
        if path is not None and path.exists():
            raise UsageError(f"--{option}: {path} exists already; choose another name")
    try:
        checkpoint = read(config.file, config.resolution, config.head_channels)
    except CheckpointError as error:
        raise UsageError(str(error)) from error
    digests = {"SHA-256 of weights": checkpoint.digest, "SHA-256 of file": file_digest(config.file)}
    if config.sha256 and config.sha256.lower() not in digests.values():
        said = ", ".join(f"{name} {value}" for name, value in digests.items())
        raise UsageError(f"--sha256: {config.file} is another one: {said}")

    console = make_console()
    console.print(_description(checkpoint))
    for name, value in digests.items():  # whole, however narrow the terminal is
        console.print(f"{name}: {value}", markup=False, highlight=False, soft_wrap=True)
    for option, (path, writer) in outputs.items():
        if path is not None:
            try:
                writer(path, checkpoint)
            except CheckpointError as error:
                raise UsageError(f"--{option}: {config.file} {error}") from None
            console.print(f"wrote {path}", soft_wrap=True)


def _description(checkpoint: Checkpoint) -> Table:
    table = Table(box=SIMPLE_HEAD, show_header=False, pad_edge=False)
    held = {
        "weights": checkpoint.state,
        "average": checkpoint.ema,
        "Adam's moments": checkpoint.optimizer,
    }
    rows: dict[str, Any] = {"kind": checkpoint.kind}
    for name, value in asdict(checkpoint.network).items():
        rows[name] = f"{value}  (not in the file)" if name in checkpoint.assumed else value
    rows["parameters"] = f"{parameter_count(checkpoint.network):,}"
    rows["holds"] = ", ".join(what for what, content in held.items() if content is not None)
    rows |= {"step": checkpoint.step, "images": checkpoint.images}
    rows |= {f"remark {i}": remark for i, remark in enumerate(checkpoint.remarks, 1)}

    # What the file says of itself goes under names that are none of the above.
    said = {
        f"file: {printable(name, 40)}": value
        for name, value in [*checkpoint.extra.items()][:MOST_ROWS]
    }
    if len(checkpoint.extra) > MOST_ROWS:
        said["file: …"] = f"{len(checkpoint.extra) - MOST_ROWS:,} more"
    for name, value in (rows | said).items():
        if value is not None:
            table.add_row(name, printable(value))
    return table


if __name__ == "__main__":
    command(CheckpointFile, main)
