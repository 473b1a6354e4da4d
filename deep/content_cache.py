"""Arrays that are kept in a file named by a hash of everything that they depend on, so that they are made once."""

import hashlib
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path

import filelock
import numpy as np

from stability.atomic import atomic_write

__all__ = ["cached_arrays", "digest"]


def digest(*parts: str | np.ndarray) -> str:
    """20 hexadecimal digits of the SHA-256 of texts and of arrays, with their shapes and types."""
    sha256 = hashlib.sha256()
    for part in parts:
        header, content = (part, b"") if isinstance(part, str) else (f"{part.dtype.str}{part.shape}", part)
        sha256.update(f"{len(header)}:{header}".encode())
        sha256.update(content if isinstance(content, bytes) else np.ascontiguousarray(content).data)
    return sha256.hexdigest()[:20]


def cached_arrays(path: Path, make: Callable[[], Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """The arrays in the .npz file `path`; if it is missing or damaged, those that `make` returns, which are then kept.

    Of several processes that ask at once, one makes them and the others wait. The file is whole or not there.
    OSError if the folder cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with filelock.FileLock(path.with_name(path.name + ".lock")):
        if path.exists():
            try:
                with np.load(path, allow_pickle=False) as file:  # compares the checksums as it reads
                    return {name: file[name] for name in file.files}
            except Exception as error:  # of many kinds, by where the damage is
                warnings.warn(f"{path} is damaged ({error}); it is made again", stacklevel=2)
        arrays = dict(make())
        with atomic_write(path) as file:
            np.savez(file, allow_pickle=False, **arrays)
        return arrays
