"""A variational autoencoder (Kingma and Welling, 2014) in two dimensions, for R chains at once."""

import math
from collections.abc import Iterable, Sequence

import numpy as np
from torch import Tensor

from stability.loop.regimes import TrainingSet
from toy.learners.denoising import blocks, with_weights
from toy.learners.frame import NetworkLearner
from toy.learners.mlp import BatchedMLP, share_memory
from toy.learners.sampling import normals
from toy.learners.settings import VAEConfig
from toy.learners.training import BatchBlock, Loss, weighted

__all__ = ["VAELearner"]

FIRST_SIGMA = 0.3  # of the decoder: from 1 on, latents are given up before they are of use


class VAELearner(NetworkLearner[VAEConfig]):
    """R pairs of encoder q(z|x) and decoder p(x|z) = N(f(z), σ² I), trained side by side on the
    ELBO; see `NetworkLearner`.
    """

    weighs = True

    def _build(self) -> tuple[Tensor, Loss]:
        s = self.settings
        self.encoder = BatchedMLP(self.chains, s.encoder_sizes, self._device)
        self.decoder = BatchedMLP(self.chains, s.decoder_sizes, self._device)
        theta = share_memory([self.encoder, self.decoder], extra=1)  # the last column is log σ
        return theta, weighted(self._loss)

    def _initialise(self, rngs: Sequence[np.random.Generator]) -> None:
        self.encoder.reset(rngs)
        self.decoder.reset(rngs)
        self.theta[:, -1] = math.log(FIRST_SIGMA)

    def _batches(
        self, datasets: Sequence[TrainingSet], rngs: Sequence[np.random.Generator]
    ) -> Iterable[BatchBlock]:
        s = self.settings
        data = with_weights(datasets)  # each batch has one draw of z a point
        return blocks(data, rngs, s.epochs, s.batch, True, _with_noise, self._workers)

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

    def _sample(self, n: int, rngs: Sequence[np.random.Generator]) -> Tensor:
        """Draw x = f(z) + σ ε."""
        z, eps = normals(4, n, rngs, self._device).chunk(2, dim=2)
        mean = self.decoder.forward(self.decoder.layers(), z)
        return mean + self.theta[:, -1].exp()[:, None, None] * eps


def _with_noise(
    rows: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return (
        rows * (1, 1, 0),
        rng.standard_normal((*rows.shape[:2], 2), dtype=np.float32),
        rows[..., 2],
    )
