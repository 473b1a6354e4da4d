"""Pixels as bytes, 0 … 255, and as numbers from black −1 to white 1.

The official systems round differently.
"""

from torch import Tensor

__all__ = ["floored_uint8", "rounded_uint8", "to_float"]


def to_float(images: Tensor) -> Tensor:
    """Convert uint8 to float32 in [−1, 1]: x/127.5 − 1, as everywhere.

    Args:
        images: Pixels, any shape, uint8.

    Returns:
        Images, of the same shape, float32.
    """
    return images.float() / 127.5 - 1


def floored_uint8(images: Tensor) -> Tensor:
    """Convert to pixels by ⌊127.5 x + 128⌋, clipped.

    So do EDM, torchcfm's FID script, and torchvision's save_image after x/2 + ½.

    Args:
        images: Images, any shape, black −1 and white 1.

    Returns:
        Pixels, of the same shape, uint8.
    """
    return (127.5 * images + 128).clip(0, 255).byte()


def rounded_uint8(images: Tensor) -> Tensor:
    """Convert to pixels by rounding 127.5 x + 127.5, halves to even, clipped: ddpm-torch.

    Args:
        images: Images, any shape, black −1 and white 1.

    Returns:
        Pixels, of the same shape, uint8.
    """
    return (127.5 * images + 127.5).round().clip(0, 255).byte()
