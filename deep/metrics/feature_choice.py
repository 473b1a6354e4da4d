"""The feature space that a user's options stand for."""

import re
from pathlib import Path
from typing import Protocol

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

__all__ = ["FeatureOptions", "chosen_space", "require_one_network"]


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
    """ValueError if the options contradict each other."""
    if options.inception and options.trust_torchscript:
        raise ValueError("--inception and --trust-torchscript exclude each other: give one network")
    if options.resize != "half-pixel" and not options.inception:
        raise ValueError(f"--resize {options.resize} has no meaning without --inception FILE")


def chosen_space(
    options: FeatureOptions, option: str, source: str, train: ImageSet, cache: Path
) -> FeatureSpace:
    """Inception, a trusted TorchScript network, or an encoder trained on the labels of `train`.

    Args:
        option: Where the images come from, for the encoder's name and for messages.
        source: See `option`.
        cache: For the encoder.

    Raises:
        UsageError: If there is no such network, or no labels.
    """
    try:
        if options.inception:
            return inception_space(options.inception, options.resize)
        if options.trust_torchscript:
            return trusted_torchscript_space(options.trust_torchscript)
        if train.labels is None:
            raise ValueError(
                f"{option} {source} has no labels to train an encoder on: use --inception"
            )
        if train.labels.min() == train.labels.max():
            raise ValueError(
                f"{option} {source} has one class, and an encoder is trained on two: use "
                "--inception"
            )
        name = re.sub(r"[^\w-]", "-", Path(source).name.split(".")[0]).strip("-") or "data"
        return label_encoder_space(
            name, train.images, train.labels, cache, EncoderTraining(seed=options.seed)
        )
    except ValueError as error:
        raise UsageError(str(error)) from error
