"""Zip archives that carry a digest of themselves: torch's files and NumPy's `.npz` alike.

The digest is the archive's comment, at the very end of the file, which every reader of zip archives
skips. It is the SHA-256 of all bytes before the comment and its length. It finds out damage and
mistakes, not forgery: whoever rewrites a file can compute its digest as well.
"""

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import IO, BinaryIO

import numpy as np

from stability.runs.array_files import read_npz
from stability.runs.atomic import atomic_write
from stability.runs.untrusted import UntrustedFileError, open_regular

__all__ = ["read_sealed_npz", "seal", "sealed_digest", "write_sealed_npz"]

LARGEST = 2**35
"""Bytes of the arrays of one file: 32 GiB."""

_COMMENT = b"sha256:%s"
_LENGTH = len(_COMMENT % b"") + 64
_CHUNK = 2**20
_COMMENT_LENGTH_BYTES = 2  # the last field of a zip archive, before the comment


def seal(file: BinaryIO) -> str:
    """Add the digest to a zip archive that was just written.

    Args:
        file: The whole archive, without a comment, open for writing and reading.

    Returns:
        The digest, 64 hexadecimal digits.

    Raises:
        ValueError: If the file does not end as an archive without a comment does.
    """
    body = file.seek(0, 2) - _COMMENT_LENGTH_BYTES
    digest = _sha256(file, body)
    if file.read(_COMMENT_LENGTH_BYTES) != b"\0\0":
        raise ValueError("only a zip archive without a comment can be sealed")

    file.seek(body)
    file.write(_LENGTH.to_bytes(_COMMENT_LENGTH_BYTES, "little") + _COMMENT % digest.encode())
    return digest


def sealed_digest(file: IO[bytes]) -> str:
    """Compare a sealed archive with its digest.

    Args:
        file: The archive, open for reading; its position is the beginning afterwards.

    Returns:
        The digest, 64 hexadecimal digits.

    Raises:
        UntrustedFileError: If it carries no digest, or another one than its content has.
    """
    body = file.seek(0, 2) - _LENGTH - _COMMENT_LENGTH_BYTES
    file.seek(max(0, body))
    length = file.read(_COMMENT_LENGTH_BYTES)
    found = re.fullmatch(_COMMENT % b"([0-9a-f]{64})", file.read(_LENGTH))
    if body < 0 or length != _LENGTH.to_bytes(_COMMENT_LENGTH_BYTES, "little") or found is None:
        raise UntrustedFileError("is damaged or of an earlier version (it carries no digest)")

    digest = _sha256(file, body)
    if digest.encode() != found[1]:
        raise UntrustedFileError("is damaged (its content differs from its digest)")
    file.seek(0)
    return digest


def write_sealed_npz(path: Path, arrays: Mapping[str, np.ndarray]) -> str:
    """Write a sealed `.npz` file, whole or not at all; equal arrays make equal bytes.

    Args:
        path: The file. Its folder must exist.
        arrays: Numbers by name; any shapes.

    Returns:
        The file's digest.

    Raises:
        ValueError: If an array holds Python objects.
        OSError: As from any file.
    """
    with atomic_write(path) as file:
        np.savez(
            file,
            allow_pickle=False,
            **{name: np.ascontiguousarray(x) for name, x in arrays.items()},
        )
        return seal(file)


def read_sealed_npz(path: Path) -> tuple[dict[str, np.ndarray], str]:
    """Read the result of `write_sealed_npz`.

    Args:
        path: The file.

    Returns:
        The arrays by name, in order, and the file's digest.

    Raises:
        UntrustedFileError: If it is damaged, or was not written by `write_sealed_npz`.
        OSError: If it cannot be opened.
    """
    with open_regular(path, LARGEST) as file:
        digest = sealed_digest(file)
    try:
        return read_npz(path, LARGEST), digest
    except MemoryError:
        raise UntrustedFileError("does not fit into memory") from None


def _sha256(file: IO[bytes], size: int) -> str:
    """Digest of the first `size` bytes, behind which the file then stands."""
    sha256 = hashlib.sha256()
    file.seek(0)
    while size > 0 and (chunk := file.read(min(size, _CHUNK))):
        sha256.update(chunk)
        size -= len(chunk)
    return sha256.hexdigest()
