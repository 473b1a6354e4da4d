"""Class numbers as vectors, the input of a class-conditional network."""

import math

import torch
from torch import Tensor

__all__ = ["LARGEST_LABEL_DIM", "class_code", "require_label_dim"]

LARGEST_LABEL_DIM = 256
"""Most classes of a network: the class of an image is kept in a byte beside its pixels."""


def require_label_dim(label_dim: int) -> None:
    """Check the number of classes of a network.

    Args:
        label_dim: Number of classes; 0: an unconditional network.

    Raises:
        ValueError: If it is out of range.
    """
    if not 0 <= label_dim <= LARGEST_LABEL_DIM:
        raise ValueError(f"label_dim must be from 0 to {LARGEST_LABEL_DIM}, got {label_dim}")


def class_code(classes: Tensor, label_dim: int) -> Tensor:
    """One-hot vectors, scaled so that the mean of their squares is 1.

    Source: the official EDM code, which scales before its layer `map_label`.

    Args:
        classes: Class numbers from 0 to label_dim − 1, (n,) int64.
        label_dim: Number of classes K.

    Returns:
        √K at the place of the class and 0 elsewhere, (n, K) float32.
    """
    places = torch.arange(label_dim, device=classes.device)
    return (classes[:, None] == places).float() * math.sqrt(label_dim)
