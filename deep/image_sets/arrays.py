"""Images in NumPy's files: the names under which people keep them, and where they keep the
channels.
"""

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from deep.image_sets.image_set import (
    LARGEST_LABEL,
    LARGEST_SET,
    DataError,
    ImageSet,
    require_memory_for,
    warn_of,
)
from deep.image_sets.labelled import is_labelled, split
from stability.runs import array_files
from stability.runs.untrusted import printable

__all__ = ["read_chains", "read_npy", "read_npz"]

CHAIN = re.compile(r"chain-\d+")
"""Arrays of the samples of a run, one a chain."""
SHOWN = 8
"""Names of arrays that a message repeats."""


def read_npz(path: Path) -> ImageSet:
    """Read `images` and `labels`, or `arr_0` and `arr_1`, or the only array.

    Args:
        path: The .npz file.

    Returns:
        Images, with labels if the file has them.
    """
    sizes = array_files.npz_sizes(path, LARGEST_SET)
    names = list(sizes)
    images, labels = _images_and_labels(names)
    wanted = [images] if labels is None else [images, labels]
    require_memory_for(sum(sizes[name] for name in wanted))
    arrays = array_files.read_npz(path, LARGEST_SET, wanted)

    ignored = [name for name in names if name not in wanted]
    if ignored:
        warn_of(path, f"ignored the arrays {_listed(ignored)}")
    classes = None if labels is None else arrays[labels]
    if classes is not None and classes.dtype.kind == "i":
        classes = classes.astype(np.int64)
    elif classes is not None and classes.dtype.kind == "u":
        classes = classes.clip(max=LARGEST_LABEL + 1).astype(np.int64)  # what is too large stays so
    return ImageSet(_channels_first(arrays[images]), classes)


def read_chains(path: Path) -> dict[str, ImageSet]:
    """Read the samples of a generation of a run.

    Args:
        path: The .npz file.

    Returns:
        Images by the name of their chain, in order, with labels of a class-conditional model;
        empty if the file holds something else.

    Raises:
        UntrustedFileError, DataError: If it is damaged, or the chains are not images.
        OSError: If it cannot be read.
    """
    sizes = array_files.npz_sizes(path, LARGEST_SET)
    names = [name for name in sizes if CHAIN.fullmatch(name)]
    require_memory_for(sum(sizes[name] for name in names))
    arrays = array_files.read_npz(path, LARGEST_SET, names)
    return {
        name: split(array) if is_labelled(array.shape) else ImageSet(_channels_first(array))
        for name, array in arrays.items()
    }


def read_npy(path: Path) -> ImageSet:
    """Read an array of images.

    Args:
        path: The .npy file.

    Returns:
        Images, without labels.
    """
    if path.is_file():
        require_memory_for(path.stat().st_size)
    return ImageSet(_channels_first(array_files.read_npy(path, LARGEST_SET)))


def _images_and_labels(names: Sequence[str]) -> tuple[str, str | None]:
    """The names of the two arrays."""
    chains = [name for name in names if CHAIN.fullmatch(name)]
    if len(chains) > 1:
        raise DataError(
            f"holds {len(chains)} chains of a run, {printable(chains[0])} to "
            f"{printable(chains[-1])}: "
            "deep.measure measures each as SAMPLES; for anything else save one of them as a file "
            "of its own"
        )

    others = [name for name in names if name != "labels"]
    if "images" in others:
        return "images", "labels" if "labels" in names else None
    if len(others) == 1:
        return others[0], "labels" if "labels" in names else None
    if "arr_0" in others:
        return "arr_0", next((name for name in ("labels", "arr_1") if name in names), None)
    if {"mu", "sigma"} <= set(others):
        raise DataError(
            "holds statistics of features (mu, sigma), not images: give the images that they are of"
        )

    raise DataError(
        f"must hold an array named images, or one array; it holds {_listed(names) or 'none'}"
    )


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(printable(name, 60) for name in names[:SHOWN])
    return shown + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")


def _channels_first(images: np.ndarray) -> np.ndarray:
    if images.ndim == 2:
        raise DataError(
            f"holds an array of shape {images.shape}, which are points or features, not images"
        )
    if images.ndim == 3:
        return images[:, None]
    if images.ndim == 4 and images.shape[1] not in (1, 3):
        return np.ascontiguousarray(images.transpose(0, 3, 1, 2))
    return images
