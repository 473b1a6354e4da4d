"""Reading NumPy's .npy and .npz files that somebody else wrote.

Only plain numbers are read. Types, shapes and sizes are compared with the size of the file before
memory is taken, and nothing in a file is evaluated or unpickled.
"""

import math
import os
import re
import zipfile
import zlib
from collections.abc import Collection
from pathlib import Path
from typing import IO, Any

import numpy as np

from stability.runs.untrusted import UntrustedFileError, open_regular, printable, zip_members

__all__ = ["npz_sizes", "read_npy", "read_npz"]

LARGEST_HEADER = 2**12
"""Bytes of an array's header; NumPy's have 118."""
ALL_HEADERS = 2**20
"""Bytes of the headers of all arrays of an archive together, beyond the numbers."""
MOST_ARRAYS = 10_000
CHUNK = 2**20

_MAGIC = b"\x93NUMPY"
_HEADER = re.compile(
    r"\{ *'descr': *'([<>|=]?[biufcOSUVmM?]\d*)', *'fortran_order': *(True|False), *"
    r"'shape': *\(([\d, ]*)\),? *\}\s*"
)


def read_npy(path: Path, largest: int) -> np.ndarray:
    """Read an .npy file.

    Args:
        path: The file.
        largest: Bytes that the array may have.

    Returns:
        The array, in C order and in this machine's byte order.

    Raises:
        UntrustedFileError: If it is no such file, too large, or holds something else than numbers.
        OSError: If it cannot be read.
    """
    with open_regular(path, largest + LARGEST_HEADER) as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(0)
        return _read_array(file, size)


def npz_sizes(path: Path, largest: int) -> dict[str, int]:
    """List the arrays of an .npz file.

    Args:
        path: The file.
        largest: Bytes that all arrays together may have.

    Returns:
        Bytes that each takes in memory, header included, by its name, in the order of the file.

    Raises:
        UntrustedFileError: If it is no such file or too large.
        OSError: If it cannot be read.
    """
    with open_regular(path, 2 * largest + ALL_HEADERS) as file:  # deflate may fail to pack
        return {name: member.file_size for name, member in _arrays(file, largest).items()}


def read_npz(
    path: Path, largest: int, names: Collection[str] | None = None
) -> dict[str, np.ndarray]:
    """Read arrays of an .npz file.

    Args:
        path: The file.
        largest: Bytes that all arrays of the file together may have.
        names: The arrays to read; None: all of them.

    Returns:
        Array by name, in the order of the file, each as of `read_npy`.

    Raises:
        UntrustedFileError: If it is no such file, too large, damaged, lacks a name, or if an array
            that is read is none of numbers.
        OSError: If it cannot be read.
    """
    with open_regular(path, 2 * largest + ALL_HEADERS) as file:  # deflate may fail to pack
        members = _arrays(file, largest)
        missing = [name for name in names or () if name not in members]
        if missing:
            raise UntrustedFileError(f"lacks the array {printable(missing[0])}")

        wanted = members if names is None else {n: m for n, m in members.items() if n in names}
        with zipfile.ZipFile(file) as archive:
            return {name: _read_member(archive, member) for name, member in wanted.items()}


def _arrays(file: IO[bytes], largest: int) -> dict[str, zipfile.ZipInfo]:
    """The members of an .npz file by the names of their arrays."""
    members = zip_members(file, largest + ALL_HEADERS, MOST_ARRAYS)
    for member in members:
        if not member.filename.endswith(".npy"):
            raise UntrustedFileError(
                f"holds {printable(member.filename)}, which is no array: not an .npz file"
            )
    return {member.filename.removesuffix(".npy"): member for member in members}


def _read_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> np.ndarray:
    try:
        with archive.open(member) as file:
            array = _read_array(file, member.file_size)
            file.read(1)  # at the end the checksum is compared
            return array
    except (UntrustedFileError, zipfile.BadZipFile, zlib.error, EOFError, ValueError) as error:
        name = printable(member.filename)
        raise UntrustedFileError(f"{name}: {printable(str(error)) or 'is cut short'}") from None
    except (NotImplementedError, OSError) as error:
        raise UntrustedFileError(f"{printable(member.filename)}: {printable(str(error))}") from None


def _read_array(file: IO[bytes], size: int) -> np.ndarray:
    """The array in the `size` bytes that follow, which must be exactly one."""
    dtype, shape, fortran, header = _read_header(file)
    content = math.prod(shape) * dtype.itemsize
    if header + content != size:
        raise UntrustedFileError(
            f"says that it holds {content:,} bytes of numbers, and has {size - header:,}"
        )

    data = bytearray()
    while len(data) < content:
        part = file.read(min(CHUNK, content - len(data)))
        if not part:
            raise UntrustedFileError("is cut short")
        data += part
    try:
        flat = np.frombuffer(data, dtype) if data else np.empty(0, dtype)
        array = flat.reshape(shape[::-1]).T if fortran else flat.reshape(shape)
    except ValueError as error:  # more axes than NumPy has
        raise UntrustedFileError(f"cannot have the shape {printable(shape)} ({error})") from None
    return np.ascontiguousarray(array, dtype.newbyteorder("=")).reshape(shape)


def _read_header(file: IO[bytes]) -> tuple[np.dtype[Any], tuple[int, ...], bool, int]:
    """Type, shape, whether in Fortran's order, and the bytes of the header itself."""
    start = file.read(len(_MAGIC) + 2)
    if start[: len(_MAGIC)] != _MAGIC or len(start) < len(_MAGIC) + 2:
        raise UntrustedFileError("is not an array of NumPy's")
    version = start[len(_MAGIC)]
    if version not in (1, 2, 3):
        raise UntrustedFileError(f"is of version {version} of NumPy's format, which is not known")

    count = file.read(2 if version == 1 else 4)
    length = int.from_bytes(count, "little")
    if length > LARGEST_HEADER:
        raise UntrustedFileError(f"has a header of {length:,} bytes, not of an array of numbers")
    header = file.read(length)
    dtype, shape, fortran = _parsed_header(header.decode("latin1"))
    return dtype, shape, fortran, len(start) + len(count) + len(header)


def _parsed_header(text: str) -> tuple[np.dtype[Any], tuple[int, ...], bool]:
    found = _HEADER.fullmatch(text)
    if found is None:
        raise UntrustedFileError(f"has a header that is not of an array of numbers: {_short(text)}")
    descr, fortran, lengths = found.groups()
    if "O" in descr:
        raise UntrustedFileError("holds Python objects, which could run code: not loaded")
    try:
        dtype = np.dtype(descr)
    except TypeError:
        raise UntrustedFileError(f"is of a type that NumPy does not have: {descr}") from None
    if dtype.kind not in "biufc":
        raise UntrustedFileError(f"is of type {printable(dtype)}, not of numbers")

    parts = [part.strip() for part in lengths.split(",")]
    if len(parts) > 1 and not parts[-1]:
        parts.pop()  # (5,)
    if parts == [""]:
        parts = []
    if not all(part.isdecimal() and len(part) < 20 for part in parts):
        raise UntrustedFileError(f"has a shape that is none: ({_short(lengths)})")
    return dtype, tuple(map(int, parts)), fortran == "True"


def _short(text: str) -> str:
    return printable(text.strip(), 60)
