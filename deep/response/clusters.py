"""Images as clusters, Gaussians of one covariance, and the network that has learned them exactly.

A width map takes the data for one Gaussian, and their pixels for unbounded. Real images lie in many
places, and are rounded to bytes from black to white. With clusters the perfect network is known in
closed form, E[y | a y + b ε = x], so any sampler can draw from it as it draws from a trained one.
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from deep.models.ddpm import DDPM
from deep.models.edm import EDM
from deep.models.ot_cfm import OTCFM
from deep.pixels import to_float

__all__ = ["Clusters", "exact_network", "fit_clusters"]

CLUSTERS = 10
"""As many as digits have classes."""


@dataclass(frozen=True, eq=False)
class Clusters:
    """Mixture of Gaussians with one covariance.

    Attributes:
        weights: Probability of each, (K,) float64.
        means: (K, d), along the principal axes of the covariance.
        variances: Variances along these axes, (d,).
        axes: (d, d), one a column.
    """

    weights: Tensor
    means: Tensor
    variances: Tensor
    axes: Tensor

    def denoise(self, x: Tensor, signal: Tensor | float, noise: Tensor | float) -> Tensor:
        """Mean of y given a y + b ε = x.

        Args:
            x: (b, …), images of d numbers.
            signal: a, one number or one a row, (b,).
            noise: b > 0, one number or one a row, (b,).

        Returns:
            The mean, like x, float64.
        """
        a, b = (torch.as_tensor(v, dtype=torch.float64).reshape(-1, 1) for v in (signal, noise))
        along = x.flatten(1).double() @ self.axes  # (b, d)
        total = (a**2 * self.variances + b**2).clamp_min(1e-30)  # (b, d)

        # beyond the centres of the clusters; (b, K, d)
        beyond = along[:, None] - a[..., None] * self.means
        score = self.weights.log() - 0.5 * (beyond**2 / total[:, None]).sum(2)
        weights = score.softmax(1)  # (b, K); the covariance is that of all, so are determinants
        mean = weights @ self.means
        shrunk = a * self.variances / total * (along - a * mean)
        return ((mean + shrunk) @ self.axes.T).reshape(x.shape)


def fit_clusters(real: np.ndarray, count: int = CLUSTERS, seed: int = 0) -> Clusters:
    """Fit clusters to images by k-means.

    Args:
        real: Images, (n, c, h, w) uint8.
        count: Number of clusters; those that stay empty are left out.
        seed: Seed that chooses the first centres, which are images.

    Returns:
        The clusters, black −1 and white 1.
    """
    from scipy.cluster.vq import kmeans2

    x = to_float(torch.from_numpy(real)).flatten(1).double().numpy()
    centres = x[np.random.default_rng(seed).permutation(len(x))[:count]]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of empty clusters
        _, found = kmeans2(x, centres, minit="matrix")
    _, label, sizes = np.unique(found, return_inverse=True, return_counts=True)

    means = np.stack([x[label == k].mean(axis=0) for k in range(len(sizes))])
    rest = x - means[label]
    variances, axes = np.linalg.eigh(rest.T @ rest / max(len(x) - len(sizes), 1))
    return Clusters(
        *map(torch.from_numpy, (sizes / len(x), means @ axes, np.maximum(variances, 0.0), axes))
    )


def exact_network(
    model: EDM | DDPM | OTCFM, clusters: Clusters, known: Any
) -> Callable[..., Tensor]:
    """Make the network that has learned clusters exactly, as the model calls it.

    Args:
        model: Says what its networks predict.
        clusters: The data.
        known: A network of EDM, which says what noise levels it knows; others are not asked.

    Returns:
        The network; of OT-CFM for pairs that are drawn independently, as with batches of one.
    """
    if isinstance(model, EDM):
        return _ExactEDM(clusters, known)
    if isinstance(model, DDPM):
        signal = torch.from_numpy(np.sqrt(model.alphas_cumprod))
        noise = torch.from_numpy(np.sqrt(1 - model.alphas_cumprod))

        def predicted_noise(x: Tensor, t: Tensor) -> Tensor:
            clean = clusters.denoise(x, signal[t], noise[t]).flatten(1)
            found = (x.flatten(1) - signal[t][:, None] * clean) / noise[t][:, None]
            return found.reshape(x.shape).float()

        return predicted_noise

    def velocity(t: Tensor, x: Tensor) -> Tensor:
        left = (1 - t.double())[:, None]
        variance = left**2 + model.sigma**2
        clean = clusters.denoise(x, t, variance.sqrt()).flatten(1)
        noise = left * (x.flatten(1) - t[:, None] * clean) / variance.clamp_min(1e-30)
        return (clean - noise).reshape(x.shape).float()

    return velocity


class _ExactEDM:
    """Denoiser of EDM, with the noise levels of a network."""

    def __init__(self, clusters: Clusters, known: Any) -> None:
        self._clusters = clusters
        self.sigma_min, self.sigma_max = float(known.sigma_min), float(known.sigma_max)

    def __call__(self, x: Tensor, sigma: Tensor) -> Tensor:
        return self._clusters.denoise(x, 1.0, sigma).float()
