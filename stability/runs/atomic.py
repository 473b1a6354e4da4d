"""Files that are either whole or not there."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

__all__ = ["PARTIAL_SUFFIX", "atomic_write", "sync_folder"]

PARTIAL_SUFFIX = ".retraining-partial"
"""Ends the name of a file under way; no other program's, so that nobody else's file is taken for
one."""


@contextmanager
def atomic_write(path: Path) -> Iterator[BinaryIO]:
    """A binary file to write; `path` is replaced by it when the block ends well, and left as it was
    otherwise.

    The bytes go to `path` + PARTIAL_SUFFIX in the same folder, are forced to the disk, and then
    renamed, so neither a kill nor a power cut leaves half a file under the final name. A symbolic
    link under either name is replaced, never followed.

    Args:
        path: The file. Its folder must exist.

    Yields:
        The file, open for writing and for reading back.

    Raises:
        OSError: As from any file.
    """
    partial = path.with_name(path.name + PARTIAL_SUFFIX)
    try:
        partial.unlink(missing_ok=True)  # of a writer that was killed
        with partial.open("x+b") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
        sync_folder(path.parent)
    except BaseException as error:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
        # torch.save hides that a disk is full
        reason = error.__context__ if isinstance(error, RuntimeError) else error
        if isinstance(reason, OSError) and reason.errno is not None and reason.filename is None:
            raise OSError(reason.errno, reason.strerror, str(path)) from error
        raise


def sync_folder(path: Path) -> None:
    """Force the names in a folder to the disk, so that a power cut does not undo a rename.

    Args:
        path: The folder.
    """
    if not hasattr(os, "O_DIRECTORY"):  # Windows has no such thing
        return
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with suppress(OSError):  # a few network file systems refuse it
            os.fsync(descriptor)
    finally:
        os.close(descriptor)
