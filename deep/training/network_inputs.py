"""Images and weights for a network: as its configuration asks for them, or one line that says
why not.
"""

import dataclasses
import warnings
from pathlib import Path

from deep import checkpoint
from deep.content_cache import file_digest
from deep.data import DataError, ImageSet, load_images
from deep.formats.checkpoint_error import CheckpointError
from deep.formats.checkpoint_record import Checkpoint, Network, heads_of, label_dim_of
from deep.formats.diffusers_folder import folder_settings
from deep.formats.diffusers_scheduler import model_of_scheduler
from deep.models.ddpm import DDPM
from deep.networks.groups import blind_widths
from deep.networks.unet_ddpm import DDPMNetwork
from deep.networks.unet_edm import EDMNetwork
from deep.training.resume_point import resume_point
from deep.training.trainer import Carry, TrainConfig
from stability.runs.command_line import UsageError

__all__ = [
    "images_for",
    "input_digest",
    "of_folder",
    "require_schedule",
    "require_time",
    "weights_for",
]


def images_for(network: Network, source: str) -> ImageSet:
    """Load the images of --data.

    Args:
        network: Configuration of the network.
        source: Value of --data.

    Returns:
        The images.

    Raises:
        UsageError: If they cannot be read, or are not what the network is for.
    """
    try:
        found = load_images(source)
    except DataError as error:
        raise UsageError(f"--data: {error}") from None
    _, c, h, _ = found.images.shape
    if (c, h) != (network.channels, network.resolution):
        raise UsageError(
            f"--data {source} holds images of {c} channels and {h} pixels a side; "
            f"the network is for --channels {network.channels} and --resolution "
            f"{network.resolution}"
        )
    if label_dim := label_dim_of(network):
        _require_labels(found, source, label_dim)
    return found


def _require_labels(images: ImageSet, source: str, label_dim: int) -> None:
    """UsageError unless every image has a class that the network knows."""
    if images.labels is None:
        raise UsageError(
            f"--label-dim {label_dim} is for images with classes, and --data {source} has none"
        )
    if images.labels.max() >= label_dim:
        raise UsageError(
            f"--label-dim {label_dim} must be more than {images.labels.max()}, the largest class "
            f"number in --data {source}"
        )


def require_time(network: Network) -> None:
    """Refuse a new network in which a level does not see the time.

    Weights of a file may have been trained in such a network, and go on in it.

    Args:
        network: Configuration of the network.

    Raises:
        UsageError: If a level has one channel a group.
    """
    if isinstance(network, EDMNetwork):  # its groups have four channels and more
        return
    if blind := blind_widths(network.norm_groups, network.widths):
        raise UsageError(
            f"--norm-groups {network.norm_groups} leaves one channel a group where a level has "
            f"{blind[0]} channels: normalisation would remove the time; give a smaller divisor"
        )


def input_digest(option: str, path: Path) -> str:
    """Digest of a file that a run reads, to notice on resume that it is another one.

    Args:
        option: Name of the option that gives the file.
        path: File or folder.

    Returns:
        As of `deep.content_cache.file_digest`.

    Raises:
        UsageError: If it cannot be read.
    """
    try:
        if not path.exists():
            raise FileNotFoundError("no such file")
        return file_digest(path)
    except OSError as error:
        raise UsageError(
            f"--{option.replace('_', '-')} {path}: {error.strerror or error}"
        ) from None


def of_folder(folder: Path | None, network: DDPMNetwork, model: DDPM) -> tuple[DDPMNetwork, DDPM]:
    """Settings that the options of a DDPM start from, with --init.

    Args:
        folder: Value of --init.
        network: Configuration to start from without a folder of diffusers.
        model: See `network`.

    Returns:
        Network, and loss and sampler: those of a folder of diffusers, or the given ones. A folder
        that cannot be used is refused when its weights are read.
    """
    if folder is None or not folder.is_dir():
        return network, model
    try:
        return folder_settings(folder, model)
    except (CheckpointError, ValueError, OSError):
        return network, model


def require_schedule(found: Checkpoint, model: object) -> None:
    """Refuse to go on with the weights of another diffusion.

    Args:
        found: Checkpoint of --init.
        model: Loss and sampler of the run.

    Raises:
        UsageError: If a scheduler came with the weights, and its diffusion is another one.
    """
    if not isinstance(model, DDPM) or "scheduler" not in found.extra:
        return
    theirs = model_of_scheduler(found.extra["scheduler"])
    for name in ("timesteps", "beta_first", "beta_last"):
        if (value := getattr(theirs, name)) != getattr(model, name):
            raise UsageError(
                f"--init: its scheduler has --{name.replace('_', '-')} {value}, not "
                f"{getattr(model, name)}"
            )


def weights_for(network: Network, path: Path, training: TrainConfig, carry: Carry) -> Checkpoint:
    """The checkpoint of --init.

    Args:
        network: Configuration of the network that it is for.
        path: The file or folder.
        training: Settings of the training that goes on from it.
        carry: What goes on beside the weights.

    Raises:
        UsageError: If it cannot be read, is of another network, dropout aside, which may change, or
            has an Adam that cannot go on with these settings.
    """
    try:
        found = checkpoint.read(path, network.resolution, heads_of(network))
    except CheckpointError as error:
        raise UsageError(f"--init: {error}") from None

    if type(found.network) is not type(network):
        raise UsageError(f"--init: {path} is of the model {found.kind}")
    for name, value in dataclasses.asdict(found.network).items():
        if name != "dropout" and value != getattr(network, name):
            option = name.replace("_", "-")
            raise UsageError(
                f"--init: {path} is of a network with --{option} {value}, not "
                f"{getattr(network, name)}"
            )

    if carry == "optimizer":
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # said when the training starts
                resume_point(found, training)
        except ValueError as error:
            raise UsageError(f"--init: {path}: {error}") from None

    return found
