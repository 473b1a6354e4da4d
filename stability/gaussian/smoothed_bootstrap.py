"""A model that draws its training points again, shrunk and with Gaussian noise: kernel estimates,
and the exact score of a training set whose reverse diffusion is stopped early.

Source: Silverman, "Density Estimation for Statistics and Data Analysis" (1986), section 6.4, the
smoothed bootstrap; Scott, "Multivariate Density Estimation" (1992), the bandwidth.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from stability.loop.arguments import whole_number
from stability.loop.regimes import TrainingSet

__all__ = ["SmoothedBootstrap"]


class SmoothedBootstrap:
    """Draws `shrink · x_i + root · z`, x_i a training point, z standard normal, for R chains.

    The root is `noise` times the identity, or by Scott's rule N^{−1/(d+4)} times a root of the
    unbiased covariance of the N training points.

    Args:
        chains: R >= 1.
        dimension: d >= 1.
        shrink: Factor of a training point.
        noise: Standard deviation >= 0 of the noise in each direction; None: Scott's rule.
    """

    def __init__(
        self, chains: int, dimension: int, shrink: float = 1.0, noise: float | None = None
    ) -> None:
        chains = whole_number(chains, "chains", 1)
        self.dimension = whole_number(dimension, "dimension", 1)
        if noise is not None and not 0 <= noise < float("inf"):
            raise ValueError(f"noise must be finite and >= 0, got {noise}")
        self.shrink, self.noise = shrink, noise
        self.points = [np.zeros((1, self.dimension))] * chains
        self._roots = [np.zeros((self.dimension, self.dimension))] * chains

    @property
    def chains(self) -> int:
        return len(self.points)

    @property
    def variances(self) -> np.ndarray:
        """(R, d), variance of a draw in each direction, given the training points."""
        return np.array(
            [
                self.shrink**2 * x.var(axis=0) + np.square(root).sum(axis=1)
                for x, root in zip(self.points, self._roots, strict=True)
            ]
        )

    def reset(self, rngs: Sequence[np.random.Generator]) -> None:
        """Do nothing: a fit forgets the past.

        Args:
            rngs: One generator a chain; not used.
        """

    def fit(self, datasets: Sequence[TrainingSet], rngs: Sequence[np.random.Generator]) -> None:
        """Keep the points of each chain, and set the noise.

        Args:
            datasets: One training set a chain, points (N, d).
            rngs: One generator a chain; not used.
        """
        self.points = [np.asarray(data.points, dtype=float) for data in datasets]
        self._roots = [self._root(x) for x in self.points]

    def _root(self, x: np.ndarray) -> np.ndarray:
        if self.noise is not None:
            return self.noise * np.eye(self.dimension)
        covariance = np.atleast_2d(np.cov(x, rowvar=False))
        return len(x) ** (-1 / (self.dimension + 4)) * np.linalg.cholesky(covariance)

    def sample(
        self, counts: Sequence[int], rngs: Sequence[np.random.Generator]
    ) -> list[np.ndarray]:
        """Draw training points with replacement, shrunk and with noise.

        Args:
            counts: Number of draws of each chain.
            rngs: One generator a chain.

        Returns:
            One array (counts[r], d) a chain.
        """
        drawn = []
        for x, root, count, rng in zip(self.points, self._roots, counts, rngs, strict=True):
            choice, normal = rng.spawn(2)
            z = normal.standard_normal((count, self.dimension))
            drawn.append(self.shrink * x[choice.integers(len(x), size=count)] + z @ root.T)
        return drawn

    def state_dict(self) -> dict[str, Any]:
        return {"points": [torch.tensor(x) for x in self.points]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.points = [x.numpy().copy() for x in state["points"]]
        self._roots = [self._root(x) for x in self.points]
