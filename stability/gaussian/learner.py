"""The Gaussian learner: maximum likelihood in closed form, the model in which every claim can be
computed exactly.
"""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import torch

from stability.laws.psd import sqrtm
from stability.loop.arguments import numeric_array, whole_number
from stability.loop.regimes import TrainingSet

__all__ = ["GaussianLearner"]


class GaussianLearner:
    """Fits N(μ, Σ) by sample mean and covariance, eqs. (4) and (5) of the paper, for R chains.

    `mean` (R, d) and `covariance` (R, d, d) are the present parameters. `fit` forgets the past,
    since the maximum likelihood estimate does not depend on where the search starts.

    Args:
        chains: R >= 1.
        dimension: d >= 1.
        covariance: (d, d) to keep Σ fixed at this and learn the mean alone; None learns it.
        ddof: 1 divides squares by n − 1, as eq. (5) does; 0 by n, which is maximum likelihood.
    """

    weighs = True

    def __init__(
        self,
        chains: int,
        dimension: int,
        covariance: np.ndarray | None = None,
        ddof: Literal[0, 1] = 1,
    ) -> None:
        chains, dimension = (
            whole_number(chains, "chains", 1),
            whole_number(dimension, "dimension", 1),
        )
        if covariance is not None:
            covariance = numeric_array(covariance, "covariance").astype(float)
        if covariance is not None and np.shape(covariance) != (dimension, dimension):
            raise ValueError(
                f"covariance must have shape {(dimension, dimension)}, got {np.shape(covariance)}"
            )
        if covariance is not None and not np.isfinite(covariance).all():
            raise ValueError("covariance must be finite, got NaN or Inf")
        if ddof not in (0, 1):
            raise ValueError(f"ddof must be 0 or 1, got {ddof}")

        self._ddof = ddof
        self._known_root = None if covariance is None else sqrtm(covariance)
        # numbers alone: a product with zeros, and another array, take longer than the draws
        self._scale = None if self._known_root is None else _diagonal(self._known_root)
        self.mean = np.zeros((chains, dimension))
        self.covariance = np.tile(
            np.eye(dimension) if covariance is None else covariance, (chains, 1, 1)
        )

    @property
    def chains(self) -> int:
        return len(self.mean)

    def reset(self, rngs: Sequence[np.random.Generator]) -> None:
        """Do nothing: the estimate does not depend on initial parameters.

        Args:
            rngs: One generator a chain; not used.
        """

    def fit(self, datasets: Sequence[TrainingSet], rngs: Sequence[np.random.Generator]) -> None:
        """Exact maximum likelihood (eq. (5)).

        With weights w, of sum 1: Σ w x, and Σ w (x − μ)(x − μ)ᵀ / (1 − ddof Σ w²), for ddof = 1
        unbiased as eq. (5) is.

        Args:
            datasets: One training set a chain, points (k, d).
            rngs: One generator a chain; not used.

        Raises:
            ValueError: If Σ is learned from fewer than two points.
        """
        learned = self._known_root is None
        for r, data in enumerate(datasets):
            x = np.asarray(data.points, dtype=float)  # (k, d)
            w = data.normalised_weights
            if learned and np.count_nonzero(w) < 2:
                raise ValueError("a covariance needs at least two points a data set")
            self.mean[r] = w @ x
            if learned:
                gap = x - self.mean[r]
                self.covariance[r] = (w * gap.T) @ gap / (1 - self._ddof * (w @ w))

    def sample(
        self, counts: Sequence[int], rngs: Sequence[np.random.Generator]
    ) -> list[np.ndarray]:
        """Draw μ + √Σ z with the symmetric root, eq. (4).

        Args:
            counts: Number of draws of each chain.
            rngs: One generator a chain.

        Returns:
            One array (counts[r], d) a chain.
        """
        roots = (
            [sqrtm(S) for S in self.covariance]
            if self._known_root is None
            else [self._known_root] * self.chains
        )
        z = [
            rng.standard_normal((count, self.mean.shape[1]))
            for count, rng in zip(counts, rngs, strict=True)
        ]
        if self._scale is not None:
            for mean, x in zip(self.mean, z, strict=True):
                x *= self._scale
                x += mean
            return z
        return [mean + x @ root for mean, x, root in zip(self.mean, z, roots, strict=True)]

    def state_dict(self) -> dict[str, Any]:
        return {"mean": torch.tensor(self.mean), "covariance": torch.tensor(self.covariance)}

    def extrapolated(self, base: dict[str, Any], weights: np.ndarray) -> dict[str, Any]:
        """Compute the state with mean and covariance θ − w (θ′ − θ), θ′ the present ones.

        Args:
            base: State of θ.
            weights: w of each chain, (R,).

        Returns:
            The state.

        Raises:
            FloatingPointError: If a covariance would not be positive definite.
        """
        state: dict[str, Any] = {}
        for name, value in self.state_dict().items():
            w = torch.from_numpy(weights).reshape(-1, *[1] * (value.ndim - 1))
            state[name] = base[name] - w * (value - base[name])
        for chain, covariance in enumerate(state["covariance"]):
            if torch.linalg.cholesky_ex(covariance).info:
                raise FloatingPointError(
                    f"extrapolated by {weights[chain]:g}, the covariance of chain {chain} is not "
                    "positive definite"
                )
        return state

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.mean = state["mean"].numpy().copy()
        self.covariance = state["covariance"].numpy().copy()


def _diagonal(matrix: np.ndarray) -> np.ndarray | None:
    """The diagonal (d,) of a matrix (d, d) that has nothing else; None for any other."""
    diagonal = np.diagonal(matrix)
    return diagonal if np.array_equal(matrix, np.diag(diagonal)) else None
