"""Point at which training resumes from a file: Adam's count and position in the warm-up.

torchcfm and ddpm-torch warm the learning rate up with a scheduler that has moved on before they
save: the stored rate is that of the next step. They also store the nominal rate of the schedule.
torchcfm's `step` is the number of the last step from 0, one less than Adam has made. EDM's files
and this project's own store the images seen, and the rate of the last step; the nominal rate is the
option's.
"""

import math
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from deep.formats.adam import updates_of
from deep.formats.checkpoint_record import Checkpoint
from stability.runs.option_error import OptionError, worded

if TYPE_CHECKING:
    from deep.training.trainer import TrainConfig

__all__ = ["ResumePoint", "resume_point"]

ADAM = {"betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0, "amsgrad": False, "maximize": False}
"""Settings of Adam in `deep.training.trainer`."""


@dataclass(frozen=True)
class ResumePoint:
    """Point at which training resumes.

    Args:
        updates: Updates that Adam has made.
        images_seen: Images since the learning-rate warm-up began.
    """

    updates: int
    images_seen: int


def resume_point(checkpoint: Checkpoint, training: "TrainConfig") -> ResumePoint:
    """Point at which a training with these settings resumes from a checkpoint and its Adam.

    Args:
        checkpoint: With or without Adam's state.
        training: Settings of the training that goes on.

    Returns:
        The next step's rate is the one that the file stores, if it stores that.

    Raises:
        ValueError: If the file's Adam has another nominal rate or other settings; one line that
            names the options.
    """
    counted = updates_of(checkpoint.optimizer)
    updates = (checkpoint.step or 0) if counted is None else counted
    images = checkpoint.images or updates * training.batch
    if counted is None or checkpoint.optimizer is None:
        return ResumePoint(updates, images)

    group = _one_group(checkpoint.optimizer["param_groups"])
    stored, option = group["lr"], training.learning_rate
    if checkpoint.images is not None:
        if stored > option * (1 + 1e-6) or (
            stored < option * (1 - 1e-6) and images > 2 * training.ramp_images
        ):
            words = (
                f"--init: its last step had the learning rate {stored:g}; from here on it is "
                f"--learning-rate {option:g}"
            )
            warnings.warn(worded(words), stacklevel=2)
        return ResumePoint(updates, images)

    nominal = group.get("initial_lr", stored)
    if not math.isclose(nominal, option, rel_tol=1e-6):
        raise OptionError(
            f"its Adam has the learning rate {nominal:g}, not {option:g}: go on with "
            f"--learning-rate {nominal:g}, "
            f"or start a new Adam with --carry ema"
        )
    return ResumePoint(updates, _images_at(stored, images, training))


def _one_group(groups: list[dict[str, Any]]) -> dict[str, Any]:
    """The settings of all parameters.

    Raises:
        ValueError: If they differ among them, or from this trainer's Adam.
    """
    for group in groups:
        if (group["lr"], group.get("initial_lr")) != (groups[0]["lr"], groups[0].get("initial_lr")):
            raise OptionError(
                "its Adam has several learning rates, which is not read: use --carry ema for a "
                "new Adam"
            )
        for name, value in ADAM.items():
            said = group.get(name, value)
            if (tuple(said) if isinstance(said, list) else said) != value:
                raise OptionError(
                    f"its Adam has {name} = {said}; only {value} is known: use --carry ema for a "
                    "new Adam"
                )
    return groups[0]


def _images_at(stored: float, images: int, training: "TrainConfig") -> int:
    """Images seen at which the next step has the stored rate; `images` if it has."""
    if math.isclose(training.rate(images), stored, rel_tol=1e-6):
        return images
    if stored > training.learning_rate * (1 + 1e-6) or not training.ramp_images:
        raise OptionError(
            f"its Adam stands at the learning rate {stored:g}, which --learning-rate "
            f"{training.learning_rate:g} and "
            f"--ramp-images {training.ramp_images} do not give: change them, or start a new Adam "
            "with --carry ema"
        )

    share = stored / training.learning_rate
    found = max(
        0, round(share * training.ramp_images) - (0 if training.ramp_from_zero else training.batch)
    )
    if share >= 1 - 1e-6:
        return max(images, training.ramp_images)
    words = (
        f"--init: its Adam stands at the learning rate {stored:g} after {images:,} images; the "
        f"rate goes up from there to --learning-rate {training.learning_rate:g}"
    )
    warnings.warn(worded(words), stacklevel=2)
    return found
