"""Files that are either whole or not there."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

__all__ = ["PARTIAL_SUFFIX", "atomic_write"]

PARTIAL_SUFFIX = ".partial"


@contextmanager
def atomic_write(path: Path) -> Iterator[BinaryIO]:
    """A binary file to write; `path` is replaced by it when the block ends well, and left as it was otherwise.

    The bytes go to `path` + ".partial" in the same folder, are forced to the disk, and then renamed, so neither a kill
    nor a power cut leaves half a file under the final name. OSError as from any file.
    """
    partial = path.with_name(path.name + PARTIAL_SUFFIX)
    try:
        with partial.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except BaseException as error:
        partial.unlink(missing_ok=True)
        reason = error.__context__ if isinstance(error, RuntimeError) else error  # torch.save hides that a disk is full
        if isinstance(reason, OSError) and reason.errno is not None and reason.filename is None:
            raise OSError(reason.errno, reason.strerror, str(path)) from error
        raise
