"""Train an image model from scratch, or go on from a file: python -m deep.train edm

Also on several GPUs or machines: torchrun --nproc-per-node 8 -m deep.train edm-cifar10
"""

import json
import math
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import tyro
from accelerate import Accelerator
from rich.box import SIMPLE_HEAD
from rich.table import Table

from deep import checkpoint
from deep.formats.checkpoint_record import Checkpoint, label_dim_of, own_copy
from deep.image_sets.image_set import ImageSet
from deep.image_sets.labelled import class_shares
from deep.training.figures import image_grid, loss_curve
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
from deep.training.presets import NOT_RECORDED, PRESETS, Config, TrainDDPM
from deep.training.sampling import draw_classes, draw_images, save_images
from deep.training.trainer import Carry, Trainer
from stability.loop.retraining import RetrainingError
from stability.loop.streams import Purpose, stream
from stability.runs.atomic import atomic_write
from stability.runs.command_line import command
from stability.runs.console import make_console, print_paths
from stability.runs.devices import chosen_device
from stability.runs.figure_style import figure_style, save_figure
from stability.runs.loop_options import parts_of, recorded_options
from stability.runs.open_run import OpenRun, open_run
from stability.runs.progress import progress_bar
from stability.runs.run_directory import RunDirectoryError
from stability.runs.state_file import read_state, write_state
from stability.runs.untrusted import UntrustedFileError

__all__ = ["main"]

REPORT_STEPS = 50
SHOWN = 100  # images in a grid


def main(config: Config) -> None:
    """Train, draw samples, and print the results.

    Args:
        config: Options of the command.

    Raises:
        RetrainingError: If a loss or an image is not finite.
    """
    started = time.monotonic()
    accelerator = patient_accelerator(cpu=chosen_device(config.run.device) == "cpu")

    try:
        data = images_for(config.network, config.run.data)
        images = data.images
        asked = {"model": config.name}
        asked |= recorded_options(*parts_of(config), without=NOT_RECORDED)
        asked["data_digest"] = data.digest
        if config.run.init is not None:
            asked["init_digest"] = input_digest("init", config.run.init)
        require_room(
            config.network,
            config.training,
            images.shape[1:],
            sample_batch=config.run.sample_batch,
            drawn=config.run.samples,
            trained=0,  # they are here already
            on_processor=accelerator.device.type != "cuda",
        )
        if config.run.init is not None:  # refused, if it must be, before --overwrite removes a run
            _start(config, config.run.init)
        else:
            require_time(config.network)
        processes = AcceleratedProcesses(accelerator)
        with open_run(f"train-{config.name}", asked, config.run, processes) as run:
            trainer, losses, training = _train(config, data, run, accelerator)
            samples, sampling = _sample(config, trainer, data, accelerator)
            if accelerator.is_main_process:
                written = _write(config, run.path, images, trainer, losses, samples)
                _print(
                    config, images, losses, training, sampling, time.monotonic() - started, written
                )
    except FloatingPointError as error:
        raise RetrainingError(str(error)) from error
    finally:
        accelerator.end_training()


def _train(
    config: Config, data: ImageSet, run: OpenRun, accelerator: Accelerator
) -> tuple[Trainer, np.ndarray, "Pace"]:
    """Train, from wherever an interrupted run stands.

    The trainer at the end, and the loss of every step.
    """
    seed, batch = config.run.seed, config.training.batch
    generator = torch.Generator().manual_seed(int(stream(seed, Purpose.INIT, 0).integers(2**32)))
    trainer = Trainer(config.model, config.network.build(generator), config.training, accelerator)
    file = run.path / "checkpoints" / "training.pt"
    losses = np.zeros(0, np.float32)
    if file.exists():
        state = _load_state(file, run.digest)
        trainer.load_state_dict(state["trainer"])
        losses = state["losses"].numpy()
    elif config.run.init:
        trainer.start_from(*_start(config, config.run.init))
    accelerator.wait_for_everyone()  # before anyone writes what another one is about to look for

    before, steps = len(losses), math.ceil(config.run.images / batch)
    clock = saved = time.monotonic()
    with progress_bar(accelerator.is_main_process) as bar:
        task = bar.add_task("training", total=steps * batch, completed=before * batch)
        if before < steps:
            for progress in trainer.fit(
                data.images,
                config.run.images,
                stream(seed, Purpose.FIT, 0),
                report_steps=REPORT_STEPS,
                labels=data.labels if label_dim_of(config.network) else None,
            ):
                losses = np.concatenate([losses, progress.losses])
                bar.update(task, completed=len(losses) * batch)
                due = (
                    time.monotonic() - saved >= config.run.checkpoint_seconds
                    or progress.step == progress.steps
                )
                if due and accelerator.is_main_process:
                    state = {"trainer": trainer.state_dict(), "losses": torch.from_numpy(losses)}
                    write_state(file, {"run": run.digest, **state})
                    saved = time.monotonic()
    return trainer, losses, Pace((len(losses) - before) * batch, time.monotonic() - clock)


def _start(config: Config, init: Path) -> tuple[Checkpoint, Carry]:
    """The weights of --init, and what goes on beside them."""
    carry = config.run.carry or "optimizer"
    found = weights_for(config.network, init, config.training, carry)
    require_schedule(found, config.model)
    return found, carry


@dataclass(frozen=True)
class Pace:
    """Images that were handled, and the seconds that it took."""

    images: int
    seconds: float

    def __str__(self) -> str:
        return (
            f"{self.seconds:.1f} s, {self.images / self.seconds:,.0f} images/s"
            if self.images
            else "done before"
        )


def _load_state(path: Path, run: str) -> dict[str, Any]:
    """Load the state that the run of this digest wrote; there is no other file to resume from."""
    try:
        state = read_state(path)
    except UntrustedFileError as error:
        raise RunDirectoryError(
            f"{path} {error}; restore it or use --overwrite to start again"
        ) from None
    if state.get("run") != run:
        raise RunDirectoryError(
            f"{path} is of another run; restore it or use --overwrite to start again"
        )
    return state


def _sample(
    config: Config, trainer: Trainer, data: ImageSet, accelerator: Accelerator
) -> tuple[ImageSet, Pace]:
    """Draw from the average of the weights; classes in the shares that they have in the data."""
    run, clock = config.run, time.monotonic()
    channels, height, width = data.images.shape[1:]
    seed = int(stream(run.seed, Purpose.SAMPLE, 0).integers(2**62))
    classes = None
    if (label_dim := label_dim_of(config.network)) and data.labels is not None:
        classes = draw_classes(class_shares(data.labels, label_dim), range(run.samples), seed)

    with progress_bar(accelerator.is_main_process) as bar:
        task = bar.add_task("sampling", total=run.samples)
        samples = draw_images(
            config.model,
            trainer.drawn_from,
            (channels, height, width),
            range(run.samples),
            seed,
            accelerator=accelerator,
            batch=run.sample_batch,
            precision=run.sample_precision,
            classes=classes,
            on_batch=lambda count: bar.advance(task, count),
        )

    return ImageSet(samples, classes), Pace(run.samples, time.monotonic() - clock)


def _write(
    config: Config,
    folder: Path,
    images: np.ndarray,
    trainer: Trainer,
    losses: np.ndarray,
    samples: ImageSet,
) -> list[Path]:
    """Write network, history, samples and figures; the paths."""
    state, batch = trainer.state_dict(), config.training.batch
    network, history = folder / "network.safetensors", folder / "history.jsonl"
    checkpoint.write(
        network,
        Checkpoint(
            network=config.network,
            state=own_copy(state["network"]),
            ema=own_copy(state["ema"]),
            optimizer=state["adam"],
            step=state["updates"],
            images=state["images_seen"],
            extra=_scheduler(config),
        ),
    )

    with atomic_write(history) as file:
        for start in range(0, len(losses), REPORT_STEPS):
            part = losses[start : start + REPORT_STEPS]
            line = {"images_seen": (start + len(part)) * batch, "loss": float(part.mean())}
            file.write(json.dumps(line).encode() + b"\n")

    drawn = folder / "samples" / "samples.npz"
    save_images(drawn, samples.images, samples.labels)
    figures = []

    for name, pictures in (("samples", samples.images), ("data", images)):
        figures.append(folder / "figures" / f"{name}.png")
        with atomic_write(figures[-1]) as file:
            image_grid(pictures[:SHOWN]).save(file, format="png")

    with figure_style():
        figures += save_figure(loss_curve(losses, batch), folder / "figures" / "loss")
    return [network, history, drawn, *figures]


def _scheduler(config: Config) -> dict[str, Any]:
    """The scheduler of the folder of diffusers that the weights began from, which goes on."""
    if config.run.init is None or not isinstance(config, TrainDDPM):
        return {}
    found = checkpoint.read(config.run.init, config.network.resolution).extra
    return {name: found[name] for name in ("scheduler",) if "_class_name" in found.get(name, {})}


def _print(
    config: Config,
    images: np.ndarray,
    losses: np.ndarray,
    training: Pace,
    sampling: Pace,
    seconds: float,
    written: list[Path],
) -> None:
    with torch.device("meta"):
        parameters = sum(p.numel() for p in config.network.build().parameters())
    edge = max(1, len(losses) // 20)
    rows = {
        "data": f"{config.run.data}: {len(images):,} images of "
        f"{' × '.join(map(str, images.shape[1:]))}",
        "network": f"{parameters:,} parameters",
        "images seen": f"{len(losses) * config.training.batch:,} in {len(losses):,} steps",
        "loss": f"{losses[:edge].mean():.4g} in the first, {losses[-edge:].mean():.4g} in the "
        "last 5 % of the steps",
        "training": str(training),
        "sampling": str(sampling),
        "all": f"{seconds:.0f} s",
    }
    table = Table(box=SIMPLE_HEAD, show_header=False, pad_edge=False)

    for row in rows.items():
        table.add_row(*row)
    console = make_console()
    console.print(table)
    print_paths(console, written)


@dataclass(frozen=True)
class StartChoice:
    """The option that decides what the others begin with."""

    init: Path | None = None
    """Checkpoint. A folder of diffusers says which network, diffusion and sampler are DDPM's."""


def _commands(chosen: StartChoice = StartChoice()) -> Any:
    """One subcommand a preset."""
    commands: Any = None
    for name, preset in PRESETS.items():
        if isinstance(preset, TrainDDPM):
            network, model = of_folder(chosen.init, preset.network, preset.model)
            preset = replace(preset, network=network, model=model)
        one = Annotated[type(preset), tyro.conf.subcommand(name, default=preset)]
        commands = one if commands is None else commands | one
    return commands


if __name__ == "__main__":
    command(_commands, main, preset=StartChoice)
