"""A variational autoencoder (Kingma and Welling, 2014) in two dimensions, for R chains at once."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from stability.loop.regimes import TrainingSet
from stability.runs.memory_limit import Need
from stability.runs.ranges import LARGEST_COUNT, require_range
from toy.learners.denoising import blocks
from toy.learners.flow import share_memory, with_weights
from toy.learners.mlp import ReplicatedMLP, parameter_count
from toy.learners.training import ReplicatedTrainer, batch_count, network_memory, weighted

__all__ = ["VAEConfig", "VAELearner"]

FIRST_SIGMA = 0.3  # of the decoder: from 1 on, latents are given up before they are of use


@dataclass(frozen=True)
class VAEConfig:
    """Settings of a variational autoencoder with two latents and a Gaussian decoder of learned
    variance.
    """

    epochs: int = 200
    """Passes over the training set a (re)training."""
    batch: int = 256
    """Points a step."""
    learning_rate: float = 3e-3
    """Of Adam, constant."""
    width: int = 64
    """Of each of the three hidden layers of encoder and decoder."""

    def __post_init__(self) -> None:
        require_range(
            self, epochs=(1, LARGEST_COUNT), batch=(1, LARGEST_COUNT), width=(1, LARGEST_COUNT)
        )
        if not 0 < self.learning_rate < float("inf"):
            raise ValueError(f"--learning-rate must be finite and > 0, got {self.learning_rate}")

    def memory(self, chains: int, points: int, threads: int) -> list[Need]:
        """Estimate from below what training `chains` models on `points` points each takes.

        Args:
            threads: That work side by side.
        """
        hidden = [self.width] * 3
        parameters = parameter_count((2, *hidden, 4)) + parameter_count((2, *hidden, 2)) + 1
        return network_memory(chains, parameters, self.width, self.batch)


class VAELearner:
    """The learner: R pairs of encoder q(z|x) and decoder p(x|z) = N(f(z), σ² I), trained side by
    side on the ELBO.

    Args:
        settings: See `VAEConfig`.
        device: Of the networks.
        workers: Threads that make batches.
        on_progress: Called with the finished share of a fit, in (0, 1].
    """

    weighs = True

    def __init__(
        self,
        chains: int,
        settings: VAEConfig,
        device: torch.device | str = "cpu",
        workers: int = 1,
        on_progress: Callable[[float], object] = lambda share: None,
    ) -> None:
        hidden = [settings.width] * 3
        self.settings = settings
        self.encoder = ReplicatedMLP(chains, (2, *hidden, 4), device)
        self.decoder = ReplicatedMLP(chains, (2, *hidden, 2), device)
        self.theta = share_memory([self.encoder, self.decoder], extra=1)  # the last column is log σ
        self.trainer = ReplicatedTrainer(self.theta, settings.learning_rate, weighted(self._loss))
        self._device = device
        self._workers = workers
        self._on_progress = on_progress

    @property
    def chains(self) -> int:
        return len(self.theta)

    @property
    def parameters(self) -> np.ndarray:
        """θ of each chain as one vector, (R, P), a copy."""
        return self.theta.cpu().numpy().copy()

    def reset(self, rngs: Sequence[np.random.Generator]) -> None:
        """PyTorch's default initialisation, σ = 0.3, fresh Adam."""
        self.encoder.reset(rngs)
        self.decoder.reset(rngs)
        self.theta[:, -1] = math.log(FIRST_SIGMA)
        self.trainer.restart()

    def fit(self, datasets: Sequence[TrainingSet], rngs: Sequence[np.random.Generator]) -> None:
        """`epochs` passes of Adam over each chain's data (n_r, 2), maximising the ELBO with one
        draw of z a point.
        """
        s = self.settings
        total = s.epochs * sum(batch_count(len(data.points), s.batch) for data in datasets)
        batches = blocks(
            [with_weights(data) for data in datasets],
            rngs,
            s.epochs,
            s.batch,
            True,
            _with_noise,
            self._workers,
        )
        self.trainer.fit(batches, total, self._on_progress)

    def _loss(self, theta: Tensor, inputs: Tensor, noise: Tensor) -> Tensor:
        """−ELBO of each point, (k, B).   noise: (k, B, 2), standard normal, for z ~ q(z|x)."""
        x = inputs[..., :2]
        lengths = [self.encoder.theta.shape[1], self.decoder.theta.shape[1], 1]
        encoder, decoder, log_sigma = theta.split(lengths, dim=1)
        mean, log_sd = self.encoder.forward(self.encoder.layers(encoder), x).chunk(2, dim=2)
        z = mean + log_sd.exp() * noise
        error = (x - self.decoder.forward(self.decoder.layers(decoder), z)) * (
            -log_sigma[..., None]
        ).exp()
        # KL(q(z|x) ‖ N(0, I))
        rate = (mean.square() + (2 * log_sd).exp() - 1).sum(dim=2) / 2 - log_sd.sum(dim=2)
        return rate + error.square().sum(dim=2) / 2 + 2 * log_sigma + math.log(2 * math.pi)

    def sample(
        self, counts: Sequence[int], rngs: Sequence[np.random.Generator]
    ) -> list[np.ndarray]:
        """x = f(z) + σ ε: (counts[r], 2) for each chain."""
        normal = np.stack([rng.standard_normal((max(counts), 4), dtype=np.float32) for rng in rngs])
        z, eps = torch.from_numpy(normal).to(self._device).chunk(2, dim=2)
        with torch.no_grad():
            x = (
                self.decoder.forward(self.decoder.layers(), z)
                + self.theta[:, -1].exp()[:, None, None] * eps
            )
        return [points[:count] for points, count in zip(x.cpu().numpy(), counts, strict=True)]

    def state_dict(self) -> dict[str, Any]:
        return self.trainer.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """ValueError if the state is of another number of chains or another network."""
        self.trainer.load_state_dict(state)


def _with_noise(
    rows: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return (
        rows * (1, 1, 0),
        rng.standard_normal((*rows.shape[:2], 2), dtype=np.float32),
        rows[..., 2],
    )
