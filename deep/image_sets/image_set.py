"""A set of images in memory, and the one error of everything that reads one."""

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from PIL import Image

from deep.content_cache import digest
from stability.runs.memory_limit import GB, memory_limit
from stability.runs.untrusted import ALWAYS_PLAUSIBLE, LARGEST_EXPANSION, printable

__all__ = [
    "LARGEST_LABEL",
    "LARGEST_SET",
    "DataError",
    "ImageSet",
    "one_error",
    "require_memory_for",
    "require_plausible",
    "warn_of",
]

LARGEST_SET = 2**36
"""Bytes of pixels: 64 GiB, since a set is kept in memory."""
LARGEST_LABEL = 2**31 - 1
LONGEST_MESSAGE = 1000


class DataError(ValueError):
    """A source does not hold the images that it should; the message names it and says why."""


@dataclass(frozen=True)
class ImageSet:
    """Square images of one size.

    Attributes:
        images: (n, c, h, h) uint8, n >= 1, c = 1 (grey) or 3 (RGB).
        labels: (n,) int64 class numbers >= 0, or None where the source has none.
    """

    images: np.ndarray
    labels: np.ndarray | None = None

    @cached_property
    def digest(self) -> str:
        """20 hexadecimal digits that stand for all pixels and labels: equal only for equal sets."""
        return digest(self.images, *(() if self.labels is None else (self.labels,)))

    def __post_init__(self) -> None:
        images, labels = self.images, self.labels
        if (
            images.ndim != 4
            or images.shape[1] not in (1, 3)
            or images.shape[2] != images.shape[3]
            or not images.size
        ):
            raise DataError(
                f"images must be (n, c, h, h) with n, h >= 1 and c = 1 or 3, got {images.shape}"
            )

        if images.dtype != np.uint8:
            raise DataError(f"pixels must be uint8, got {images.dtype}{_conversion(images)}")
        if labels is None:
            return
        if labels.shape != (len(images),) or labels.dtype.kind not in "iu":
            raise DataError(
                f"labels must be {len(images)} class numbers >= 0, one an image, got "
                f"{labels.dtype} {labels.shape}"
            )
        if labels.min() < 0 or labels.max() > LARGEST_LABEL:
            raise DataError(
                f"labels must be {len(images)} class numbers >= 0 (to {LARGEST_LABEL}), "
                f"got numbers from {labels.min()} to {labels.max()}"
            )


def _conversion(images: np.ndarray) -> str:
    """The range of pixels that are not bytes, and how to make bytes of them."""
    if images.dtype.kind not in "biuf":
        return ""
    least, most = images.min(), images.max()
    if not (np.isfinite(least) and np.isfinite(most)):
        return " with NaN or infinite values"
    if images.dtype.kind == "b":
        formula = "255 * x.astype(np.uint8)"
    elif images.dtype.kind in "iu":
        formula = "x.astype(np.uint8)" if least >= 0 and most <= 255 else None
    elif least >= 0:
        formula = (
            "(255 * x).round().astype(np.uint8)" if most <= 1 else "x.round().astype(np.uint8)"
        )
        formula = formula if most <= 255 else None
    else:
        formula = (
            "(127.5 * x + 127.5).round().astype(np.uint8)" if least >= -1 and most <= 1 else None
        )
    return f" from {least:.4g} to {most:.4g}" + (f": convert with {formula}" if formula else "")


def require_plausible(unpacked: int, packed: int) -> None:
    """Refuse pixels that are far more than the files that they come from can mean.

    Args:
        unpacked: Bytes of pixels.
        packed: Bytes of the files.

    Raises:
        DataError: If `unpacked` is not plausible (a decompression bomb).
    """
    if unpacked > ALWAYS_PLAUSIBLE + LARGEST_EXPANSION * packed:
        raise DataError(
            f"unpacks to {unpacked:,} bytes of pixels, more than {LARGEST_EXPANSION} times its "
            "files' size"
        )


def require_memory_for(size: int) -> None:
    """Refuse a set that this process cannot hold, before memory is taken for it.

    Args:
        size: Bytes of the set in memory.

    Raises:
        DataError: If that is more than `memory_limit()`; says both in GB.
    """
    limit = memory_limit()
    if size > limit:
        raise DataError(
            f"takes {size / GB:,.3g} GB of memory, and there are {limit / GB:,.3g} GB: "
            "give fewer or smaller images"
        )


def warn_of(path: Path, message: str) -> None:
    """Warn of what is not read of a source; of several processes under torchrun, the first one
    does.

    Args:
        path: The source.
        message: What it is, on one line.
    """
    if os.environ.get("LOCAL_RANK", "0") == "0":
        warnings.warn(f"{printable(path, LONGEST_MESSAGE)}: {message}", stacklevel=3)


@contextmanager
def one_error(path: Path | str) -> Iterator[None]:
    """Turn any error in the block into a DataError of one line that begins with `path`.

    Args:
        path: File or member that the block reads.

    Yields:
        Nothing.

    Raises:
        DataError: If the block raises.
    """
    shown = printable(path, LONGEST_MESSAGE)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            yield
    except MemoryError:
        raise DataError(f"{shown}: does not fit into memory") from None
    except RecursionError:
        raise DataError(f"{shown}: is nested too deeply") from None
    except Exception as error:
        # readers of damaged files raise anything: OSError, EOFError, zlib.error, SyntaxError, …
        text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        line = printable(" ".join(text.split()), LONGEST_MESSAGE)
        raise DataError(f"{shown}: {line or type(error).__name__}") from error
