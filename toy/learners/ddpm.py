"""DDPM (Ho et al., 2020) in two dimensions, for R chains at once, with ddpm-torch's network."""

from collections.abc import Iterable, Sequence

import numpy as np
from torch import Tensor

from stability.diffusion.denoiser import x0_from_noise
from stability.loop.regimes import TrainingSet
from toy.learners.denoising import blocks, points_of
from toy.learners.frame import NetworkLearner
from toy.learners.sampling import draw
from toy.learners.settings import DDPMConfig
from toy.learners.temporal_network import BatchedTemporalNetwork
from toy.learners.training import BatchBlock, Loss

__all__ = ["DDPMLearner"]


class DDPMLearner(NetworkLearner[DDPMConfig]):
    """R noise predictors ε(x, t), trained and sampled from side by side; see `NetworkLearner`."""

    def _build(self) -> tuple[Tensor, Loss]:
        s = self.settings
        self.sampler = s.make_sampler()
        self.network = BatchedTemporalNetwork(
            self.chains, s.width, s.diffusion_steps, s.layers, self._device
        )
        return self.network.theta, self._loss

    def _initialise(self, rngs: Sequence[np.random.Generator]) -> None:
        self.network.reset(rngs)

    def _batches(
        self, datasets: Sequence[TrainingSet], rngs: Sequence[np.random.Generator]
    ) -> Iterable[BatchBlock]:
        s = self.settings
        data = points_of(datasets)
        return blocks(data, rngs, s.epochs, s.batch, s.shuffle, self._corrupt, self._workers)

    def _corrupt(
        self, x0: np.ndarray, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """x_t = √ᾱ_t x₀ + √(1−ᾱ_t) ε at uniform t, with t; the target is ε."""
        t = rng.integers(self.settings.diffusion_steps, size=x0.shape[:2])
        eps = rng.standard_normal(x0.shape, dtype=np.float32)
        a = self.settings.alphas_cumprod[t][..., None]
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
        """Predict x̂₀ from x_t by the predicted noise, before it is clipped.

        Args:
            x: Points x_t of all chains, (R, n, 2).
            t: Step, 0 … T − 1.

        Returns:
            x̂₀, (R, n, 2).
        """
        noise = self.network.forward(self.network.theta, x, t)
        return x0_from_noise(x, noise, float(self.settings.alphas_cumprod[t]))

    def _sample(self, n: int, rngs: Sequence[np.random.Generator]) -> Tensor:
        """Diffuse backwards from N(0, I)."""
        return draw(self.sampler, self.denoise, n, rngs, self._device)
