"""Arrays in sealed `.npz` files: written with their digest, and read without trust."""

import math
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO

import numpy as np

from stability.atomic import atomic_write
from stability.sealed import seal, sealed_digest
from stability.untrusted import UntrustedFileError, open_regular, printable, zip_members

__all__ = ["read_arrays", "read_sealed_arrays", "write_arrays"]

LARGEST = 2**35
"""Bytes of a file of arrays, and of what it unpacks to, unless the caller says otherwise: 32 GiB."""


def write_arrays(path: Path, arrays: Mapping[str, np.ndarray]) -> str:
    """Write a sealed `.npz` file, whole or not at all; equal arrays make equal bytes.

    Args:
        path: The file. Its folder must exist.
        arrays: By name; any shapes, no objects.

    Returns:
        The file's digest.

    Raises:
        ValueError: If an array holds Python objects.
        OSError: As from any file.
    """
    with atomic_write(path) as file:
        np.savez(file, allow_pickle=False, **{name: np.ascontiguousarray(x) for name, x in arrays.items()})
        return seal(file)


def read_sealed_arrays(path: Path, largest: int = LARGEST) -> tuple[dict[str, np.ndarray], str]:
    """Read what `write_arrays` wrote.

    Args:
        path: The file.
        largest: Bytes that it may have.

    Returns:
        The arrays by name, in order, and the file's digest.

    Raises:
        UntrustedFileError: If it is damaged, or was not written by `write_arrays`.
        OSError: If it cannot be opened.
    """
    with open_regular(path, largest) as file:
        digest = sealed_digest(file)
        return read_arrays(file, largest), digest


def read_arrays(file: IO[bytes], largest: int = LARGEST) -> dict[str, np.ndarray]:
    """Read any `.npz` file; checks what each array claims to be before memory is taken for it.

    Args:
        file: The archive, open for reading.
        largest: Bytes that all arrays together may have.

    Returns:
        The arrays by name, in order.

    Raises:
        UntrustedFileError: If it is damaged, too large, or holds anything but arrays of plain types.
    """
    arrays: dict[str, np.ndarray] = {}
    try:
        members = zip_members(file, largest)
        file.seek(0)
        with zipfile.ZipFile(file) as archive:
            for member in members:
                name = member.filename.removesuffix(".npy")
                if name == member.filename or name in arrays:
                    raise UntrustedFileError(f"holds {printable(member.filename)}, which is no array or a second one")
                with archive.open(member) as content:
                    arrays[name] = _read_array(content, member.file_size)
    except UntrustedFileError:
        raise
    except MemoryError:
        raise UntrustedFileError("does not fit into memory") from None
    except Exception as error:  # of many kinds, by where the damage is
        raise UntrustedFileError(f"is damaged ({printable(str(error) or type(error).__name__)})") from None
    return arrays


def _read_array(file: IO[bytes], size: int) -> np.ndarray:
    version = np.lib.format.read_magic(file)
    if version not in ((1, 0), (2, 0)):
        raise UntrustedFileError(f"holds an array of format {version[0]}.{version[1]}")
    read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, fortran, dtype = read_header(file)

    if dtype.hasobject or any(n < 0 for n in shape):
        raise UntrustedFileError("holds Python objects or an impossible shape, which are not read")
    expected = math.prod(shape) * dtype.itemsize
    if expected != size - file.tell():
        raise UntrustedFileError(f"holds {size - file.tell():,} bytes for an array of {expected:,}")

    content = bytearray(file.read())  # compares the checksum at its end
    if len(content) != expected:
        raise UntrustedFileError(f"holds {len(content):,} bytes for an array of {expected:,}")
    flat = np.frombuffer(content, dtype, count=math.prod(shape)) if expected else np.zeros(math.prod(shape), dtype)
    return flat.reshape(shape, order="F" if fortran else "C")
