"""EDM (Karras et al., 2022) in two dimensions, for R chains at once: its preconditioning and loss,
and samplers of the probability flow.
"""

from collections.abc import Iterable, Sequence

import numpy as np
import torch
from torch import Tensor

from stability.diffusion.preconditioning import c_in, c_noise, c_out, c_skip, weight
from stability.loop.regimes import TrainingSet
from toy.learners.denoising import blocks, points_of
from toy.learners.frame import NetworkLearner
from toy.learners.mlp import BatchedMLP
from toy.learners.sampling import draw
from toy.learners.settings import EDMConfig
from toy.learners.training import BatchBlock, Loss, squared_error

__all__ = ["EDMLearner"]


class EDMLearner(NetworkLearner[EDMConfig]):
    """R denoisers D(x, σ), trained and sampled from side by side; see `NetworkLearner`."""

    def _build(self) -> tuple[Tensor, Loss]:
        self.sampler = self.settings.make_sampler()
        self.network = BatchedMLP(self.chains, self.settings.sizes, self._device)
        return self.network.theta, squared_error(self._predict)

    def _initialise(self, rngs: Sequence[np.random.Generator]) -> None:
        self.network.reset(rngs)

    def _batches(
        self, datasets: Sequence[TrainingSet], rngs: Sequence[np.random.Generator]
    ) -> Iterable[BatchBlock]:
        s = self.settings
        data = points_of(datasets)
        return blocks(data, rngs, s.epochs, s.batch, True, self._corrupt, self._workers)

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
        """Evaluate D(x, σ).

        Args:
            x: Points of all chains, (R, n, 2).
            sigma: Noise level, > 0.

        Returns:
            x̂₀, (R, n, 2).
        """
        levels = torch.full_like(x[..., :1], sigma)
        return self._predict(self.network.theta, torch.cat([x, levels], dim=2))

    def _sample(self, n: int, rngs: Sequence[np.random.Generator]) -> Tensor:
        """Follow the probability flow from N(0, 80² I) to σ = 0."""
        return draw(self.sampler, self.denoise, n, rngs, self._device)
