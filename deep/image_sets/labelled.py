"""Images with their classes in one array, so that every regime keeps the two together.

The class of an image stands in one more channel, the same number in each of its pixels. Whatever
mixes, picks, accumulates or stores such points therefore mixes, picks, accumulates and stores the
classes too.
"""

from collections.abc import Sequence

import numpy as np

from deep.image_sets.image_set import DataError, ImageSet

__all__ = ["class_shares", "is_labelled", "joined", "split"]

MOST_CLASSES = 256
"""Class numbers that one byte holds."""


def joined(images: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Put the class of each image into one more channel.

    Args:
        images: Pixels, (n, c, h, w) uint8.
        labels: Class numbers from 0 to 255, (n,).

    Returns:
        Labelled images, (n, c + 1, h, w) uint8.

    Raises:
        ValueError: If a class number does not fit, or there is not one for each image.
    """
    if labels.shape != (len(images),):
        raise ValueError(f"labels must be {len(images)} class numbers, got {labels.shape}")
    if len(labels) and (labels.min() < 0 or labels.max() >= MOST_CLASSES):
        raise ValueError(
            f"labels must be class numbers from 0 to {MOST_CLASSES - 1}, got {labels.min()} to "
            f"{labels.max()}"
        )
    n, _, height, width = images.shape
    plane = np.broadcast_to(labels.astype(np.uint8)[:, None, None, None], (n, 1, height, width))
    return np.concatenate([images, plane], axis=1)


def is_labelled(shape: Sequence[int]) -> bool:
    """Tell whether points of this shape have a channel for the class.

    Args:
        shape: Shape of an array of images whose third axis from the end is the channels, (…, c, h,
            w).

    Returns:
        True where grey or RGB images have one channel more.
    """
    return len(shape) >= 4 and shape[-3] in (2, 4)


def split(points: np.ndarray) -> ImageSet:
    """Separate labelled images into pixels and classes; `joined` is the inverse.

    Args:
        points: Labelled images, (n, c + 1, h, w) uint8, n >= 1.

    Returns:
        The images with their labels.

    Raises:
        DataError: If the last channel of an image is not one number throughout.
    """
    plane = points[:, -1]
    labels = plane[:, :1, :1]
    if not (plane == labels).all():
        raise DataError(
            f"has {points.shape[1]} channels, of which the last must hold the class of an image in "
            "all of its pixels"
        )
    return ImageSet(np.ascontiguousarray(points[:, :-1]), labels.ravel().astype(np.int64))


def class_shares(labels: np.ndarray, label_dim: int) -> np.ndarray:
    """Share of each class among images.

    Args:
        labels: Class numbers below `label_dim`, (n,), n >= 1.
        label_dim: Number of classes K.

    Returns:
        Shares that add up to 1, (K,).
    """
    return np.bincount(labels, minlength=label_dim) / len(labels)
