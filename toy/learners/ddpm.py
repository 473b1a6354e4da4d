"""DDPM (Ho et al., 2020) in two dimensions, for R chains at once, with ddpm-torch's network and
three samplers.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from stability.diffusion.denoiser import x0_from_noise
from stability.diffusion.schedules import linear_alphas_cumprod
from stability.diffusion.step_samplers import DDIM, Ancestral, StepSampler
from stability.loop.regimes import TrainingSet
from stability.runs.memory_limit import Need
from stability.runs.ranges import LARGEST_COUNT, MOST_STEPS, require_range
from toy.learners.denoising import blocks
from toy.learners.sampling import draw
from toy.learners.temporal_network import ReplicatedTemporalNetwork
from toy.learners.training import ReplicatedTrainer, batch_count, network_memory

__all__ = ["DDPMConfig", "DDPMLearner"]


@dataclass(frozen=True)
class DDPMConfig:
    """Settings of DDPM in two dimensions: of ddpm-torch's 2-D script but for the epochs, which
    the paper gives.
    """

    epochs: int = 200
    """Passes over the training set a (re)training."""
    batch: int = 1000
    """Points a step."""
    learning_rate: float = 1e-3
    """Of Adam, constant."""
    width: int = 128
    """Of the network."""
    layers: int = 3
    """How often the network's one residual layer is applied."""
    shuffle: bool = False
    """A new order of the data for each pass, instead of one random order for all passes of a
    (re)training."""
    diffusion_steps: int = 100
    """T, noise levels of the diffusion, and steps of the sampler."""
    beta_first: float = 1e-3
    """β of the smallest noise level; β grows linearly to the largest."""
    beta_last: float = 0.2
    """β of the largest noise level."""
    sampler: Literal["fixed-large", "fixed-small", "ddim"] = "fixed-large"
    """Ancestral sampling with variance β_t or β̃_t, or DDIM, which is deterministic."""
    clip: float | None = None
    """The sampler clips every x̂₀ to [−clip, clip], as image samplers do at 1; none: not at all,
    as the 2-D script."""

    def __post_init__(self) -> None:
        count, steps = (1, LARGEST_COUNT), (1, MOST_STEPS)
        require_range(self, epochs=count, batch=count, layers=steps, diffusion_steps=steps)
        if self.width < 4 or self.width % 2:
            raise ValueError(f"--width must be even and >= 4, got {self.width}")
        require_range(self, width=(4, LARGEST_COUNT))
        if not 0 < self.learning_rate < float("inf"):
            raise ValueError(f"--learning-rate must be finite and > 0, got {self.learning_rate}")
        if self.clip is not None and not 0 < self.clip < math.inf:
            raise ValueError(f"--clip must be finite and > 0, got {self.clip}")
        for option in ("beta_first", "beta_last"):
            if not 0 < getattr(self, option) < 1:
                raise ValueError(
                    f"--{option.replace('_', '-')} must be in (0, 1), got {getattr(self, option)}"
                )

    def memory(self, chains: int, points: int, threads: int) -> list[Need]:
        """Estimate from below what training `chains` models on `points` points each takes.

        Args:
            threads: That work side by side.
        """
        square, vector = self.width**2, self.width
        needs = network_memory(
            chains, 4 * square + 12 * vector + 2, self.width * self.layers, self.batch
        )
        table = 4 * self.diffusion_steps * self.width * (2 * chains + 1)
        return [
            *needs,
            Need(f"embeddings of {self.diffusion_steps:,} times", "--diffusion-steps", table),
        ]

    def make_sampler(self) -> StepSampler:
        """The sampler that the settings name."""
        samplers = {
            "fixed-large": Ancestral("large", x0_clip=self.clip),
            "fixed-small": Ancestral("small", x0_clip=self.clip),
            "ddim": DDIM(x0_clip=self.clip),
        }
        schedule = linear_alphas_cumprod(self.diffusion_steps, self.beta_first, self.beta_last)
        return samplers[self.sampler].over(schedule)


class DDPMLearner:
    """The learner: R noise predictors ε(x, t), trained and sampled from side by side.

    Args:
        settings: See `DDPMConfig`.
        device: Of the networks.
        workers: Threads that make batches.
        on_progress: Called with the finished share of a fit, in (0, 1].
    """

    def __init__(
        self,
        chains: int,
        settings: DDPMConfig,
        device: torch.device | str = "cpu",
        workers: int = 1,
        on_progress: Callable[[float], object] = lambda share: None,
    ) -> None:
        self.settings = settings
        self.sampler = settings.make_sampler()
        self.network = ReplicatedTemporalNetwork(
            chains, settings.width, settings.diffusion_steps, settings.layers, device
        )
        self.trainer = ReplicatedTrainer(self.network.theta, settings.learning_rate, self._loss)
        self._device = device
        self._workers = workers
        self._on_progress = on_progress

    @property
    def chains(self) -> int:
        return len(self.network.theta)

    @property
    def parameters(self) -> np.ndarray:
        """θ of each chain as one vector, (R, P), a copy."""
        return self.network.theta.cpu().numpy().copy()

    def reset(self, rngs: Sequence[np.random.Generator]) -> None:
        """PyTorch's default initialisation, fresh Adam."""
        self.network.reset(rngs)
        self.trainer.restart()

    def fit(self, datasets: Sequence[TrainingSet], rngs: Sequence[np.random.Generator]) -> None:
        """`epochs` passes of Adam over each chain's data (n_r, 2), predicting the noise at
        random times.
        """
        s = self.settings
        points = [np.ascontiguousarray(data.points, dtype=np.float32) for data in datasets]
        total = s.epochs * sum(batch_count(len(x), s.batch) for x in points)
        batches = blocks(points, rngs, s.epochs, s.batch, s.shuffle, self._corrupt, self._workers)
        self.trainer.fit(batches, total, self._on_progress)

    def _corrupt(
        self, x0: np.ndarray, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """x_t = √ᾱ_t x₀ + √(1−ᾱ_t) ε at uniform t, with t; the target is ε."""
        t = rng.integers(self.settings.diffusion_steps, size=x0.shape[:2])
        eps = rng.standard_normal(x0.shape, dtype=np.float32)
        a = self.sampler.alphas_cumprod[t][..., None]
        xt = np.sqrt(a).astype(np.float32) * x0 + np.sqrt(1 - a).astype(np.float32) * eps
        return (
            np.concatenate([xt, t[..., None].astype(np.float32)], axis=2),
            eps,
            np.ones(x0.shape[:2]),
        )

    def _loss(self, theta: Tensor, inputs: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
        return self.network.squared_error(
            theta, inputs[..., :2], inputs[..., 2].long(), targets, weights
        )

    def denoise(self, x: Tensor, t: int) -> Tensor:
        """x̂₀ from x_t and the predicted noise, before it is clipped; x: (R, n, 2)."""
        noise = self.network.forward(self.network.theta, x, t)
        return x0_from_noise(x, noise, float(self.sampler.alphas_cumprod[t]))

    def sample(
        self, counts: Sequence[int], rngs: Sequence[np.random.Generator]
    ) -> list[np.ndarray]:
        """Diffuse backwards from N(0, I): (counts[r], 2) for each chain."""
        return draw(self.sampler, self.denoise, counts, rngs, self._device)

    def state_dict(self) -> dict[str, Any]:
        return self.trainer.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """ValueError if the state is of another number of chains or another network."""
        self.trainer.load_state_dict(state)
