"""The feature space that a user's options stand for."""

import re
from pathlib import Path
from typing import Protocol

import numpy as np

from deep.data import ImageSet
from deep.metrics.features import (
    FeatureSpace,
    inception_space,
    label_encoder_space,
    trusted_torchscript_space,
)
from deep.metrics.inception import Resize
from deep.metrics.label_encoder import EncoderTraining
from stability.runs.command_line import UsageError
from stability.runs.option_error import OptionError

__all__ = ["FeatureOptions", "chosen_space", "require_one_network", "require_space"]

MOST_TURNED = 10_000
"""Images without labels that an encoder is trained on, each in four positions."""


class FeatureOptions(Protocol):
    """See `deep.measure.Measure`."""

    @property
    def inception(self) -> Path | None: ...
    @property
    def resize(self) -> Resize: ...
    @property
    def trust_torchscript(self) -> Path | None: ...
    @property
    def seed(self) -> int: ...


def require_one_network(options: FeatureOptions) -> None:
    """Check that the options name one network.

    Args:
        options: Options of the command.

    Raises:
        OptionError: If they contradict each other.
    """
    if options.inception and options.trust_torchscript:
        raise OptionError(
            "--inception and --trust-torchscript exclude each other: give one network"
        )
    if options.resize != "half-pixel" and not options.inception:
        raise OptionError(f"--resize {options.resize} has no meaning without --inception FILE")


def chosen_space(
    options: FeatureOptions, source: str, train: ImageSet, cache: Path
) -> FeatureSpace:
    """Inception, a trusted TorchScript network, or an encoder trained on the labels of `train`.

    Images of fewer than two classes are turned by 0, 90, 180 and 270 degrees, and the encoder is
    trained to tell which (Gidaris et al., arXiv:1803.07728).

    Args:
        options: Options of the command, which say what network.
        source: File or folder of the images, for the encoder's name.
        train: Images, with labels if they have classes.
        cache: Folder for the encoder.

    Returns:
        The feature space.

    Raises:
        UsageError: If there is no such network.
    """
    try:
        if options.inception:
            return inception_space(options.inception, options.resize)
        if options.trust_torchscript:
            return trusted_torchscript_space(options.trust_torchscript)
        name = re.sub(r"[^\w-]", "-", Path(source).name.split(".")[0]).strip("-") or "data"
        images, labels = train.images, train.labels
        if labels is None or labels.min() == labels.max():
            name, (images, labels) = f"{name}-turns", _turned(images, options.seed)
        return label_encoder_space(name, images, labels, cache, EncoderTraining(seed=options.seed))
    except ValueError as error:
        raise UsageError(str(error)) from error


def require_space(options: FeatureOptions) -> None:
    """Refuse anything that `chosen_space` would refuse, without training an encoder.

    Args:
        options: The network, or none.

    Raises:
        UsageError: If there is no such network.
    """
    try:
        if options.inception:
            inception_space(options.inception, options.resize)
        elif options.trust_torchscript:
            trusted_torchscript_space(options.trust_torchscript)
    except ValueError as error:
        raise UsageError(str(error)) from error


def _turned(images: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Images (4 n, c, h, h) in four positions, and by how many right angles each is turned."""
    chosen = np.random.default_rng(seed).permutation(len(images))[:MOST_TURNED]
    turns = [np.rot90(images[np.sort(chosen)], k, axes=(2, 3)) for k in range(4)]
    return np.concatenate(turns), np.repeat(np.arange(4), len(chosen))
