"""Image data sets in memory, as uint8, from the file formats of the field.

Nothing that a file holds is executed.

| source | what it is |
|---|---|
| `digits` | scikit-learn's 1797 handwritten digits, 8×8, grey, with labels; no download |
| `*.tar.gz`, or its folder | CIFAR-10, "python version" |
| `*.zip` | zip of EDM and StyleGAN: square PNGs or JPEGs, labels in `dataset.json` |
| a folder | PNGs or JPEGs, in any depth; labels: `dataset.json`, or names of folders |
| `*.npy`, `*.npz` | (n, c, h, w), (n, h, w, c) or (n, h, w); `images`, `labels` or `arr_0`, … |
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from deep.image_sets.arrays import read_chains, read_npy, read_npz
from deep.image_sets.cifar10 import CIFAR10_FOLDER, TRAINING_BATCHES, cifar10_folder, read_batches
from deep.image_sets.image_files import read_folder, read_zip
from deep.image_sets.image_set import DataError, ImageSet, one_error

__all__ = [
    "CIFAR10_FOLDER",
    "DIGITS",
    "DataError",
    "ImageSet",
    "load_chains",
    "load_images",
    "read_cifar10",
]

DIGITS = "digits"

_READERS: dict[str, Callable[[Path], ImageSet]] = {
    ".tar.gz": read_batches,
    ".zip": read_zip,
    ".npz": read_npz,
    ".npy": read_npy,
}


def load_images(source: str | Path) -> ImageSet:
    """Read the training images of a source.

    What a folder, a zip or an .npz file holds beside them is ignored, with one warning that counts
    it.

    Args:
        source: A row of this module's table. A CIFAR-10 archive gives its five training batches.

    Returns:
        The images, in the order of the source; those in files sorted by path, as text.

    Raises:
        DataError: If there is nothing such, or if it is not what its name says: truncated, of
            another format or size, images of different shapes, names that lead out of the archive,
            several sets in one, or sizes beyond what is plausible (a decompression bomb).
    """
    if source == DIGITS:
        return _digits()
    path = Path(source)
    with one_error(path):
        if (path / "config.json").is_file() and (path / "samples").is_dir():
            raise DataError(
                "is the folder of a run: give one of the .npz files in its folder samples"
            )
        if path.is_dir():
            cifar = cifar10_folder(path)
            return read_batches(cifar) if cifar else read_folder(path)
        if not path.exists():
            raise DataError("no such file or folder")
        for suffix, read in _READERS.items():
            if path.name.endswith(suffix):
                return read(path)
        raise DataError(
            f"must be '{DIGITS}', a folder, or a file named {', '.join(f'*{s}' for s in _READERS)}"
        )


def load_chains(source: str | Path) -> dict[str, ImageSet]:
    """Read every set of images that a file holds: the samples of each chain of a run, or the one
    set.

    Args:
        source: `samples/generation-*.npz` of a run, or a row of this module's table.

    Returns:
        Sets by the names of their chains, in order; the only one of a source is named "".

    Raises:
        DataError: As for `load_images`.
    """
    path = Path(source)
    with one_error(path):
        chains = read_chains(path) if path.name.endswith(".npz") and path.exists() else {}
    return chains if len(chains) > 1 else {"": load_images(source)}


def read_cifar10(path: Path, batches: Sequence[str] = TRAINING_BATCHES) -> ImageSet:
    """Read batches of the archive or of its unpacked folder.

    Args:
        path: The archive, or the folder.
        batches: Names of the batches in the order that is wanted; ["test_batch"] for the test set.

    Returns:
        Their images and labels.

    Raises:
        DataError: As for `load_images`.
    """
    with one_error(path):
        return read_batches(path, batches)


def _digits() -> ImageSet:
    from sklearn.datasets import load_digits  # takes a second

    pixels, labels = load_digits(return_X_y=True)
    images = np.round(pixels * (255 / 16)).astype(np.uint8)  # their grey values are 0 … 16
    return ImageSet(images.reshape(-1, 1, 8, 8), np.asarray(labels, np.int64))
