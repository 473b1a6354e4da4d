"""EDM (Karras et al., 2022) in two dimensions, for R chains at once: its preconditioning, loss
and Heun sampler.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from stability.diffusion.heun import Heun
from stability.diffusion.preconditioning import c_in, c_noise, c_out, c_skip, weight
from stability.diffusion.schedules import edm_noise_levels
from stability.loop.regimes import TrainingSet
from stability.runs.memory_limit import Need
from stability.runs.ranges import LARGEST_COUNT, MOST_STEPS, require_range
from toy.learners.denoising import blocks
from toy.learners.mlp import ReplicatedMLP, parameter_count
from toy.learners.sampling import draw
from toy.learners.training import ReplicatedTrainer, batch_count, network_memory, squared_error

__all__ = ["EDMConfig", "EDMLearner"]


@dataclass(frozen=True)
class EDMConfig:
    """Settings of EDM in two dimensions.

    Those of training and sampler that images share have EDM's defaults.
    """

    epochs: int = 200
    """Passes over the training set a (re)training."""
    batch: int = 1000
    """Points a step."""
    learning_rate: float = 1e-3
    """Of Adam, constant."""
    width: int = 128
    """Of each of the three hidden layers."""
    sigma_data: float = 1.0
    """Standard deviation of a coordinate of the data (EDM: 0.5, for images)."""
    log_sigma_mean: float = -1.2
    """Of the noise levels in training, ln σ ~ N(mean, sd²)."""
    log_sigma_sd: float = 1.2
    """Of the noise levels in training."""
    sampler_steps: int = 18
    """Heun steps of the sampler, σ from 80 to 0.002."""
    churn: float = 0.0
    """S_churn, the noise that the sampler adds; 0: deterministic."""

    def __post_init__(self) -> None:
        count = (1, LARGEST_COUNT)
        require_range(self, epochs=count, batch=count, width=count, sampler_steps=(2, MOST_STEPS))
        for option in ("learning_rate", "sigma_data", "log_sigma_sd"):
            if not 0 < getattr(self, option) < float("inf"):
                raise ValueError(
                    f"--{option.replace('_', '-')} must be finite and > 0, got "
                    f"{getattr(self, option)}"
                )
        if not abs(self.log_sigma_mean) < float("inf"):
            raise ValueError(f"--log-sigma-mean must be finite, got {self.log_sigma_mean}")
        if not 0 <= self.churn < float("inf"):
            raise ValueError(f"--churn must be finite and >= 0, got {self.churn}")

    def memory(self, chains: int, points: int, threads: int) -> list[Need]:
        """Estimate from below what training `chains` models on `points` points each takes.

        Args:
            threads: That work side by side.
        """
        return network_memory(chains, parameter_count(self.sizes), self.width, self.batch)

    @property
    def sizes(self) -> tuple[int, ...]:
        """Widths of the network from input to output."""
        return (3, *[self.width] * 3, 2)


class EDMLearner:
    """The learner: R denoisers D(x, σ), trained and sampled from side by side.

    Args:
        settings: See `EDMConfig`.
        device: Of the networks.
        workers: Threads that make batches.
        on_progress: Called with the finished share of a fit, in (0, 1].
    """

    def __init__(
        self,
        chains: int,
        settings: EDMConfig,
        device: torch.device | str = "cpu",
        workers: int = 1,
        on_progress: Callable[[float], object] = lambda share: None,
    ) -> None:
        self.settings = settings
        self.sampler = Heun(edm_noise_levels(settings.sampler_steps), settings.churn)
        self.network = ReplicatedMLP(chains, settings.sizes, device)
        self.trainer = ReplicatedTrainer(
            self.network.theta, settings.learning_rate, squared_error(self._predict)
        )
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
        """`epochs` passes of Adam over each chain's data (n_r, 2), denoising at random noise
        levels.
        """
        s = self.settings
        points = [np.ascontiguousarray(data.points, dtype=np.float32) for data in datasets]
        total = s.epochs * sum(batch_count(len(x), s.batch) for x in points)
        batches = blocks(points, rngs, s.epochs, s.batch, True, self._corrupt, self._workers)
        self.trainer.fit(batches, total, self._on_progress)

    def _corrupt(
        self, x0: np.ndarray, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """x₀ + σ ε at log-normal σ, with σ; the target is x₀, its weight 1/c_out²."""
        s = self.settings
        normal = rng.standard_normal((*x0.shape[:2], 3), dtype=np.float32)
        sigma = np.exp(s.log_sigma_mean + s.log_sigma_sd * normal[..., :1])
        weights = weight(sigma, s.sigma_data)[..., 0]
        return np.concatenate([x0 + sigma * normal[..., 1:], sigma], axis=2), x0, weights

    def _predict(self, theta: Tensor, inputs: Tensor) -> Tensor:
        """D(x, σ) = c_skip x + c_out F(c_in x, c_noise)."""
        x, sigma, data = inputs[..., :2], inputs[..., 2:], self.settings.sigma_data
        sigma = torch.where(sigma > 0, sigma, 1)  # 0 in the padding of a batch, where ln σ is −∞

        net_inputs = torch.cat([c_in(sigma, data) * x, c_noise(sigma)], dim=2)
        out = self.network.forward(self.network.layers(theta), net_inputs)
        return c_skip(sigma, data) * x + c_out(sigma, data) * out

    def denoise(self, x: Tensor, sigma: float) -> Tensor:
        """D(x, σ), x: (R, n, 2)."""
        return self._predict(
            self.network.theta, torch.cat([x, torch.full_like(x[..., :1], sigma)], dim=2)
        )

    def sample(
        self, counts: Sequence[int], rngs: Sequence[np.random.Generator]
    ) -> list[np.ndarray]:
        """Follow the probability flow from N(0, 80² I) to σ = 0: (counts[r], 2) for each chain."""
        return draw(self.sampler, self.denoise, counts, rngs, self._device)

    def state_dict(self) -> dict[str, Any]:
        return self.trainer.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """ValueError if the state is of another number of chains or another network."""
        self.trainer.load_state_dict(state)
