"""Pixels as bytes, 0 … 255, and as numbers from black −1 to white 1.

The official systems round differently.
"""

from torch import Tensor

__all__ = ["floored_uint8", "rounded_uint8", "to_float"]


def to_float(images: Tensor) -> Tensor:
    """uint8 to float32 in [−1, 1]: x/127.5 − 1, as everywhere."""
    return images.float() / 127.5 - 1


def floored_uint8(images: Tensor) -> Tensor:
    """⌊127.5 x + 128⌋, clipped: EDM; torchcfm's FID script, and torchvision's save_image after
    x/2 + ½.
    """
    return (127.5 * images + 128).clip(0, 255).byte()


def rounded_uint8(images: Tensor) -> Tensor:
    """127.5 x + 127.5 rounded to the nearest, halves to even, clipped: ddpm-torch."""
    return (127.5 * images + 127.5).round().clip(0, 255).byte()
