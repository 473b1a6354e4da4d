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
    options: FeatureOptions, option: str, source: str, train: ImageSet, cache: Path
) -> FeatureSpace:
    """Inception, a trusted TorchScript network, or an encoder trained on the labels of `train`.

    Args:
        options: Options of the command, which say what network.
        option: Name of the option that gave the images, for messages.
        source: Value of that option, for the encoder's name and for messages.
        train: Images, with labels if an encoder is to be trained.
        cache: Folder for the encoder.

    Returns:
        The feature space.

    Raises:
        UsageError: If there is no such network, or no labels.
    """
    try:
        if options.inception:
            return inception_space(options.inception, options.resize)
        if options.trust_torchscript:
            return trusted_torchscript_space(options.trust_torchscript)
        labels = _require_classes(option, source, train)
        name = re.sub(r"[^\w-]", "-", Path(source).name.split(".")[0]).strip("-") or "data"
        return label_encoder_space(
            name, train.images, labels, cache, EncoderTraining(seed=options.seed)
        )
    except ValueError as error:
        raise UsageError(str(error)) from error


def require_space(options: FeatureOptions, option: str, source: str, train: ImageSet) -> None:
    """Refuse anything that `chosen_space` would refuse, without training an encoder.

    Args:
        options: The network, or none.
        option: Where the images come from, for messages.
        source: See `option`.
        train: The images that an encoder would be trained on.

    Raises:
        UsageError: If there is no such network, or no labels.
    """
    try:
        if options.inception:
            inception_space(options.inception, options.resize)
        elif options.trust_torchscript:
            trusted_torchscript_space(options.trust_torchscript)
        else:
            _require_classes(option, source, train)
    except ValueError as error:
        raise UsageError(str(error)) from error


def _require_classes(option: str, source: str, train: ImageSet) -> np.ndarray:
    """The labels; ValueError if no encoder can be trained on them."""
    if train.labels is None:
        raise OptionError(
            f"{option} {source} has no labels to train an encoder on: use --inception"
        )
    if train.labels.min() == train.labels.max():
        raise OptionError(
            f"{option} {source} has one class, and an encoder is trained on two: use --inception"
        )
    return train.labels
