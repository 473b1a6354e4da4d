"""Mixtures of isotropic Gaussians: draws, density, and the denoiser that a perfect diffusion
model learns.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["IsotropicMixture", "choose"]


@dataclass(frozen=True, eq=False)
class IsotropicMixture:
    """Σ_k weights_k N(centres_k, sd_k² I) in two dimensions.

    Attributes:
        centres: (K, 2).
        sd: (K,) or one for all, > 0.
        weights: (K,), sum 1, or None: equal.
    """

    centres: NDArray[np.float64]
    sd: float | NDArray[np.float64]
    weights: NDArray[np.float64] | None = None

    @property
    def sds(self) -> NDArray[np.float64]:
        """Standard deviations, (K,)."""
        return np.broadcast_to(np.asarray(self.sd, dtype=float), len(self.centres))

    @property
    def shares(self) -> NDArray[np.float64]:
        """Weights, (K,)."""
        return (
            np.full(len(self.centres), 1 / len(self.centres))
            if self.weights is None
            else self.weights
        )

    def __call__(self, n: int, rng: np.random.Generator) -> np.ndarray:
        """Draw independent points. Point i does not depend on n.

        Args:
            n: Number of points.
            rng: Source of the draws.

        Returns:
            (n, 2) float32.
        """
        mode_rng, noise_rng = rng.spawn(2)
        if self.weights is None:
            mode = mode_rng.integers(len(self.centres), size=n)
        else:
            mode = choose(self.weights, n, mode_rng)
        return (
            self.centres[mode] + self.sds[mode, None] * noise_rng.standard_normal((n, 2))
        ).astype(np.float32)

    def log_prob(self, x: np.ndarray) -> NDArray[np.float64]:
        """Log density.

        Args:
            x: Points, (…, 2).

        Returns:
            (…,).
        """
        return np.logaddexp.reduce(self._log_joint(x, 1.0, 0.0), axis=-1)

    def _log_joint(self, x: np.ndarray, scale: float, noise: float) -> NDArray[np.float64]:
        """log of weight times density of scale·(a point of component k) + noise·ε, at x: (…, K)."""
        variance = scale**2 * self.sds**2 + noise**2
        squares = np.square(x[..., None, :] - scale * self.centres).sum(axis=-1)  # (…, K)
        with np.errstate(divide="ignore"):  # a component without weight
            return np.log(self.shares) - np.log(2 * np.pi * variance) - squares / (2 * variance)

    def responsibilities(self, x: np.ndarray) -> NDArray[np.float64]:
        """Posterior probability of each component.

        Args:
            x: Points, (…, 2).

        Returns:
            (…, K), sum 1 over the components.
        """
        return _normalised(self._log_joint(x, 1.0, 0.0))

    def denoise(self, x: np.ndarray, scale: float, noise: float) -> NDArray[Any]:
        """E[x₀ | scale·x₀ + noise·ε = x] for x₀ from the mixture.

        Args:
            x: Noisy points, (…, 2).
            scale: Factor of x₀.
            noise: Standard deviation of the noise, >= 0.

        Returns:
            (…, 2), of the precision of x.
        """
        posterior = _normalised(self._log_joint(x, scale, noise))  # (…, K)
        gain = scale * self.sds**2 / (scale**2 * self.sds**2 + noise**2)
        means = self.centres + gain[:, None] * (x[..., None, :] - scale * self.centres)  # (…, K, 2)
        return (posterior[..., None] * means).sum(axis=-2).astype(x.dtype)


def _normalised(log_joint: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.exp(log_joint - np.logaddexp.reduce(log_joint, axis=-1, keepdims=True))


def choose(weights: NDArray[np.float64], n: int, rng: np.random.Generator) -> NDArray[np.intp]:
    """Draw indices with given probabilities. Index i does not depend on n.

    Args:
        weights: Probabilities (K,), of sum 1.
        n: Number of indices.
        rng: Source of one uniform number per index.

    Returns:
        (n,), in 0 … K − 1.
    """
    return np.searchsorted(np.cumsum(weights[:-1]), rng.random(n), side="right")
