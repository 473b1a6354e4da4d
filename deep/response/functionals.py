"""Linear functionals of images: mean and mean square along principal components of features.

All are in units of the real images: their mean is 0 there, and one real image's variance is 1.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from deep.metrics.features import FeatureSpace, extract
from deep.pixels import to_float
from stability.planning.functionals import Functionals, of_points

__all__ = ["ImageFunctionals", "feature_functionals", "pixel_axes", "principal_axes"]


@dataclass(frozen=True, eq=False)
class ImageFunctionals:
    """Functionals of images that are linear in their law.

    Attributes:
        encode: Images (k, c, h, w) uint8 -> coordinates along principal components, (k, d).
        functionals: Functionals of the coordinates.
    """

    encode: Callable[[np.ndarray], NDArray[np.float64]]
    functionals: Functionals

    @property
    def names(self) -> tuple[str, ...]:
        """One a functional, Q of them."""
        return self.functionals.names

    def values(self, images: np.ndarray) -> NDArray[np.float64]:
        """Evaluate on images.

        Args:
            images: (k, c, h, w) uint8.

        Returns:
            (k, Q), with mean 0 and variance 1 over the real images.
        """
        found, known = self.functionals.values(self.encode(images)), self.functionals
        return (found - known.mean) / known.deviation

    def means(self, images: np.ndarray) -> NDArray[np.float64]:
        """Average over images.

        Args:
            images: (k, c, h, w) uint8.

        Returns:
            (Q,), standard deviations of one real image.
        """
        return self.values(images).mean(axis=0)


def principal_axes(points: NDArray, components: int) -> tuple[NDArray, NDArray]:
    """Principal components of points.

    Args:
        points: (k, d).
        components: How many at most, by falling variance.

    Returns:
        Centre (d,) and axes (d, K), K <= components: directions without variance are left out.
    """
    x = np.asarray(points, dtype=float)
    centre = x.mean(axis=0)
    _, sizes, axes = np.linalg.svd(x - centre, full_matrices=False)
    varied = sizes > 1e-6 * sizes[0]
    return centre, axes[varied][:components].T


def feature_functionals(space: FeatureSpace, real: np.ndarray, components: int) -> ImageFunctionals:
    """Mean and mean square along the first principal components of the real images' features.

    Args:
        space: Feature space.
        real: Real images, (n, c, h, w) uint8.
        components: Number of components.

    Returns:
        Two functionals a component.
    """

    def features(images: np.ndarray) -> NDArray:
        found = extract(space, images, torch.device("cpu"), batch=500)
        return found.numpy().astype(float)

    centre, axes = principal_axes(features(real), components)

    def encode(images: np.ndarray) -> NDArray[np.float64]:
        return (features(images) - centre) @ axes

    names = tuple(f"feature {i + 1}" for i in range(axes.shape[1]))
    return ImageFunctionals(encode, of_points(encode(real), names))


def pixel_axes(
    real: np.ndarray, components: int
) -> tuple[NDArray, Callable[[np.ndarray], NDArray]]:
    """Variances of real images along the principal components of their pixels.

    Args:
        real: Real images, (n, c, h, w) uint8.
        components: Number of components.

    Returns:
        Variances (K,), K <= components, black −1 and white 1, and a function from images to their
        variances along the same axes.
    """

    def pixels(images: np.ndarray) -> NDArray:
        return to_float(torch.from_numpy(images)).flatten(1).double().numpy()

    _, axes = principal_axes(pixels(real), components)

    def variances(images: np.ndarray) -> NDArray:
        return (pixels(images) @ axes).var(axis=0)

    return variances(real), variances
