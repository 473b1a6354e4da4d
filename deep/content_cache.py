"""Arrays that are kept in a file named by a hash of everything that they depend on, so that they
are made once.
"""

import hashlib
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path

import filelock
import numpy as np

from stability.runs.sealed import read_sealed_npz, write_sealed_npz
from stability.runs.untrusted import UntrustedFileError

__all__ = ["cached_arrays", "digest", "file_digest"]


def digest(*parts: str | np.ndarray) -> str:
    """20 hexadecimal digits of the SHA-256 of texts and of arrays, with their shapes and types."""
    sha256 = hashlib.sha256()
    for part in parts:
        header, content = (
            (part, b"") if isinstance(part, str) else (f"{part.dtype.str}{part.shape}", part)
        )
        sha256.update(f"{len(header)}:{header}".encode())
        sha256.update(content if isinstance(content, bytes) else np.ascontiguousarray(content).data)
    return sha256.hexdigest()[:20]


def file_digest(path: Path) -> str:
    """Digest of a file, or of a folder with all files in it.

    Args:
        path: File or folder.

    Returns:
        20 hexadecimal digits of the SHA-256 of its content; of a folder, with the names in it.

    Raises:
        OSError: If it cannot be read.
    """
    files = (
        [path] if path.is_file() else sorted(entry for entry in path.rglob("*") if entry.is_file())
    )
    sha256 = hashlib.sha256()
    for entry in files:
        with entry.open("rb") as file:
            content = hashlib.file_digest(file, "sha256").hexdigest()
        sha256.update(f"{entry.relative_to(path) if entry != path else ''} {content}\n".encode())
    return sha256.hexdigest()[:20]


def cached_arrays(
    path: Path, make: Callable[[], Mapping[str, np.ndarray]]
) -> dict[str, np.ndarray]:
    """Return the arrays in a file, which is made first if it is missing or damaged.

    Of several processes that ask at once, one makes them and the others wait. The file is whole or
    not there.

    Args:
        path: The .npz file.
        make: Computes the arrays by name, each of any shape; called only if the file is missing or
            damaged.

    Returns:
        The arrays by name.

    Raises:
        OSError: If the folder cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with filelock.FileLock(path.with_name(path.name + ".lock")):
        try:
            return read_sealed_npz(path)[0]
        except FileNotFoundError:
            pass
        except UntrustedFileError as error:
            warnings.warn(f"{path} {error}; it is made again", stacklevel=2)
        arrays = dict(make())
        write_sealed_npz(path, arrays)
        return arrays
