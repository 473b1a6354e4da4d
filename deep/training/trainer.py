"""One trainer for all image models: optimiser, average of the weights, precision, data parallelism,
exact resume.

Every draw of a step is keyed by the fit's stream, the step, and the position in the batch. So a
step is the same however its batch is split into parts or among processes, and a fit that was
interrupted needs no stored generators. Dropout alone is drawn inside the network, for a part of a
batch at a time: with it, runs that split their batches in different parts agree in law and not in
value.
"""

import copy
import math
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Annotated, Any, Literal, Protocol

import numpy as np
import torch
import tyro
from accelerate import Accelerator
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from deep.formats.checkpoint_record import Checkpoint
from deep.models.class_conditioned import ClassConditioned
from deep.models.protocol import ImageModel
from deep.training.precision import Precision, autocast
from deep.training.resume_point import resume_point
from stability.runs.option_error import OptionError
from stability.runs.ranges import LARGEST_COUNT, MOST_IMAGES, require_range

__all__ = ["Carry", "Decay", "HalfLife", "Progress", "TrainConfig", "Trainer"]

Carry = Literal["optimizer", "ema"]


class Averaging(Protocol):
    """Rule by which the average of the weights forgets."""

    def decay(self, batch: int, images_seen: int, updates: int, ramp: bool) -> float:
        """β of ema ← β ema + (1 − β) network, after a step.

        Args:
            batch: Images of the step.
            images_seen: Images before this step.
            updates: Updates before this step.
            ramp: Whether the average still shortens its memory at the beginning.

        Returns:
            β, in [0, 1].
        """
        ...


@dataclass(frozen=True)
class HalfLife:
    """The average of EDM: a half-life in images, shorter at the beginning."""

    images: int = 500_000
    """Images after which a weight counts half."""
    share: float = 0.05
    """The half-life is at most this share of the images seen so far; 0: no such limit."""

    def __post_init__(self) -> None:
        if self.images < 1:
            raise OptionError(f"--ema.images must be >= 1, got {self.images}")
        if not 0 <= self.share < math.inf:
            raise OptionError(f"--ema.share must be finite and >= 0, got {self.share}")

    def decay(self, batch: int, images_seen: int, updates: int, ramp: bool) -> float:
        half_life = (
            min(self.images, self.share * images_seen) if ramp and self.share else self.images
        )
        return 0.5 ** (batch / half_life) if half_life else 0.0


@dataclass(frozen=True)
class Decay:
    """The average of ddpm-torch and, without ramp, of torchcfm: a factor a step."""

    factor: float = 0.9999
    """β."""
    ramp: bool = True
    """β is at most (1 + m)/(10 + m) after m updates."""

    def __post_init__(self) -> None:
        if not 0 <= self.factor < 1:
            raise OptionError(f"--ema.factor must be in [0, 1), got {self.factor}")

    def decay(self, batch: int, images_seen: int, updates: int, ramp: bool) -> float:
        return (
            min(self.factor, (1 + updates) / (10 + updates)) if ramp and self.ramp else self.factor
        )


@dataclass(frozen=True)
class TrainConfig:
    """Training of a network; the official systems use Adam with β = 0.9, 0.999 and ε = 1e-8,
    as here.
    """

    batch: int = 128
    """Images a step, of all processes together."""
    microbatch: int = 0
    """Images that a process handles at once, to save memory; their gradients are accumulated. 0:
    its whole share."""
    learning_rate: float = 1e-3
    """Learning rate of Adam, after the warm-up."""
    ramp_images: int = 0
    """Warm-up in images: the learning rate rises linearly until so many have been seen."""
    ramp_from_zero: bool = True
    """Start of the warm-up: learning rate 0, as in EDM and torchcfm, or with `--no-ramp-from-zero`
    that of the first step, as in ddpm-torch."""
    clip: float = 0.0
    """Largest norm of the gradient (gradient clipping); longer ones are scaled down. 0: none."""
    ema: Annotated[HalfLife | Decay, tyro.conf.AvoidSubcommands] = field(default_factory=HalfLife)
    """Average of the weights, from which samples are drawn."""
    precision: Precision = "fp32"
    """Precision of the network's convolutions and matrix products in training; fp16 with a scaled
    loss. fp32 is what torch calls so: on recent GPUs TF32 in convolutions, unless torch is told
    otherwise."""
    compile: bool = False
    """Compile the network, for training and for drawing (minutes at the start)."""
    channels_last: bool = True
    """Memory layout: the channels of a pixel together, or with `--no-channels-last` apart."""

    def __post_init__(self) -> None:
        require_range(
            self,
            batch=(1, LARGEST_COUNT),
            microbatch=(0, LARGEST_COUNT),
            ramp_images=(0, MOST_IMAGES),
        )
        if not 0 < self.learning_rate < math.inf:
            raise OptionError(f"--learning-rate must be finite and > 0, got {self.learning_rate}")
        if not 0 <= self.clip < math.inf:
            raise OptionError(f"--clip must be finite and >= 0, got {self.clip}")

    def rate(self, images_seen: int) -> float:
        """Learning rate of the step that is made after `images_seen` images.

        Args:
            images_seen: Images since the learning-rate warm-up began.

        Returns:
            The rate.
        """
        counted = images_seen if self.ramp_from_zero else images_seen + self.batch
        return (
            self.learning_rate * min(counted / self.ramp_images, 1.0)
            if self.ramp_images
            else self.learning_rate
        )


@dataclass(frozen=True)
class Progress:
    """Progress of a fit: a step after which the trainer's state may be saved.

    Attributes:
        step: Steps done in this fit, and all of it.
        steps: See `step`.
        images_seen: Images since the learning-rate warm-up began.
        losses: Mean loss of each step since the last report, in order.
    """

    step: int
    steps: int
    images_seen: int
    losses: np.ndarray


class Trainer:
    """A network in training, its average, and Adam.

    On several processes, each holds them and they stay equal.

    The attribute `ema` is the average; `drawn_from` the same, possibly compiled, to draw with.

    Args:
        model: Loss.
        network: In float32; moved to the accelerator's device.
        accelerator: Where the work is done.
    """

    def __init__(
        self, model: ImageModel, network: nn.Module, settings: TrainConfig, accelerator: Accelerator
    ) -> None:
        if settings.batch % accelerator.num_processes:
            raise OptionError(
                f"--batch must be a multiple of the {accelerator.num_processes} processes, got "
                f"{settings.batch}"
            )

        self.model = model
        self.settings = settings
        self.accelerator = accelerator
        layout = torch.channels_last if settings.channels_last else torch.contiguous_format
        self.network = network.to(accelerator.device, memory_format=layout).train()  # type: ignore[call-overload]
        self.ema = copy.deepcopy(self.network).eval().requires_grad_(False)
        self.drawn_from = torch.compile(self.ema, dynamic=False) if settings.compile else self.ema
        self._parallel = accelerator.prepare_model(self.network)
        self._forward = torch.compile(self._parallel) if settings.compile else self._parallel
        self._parameters = [p for p in self.network.parameters() if p.requires_grad]
        self._averages = [
            a
            for a, p in zip(self.ema.parameters(), self.network.parameters(), strict=True)
            if p.requires_grad
        ]
        self._scaler = torch.amp.GradScaler(
            accelerator.device.type, enabled=settings.precision == "fp16"
        )
        self._new_optimizer()
        self.images_seen = 0
        self._updates = 0
        self._ramp_ema = True
        self._fit: dict[str, Any] | None = None  # the fit that is under way, and how far it is

    def _new_optimizer(self) -> None:
        self._adam = torch.optim.Adam(self._parameters, lr=self.settings.learning_rate, fused=True)

    def _load_moments(self, moments: dict[int, Any]) -> None:
        """Adam's memory of each parameter, by its number; the settings stay those of this
        trainer.
        """
        self._adam.load_state_dict({**self._adam.state_dict(), "state": moments})
        for parameter, state in self._adam.state.items():
            state["step"] = state["step"].clone()  # torch keeps the given tensor and counts in it
            for name in ("exp_avg", "exp_avg_sq"):  # the fused Adam takes memory as it lies
                state[name] = torch.empty_like(parameter).copy_(state[name])

    def start_from(self, checkpoint: Checkpoint, carry: Carry) -> None:
        """Go on from a file, as `fit` goes on from a fit before it; see there what is carried.

        With "optimizer", what the file lacks is made up for: weights by their average and the
        reverse, Adam's moments by none, and where it does not say how far it is, the rate begins
        its ramp and the average has its full memory. How far it is: see
        `deep.training.resume_point`.

        Args:
            checkpoint: Content of the file.
            carry: State that goes on beside the weights; see `fit`.

        Raises:
            ValueError: If the file's Adam is of another kind or rate.
        """
        point = resume_point(checkpoint, self.settings) if carry == "optimizer" else None
        self.network.load_state_dict(checkpoint.weights("state"))
        self.ema.load_state_dict(checkpoint.weights("ema"))
        if point is None:
            self.restart_from_ema()
            return
        self._new_optimizer()
        self._load_moments(
            copy.deepcopy(checkpoint.optimizer["state"]) if checkpoint.optimizer else {}
        )
        self._updates, self.images_seen = point.updates, point.images_seen
        self._ramp_ema = self._updates > 0

    def restart_from_ema(self) -> None:
        """Restart from the average alone, as the official EDM command does with `--transfer`.

        The network becomes its average, Adam is new, the image counter is 0 (so the learning rate
        climbs its ramp again), and the average has its full half-life from the first step.
        """
        self.network.load_state_dict(self.ema.state_dict())
        self._new_optimizer()
        self.images_seen = 0
        self._updates = 0
        self._ramp_ema = False

    def fit(
        self,
        images: np.ndarray,
        duration_images: int,
        rng: np.random.Generator,
        carry: Carry = "optimizer",
        labels: np.ndarray | None = None,
        report_steps: int = 50,
    ) -> Iterator[Progress]:
        """Train on images until `duration_images` of them were seen, rounded up to whole steps.

        Each image is seen once before any is seen twice.

        A trainer whose state was saved within a fit goes on with it: call `fit` with the same
        arguments, `rng` being in the state that it had at the start. On a CPU, with equal threads
        and processes, the result is the same bits.

        Args:
            images: Training images, (n, c, h, w) uint8.
            duration_images: Images to see, counted with repetition, >= 1.
            rng: Everything random in this fit follows from three numbers that are drawn from it, at
                once.
            carry: How a fit goes on from the one before it. It decides how far a fit moves:
                "optimizer" (the paper's text; ddpm-torch and torchcfm): weights, their average,
                Adam's moments and the position on the learning rate's ramp go on. Once the ramp is
                over, every step has the full rate. "ema" (the official EDM command, which the
                paper's driver runs): see `restart_from_ema`. With EDM's ramp of 10 Mimg, a fit of 1
                Mimg has rates from 0 to a tenth of the nominal one, a twentieth on average, while
                Adam's moments are learned anew; and 0.5^(1/0.5) = 1/4 of the final average is the
                network that the fit started from. So a fit moves much less, and starts from an
                average of past weights, not from the last. The first fit of a new network is not
                affected.
            labels: Class of each image, shape (n,) int64; None for a network that is told none.
            report_steps: Steps between two reports, >= 1.

        Returns:
            Iterator over reports, which trains as it is advanced.

        Raises:
            ValueError: For bad arguments, at once.
            FloatingPointError: Naming the step, if a loss or a weight is not finite; looked at
                before each report, so that a state saved at a report is good.
        """
        if images.dtype != np.uint8 or images.ndim != 4 or not len(images):
            raise ValueError(
                f"images must be (n, c, h, w) uint8 with n >= 1, got {images.dtype} {images.shape}"
            )
        if duration_images < 1 or report_steps < 1:
            raise ValueError(
                f"duration_images and report_steps must be >= 1, got {duration_images}, "
                f"{report_steps}"
            )

        self._check_labels(len(images), labels)
        steps = math.ceil(duration_images / self.settings.batch)
        asked = {
            "seeds": rng.integers(2**62, size=3).tolist(),
            "images": len(images),
            "steps": steps,
        }
        if self._fit and {**self._fit, "step": 0} != {**asked, "step": 0}:
            raise ValueError(
                "this trainer is in the middle of another fit: other data, duration or random "
                "stream"
            )

        classes = None if labels is None else torch.from_numpy(labels)
        return self._steps(torch.from_numpy(images), classes, asked, carry, report_steps)

    def _check_labels(self, images: int, labels: np.ndarray | None) -> None:
        """ValueError unless there is a class for each image where the network is told classes,
        and none elsewhere.
        """
        label_dim = getattr(self.network, "label_dim", 0)
        if label_dim == 0 and labels is not None:
            raise ValueError("labels must be None: the network is unconditional")
        if label_dim == 0:
            return
        if labels is None or labels.shape != (images,) or labels.dtype != np.int64:
            found = "None" if labels is None else f"{labels.dtype} {labels.shape}"
            raise ValueError(f"labels must be ({images},) int64, one an image, got {found}")
        if labels.min() < 0 or labels.max() >= label_dim:
            raise ValueError(
                f"labels must be from 0 to {label_dim - 1}, got {labels.min()} to {labels.max()}"
            )

    def _steps(
        self,
        images: Tensor,
        labels: Tensor | None,
        asked: dict[str, Any],
        carry: Carry,
        report_steps: int,
    ) -> Iterator[Progress]:
        if self._fit is None:
            new = self._updates == 0 and self._ramp_ema
            if carry == "ema" and not new:
                self.restart_from_ema()
            self._fit = {**asked, "step": 0}
        fit = self._fit
        order_seed, draw_seed, dropout_seed = fit["seeds"]
        order = _Order(len(images), order_seed)
        generator = torch.Generator(self.accelerator.device)
        images = images.to(self.accelerator.device)
        labels = None if labels is None else labels.to(self.accelerator.device)
        losses: list[Tensor] = []
        while fit["step"] < fit["steps"]:
            step = fit["step"]
            chosen = torch.from_numpy(order.batch(step, self.settings.batch)).to(
                images.device, non_blocking=images.device.type == "cuda"
            )
            # consecutive seeds, as a CPU's generator knows only 2^32 of them
            generator.manual_seed(draw_seed + step)
            inputs = self.model.inputs(images[chosen], generator)
            classes = None if labels is None else labels[chosen]
            losses.append(self._step(inputs, classes, dropout_seed + step * self.settings.batch))
            fit["step"] = step + 1
            if fit["step"] % report_steps == 0 or fit["step"] == fit["steps"]:
                finished = self._finite(losses, fit["step"])
                losses.clear()
                if fit["step"] == fit["steps"]:
                    self._fit = None
                yield Progress(fit["step"], fit["steps"], self.images_seen, finished)

    def _step(
        self, inputs: tuple[Tensor, ...], classes: Tensor | None, dropout_seed: int
    ) -> Tensor:
        """One step of Adam on a batch, of which this process does its share; its part of the
        batch's mean loss.
        """
        s, processes = self.settings, self.accelerator.num_processes
        for group in self._adam.param_groups:
            group["lr"] = s.rate(self.images_seen)
        share = s.batch // processes
        first = share * self.accelerator.process_index
        size = s.microbatch or share
        loss = torch.zeros((), device=self.accelerator.device)
        for start in range(first, first + share, size):
            stop = min(start + size, first + share)
            more = stop < first + share
            network = (
                self._forward
                if classes is None
                else ClassConditioned(self._forward, classes[start:stop])
            )
            with self.accelerator.no_sync(self._parallel) if more else nullcontext():
                with (
                    _dropout(self.accelerator.device, dropout_seed + start),
                    autocast(loss.device, s.precision),
                ):
                    losses = self.model.losses(network, *(x[start:stop] for x in inputs))
                # data parallelism averages over processes
                self._scaler.scale(losses.sum() * (processes / s.batch)).backward()
            loss += losses.detach().sum() / s.batch
        if s.clip:
            self._scaler.unscale_(self._adam)
            torch.nn.utils.clip_grad_norm_(self._parameters, s.clip)
        self._scaler.step(self._adam)
        self._scaler.update()
        self._adam.zero_grad(set_to_none=True)
        decay = s.ema.decay(s.batch, self.images_seen, self._updates, self._ramp_ema)
        get_ema_multi_avg_fn(decay)(self._averages, self._parameters, None)
        self.images_seen += s.batch
        self._updates += 1
        return loss

    def _finite(self, losses: list[Tensor], step: int) -> np.ndarray:
        """The losses up to `step`, of all processes together.

        Raises:
            FloatingPointError: If they or the weights are not.
        """
        total = self.accelerator.reduce(torch.stack(losses), reduction="sum")
        assert isinstance(total, Tensor)
        values = total.cpu().numpy()
        bad = np.flatnonzero(~np.isfinite(values))
        if len(bad):
            raise FloatingPointError(
                f"step {step - len(values) + bad[0]}: the loss is {values[bad[0]]}"
            )
        if not torch.nn.utils.get_total_norm(self._parameters).isfinite():
            raise FloatingPointError(f"step {step - 1}: a weight is not finite after it")
        return values

    def state_dict(self) -> dict[str, Any]:
        """A copy of everything that the next step depends on, but data and settings: tensors and
        plain values.
        """
        return copy.deepcopy(
            {
                "network": dict(self.network.state_dict()),
                "ema": dict(self.ema.state_dict()),
                "adam": self._adam.state_dict(),
                "scaler": self._scaler.state_dict(),
                "images_seen": self.images_seen,
                "updates": self._updates,
                "ramp_ema": self._ramp_ema,
                "fit": self._fit,
            }
        )

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go back to a state given by `state_dict`.

        Args:
            state: The state.

        Raises:
            ValueError: If it is of another network.
        """
        try:
            self.network.load_state_dict(state["network"])
            self.ema.load_state_dict(state["ema"])
        except RuntimeError as error:
            raise ValueError(f"the state is of another network: {error}") from None
        self._new_optimizer()
        self._load_moments(state["adam"]["state"])
        self._scaler.load_state_dict(state["scaler"])
        self.images_seen = state["images_seen"]
        self._updates = state["updates"]
        self._ramp_ema = state["ramp_ema"]
        self._fit = copy.deepcopy(state["fit"])


class _Order:
    """An endless sequence of image numbers: one shuffle of 0 … n−1 after another."""

    def __init__(self, n: int, seed: int) -> None:
        self._n = n
        self._shuffle = lru_cache(maxsize=2)(
            lambda epoch: np.random.default_rng(
                np.random.SeedSequence(seed, spawn_key=(epoch,))
            ).permutation(n)
        )

    def batch(self, step: int, size: int) -> np.ndarray:
        """Numbers at places step·size … (step + 1)·size − 1 of the sequence.

        Args:
            step: Number of the step, from 0.
            size: Images of a step.

        Returns:
            The numbers, (size,).
        """
        first, last = step * size // self._n, ((step + 1) * size - 1) // self._n
        numbers = np.concatenate([self._shuffle(epoch) for epoch in range(first, last + 1)])
        start = step * size - first * self._n
        return numbers[start : start + size]


@contextmanager
def _dropout(device: torch.device, seed: int) -> Iterator[None]:
    """Within the block, what networks draw from torch's global generators, dropout, is
    determined by `seed`.
    """
    on_gpu = device.type in ("cuda", "mps")
    kind = device.type if on_gpu else None
    with torch.random.fork_rng(devices=[device] if on_gpu else [], device_type=kind):
        torch.default_generator.manual_seed(seed)
        if on_gpu:
            torch.get_device_module(device.type).manual_seed(seed)
        yield
