"""Reading files that somebody else wrote: bounded in size, depth and time, and nothing is executed.

A run folder, a checkpoint and a data set may be damaged or hostile. The functions here look at
sizes before they allocate, and raise `UntrustedFileError` with one line that can be shown as it is.
"""

import json
import os
import stat
import struct
import zipfile
from pathlib import Path
from typing import IO, Any

__all__ = [
    "UntrustedFileError",
    "open_regular",
    "parse_json",
    "printable",
    "read_bytes",
    "zip_members",
]

LARGEST_JSON = 2**26
"""Bytes of a JSON text, unless the caller says otherwise: 64 MiB."""
MOST_MEMBERS = 100_000
"""Members of a zip archive."""
LARGEST_RATIO = 1100
"""Unpacked bytes per packed byte of one member; deflate itself reaches 1032."""
LARGEST_EXPANSION = 64
"""Unpacked bytes per byte of a whole archive, beyond `ALWAYS_PLAUSIBLE`."""
ALWAYS_PLAUSIBLE = 2**28
"""Bytes that any archive may unpack to, however small it is: 256 MiB."""
LARGEST_ENTRY = 256
"""Bytes of a zip archive's table of contents per member, on average."""
LONGEST_SHOWN = 200
"""Characters of a text from a file that a message repeats."""


class UntrustedFileError(ValueError):
    """A file is not what it should be; the message says why, without the path."""


def open_regular(path: Path, largest: int) -> IO[bytes]:
    """Open a regular file of at most `largest` bytes for reading; never waits for a pipe or a
    device.

    Args:
        path: The file. A symbolic link is followed.
        largest: Bytes that the file may have.

    Returns:
        The open file.

    Raises:
        UntrustedFileError: If it is no regular file or too large.
        OSError: If it cannot be opened.
    """
    descriptor = os.open(
        path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    )
    try:
        found = os.fstat(descriptor)
        if stat.S_ISDIR(found.st_mode):
            raise UntrustedFileError("is a folder, not a file")
        if not stat.S_ISREG(found.st_mode):
            raise UntrustedFileError("is not a regular file (a pipe, socket or device)")
        if found.st_size > largest:
            raise UntrustedFileError(f"has {found.st_size:,} bytes; at most {largest:,} are read")
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def read_bytes(path: Path, largest: int) -> bytes:
    """Read a regular file of at most `largest` bytes.

    Args:
        path: The file.
        largest: Bytes that the file may have.

    Returns:
        Its content.

    Raises:
        UntrustedFileError: If it is no regular file, too large, or grows while it is read.
        OSError: If it cannot be read.
    """
    with open_regular(path, largest) as file:
        content = file.read(largest + 1)

    if len(content) > largest:
        raise UntrustedFileError(f"has more than {largest:,} bytes")
    return content


def parse_json(content: bytes | str, largest: int = LARGEST_JSON) -> Any:
    """Parse a JSON text of bounded size and depth.

    Args:
        content: The text; bytes are UTF-8.
        largest: Bytes (or characters) that it may have.

    Returns:
        The value. NaN and Infinity, which are not JSON, and a name that an object has twice are
        refused.

    Raises:
        UntrustedFileError: If it is not JSON, too large, too deep, or holds half a surrogate pair.
    """
    if len(content) > largest:
        raise UntrustedFileError(
            f"holds JSON of {len(content):,} bytes; at most {largest:,} are read"
        )
    try:
        text = content.decode() if isinstance(content, bytes) else content
        value = json.loads(
            text, parse_constant=_refuse_constant, object_pairs_hook=_without_duplicates
        )
    except UnicodeDecodeError as error:
        raise UntrustedFileError(f"is not UTF-8 ({error.reason} at byte {error.start})") from None
    except RecursionError:
        raise UntrustedFileError("holds JSON that is nested too deeply") from None
    except json.JSONDecodeError as error:
        raise UntrustedFileError(f"is not JSON ({error})") from None
    except ValueError as error:  # a number of more digits than Python converts
        if isinstance(error, UntrustedFileError):
            raise
        raise UntrustedFileError(f"is not JSON ({printable(str(error))})") from None

    if "\\u" in text and not _encodable(value):
        raise UntrustedFileError("holds half a surrogate pair, which is not text")
    return value


def zip_members(
    file: IO[bytes] | Path, largest: int, most: int = MOST_MEMBERS
) -> list[zipfile.ZipInfo]:
    """List the members of a zip archive once their number and sizes are known to be plausible.

    Args:
        file: The archive.
        largest: Bytes that all members together may unpack to.
        most: Members that it may have.

    Returns:
        Its members, in order; their names are all different.

    Raises:
        UntrustedFileError: If it is no zip archive, encrypted, packed by another method than
            deflate, or unpacks to too much.
        OSError: If it cannot be opened.
    """
    if isinstance(file, Path):
        with open_regular(file, largest) as opened:
            return zip_members(opened, largest, most)

    members = _central_directory(file, most)
    if any(member.flag_bits & 1 for member in members):
        raise UntrustedFileError("is encrypted")

    _require_plausible_sizes(members, file.seek(0, os.SEEK_END), largest)
    seen: set[str] = set()
    for member in members:
        name = printable(member.filename)
        if member.filename in seen:
            raise UntrustedFileError(f"holds two members of the name {name}")
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise UntrustedFileError(f"member {name} is packed by a method that is not deflate")
        seen.add(member.filename)
    return members


def _central_directory(file: IO[bytes], most: int) -> list[zipfile.ZipInfo]:
    """The members that an archive lists, at most `most`."""
    many = f"holds more than {most:,} members, the most that are read"
    try:
        end = zipfile._EndRecData(file)  # type: ignore[attr-defined]  # what ZipFile itself asks
        if end and end[zipfile._ECD_SIZE] > most * LARGEST_ENTRY:  # type: ignore[attr-defined]
            raise UntrustedFileError(many)
        with zipfile.ZipFile(file) as archive:
            members = archive.infolist()
    except UntrustedFileError:
        raise
    except (zipfile.BadZipFile, NotImplementedError, ValueError, struct.error, OSError) as error:
        raise UntrustedFileError(f"is not a zip archive ({printable(str(error))})") from None

    if len(members) > most:
        raise UntrustedFileError(many)
    return members


def _require_plausible_sizes(members: list[zipfile.ZipInfo], packed: int, largest: int) -> None:
    """UntrustedFileError if an archive of `packed` bytes unpacks to more than is plausible."""
    size = sum(member.file_size for member in members)
    if size > largest:
        raise UntrustedFileError(f"unpacks to {size:,} bytes; at most {largest:,} are read")
    if size > ALWAYS_PLAUSIBLE + LARGEST_EXPANSION * packed:
        raise UntrustedFileError(
            f"unpacks to {size:,} bytes, more than {LARGEST_EXPANSION} times its own size"
        )
    for member in members:
        if member.file_size > LARGEST_RATIO * member.compress_size:
            name = printable(member.filename)
            raise UntrustedFileError(f"member {name} unpacks to more than it can hold")


def printable(text: object, longest: int = LONGEST_SHOWN) -> str:
    """Text from a file as one short line that a terminal shows as it is.

    Args:
        text: Anything; its `str` is shown.
        longest: Characters to show; the rest is replaced by an ellipsis.

    Returns:
        The text with control, format and unpaired surrogate characters escaped.
    """
    whole = str(text)
    shown = "".join(
        c if c.isprintable() else ascii(c)[1:-1]  # a space is, other kinds of space are not
        for c in whole[: longest + 1]
    )
    return shown if len(shown) <= longest else shown[: longest - 1] + "…"


def _refuse_constant(name: str) -> None:
    raise UntrustedFileError(f"is not JSON (it holds {name})")


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The object of these pairs; of two equal names, readers of JSON take one or the other."""
    value = dict(pairs)
    if len(value) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for i, name in enumerate(names) if name in names[:i])
        raise UntrustedFileError(f"holds JSON with the name {printable(twice)} twice in an object")
    return value


def _encodable(value: Any) -> bool:
    """Return whether all strings of a parsed JSON value are text."""
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True
