"""A diffusion model without learning error: a mixture of Gaussians fitted by likelihood, sampled by
its exact denoiser.

What is left of the loop is the sampler's bias and the error of finite samples. In between a mode's
width follows the width map of `stability.diffusion.width_map`, as long as the modes lie apart.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from stability.loop.regimes import TrainingSet
from toy.densities.mixtures import IsotropicMixture
from toy.learners.frame import BatchedLearner
from toy.learners.sampling import draw, first_rows
from toy.learners.settings import DDPMConfig

__all__ = ["ExactDiffusion", "expectation_maximisation"]

ITERATIONS = 500
TOLERANCE = 1e-7  # of the mean log likelihood, between iterations
SMALLEST_SD = 1e-6  # float32 resolves no less near 1


def expectation_maximisation(x: np.ndarray, start: IsotropicMixture) -> IsotropicMixture:
    """Fit the likeliest mixture of as many isotropic Gaussians, uphill from `start`.

    A component that loses all its points keeps its place with weight 0.

    Args:
        x: Points, (n, 2).
        start: Mixture of K components that the search begins at.

    Returns:
        A mixture of K components.
    """
    x = np.asarray(x, dtype=float)
    mixture, before = start, -np.inf
    for _ in range(ITERATIONS):
        likelihood = float(mixture.log_prob(x).mean())
        if likelihood - before < TOLERANCE:
            break
        before = likelihood
        share = mixture.responsibilities(x)  # (n, K)
        mass = share.sum(axis=0)
        alive = mass > 0
        safe = np.where(alive, mass, 1)[:, None]
        centres = np.where(alive[:, None], share.T @ x / safe, mixture.centres)
        squares = np.square(x[:, None] - centres).sum(axis=2)  # (n, K)
        sd = np.sqrt((share * squares).sum(axis=0) / (2 * safe[:, 0]))
        sd = np.where(alive, np.maximum(sd, SMALLEST_SD), mixture.sds)
        mixture = IsotropicMixture(centres, sd, mass / len(x))
    return mixture


class ExactDiffusion(BatchedLearner[DDPMConfig]):
    """R mixtures with as many components as `truth`, whose modes are the start of the first fit.

    Args:
        chains: R, number of models.
        settings: Settings of the diffusion; those of network and training have no effect.
        truth: Mixture that the real data come from.
        options: `device`, `workers` and `on_progress` of `BatchedLearner`; the first two have no
            effect.
    """

    def __init__(
        self, chains: int, settings: DDPMConfig, truth: IsotropicMixture, **options: Any
    ) -> None:
        super().__init__(chains, settings, **options)
        self.sampler = settings.make_sampler()
        self._truth = truth
        self.mixtures = [truth] * chains

    @property
    def parameters(self) -> np.ndarray:
        """Centres, standard deviations and weights of each chain as one vector, (R, 4K)."""
        return np.stack(
            [np.concatenate([m.centres.ravel(), m.sds, m.shares]) for m in self.mixtures]
        )

    def reset(self, rngs: Sequence[np.random.Generator]) -> None:
        """Go back to the truth, where the next fit starts.

        Args:
            rngs: One generator per chain; not used.
        """
        self.mixtures = [self._truth] * self.chains

    def fit(self, datasets: Sequence[TrainingSet], rngs: Sequence[np.random.Generator]) -> None:
        """Fit the likeliest mixture near the present one to each chain's data.

        Args:
            datasets: Data of each chain, points (n_r, 2).
            rngs: One generator per chain; not used.
        """
        self.mixtures = [
            expectation_maximisation(data.points, mixture)
            for data, mixture in zip(datasets, self.mixtures, strict=True)
        ]
        self._on_progress(1.0)

    def denoise(self, x: Tensor, t: int) -> Tensor:
        """E[x₀ | x_t = x] under each chain's mixture, before it is clipped.

        Args:
            x: Noisy points, (R, n, 2).
            t: Their noise level, 0 … T − 1.

        Returns:
            The means, (R, n, 2).
        """
        a = float(self.settings.alphas_cumprod[t])
        clean = [
            m.denoise(y, a**0.5, (1 - a) ** 0.5)
            for m, y in zip(self.mixtures, x.numpy(), strict=True)
        ]
        return torch.from_numpy(np.stack(clean))

    def sample(
        self, counts: Sequence[int], rngs: Sequence[np.random.Generator]
    ) -> list[np.ndarray]:
        """Diffuse backwards from N(0, I).

        Args:
            counts: Number of samples of each chain.
            rngs: One generator per chain.

        Returns:
            (counts[r], 2) for each chain.
        """
        return first_rows(draw(self.sampler, self.denoise, max(counts), rngs), counts)

    def state_dict(self) -> dict[str, Any]:
        return {"parameters": torch.from_numpy(self.parameters)}

    def extrapolated(self, base: dict[str, Any], weights: np.ndarray) -> dict[str, Any]:
        """Compute the state with centres, variances and shares θ − w (θ′ − θ), θ′ the present ones.

        Args:
            base: State of θ.
            weights: w of each chain, (R,).

        Returns:
            The state.

        Raises:
            FloatingPointError: If a variance would not be positive, or a share negative.
        """
        k = len(self._truth.centres)
        before, after = base["parameters"].numpy().copy(), self.parameters
        for theta in (before, after):
            theta[:, 2 * k : 3 * k] **= 2
        theta = before - weights[:, None] * (after - before)
        if not ((theta[:, 2 * k : 3 * k] > 0).all() and (theta[:, 3 * k :] >= 0).all()):
            raise FloatingPointError("extrapolated, a mode has no width or no share left")
        theta[:, 2 * k : 3 * k] **= 0.5
        return {"parameters": torch.from_numpy(theta)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go back to a state given by `state_dict`.

        Args:
            state: Parameters of all chains, (R, 4K).

        Raises:
            ValueError: If the state is of another number of chains or components.
        """
        k = len(self._truth.centres)
        if state["parameters"].shape != (self.chains, 4 * k):
            got = tuple(state["parameters"].shape)
            raise ValueError(
                f"state must have parameters of shape {(self.chains, 4 * k)}, got {got}"
            )
        self.mixtures = [
            IsotropicMixture(row[: 2 * k].reshape(k, 2), row[2 * k : 3 * k], row[3 * k :])
            for row in state["parameters"].numpy().copy()
        ]
