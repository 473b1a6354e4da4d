"""The value in a file of `torch.save`, of both its formats, read within bounds
(`deep.formats.unpickler`).

Since torch 1.6 a file is a zip archive, not compressed: `NAME/data.pkl`, and the numbers of each
storage in `NAME/data/KEY` with a checksum. Before, it was a row of pickles with the numbers behind
them.
"""

import io
import zipfile
from typing import IO, Any

import torch

from deep.formats.checkpoint_error import CheckpointError
from deep.formats.unpickler import Budget, Storage, Unpickler, bytes_left, require_bounded
from stability.runs.untrusted import printable, zip_members

__all__ = ["BEFORE_ZIP", "legacy_value", "load_torch"]

BEFORE_ZIP = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
"""The number, pickled, that files of the earlier format start with."""
LARGEST_PICKLE = 2**26
"""Bytes of `data.pkl`: 64 MiB."""


def load_torch(file: IO[bytes]) -> Any:
    """The value that `torch.save` wrote: plain containers, numbers, text and tensors on the CPU.

    Args:
        file: The file, at its start.

    Returns:
        The value. Tensors may share memory with each other, as in the file.

    Raises:
        CheckpointError: If it is damaged, holds anything else, or asks for more than it has.
    """
    if file.read(4).startswith(b"PK"):
        return _zip_value(file)
    file.seek(0)
    return legacy_value(file, Budget(numbers=bytes_left(file)))


def _zip_value(file: IO[bytes]) -> Any:
    file.seek(0)
    size = bytes_left(file)
    members = zip_members(file, largest=size)  # they are stored: not larger than the file
    names = {member.filename: member for member in members}
    for member in members:
        if member.compress_type != zipfile.ZIP_STORED or member.file_size != member.compress_size:
            raise CheckpointError(
                f"is no file of torch: {printable(member.filename)} is compressed"
            )

    pickles = [name for name in names if name.endswith("/data.pkl")]
    if any(name.endswith("/constants.pkl") for name in names):
        raise CheckpointError("is a TorchScript program, which is code: only weights are read here")
    if len(pickles) != 1:
        raise CheckpointError("is a zip archive, but not of torch: it holds no data.pkl")
    prefix = pickles[0].removesuffix("data.pkl")
    if names[pickles[0]].file_size > LARGEST_PICKLE:
        raise CheckpointError(f"holds a data.pkl of more than {LARGEST_PICKLE:,} bytes")

    with zipfile.ZipFile(file) as archive:
        if (
            f"{prefix}byteorder" in names
            and _member(archive, names[f"{prefix}byteorder"], 20) != b"little"
        ):
            raise CheckpointError("was written on a big-endian machine, which is not known here")
        content = _member(archive, names[pickles[0]], LARGEST_PICKLE)
        storages = _ZipStorages(archive, names, prefix, Budget(numbers=size))
        value = Unpickler(io.BytesIO(content), storages.budget, storage=storages.read).load()
    require_bounded(value)
    return value


def _member(archive: zipfile.ZipFile, member: zipfile.ZipInfo, largest: int) -> bytearray:
    """The bytes of a member that is not compressed, compared with its checksum."""
    if member.file_size > largest:
        raise CheckpointError(
            f"holds a member {printable(member.filename)} of {member.file_size:,} bytes"
        )
    content, at = bytearray(member.file_size), 0
    try:
        with archive.open(member) as opened:
            while piece := opened.read(2**22):
                content[at : at + len(piece)] = piece
                at += len(piece)
    except zipfile.BadZipFile:
        raise CheckpointError(
            f"is damaged: {printable(member.filename)} does not have its checksum"
        ) from None
    if at < len(content):
        raise CheckpointError(f"is damaged: {printable(member.filename)} is cut short")
    return content


class _ZipStorages:
    """The storages of a zip archive, each read when it is first asked for."""

    def __init__(
        self,
        archive: zipfile.ZipFile,
        names: dict[str, zipfile.ZipInfo],
        prefix: str,
        budget: Budget,
    ) -> None:
        self._archive, self._names, self._prefix, self.budget = archive, names, prefix, budget
        self._kept: dict[str, bytearray] = {}

    def read(self, pid: Any) -> Storage:
        dtype, key, count = _described(pid)
        name = f"{self._prefix}data/{key}"
        if name not in self._names:
            raise CheckpointError(f"is damaged: it holds no {printable(name)}")
        if key not in self._kept:
            size = self._names[name].file_size
            self.budget.pay(numbers=size)
            self._kept[key] = _member(self._archive, self._names[name], size)

        content = self._kept[key]
        if len(content) != count * dtype.itemsize:
            raise CheckpointError(
                f"is damaged: {printable(name)} has {len(content):,} bytes for {count:,} numbers"
            )
        return Storage(
            torch.frombuffer(content, dtype=dtype) if content else torch.empty(0, dtype=dtype)
        )


def legacy_value(file: IO[bytes], budget: Budget) -> Any:
    """The value in a file of the earlier format.

    Args:
        file: The file, at its start.
        budget: What it may still do; the bytes of its storages are paid from it.

    Returns:
        The value; a `Storage` where it holds one alone.

    Raises:
        CheckpointError: See `load_torch`.
    """
    storages: dict[str, Storage] = {}

    def made(pid: Any) -> Storage:
        dtype, key, count = _described(pid)
        if key not in storages:
            budget.pay(numbers=count * dtype.itemsize)
            storages[key] = Storage(torch.empty(count, dtype=dtype))
        if len(storages[key].numbers) != count or storages[key].numbers.dtype != dtype:
            raise CheckpointError(f"is damaged: storage {printable(key)} is described twice")
        return storages[key]

    if file.read(len(BEFORE_ZIP)) != BEFORE_ZIP:
        raise CheckpointError("is no file of torch")
    version, system = Unpickler(file, budget).load(), Unpickler(file, budget).load()
    if version != 1001 or not isinstance(system, dict) or system.get("little_endian") is not True:
        raise CheckpointError("is of a version of torch's earlier format that is not known")
    value = Unpickler(file, budget, storage=made).load()
    require_bounded(value)

    keys = Unpickler(file, budget).load()
    if not isinstance(keys, list) or set(keys) != set(storages) or len(keys) != len(storages):
        raise CheckpointError("is damaged: its storages are not those that it names")
    for key in keys:
        _fill(storages[key], file)
    return value


def _fill(storage: Storage, file: IO[bytes]) -> None:
    count = int.from_bytes(file.read(8), "little")
    numbers = storage.numbers
    if count != len(numbers) or bytes_left(file) < numbers.nbytes:
        raise CheckpointError(f"is damaged: a storage of {len(numbers):,} numbers is cut short")
    if count:
        numbers.copy_(torch.frombuffer(bytearray(file.read(numbers.nbytes)), dtype=numbers.dtype))


def _described(pid: Any) -> tuple[torch.dtype, str, int]:
    """Type, key and number of numbers of a storage, as its persistent identifier says them."""
    if (
        not isinstance(pid, tuple)
        or len(pid) < 5
        or pid[0] != "storage"
        or any(rest is not None for rest in pid[5:])
    ):
        raise CheckpointError(
            "holds a reference to something that is no storage: refused, nothing was run"
        )

    _, dtype, key, _, count = pid[:5]
    if (
        not isinstance(dtype, torch.dtype)
        or not isinstance(key, str)
        or type(count) is not int
        or count < 0
    ):
        raise CheckpointError(
            "holds a reference to something that is no storage: refused, nothing was run"
        )

    return dtype, key, count
