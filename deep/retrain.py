"""Retrain an image model with its own samples (Algorithm 1 of the paper): python -m deep.retrain
edm

The same with the paper's data and weights, on GPUs: python -m deep.retrain edm --data
cifar-10-python.tar.gz --init edm-cifar10-32x32-uncond-vp.pkl
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import tyro
from accelerate import Accelerator

from deep.content_cache import digest
from deep.formats.checkpoint_record import NETWORKS, Checkpoint, label_dim_of
from deep.image_sets.image_set import ImageSet
from deep.image_sets.labelled import joined
from deep.metrics.feature_choice import require_space
from deep.metrics.image_metrics import least_images, require_enough
from deep.reports.found_runs import FoundRunError
from deep.retraining.observer import ImageStudy
from deep.retraining.presets import PRESETS, Config, Preset, RetrainDDPM
from deep.retraining.real_images import RealImages, is_cifar10, split
from deep.retraining.tables import print_tables
from deep.training.first_process import AcceleratedProcesses, patient_accelerator
from deep.training.memory import require_room
from deep.training.network_inputs import (
    images_for,
    input_digest,
    of_folder,
    require_schedule,
    require_time,
    weights_for,
)
from deep.training.presets import NOT_RECORDED
from stability.loop.regimes import drawn_counts
from stability.runs.closing import closing
from stability.runs.command_line import UsageError, command
from stability.runs.devices import chosen_device
from stability.runs.loop_options import parts_of, study_settings
from stability.runs.option_error import option_name
from stability.runs.real_data import Rounds
from stability.runs.run_directory import RunDirectoryError
from stability.runs.study import Study

__all__ = ["PresetChoice", "commands", "image_study", "main", "presets"]


def main(config: Config) -> None:
    """Run, or finish, the retraining; the first process prints its tables and draws its figures.

    Args:
        config: Options of the command.

    Raises:
        UsageError: If the options, or the files that they name, do not fit.
    """
    options = config.run
    accelerator = patient_accelerator(cpu=chosen_device(options.device) == "cpu")

    try:
        image_study(config, accelerator).run()
    finally:
        accelerator.end_training()


def image_study(config: Config, accelerator: Accelerator) -> Study:
    """Make the study of a command; all that can be refused is refused before it opens a folder.

    Args:
        config: Options of the command.
        accelerator: Connects the processes.

    Returns:
        The study; its learner is an `ImageStudy`.

    Raises:
        UsageError: If the options, or the files that they name, do not fit.
    """
    options = config.run
    if (config.name, options.preset) not in PRESETS:
        models = ", ".join(name for name, preset in PRESETS if preset == options.preset)
        raise UsageError(f"--preset {options.preset} is for {models}, not for {config.name}")
    finish = closing(
        f"{config.name} retrained",
        options.quiet,
        lambda console, result: print_tables(console, result.recorded),
        lambda result: _figures(result.folder),
    )

    _require_effect(config)
    real, digests = _inputs(config)
    _require_room(config, real, accelerator)
    _require_measurable(config, real)
    images = ImageStudy(config, real, _start(config), accelerator)

    return Study(
        name=f"retrain-{config.name}",
        learner=images,
        observers=[images],
        real=_points(config, real.train),
        fresh=None if real.fresh is None else Rounds(_points(config, real.fresh)),
        regimes=options.regimes(),
        finish=finish,
        processes=AcceleratedProcesses(accelerator),
        **study_settings(
            options, {"model": config.name}, *parts_of(config), digests, without=NOT_RECORDED
        )
        | {"samples": None, "draws": options.samples or None},
    )


def _inputs(config: Config) -> tuple[RealImages, dict[str, Any]]:
    """The real images, and digests of the files that options name."""
    options = config.run
    images = images_for(config.network, options.data)
    digests = {"data_digest": images.digest}
    for option in ("init", "inception", "trust_torchscript"):
        if (file := getattr(options, option)) is not None:
            digests[f"{option}_digest"] = input_digest(option, file)

    real = split(
        options.data,
        images,
        options.real,
        fresh_rounds=options.retrainings if "fresh" in options.regime else 0,
        held_out=options.held_out,
        seed=options.seed,
    )

    if options.held_out is not None and real.held_out is not None:
        labelled = label_dim_of(config.network) > 0
        digests["held_out_digest"] = (
            real.held_out.digest if labelled else digest(real.held_out.images)
        )
    return real, digests


def _require_effect(config: Config) -> None:
    """UsageError for an option of the run that has no effect beside the others."""
    options, preset = config.run, PRESETS[config.name, config.run.preset].run
    for option, given, needs in (
        ("first_images", options.init, f"with --init {options.init}, which is generation 0"),
        ("carry", options.from_scratch, "with --from-scratch, which carries nothing"),
        ("k", "pr" not in options.metrics, "without --metrics pr"),
        ("kid_subsets", "kd" not in options.metrics, "without --metrics kd"),
    ):
        if given and getattr(options, option) != getattr(preset, option):
            raise UsageError(f"{option_name(option)} has no meaning {needs}")


def _points(config: Config, images: ImageSet) -> np.ndarray:
    """The points of the loop: images, with their classes where the network is class-conditional."""
    if not label_dim_of(config.network):
        return images.images
    assert images.labels is not None  # `images_for` requires them
    return joined(images.images, images.labels)


def _figures(folder: Path) -> list[Path]:
    """The paths written. RunDirectoryError if what they show is damaged."""
    from deep.retraining.figures import draw_figures  # matplotlib, which takes half a second

    try:
        return draw_figures(folder)
    except FoundRunError as error:
        raise RunDirectoryError(f"{error}; remove it to leave it out") from None


def _require_room(config: Config, real: RealImages, accelerator: Accelerator) -> None:
    """UsageError if the run takes more memory than there is."""
    options, n = config.run, len(real.train.images)
    drawn = drawn_counts(options.regimes(), n)
    require_room(
        config.network,
        config.training,
        real.train.images.shape[1:],
        sample_batch=options.sample_batch,
        drawn=max(options.samples or n, options.grid),
        trained=options.largest(drawn, n),
        chains=len(drawn) * options.seeds,
        on_processor=accelerator.device.type != "cuda",
    )


def _require_measurable(config: Config, real: RealImages) -> None:
    """UsageError if the images or the network for their features cannot be used."""
    options, train = config.run, real.train
    try:
        require_enough(
            train.images,
            None if real.held_out is None else real.held_out.images,
            options.samples or len(train.images),
            least_images(options.k, options.kid_subsets),
        )
    except ValueError as error:
        raise UsageError(str(error)) from None
    require_space(options)


def _start(config: Config) -> Checkpoint | None:
    """The weights of --init."""
    options = config.run
    if options.init is None:
        require_time(config.network)
        return None
    found = weights_for(config.network, options.init, config.training, options.carry)
    require_schedule(found, config.model)
    return found


@dataclass(frozen=True)
class PresetChoice:
    """The options that decide what the others begin with."""

    preset: Preset | None = None
    """Settings that the other options start from; none: cifar10 where --data is its archive,
    digits otherwise."""
    data: str | None = None
    """Real images."""
    init: Path | None = None
    """Checkpoint. A folder of diffusers says which network, diffusion and sampler are DDPM's."""


def commands(chosen: PresetChoice) -> Any:
    """Make one subcommand a model.

    One without this preset has its own settings, and `main` refuses it.

    Args:
        chosen: Preset, data and checkpoint that the command line names.

    Returns:
        Union of the annotated configurations, for tyro.
    """
    union: Any = None
    for name, config in presets(chosen).items():
        one = Annotated[type(config), tyro.conf.subcommand(name, default=config)]
        union = one if union is None else union | one
    return union


def presets(chosen: PresetChoice) -> dict[str, Config]:
    """Choose the settings that options start from.

    Args:
        chosen: Preset and data that the command line names.

    Returns:
        Configuration by model; that of the digits where a model lacks the preset.
    """
    is_archive = chosen.data is not None and is_cifar10(chosen.data)
    preset = chosen.preset or ("cifar10" if is_archive else "digits")
    found: dict[str, Config] = {}
    for name in NETWORKS:
        config = PRESETS.get((name, preset), PRESETS[name, "digits"])
        if isinstance(config, RetrainDDPM):
            network, model = of_folder(chosen.init, config.network, config.model)
            config = replace(config, network=network, model=model)
        found[name] = config
    return found


if __name__ == "__main__":
    command(commands, main, preset=PresetChoice)
