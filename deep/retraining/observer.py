"""Image models in a study: how the learner is built in its place, and what is measured of it."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import version
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator

from deep.formats.checkpoint_record import Checkpoint
from deep.metrics.feature_choice import chosen_space
from deep.metrics.image_metrics import ImageMetrics
from deep.metrics.parameter_distance import parameter_distance
from deep.retraining.learner import ImageLearner, Schedule
from deep.retraining.presets import Config
from deep.retraining.real_images import RealImages
from deep.training.trainer import Trainer
from stability.loop.retraining import Generation
from stability.loop.streams import Purpose, stream
from stability.machine.cache_folder import cache_folder
from stability.runs.command_line import UsageError
from stability.runs.loop_options import recorded_options
from stability.runs.observer import (
    NOISE_FLOOR,
    OF_THE_TRUTH,
    Floor,
    Quantity,
    TruthDraw,
    View,
)
from stability.runs.sealed import write_sealed_npz
from stability.runs.study import LearnerPlace

__all__ = ["ImageStudy"]


class ImageStudy:
    """Builder of a study's learner, and its observer.

    Args:
        config: Of the command.
        real: The real images.
        start: Generation 0, to be taken as it is instead of training it.
        accelerator: Of this process.
    """

    def __init__(
        self,
        config: Config,
        real: RealImages,
        start: Checkpoint | None,
        accelerator: Accelerator,
    ) -> None:
        self._config, self._real, self._start = config, real, start
        self._accelerator, self._options = accelerator, config.run
        self._cache = config.run.cache or cache_folder()
        self._origin: Sequence[Mapping[str, Any]] = []
        self._seen: list[dict[str, Any]] = []  # measurements of the chain that was measured last

    # The learner

    def build(self, place: LearnerPlace) -> ImageLearner:
        """Build the learner and, in the first process, what it is measured with."""
        config, options, accelerator = self._config, self._options, self._accelerator
        self._folder = place.folder
        if accelerator.is_main_process:
            self._make_metrics()
        schedule = Schedule(
            options.first_images,
            options.images_per_retraining,
            options.carry,
            options.sample_batch,
            options.sample_precision,
        )
        on_processor = accelerator.device.type != "cuda"
        setting = {
            "model": config.name,
            **recorded_options(config.network, config.model, config.training),
            "torch": version("torch"),
            "threads": place.threads,
            "processes": accelerator.num_processes,
            "device": "cpu" if on_processor else torch.cuda.get_device_name(),
        }
        channels, height, width = self._real.train.images.shape[1:]
        return ImageLearner(
            Trainer(config.model, self._new_network(), config.training, accelerator),
            config.network.build,
            (channels, height, width),
            place.chains,
            schedule,
            folder=place.folder / "checkpoints" / "unfinished",
            cache=self._cache,
            setting=json.dumps(setting, sort_keys=True),
            run=place.digest,
            start=self._start,
            seconds=options.checkpoint_seconds,
            on_progress=place.bars.what,
        )

    def _new_network(self) -> torch.nn.Module:
        """With weights that no chain has: of the reference line of Figure 9."""
        seed = int(stream(self._options.seed, Purpose.INIT, 1).integers(2**32))
        return self._config.network.build(torch.Generator().manual_seed(seed))

    # The observer

    def _make_metrics(self) -> None:
        """UsageError if there are too few images."""
        options, real = self._options, self._real
        self._draws = options.samples or len(real.train.images)
        self._random = dict(self._new_network().named_parameters())
        self._space = chosen_space(options, "--data", options.data, real.train, self._cache)
        try:
            self._measure = ImageMetrics(
                self._space,
                real.train.images,
                real.held_out,
                self._draws,
                cache=self._cache,
                device=self._accelerator.device,
                k=options.k,
                kid_subsets=options.kid_subsets,
                metrics=options.metrics,
                seed=options.seed,
                batch=options.sample_batch,
            )
        except ValueError as error:
            raise UsageError(str(error)) from error

    @property
    def quantities(self) -> list[Quantity]:
        """Each metric against each reference, once it was measured; parameters and counts."""
        found = []
        for one in self._seen:
            about = {name: one[name] for name in ("images", "reference", "reference_images")}
            about |= {
                "metric": one["metric"].removesuffix(f"_{one['images']}"),
                "features": self._space.name,
            }
            title = f"{one['metric']} against {one['reference']} ({one['reference_images']:,})"
            distance = about["metric"].startswith(("fd", "fid", "kd", "kid", "w2"))
            found.append(
                Quantity(
                    _key(one),
                    title,
                    from_zero=not about["metric"].startswith("k"),  # it is unbiased, and may be < 0
                    floor=NOISE_FLOOR if distance else OF_THE_TRUTH,
                    shown=one["floor"] is not None,
                    about=about,
                )
            )
        counts = ("parameter_distance", "parameters", "images_seen", "random_parameter_distance")
        return found + [Quantity(key, shown=False) for key in counts]

    def floor(self, truth: TruthDraw, n: int, rng: np.random.Generator) -> dict[str, Floor]:
        """What as many real images get, with its standard error; 0 where that is not known."""
        return {
            _key(one): Floor(one["floor"], one["floor_error"] or 0.0)
            for one in self._seen
            if one["floor"] is not None
        }

    def __call__(self, view: View) -> dict[str, float]:
        """Raise: chains that are alike are measured once."""
        raise TypeError("image models are measured all at once")

    def measure(
        self, generation: Generation, learner: ImageLearner, views: Sequence[View]
    ) -> list[dict[str, Any]]:
        """Measure all chains, and store a grid of what the same latents become.

        All processes draw the grid; the first one measures.
        """
        averages = [learner.average(r) for r in range(learner.chains)]
        self._origin = self._origin or averages
        grid = learner.sample_alike(
            self._options.grid, stream(self._options.seed, Purpose.SAMPLE, 0)
        )
        if not self._accelerator.is_main_process:
            return [{} for _ in views]

        random = parameter_distance(self._random, self._origin[0]).norm
        # chains that are still the same share their samples
        measured: dict[int, list[dict[str, Any]]] = {}
        records = []
        for r, samples in enumerate(generation.samples):
            if id(samples) not in measured:
                measured[id(samples)] = self._kept(learner, r, samples)
            self._seen = measured[id(samples)]
            moved = parameter_distance(averages[r], self._origin[r])
            records.append(
                {
                    **_values(self._seen),
                    "parameter_distance": moved.norm,
                    "parameters": moved.count,
                    "images_seen": learner.images_seen,
                    "random_parameter_distance": random,
                }
            )
        file = self._folder / "samples" / f"grid-{generation.t:04d}.npz"
        write_sealed_npz(file, {"images": grid})
        return records

    def state_dict(self) -> dict[str, Any]:
        return {"origin": self._origin}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._origin = state["origin"]

    def _kept(self, learner: ImageLearner, r: int, samples: np.ndarray) -> list[dict[str, Any]]:
        """Measurements of a chain, from a file if they were made before a kill."""
        kept = learner.kept("measured", r, samples)
        found = kept.load()
        if found is None:
            found = {"measurements": [asdict(one) for one in self._measure(samples[: self._draws])]}
            kept.save(lambda: found, final=True)
        return found["measurements"]


def _key(one: Mapping[str, Any]) -> str:
    return f"{one['metric']} {one['reference']}"


def _values(measurements: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Each number, and its standard error where there is an estimate."""
    values = {_key(one): one["value"] for one in measurements}
    errors = {
        f"{_key(one)}, standard error": one["standard_error"]
        for one in measurements
        if one["standard_error"] is not None
    }
    return values | errors
