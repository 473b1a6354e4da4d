"""Image models in a study: how the learner is built in its place, and what is measured of it."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import cached_property
from importlib.metadata import version
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator

from deep.formats.checkpoint_record import Checkpoint, label_dim_of
from deep.image_sets.image_set import ImageSet
from deep.image_sets.labelled import class_shares, is_labelled, split
from deep.metrics.feature_choice import chosen_space
from deep.metrics.features import FeatureSpace
from deep.metrics.image_metrics import ImageMetrics
from deep.metrics.parameter_distance import parameter_distance
from deep.metrics.real_accuracy import ACCURACY, RealAccuracy, key_of_class
from deep.retraining.learner import ImageLearner, Schedule
from deep.retraining.presets import Config
from deep.retraining.real_images import RealImages
from deep.training.trainer import Trainer
from stability.loop.retraining import Generation
from stability.loop.streams import Purpose, stream
from stability.loop.wrapped_learner import unwrapped
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
        self._draws = config.run.samples or len(real.train.images)
        self._accuracy = self._real_accuracy()

    # The learner

    def build(self, place: LearnerPlace) -> ImageLearner:
        """Build the learner and, in the first process, what it is measured with.

        Args:
            place: Folder of the run, number of chains and threads.

        Returns:
            The learner.
        """
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

        kind = accelerator.device.type
        setting = {
            "model": config.name,
            **recorded_options(config.network, config.model, config.training),
            "torch": version("torch"),
            "threads": place.threads,
            "processes": accelerator.num_processes,
            "device": torch.cuda.get_device_name() if kind == "cuda" else kind,
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
            class_shares=self._class_shares(),
            seconds=options.checkpoint_seconds,
            on_progress=place.bars.what,
        )

    def _class_shares(self) -> np.ndarray | None:
        """Shares of the classes among the real images, for a class-conditional network."""
        labels, label_dim = self._real.train.labels, label_dim_of(self._config.network)
        return class_shares(labels, label_dim) if label_dim and labels is not None else None

    def _new_network(self) -> torch.nn.Module:
        """With weights that no chain has: of the reference line of Figure 9."""
        seed = int(stream(self._options.seed, Purpose.INIT, 1).integers(2**32))
        return self._config.network.build(torch.Generator().manual_seed(seed))

    # The observer

    @cached_property
    def space(self) -> FeatureSpace:
        """The network whose features are compared."""
        options = self._options
        return chosen_space(options, options.data, self._real.train, self._cache)

    def _make_metrics(self) -> None:
        """UsageError if there are too few images."""
        options, real = self._options, self._real
        self._random = dict(self._new_network().named_parameters())
        try:
            self._measure = ImageMetrics(
                self.space,
                real.train.images,
                None if real.held_out is None else real.held_out.images,
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
                "features": self.space.name,
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
        return found + self._of_classes() + [Quantity(key, shown=False) for key in counts]

    def _real_accuracy(self) -> RealAccuracy | None:
        """Make the metric if the network is class-conditional and held-out images have classes."""
        real = self._real
        if not label_dim_of(self._config.network) or real.held_out is None:
            return None
        if real.held_out.labels is None:
            return None
        return RealAccuracy(real.train, real.held_out, self._draws, self._options.seed, self._cache)

    def _of_classes(self) -> list[Quantity]:
        """Accuracies on real images, of all and of each class."""
        if self._accuracy is None:
            return []
        title = f"{ACCURACY} ({self._accuracy.test_images:,}) of a classifier trained on generated"
        return [
            Quantity(ACCURACY, title, from_zero=False, floor=OF_THE_TRUTH),
            *(
                Quantity(key_of_class(k), floor=OF_THE_TRUTH, shown=False, about={"class": k})
                for k in self._accuracy.classes
            ),
        ]

    def floor(self, truth: TruthDraw, n: int, rng: np.random.Generator) -> dict[str, Floor]:
        """Values that as many real images get, with standard errors; 0 where not known.

        Args:
            truth: Not used.
            n: Not used.
            rng: Not used.

        Returns:
            Floors by quantity, of those that have been measured.
        """
        floors = {
            _key(one): Floor(one["floor"], one["floor_error"] or 0.0)
            for one in self._seen
            if one["floor"] is not None
        }
        return floors | dict(self._accuracy.floor() if self._accuracy else {})

    def measure(
        self, generation: Generation, learner: Any, views: Sequence[View]
    ) -> list[dict[str, Any]]:
        """Measure all chains, and store a grid of what the same latents become.

        All processes draw the grid; the first one measures.

        Args:
            generation: The finished generation, with its samples.
            learner: The learner in the state of that generation: an `ImageLearner`, or one around
                it.
            views: One for each chain.

        Returns:
            Numbers by quantity, one dict for each chain; empty in other processes.
        """
        images: ImageLearner = unwrapped(learner)
        averages = [images.average(r) for r in range(images.chains)]
        self._origin = self._origin or averages
        grid = images.sample_alike(
            self._options.grid, stream(self._options.seed, Purpose.SAMPLE, 0)
        )
        if not self._accelerator.is_main_process:
            return [{} for _ in views]

        random = parameter_distance(self._random, self._origin[0]).norm
        # chains that are still the same share their samples
        measured: dict[int, dict[str, Any]] = {}
        records = []
        for r, samples in enumerate(generation.samples):
            if id(samples) not in measured:
                measured[id(samples)] = self._kept(images, r, samples)
            found = measured[id(samples)]
            self._seen = found["measurements"]
            moved = parameter_distance(averages[r], self._origin[r])
            records.append(
                {
                    **_values(self._seen),
                    **found.get("accuracies", {}),
                    "parameter_distance": moved.norm,
                    "parameters": moved.count,
                    "images_seen": images.images_seen,
                    "random_parameter_distance": random,
                }
            )
        file = self._folder / "samples" / f"grid-{generation.t:04d}.npz"
        pictures = grid[:, :, :-1] if is_labelled(grid.shape) else grid
        write_sealed_npz(file, {"images": pictures})
        return records

    def state_dict(self) -> dict[str, Any]:
        return {"origin": self._origin}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._origin = state["origin"]

    def _kept(self, learner: ImageLearner, r: int, samples: np.ndarray) -> dict[str, Any]:
        """Measurements of a chain, from a file if they were made before a kill."""
        kept = learner.kept("measured", r, samples)
        found = kept.load()
        if found is None:
            points = samples[: self._draws]
            images = split(points) if is_labelled(points.shape) else ImageSet(points)
            found = {
                "measurements": [asdict(one) for one in self._measure(images.images)],
                "accuracies": self._accuracy(images) if self._accuracy else {},
            }
            kept.save(lambda: found, final=True)
        return found


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
