"""Image models in the retraining loop: one trainer, through which the chains pass one after
another.

Chains that are the same so far (in generation 0: all with the same real data and random streams)
are trained and drawn from once, until what they see parts them.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import filelock
import numpy as np
import torch
from accelerate.utils import send_to_device
from torch import Tensor, nn

from deep.content_cache import digest
from deep.formats.checkpoint_record import Checkpoint
from deep.image_sets.labelled import joined, split
from deep.models.protocol import ImageModel
from deep.retraining.shared_work import one_for_all
from deep.training.first_process import from_first_process
from deep.training.kept import Kept
from deep.training.precision import Precision
from deep.training.sampling import draw_classes, draw_images
from deep.training.trainer import Carry, Trainer
from stability.loop.regimes import TrainingSet
from stability.runs.run_layout import UNFINISHED

__all__ = ["ImageLearner", "Schedule"]


@dataclass(frozen=True)
class Schedule:
    """Schedule of a model's trainings, and how it is drawn from.

    Attributes:
        first_images: Training images, counted with repetition, of a training from new weights and
            of one that goes on.
        images: See `first_images`.
        carry: What goes on beside the weights.
        sample_batch: Images that a process draws at once.
    """

    first_images: int
    images: int
    carry: Carry = "optimizer"
    sample_batch: int = 100
    sample_precision: Precision = "fp32"


class ImageLearner:
    """R chains of an image model: a `stability.loop.retraining.Learner` whose points are images (c,
    h, w) uint8, or labelled images (c + 1, h, w) uint8 (`deep.image_sets.labelled`) for a network
    that is told the class.

    Args:
        trainer: New; its model draws the samples, from the average of the weights.
        build: A network with weights from a generator.
        shape: Shape of an image, (c, h, w).
        class_shares: Probability of each class among the samples, (K,), for a network that is told
            the class: theirs is drawn from it in every generation. None: points have no class.
        start: Generation 0, to be taken as it is instead of training it.
        folder: Where a generation under way keeps what is finished of it; see `forget`.
        cache: Where generation 0 is kept, for all runs that begin alike.
        setting: Everything that decides the result of a training or a sampling and that the other
            arguments do not say.
        run: Names the run among all others, so that what another one left in `folder` is not taken
            for its own.
        seconds: Least time between two writings of an unfinished training or sampling.
        on_progress: Told the name of the work under way, its finished images, and all of them.
    """

    def __init__(
        self,
        trainer: Trainer,
        build: Callable[[torch.Generator], nn.Module],
        shape: tuple[int, int, int],
        chains: int,
        schedule: Schedule,
        *,
        folder: Path,
        cache: Path,
        setting: str,
        run: str = "",
        start: Checkpoint | None = None,
        class_shares: np.ndarray | None = None,
        seconds: float = 60.0,
        on_progress: Callable[[str, int, int], object] = lambda what, done, total: None,
    ) -> None:
        self._trainer, self._build, self._shape, self._schedule = trainer, build, shape, schedule
        self._folder, self._cache, self._setting, self._run, self._start = (
            folder,
            cache,
            setting,
            run,
            start,
        )
        self._seconds, self._on_progress = seconds, on_progress
        self._class_shares = class_shares
        self._accelerator = trainer.accelerator
        self._blank = self._trainer_state()
        self._states = [self._blank] * chains  # of the trainer; equal chains have the same object
        self._t = -1  # generation that was fitted last, or is being fitted
        # what the weights were drawn from, between a reset and a fit
        self._drawn_from: list[str] | None = None
        self.images_seen = 0
        """Training images that each chain has seen since generation 0 began, counted with
        repetition."""

    @property
    def chains(self) -> int:
        return len(self._states)

    def average(self, r: int) -> dict[str, Tensor]:
        """The parameters that chain r draws its samples with, on the CPU.

        Args:
            r: Number of the chain, from 0.

        Returns:
            Parameters by name.
        """
        return {
            name: self._states[r]["ema"][name] for name, _ in self._trainer.ema.named_parameters()
        }

    def reset(self, rngs: Sequence[np.random.Generator]) -> None:
        """Draw new weights, or take those of `start`, which the next fit leaves as they are.

        Args:
            rngs: Generator of each chain.
        """
        if self._start is not None:
            self._trainer.start_from(self._start, self._schedule.carry)
            self._states = [self._trainer_state()] * self.chains
            self._drawn_from = ["start"] * self.chains
            return
        seeds = [int(rng.integers(2**32)) for rng in rngs]
        new = {
            seed: self._with_weights(self._build(torch.Generator().manual_seed(seed)))
            for seed in seeds
        }
        self._states = [new[seed] for seed in seeds]
        self._drawn_from = [str(seed) for seed in seeds]

    def fit(self, datasets: Sequence[TrainingSet], rngs: Sequence[np.random.Generator]) -> None:
        """Train each chain; see `Schedule` for how long, and `Trainer.fit` for what is carried on.

        Args:
            datasets: Training set of each chain.
            rngs: Generator of each chain.
        """
        self._t += 1
        drawn_from, given = (
            self._drawn_from,
            self._drawn_from is not None and self._start is not None,
        )
        if not given:
            duration = self._schedule.images if drawn_from is None else self._schedule.first_images
            origins = drawn_from or [""] * self.chains
            inputs = zip(self._states, datasets, rngs, strict=True)
            keys = [
                (id(state), id(data.points), str(rng.bit_generator.state))
                for state, data, rng in inputs
            ]
            self._states = one_for_all(
                keys, lambda r: self._fit(r, datasets[r].points, rngs[r], duration, origins[r])
            )
            self.images_seen += self._whole_steps(duration)
        self._drawn_from = None

    def sample(
        self, counts: Sequence[int], rngs: Sequence[np.random.Generator]
    ) -> list[np.ndarray]:
        """Draw points with the average of the weights.

        Args:
            counts: Number of points of each chain.
            rngs: Generator of each chain.

        Returns:
            Points of each chain r, (counts[r], …) uint8.
        """
        keys = [
            (id(state), int(rng.integers(2**62)))
            for state, rng in zip(self._states, rngs, strict=True)
        ]
        most = [
            max(count for count, key in zip(counts, keys, strict=True) if key == own)
            for own in keys
        ]
        drawn = one_for_all(keys, lambda r: self._sample(r, most[r], keys[r][1]))
        return [x if len(x) == count else x[:count] for x, count in zip(drawn, counts, strict=True)]

    def sample_alike(
        self,
        count: int,
        rng: np.random.Generator,
        *,
        chains: Sequence[int] | None = None,
        model: ImageModel | None = None,
    ) -> np.ndarray:
        """Draw points of several chains from the same latents and classes.

        Args:
            count: Number of points of each chain.
            rng: Generator that gives the seed.
            chains: Their numbers, R of them. None: all chains.
            model: Draws instead of the trainer's model: another sampler of the same networks.

        Returns:
            Points, (R, count, …) uint8.
        """
        seed = int(rng.integers(2**62))
        chosen = list(range(self.chains) if chains is None else chains)
        keys = [id(self._states[r]) for r in chosen]
        return np.stack(
            one_for_all(keys, lambda i: self._draw(chosen[i], range(count), seed, model))
        )

    def state_dict(self) -> dict[str, Any]:
        return {"states": list(self._states), "t": self._t, "images_seen": self.images_seen}

    def extrapolated(self, base: dict[str, Any], weights: np.ndarray) -> dict[str, Any]:
        """Compute the state with parameters θ − w (θ′ − θ), of network and average.

        Args:
            base: State of θ.
            weights: w of each chain, (R,); θ′ are the present parameters.

        Returns:
            The state; chains that are alike in both states and in w stay alike.
        """
        keys = [
            (id(before), id(now), float(w))
            for before, now, w in zip(base["states"], self._states, weights, strict=True)
        ]
        states = one_for_all(
            keys, lambda r: _extrapolated(base["states"][r], self._states[r], float(weights[r]))
        )
        return {**base, "states": states}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go back to a state given by `state_dict`.

        Args:
            state: The state.

        Raises:
            ValueError: If it is of another number of chains, or of another network.
        """
        if len(state["states"]) != self.chains:
            raise ValueError(
                f"the state must be of {self.chains} chains, got {len(state['states'])}"
            )
        self._trainer.load_state_dict(state["states"][0])
        self._states = list(state["states"])
        self._t, self.images_seen, self._drawn_from = state["t"], state["images_seen"], None

    def kept(self, what: str, r: int, *inputs: str | np.ndarray) -> Kept:
        """The file for the work on chain r in this generation.

        Args:
            what: Names the work: fit, samples or measured.
            r: The chain.
            inputs: All that the result depends on beside the run and the generation.
        """
        name = f"{what}-{self._t:04d}-{r:03d}"
        key = digest(self._setting, self._run, f"{name}.pt", *inputs)
        # a generation that extrapolates fits twice: each has a file of its own
        file = self._folder / f"{name}-{key[:8]}.pt"
        return Kept(file, key, self._seconds, self._accelerator.is_main_process)

    def forget(self) -> None:
        """Remove what was kept of this generation: it is recorded elsewhere, as a whole."""
        if self._accelerator.is_main_process and self._folder.is_dir():
            for file in list(self._folder.iterdir()):
                if re.fullmatch(UNFINISHED, file.name):
                    file.unlink()

    def _whole_steps(self, images: int) -> int:
        """`images`, rounded up as the trainer does."""
        batch = self._trainer.settings.batch
        return -(-images // batch) * batch

    def _trainer_state(self) -> dict[str, Any]:
        return dict(send_to_device(self._trainer.state_dict(), "cpu"))

    def _with_weights(self, network: nn.Module) -> dict[str, Any]:
        """The state of a new trainer that has the weights of `network`."""
        weights = dict(network.state_dict())
        return {**self._blank, "network": weights, "ema": weights}

    def _fit(
        self, r: int, points: np.ndarray, rng: np.random.Generator, duration: int, origin: str
    ) -> dict[str, Any]:
        """The trainer's state after the fit, from wherever an interrupted one stands."""
        what, total = f"training {r + 1} of {self.chains}", self._whole_steps(duration)
        with self._keeping(
            "fit", r, origin, str(rng.bit_generator.state), str(duration), points
        ) as kept:
            found = from_first_process(self._accelerator, kept.load)
            if found is not None and found["fit"] is None:
                return found
            self._trainer.load_state_dict(found or self._states[r])
            images, labels = self._images_and_labels(points)
            try:
                for progress in self._trainer.fit(
                    images, duration, rng, self._schedule.carry, labels=labels
                ):
                    self._on_progress(what, progress.step * self._trainer.settings.batch, total)
                    kept.save(self._trainer_state, final=progress.step == progress.steps)
            except FloatingPointError as error:
                raise FloatingPointError(f"chain {r}: {error}") from error
            return self._trainer_state()

    def _sample(self, r: int, count: int, seed: int) -> np.ndarray:
        """Draws of chain r, from wherever an interrupted sampling stands.

        The last batch is as large as the others, so that what is drawn does not depend on `count`.
        """
        what, step = (
            f"sampling {r + 1} of {self.chains}",
            self._schedule.sample_batch * self._accelerator.num_processes,
        )

        channels, height, width = self._shape
        channels += self._class_shares is not None
        images = np.zeros((count, channels, height, width), np.uint8)
        weights = (
            [value.numpy() for value in self._states[r]["ema"].values()] if self._t == 0 else []
        )
        conditions = [] if self._class_shares is None else [self._class_shares]

        with self._keeping(
            "samples", r, f"{seed} {step} {self._schedule.sample_precision}", *conditions, *weights
        ) as kept:
            found = from_first_process(self._accelerator, kept.load)
            done = 0
            if found is not None:
                before = found["images"][:count].numpy()
                done = len(before) if len(before) == count else len(before) // step * step
                images[:done] = before[:done]
            while done < count:
                drawn = self._draw(r, range(done, done + step), seed)[: count - done]
                images[done : done + len(drawn)] = drawn
                done += len(drawn)
                self._on_progress(what, done, count)
                kept.save(lambda: {"images": torch.tensor(images[:done])}, final=done == count)  # noqa: B023
        return images

    def _images_and_labels(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """Images for the training of a network, and labels; None for an unconditional network."""
        if self._class_shares is None:
            return points, None
        labelled = split(points)
        return labelled.images, labelled.labels

    def _draw(
        self, r: int, indices: range, seed: int, model: ImageModel | None = None
    ) -> np.ndarray:
        """Points of chain r."""
        self._trainer.ema.load_state_dict(self._states[r]["ema"])
        shares = self._class_shares
        classes = None if shares is None else draw_classes(shares, indices, seed)
        try:
            images = draw_images(
                model or self._trainer.model,
                self._trainer.drawn_from,
                self._shape,
                indices,
                seed,
                accelerator=self._accelerator,
                batch=self._schedule.sample_batch,
                precision=self._schedule.sample_precision,
                classes=classes,
            )
        except FloatingPointError as error:
            raise FloatingPointError(f"chain {r}: {error}") from error
        return images if classes is None else joined(images, classes)

    @contextmanager
    def _keeping(self, what: str, r: int, *inputs: str | np.ndarray) -> Iterator[Kept]:
        """The file for a training or a sampling.

        In generation 0 it is in the cache, under everything that it depends on; who needs the same
        at the same time waits for it.
        """
        if self._t > 0:
            yield self.kept(what, r, *inputs)
            return
        key = digest(self._setting, *inputs)
        path = self._cache / "generation-0" / f"{what}-{key}.pt"
        lock: AbstractContextManager[Any] = nullcontext()
        if self._accelerator.is_main_process:
            path.parent.mkdir(parents=True, exist_ok=True)
            lock = filelock.FileLock(path.with_name(path.name + ".lock"))
        with lock:
            yield Kept(path, key, self._seconds, self._accelerator.is_main_process)


def _extrapolated(base: dict[str, Any], now: dict[str, Any], w: float) -> dict[str, Any]:
    """The trainer's state `base` with extrapolated weights; counts are those of `base`."""
    moved = {
        part: {
            name: value - w * (now[part][name] - value) if value.is_floating_point() else value
            for name, value in base[part].items()
        }
        for part in ("network", "ema")
    }
    return {**base, **moved}
