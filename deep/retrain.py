"""Retrain an image model with its own samples (Algorithm 1 of the paper): python -m deep.retrain
edm

The same with the paper's data and weights, on GPUs: python -m deep.retrain edm --data
cifar-10-python.tar.gz --init edm-cifar10-32x32-uncond-vp.pkl
"""

import json
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, get_args

import numpy as np
import torch
import tyro
from accelerate import Accelerator
from torch import Tensor

from deep.content_cache import digest
from deep.formats.checkpoint_record import NETWORKS, Checkpoint
from deep.metrics.feature_choice import chosen_space, require_space
from deep.metrics.image_metrics import ImageMetrics, least_images, require_enough
from deep.metrics.parameter_distance import parameter_distance
from deep.reports.found_runs import FoundRunError
from deep.retraining.figures import draw_figures
from deep.retraining.learner import ImageLearner, Schedule
from deep.retraining.presets import PRESETS, Config, Preset
from deep.retraining.real_images import RealImages, is_cifar10, split
from deep.retraining.tables import print_tables
from deep.training.first_process import (
    AcceleratedProcesses,
    from_first_process,
    patient_accelerator,
)
from deep.training.memory import require_room
from deep.training.network_inputs import images_for, input_digest, weights_for
from deep.training.presets import NOT_RECORDED
from deep.training.trainer import Trainer
from stability.loop.regimes import TrainingSet
from stability.loop.retraining import Generation, retrain
from stability.loop.streams import Purpose, stream
from stability.machine.cache_folder import cache_folder
from stability.runs.command_line import UsageError, command
from stability.runs.console import make_console, print_paths
from stability.runs.loop_options import parts_of, recorded_options
from stability.runs.open_run import OpenRun, open_run
from stability.runs.progress import progress_bar
from stability.runs.run_directory import RunDirectoryError
from stability.runs.sealed import write_sealed_npz

__all__ = ["main"]


def main(config: Config) -> None:
    """Run, or finish, the retraining; the first process prints its tables and draws its figures."""
    started = time.monotonic()
    if (config.name, config.run.preset) not in PRESETS:
        models = ", ".join(name for name, preset in PRESETS if preset == config.run.preset)
        raise UsageError(f"--preset {config.run.preset} is for {models}, not for {config.name}")
    accelerator = patient_accelerator(
        cpu=config.run.device == "cpu" or not torch.cuda.is_available()
    )
    try:
        images = images_for(config.network, config.run.data)
        asked = {"model": config.name}
        asked |= recorded_options(*parts_of(config), without=NOT_RECORDED)
        asked["data_digest"] = images.digest
        for option in ("init", "inception", "trust_torchscript"):
            if (file := getattr(config.run, option)) is not None:
                asked[f"{option}_digest"] = input_digest(option, file)
        real = split(
            config.run.data,
            images,
            config.run.real,
            fresh_rounds=config.run.retrainings if config.run.regime == "fresh" else 0,
            held_out=config.run.held_out,
            seed=config.run.seed,
        )
        if config.run.held_out is not None and real.held_out is not None:
            asked["held_out_digest"] = digest(real.held_out)
        _require_room(config, real, accelerator)
        # all that can be refused is refused before --overwrite removes a run
        _require_measurable(config, real)
        start = _start(config)
        processes = AcceleratedProcesses(accelerator)
        with open_run(f"retrain-{config.name}", asked, config.run, processes) as run:
            _retrain(config, real, start, run, accelerator)
            if run.directory is not None:
                console = make_console()
                print_tables(console, run.directory.history())
                console.print(f"{time.monotonic() - started:.0f} s")
                print_paths(console, (run.path / "history.jsonl", *_figures(run.path)))
    finally:
        accelerator.end_training()


def _figures(folder: Path) -> list[Path]:
    """The paths written. RunDirectoryError if what they show is damaged."""
    try:
        return draw_figures(folder)
    except FoundRunError as error:
        raise RunDirectoryError(f"{error}; remove it to leave it out") from None


def _require_room(config: Config, real: RealImages, accelerator: Accelerator) -> None:
    """UsageError if the run takes more memory than there is."""
    options, n = config.run, len(real.train.images)
    with warnings.catch_warnings(action="ignore"):  # the run itself warns of a λ that draws nothing
        drawn = [regime.synthetic(n) for regime in options.regimes]
    rounds = options.retrainings if options.regime in ("accumulate", "subsample") else 1
    require_room(
        config.network,
        config.training,
        real.train.images.shape[1:],
        sample_batch=options.sample_batch,
        drawn=max(options.samples or n, options.grid),
        trained=n + rounds * max(drawn),
        chains=len(drawn),
        on_processor=accelerator.device.type == "cpu",
    )


def _require_measurable(config: Config, real: RealImages) -> None:
    """UsageError if the images or the network for their features cannot be used."""
    options, train = config.run, real.train
    try:
        require_enough(
            train.images,
            real.held_out,
            options.samples or len(train.images),
            least_images(options.k, options.kid_subsets),
        )
    except ValueError as error:
        raise UsageError(str(error)) from None
    require_space(options, "--data", options.data, train)


def _start(config: Config) -> Checkpoint | None:
    """The weights of --init."""
    options = config.run
    if options.init is None:
        return None
    return weights_for(config.network, options.init, config.training, options.carry)


def _retrain(
    config: Config,
    real: RealImages,
    start: Checkpoint | None,
    run: OpenRun,
    accelerator: Accelerator,
) -> None:
    """Go through the generations, from wherever the run stands, and record each."""
    options = config.run
    checkpoint = from_first_process(
        accelerator, lambda: run.directory.latest() if run.directory else None
    )
    done = checkpoint.generation.t + 1 if checkpoint else 0
    if done > options.retrainings:
        return
    draws = options.samples or len(real.train.images)
    measure = _Measurement(config, real, draws, accelerator) if run.directory else None
    with _progress(options.retrainings + 1, done, accelerator.is_main_process) as (
        on_progress,
        on_generation,
    ):
        learner = _learner(config, real, start, run, accelerator, on_progress)
        origin: Sequence[Mapping[str, Tensor]] = []
        if checkpoint:
            learner.load_state_dict(checkpoint.learner)
            origin = checkpoint.observers["origin"]
        generations = retrain(
            learner,
            [real.train.images] * learner.chains,
            options.regimes,
            options.retrainings,
            seed=options.seed,
            replicas=[0] * learner.chains,
            draws=draws,
            fresh=lambda n, rng: real.fresh[(done - 1) * n : done * n],  # already in random order
            latents=options.latents,
            from_scratch=options.from_scratch,
            after=checkpoint.generation if checkpoint else None,
        )
        clock = time.monotonic()
        for generation in generations:
            averages = [learner.average(r) for r in range(learner.chains)]
            origin = origin or averages
            grid = learner.sample_alike(options.grid, stream(options.seed, Purpose.SAMPLE, 0))
            if run.directory and measure:
                line = measure.line(generation, learner, averages, origin)
                write_sealed_npz(
                    run.directory.samples / f"grid-{generation.t:04d}.npz", {"images": grid}
                )
                seconds, clock = time.monotonic() - clock, time.monotonic()
                run.directory.record(
                    generation, line, learner.state_dict(), {"origin": origin}, seconds
                )
                learner.forget()
            done = generation.t + 1
            on_generation(done)


def _learner(
    config: Config,
    real: RealImages,
    start: Checkpoint | None,
    run: OpenRun,
    accelerator: Accelerator,
    on_progress: Callable[[str, int, int], object],
) -> ImageLearner:
    options = config.run
    schedule = Schedule(
        options.first_images,
        options.images_per_retraining,
        options.carry,
        options.sample_batch,
        options.sample_precision,
    )
    where = {
        "torch": version("torch"),
        "threads": run.threads,
        "processes": accelerator.num_processes,
    }
    where["device"] = torch.cuda.get_device_name() if accelerator.device.type == "cuda" else "cpu"
    of_models = recorded_options(config.network, config.model, config.training)
    setting = {"model": config.name, **of_models, **where}
    _, *shape = real.train.images.shape
    return ImageLearner(
        Trainer(config.model, _new_network(config), config.training, accelerator),
        config.network.build,
        (shape[0], shape[1], shape[2]),
        len(options.regimes),
        schedule,
        folder=run.path / "checkpoints" / "unfinished",
        cache=options.cache or cache_folder(),
        setting=json.dumps(setting, sort_keys=True),
        run=run.digest,
        start=start,
        seconds=options.checkpoint_seconds,
        on_progress=on_progress,
    )


def _new_network(config: Config) -> torch.nn.Module:
    """With weights that no chain has: of the reference line of Figure 9."""
    seed = int(stream(config.run.seed, Purpose.INIT, 1).integers(2**32))
    return config.network.build(torch.Generator().manual_seed(seed))


class _Measurement:
    """What is recorded of each generation; of the first process alone."""

    def __init__(
        self, config: Config, real: RealImages, draws: int, accelerator: Accelerator
    ) -> None:
        options = config.run
        cache = options.cache or cache_folder()
        self._regimes, self._draws = options.regimes, draws
        self._random = dict(_new_network(config).named_parameters())
        self._space = chosen_space(options, "--data", options.data, real.train, cache)
        try:
            self._measure = ImageMetrics(
                self._space,
                real.train.images,
                real.held_out,
                draws,
                cache=cache,
                device=accelerator.device,
                k=options.k,
                kid_subsets=options.kid_subsets,
                metrics=options.metrics,
                seed=options.seed,
                batch=options.sample_batch,
            )
        except ValueError as error:  # too few images
            raise UsageError(str(error)) from error

    def line(
        self,
        generation: Generation,
        learner: ImageLearner,
        averages: Sequence[Mapping[str, Tensor]],
        origin: Sequence[Mapping[str, Tensor]],
    ) -> dict[str, Any]:
        """Its line of history."""
        chains = []
        # chains that are still the same share their samples
        measured: dict[int, list[dict[str, Any]]] = {}
        for r, regime in enumerate(self._regimes):
            samples, distance = generation.samples[r], parameter_distance(averages[r], origin[r])
            if id(samples) not in measured:
                measured[id(samples)] = self._kept(learner, r, samples)
            chains.append(
                {
                    "regime": str(regime),
                    "replica": 0,
                    **_counts(generation.training[r]),
                    "parameter_distance": distance.norm,
                    "parameters": distance.count,
                    "images_seen": learner.images_seen,
                    "measurements": measured[id(samples)],
                }
            )
        random = parameter_distance(self._random, origin[0])
        return {
            "features": self._space.name,
            "chains": chains,
            "random_parameter_distance": random.norm,
        }

    def _kept(self, learner: ImageLearner, r: int, samples: np.ndarray) -> list[dict[str, Any]]:
        """Measurements of a chain, from a file if they were made before a kill."""
        kept = learner.kept("measured", r, samples)
        found = kept.load()
        if found is None:
            found = {"measurements": [asdict(one) for one in self._measure(samples[: self._draws])]}
            kept.save(lambda: found, final=True)
        return found["measurements"]


def _counts(training: TrainingSet) -> dict[str, Any]:
    """n, m, λ and the synthetic share of what a generation was trained on; λ is null without
    real data.
    """
    return {
        "n": training.real,
        "m": training.synthetic,
        "lambda": training.lam if training.real else None,
        "share": training.share,
    }


@contextmanager
def _progress(
    total: int, done: int, show: bool
) -> Iterator[tuple[Callable[[str, int, int], None], Callable[[int], None]]]:
    """Bars for the generations and for what is being done; the two functions that move them."""
    with progress_bar(show) as bar:
        generations = bar.add_task("generations", total=total, completed=done)
        now = bar.add_task("", total=None)

        def on_progress(what: str, done: int, total: int) -> None:
            bar.update(now, description=what, completed=done, total=total)

        yield on_progress, lambda done: bar.update(generations, completed=done)


def _commands(preset: Preset) -> Any:
    """One subcommand a model; one without this preset has its own settings, and `main` refuses
    it.
    """
    commands: Any = None
    for name in NETWORKS:
        config = PRESETS.get((name, preset), PRESETS[name, "digits"])
        one = Annotated[type(config), tyro.conf.subcommand(name, default=config)]
        commands = one if commands is None else commands | one
    return commands


def _preset(arguments: Sequence[str]) -> Preset:
    """The preset of a command line, by --preset or by CIFAR-10's archive; a wrong one is left to
    tyro to refuse.
    """
    asked, data = _given(arguments, "--preset"), _given(arguments, "--data")
    if asked is None and data is not None and is_cifar10(data):
        return "cifar10"
    return next((preset for preset in get_args(Preset) if preset == asked), "digits")


def _given(arguments: Sequence[str], option: str) -> str | None:
    for i, argument in enumerate(arguments):
        if argument == option:
            return arguments[i + 1] if i + 1 < len(arguments) else None
        if argument.startswith(f"{option}="):
            return argument.removeprefix(f"{option}=")
    return None


if __name__ == "__main__":
    command(_commands(_preset(sys.argv[1:])), main)
