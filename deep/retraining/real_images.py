"""The real images of a retraining: those that are trained on, new ones for later rounds, and
those held out.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from deep.data import (
    CIFAR10_FOLDER,
    DIGITS,
    DataError,
    ImageSet,
    load_chains,
    load_images,
    read_cifar10,
)
from stability.loop.streams import Purpose, stream
from stability.runs.command_line import UsageError

__all__ = ["RealImages", "is_cifar10", "load_held_out", "load_real", "load_samples", "split"]


def load_real(option: str, source: str) -> ImageSet:
    """Call `load_images`, with an error that names the option.

    Args:
        option: Name of the option.
        source: Its value: a file, a folder or a name that `load_images` knows.

    Returns:
        The images.

    Raises:
        UsageError: Where `load_images` raises a DataError.
    """
    try:
        return load_images(source)
    except DataError as error:
        raise UsageError(f"{option}: {error}") from error


def load_samples(option: str, source: str | Path) -> dict[str, ImageSet]:
    """Read generated images.

    Args:
        option: To be named in errors.
        source: As of `deep.data.load_chains`.

    Returns:
        Sets by the names of their chains; the only one of a source is named "".

    Raises:
        UsageError: If they cannot be read.
    """
    try:
        return load_chains(source)
    except DataError as error:
        raise UsageError(f"{option}: {error}") from error


def is_cifar10(source: str) -> bool:
    """Tell whether a source is CIFAR-10's archive or its folder.

    Args:
        source: A file, a folder or a name that `load_images` knows.

    Returns:
        True if it is.
    """
    return _cifar10(source) is not None


def load_held_out(option: str, source: str) -> ImageSet:
    """Load held-out images as `load_real`, but a CIFAR-10 archive stands for its test batch.

    Args:
        option: Name of the option.
        source: Its value.

    Returns:
        The images.

    Raises:
        UsageError: If they cannot be read.
    """
    test = _cifar10(source)
    try:
        return load_real(option, source) if test is None else read_cifar10(test, ["test_batch"])
    except DataError as error:
        raise UsageError(f"{option}: {error}") from error


def _cifar10(source: str) -> Path | None:
    """Archive or folder of CIFAR-10, if it is one."""
    path = Path(source)
    path = path / CIFAR10_FOLDER if (path / CIFAR10_FOLDER).is_dir() else path
    return path if path.name.endswith(".tar.gz") or (path / "test_batch").is_file() else None


@dataclass(frozen=True)
class RealImages:
    """The real images of a run, each set with its labels if the source has any.

    Attributes:
        train: The n images that a chain is trained on.
        fresh: New ones, in the order in which later rounds use them; None if there are none.
        held_out: Those that no chain is trained on; None if there are none.
    """

    train: ImageSet
    fresh: ImageSet | None
    held_out: ImageSet | None


def split(
    source: str, images: ImageSet, n: int, fresh_rounds: int, held_out: str | None, seed: int
) -> RealImages:
    """Divide the images of a source into those to train on, new ones and held-out ones.

    The order is random if there is a choice: images may be sorted by writer or class.

    Args:
        source: A file, a folder or a name that `load_images` knows.
        images: Its images.
        n: Images to train on; 0: half of the digits if nothing else is held out, all of anything
            else.
        fresh_rounds: Rounds for which n new images each are taken from the others.
        held_out: Source of the held-out images; None: CIFAR-10's test batch, and otherwise the
            images that are left.
        seed: Determines the order.

    Returns:
        The parts.

    Raises:
        UsageError: If there are too few images, or those of `held_out` have another shape.
    """
    own_test = held_out or (source if is_cifar10(source) else None)
    total = len(images.images)
    n = n or (total // 2 if source == DIGITS and own_test is None else total)
    if n > total:
        raise UsageError(
            f"--real must be at most {total}, the number of images in {source}, got {n}"
        )

    fresh = fresh_rounds * n
    if n + fresh > total:
        raise UsageError(
            f"--regime fresh needs {fresh} new real images in all, and {source} has {total - n} "
            f"beside the {n} of "
            "--real: fewer --real or fewer --retrainings"
        )

    order = stream(seed, Purpose.REAL, 0).permutation(total) if n < total else np.arange(total)
    chosen, rest = order[:n], order[n + fresh :]
    train = _chosen(images, chosen)
    assert train is not None
    if own_test is None:
        test = _chosen(images, rest)
    else:
        test = load_held_out("--held-out", own_test)
        if test.images.shape[1:] != train.images.shape[1:]:
            raise UsageError(
                f"--held-out {own_test} has images of shape {test.images.shape[1:]}, not "
                f"{train.images.shape[1:]}"
            )

    return RealImages(train, _chosen(images, order[n : n + fresh]), test)


def _chosen(images: ImageSet, numbers: np.ndarray) -> ImageSet | None:
    """The images of these numbers with their labels; None if there are none."""
    if not len(numbers):
        return None
    labels = None if images.labels is None else images.labels[numbers]
    return ImageSet(images.images[numbers], labels)
