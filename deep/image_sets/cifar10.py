"""CIFAR-10, "python version": pickled batches in a tar.gz, or in the folder that it unpacks to."""

import gzip
import io
import pickle
import pickletools
import tarfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from deep.image_sets.image_set import DataError, ImageSet, one_error
from stability.runs.untrusted import open_regular, printable, read_bytes

__all__ = ["CIFAR10_FOLDER", "TRAINING_BATCHES", "cifar10_folder", "read_batches"]

CIFAR10_FOLDER = "cifar-10-batches-py"
TRAINING_BATCHES = tuple(f"data_batch_{i}" for i in range(1, 6))
LARGEST_BATCH = 2**25
"""Bytes of a batch, which has 31 million."""
LARGEST_ARCHIVE = 2**28
"""Bytes of the archive, packed and unpacked: unpacked 186 million, and a margin."""
MOST_OPERATIONS = 200_000
"""Steps of a batch's pickle, which has 40,000."""
_BLOCK = 512  # bytes, of a tar archive
_LONGER_HEADERS = (
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
)


def cifar10_folder(path: Path) -> Path | None:
    """The folder of the batches, if `path` is it or holds it.

    Args:
        path: Any path.

    Returns:
        The folder; None if there is no such folder.
    """
    folders = (path, path / CIFAR10_FOLDER)
    return next((folder for folder in folders if (folder / TRAINING_BATCHES[0]).is_file()), None)


def read_batches(path: Path, batches: Sequence[str] = TRAINING_BATCHES) -> ImageSet:
    """Read batches of the archive or of its unpacked folder.

    The batches are pickles. They are read by an unpickler that knows one array of bytes and plain
    containers, and refuses everything else.

    Args:
        path: The archive, or the folder.
        batches: Names of the batches, in the order that is wanted.

    Returns:
        Their images and labels, one after another.

    Raises:
        DataError: If there is nothing such, or if it is not what its name says.
        OSError: If it cannot be read.
    """
    names = ("batches.meta", *batches)
    files = _batch_files(path, names) if path.is_dir() else _batches_of_archive(path, names)
    missing = [name for name in names if name not in files]
    if missing:
        raise DataError(f"is not CIFAR-10: it lacks {', '.join(missing)}")

    rows = _unpickled(files["batches.meta"], "batches.meta").get("num_cases_per_batch")
    if type(rows) is not int:
        raise DataError("batches.meta: num_cases_per_batch must be a number")
    data, labels = zip(*(_read_batch(files[name], name, rows) for name in batches), strict=True)
    return ImageSet(np.concatenate(data), np.concatenate(labels))


def _batch_files(folder: Path, names: Sequence[str]) -> dict[str, bytes]:
    found = {}
    for name in names:
        if (folder / name).is_file():
            with one_error(name):
                found[name] = read_bytes(folder / name, LARGEST_BATCH)
    return found


def _batches_of_archive(path: Path, names: Sequence[str]) -> dict[str, bytes]:
    """The wanted members, read in one pass; nothing is unpacked to the disk."""
    found = {}
    with open_regular(path, LARGEST_ARCHIVE) as file, gzip.open(file) as stream:
        for member, content in _members(_Bounded(stream, LARGEST_ARCHIVE)):
            folder, _, name = member.strip("./").rpartition("/")
            if folder == CIFAR10_FOLDER and name in names:
                if name in found:
                    raise DataError(f"holds {name} twice")
                found[name] = content
    return found


def _members(stream: "_Bounded") -> Iterator[tuple[str, bytes]]:
    """Name and content of each file of a tar archive, as far as it can be a batch (empty beyond).

    The headers that make names longer or add times ("pax", GNU) are passed over: no batch needs
    them, and Python before 3.11.10 can be kept busy by them without end.
    """
    while len(block := stream.read(_BLOCK)) == _BLOCK and any(block):
        member = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
        name = printable(member.name)
        if member.size < 0:
            raise DataError(f"member {name} has a negative size")
        if member.type in _LONGER_HEADERS:
            stream.skip(member.size)
        elif member.isdir():
            _require_inside(member.name)
        elif member.type in (tarfile.REGTYPE, tarfile.AREGTYPE):
            _require_inside(member.name)
            content = stream.read(member.size) if member.size <= LARGEST_BATCH else b""
            stream.skip(member.size - len(content))
            yield member.name, content
        else:
            raise DataError(f"member {name} is neither a file nor a folder")
        stream.skip(-member.size % _BLOCK)


def _require_inside(name: str) -> None:
    parts = name.replace("\\", "/").split("/")
    if name.startswith(("/", "\\")) or ".." in parts or ":" in name:
        raise DataError(f"member {printable(name)} leads out of the archive")


class _Bounded:
    """A stream that gives up after `limit` bytes, so that no small archive unpacks without end."""

    def __init__(self, stream: Any, limit: int) -> None:
        self._stream, self._left, self._limit = stream, limit, limit

    def read(self, size: int) -> bytes:
        """Read the next bytes.

        Args:
            size: Their number.

        Returns:
            The bytes; none at the end.

        Raises:
            DataError: If some but not all are there, or the limit is passed.
        """
        if size > self._left:
            raise DataError(f"unpacks to more than {self._limit} bytes")
        data = self._stream.read(size)
        self._left -= len(data)
        if data and len(data) < size:
            raise DataError("is cut short")
        return data

    def skip(self, size: int) -> None:
        while size > 0:
            part = min(size, 2**20)
            if not self.read(part):
                raise DataError("is cut short")
            size -= part


def _read_batch(content: bytes, name: str, rows: int) -> tuple[np.ndarray, np.ndarray]:
    batch = _unpickled(content, name)
    data, labels = batch.get("data"), batch.get("labels")
    if not (isinstance(data, np.ndarray) and data.shape == (rows, 3072)):
        found = data.shape if isinstance(data, np.ndarray) else type(data).__name__
        raise DataError(f"{name} must hold {rows} images of 3072 bytes, got {found}")
    if not (
        isinstance(labels, list)
        and len(labels) == rows
        and all(type(label) is int and 0 <= label < 10 for label in labels)
    ):
        raise DataError(f"{name} must hold {rows} labels from 0 to 9")
    return data.reshape(-1, 3, 32, 32), np.array(labels, dtype=np.int64)


# Pickles


def _unpickled(content: bytes, name: str) -> dict[str, Any]:
    """The dictionary of a batch, with its keys as text: Python 2 wrote bytes."""
    with one_error(name):
        _require_plain(content)
        batch = _BatchUnpickler(io.BytesIO(content)).load()
        if not isinstance(batch, dict):
            raise DataError(f"is a {type(batch).__name__}, not a dictionary")
        keys = (key.decode("latin1") if isinstance(key, bytes) else key for key in batch)
        values = (value.array() if isinstance(value, _Array) else value for value in batch.values())
        return dict(zip(keys, values, strict=True))


_OPERATIONS = {
    "PROTO", "FRAME", "STOP", "MARK", "NONE", "NEWTRUE", "NEWFALSE", "INT", "BININT", "BININT1",
    "BININT2", "LONG", "LONG1", "STRING", "BINSTRING", "SHORT_BINSTRING", "BINBYTES",
    "SHORT_BINBYTES", "BINBYTES8", "UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "PUT", "BINPUT",
    "LONG_BINPUT", "MEMOIZE", "GET", "BINGET", "LONG_BINGET", "GLOBAL", "STACK_GLOBAL", "REDUCE",
    "BUILD", "EMPTY_DICT", "DICT", "SETITEM", "SETITEMS", "EMPTY_LIST", "LIST", "APPEND",
    "APPENDS", "EMPTY_TUPLE", "TUPLE", "TUPLE1", "TUPLE2", "TUPLE3",
}  # fmt: skip


def _require_plain(content: bytes) -> None:
    """DataError if a pickle has other operations than a batch needs, or many more.

    It runs nothing.
    """
    for i, (operation, _, _) in enumerate(pickletools.genops(content)):
        if operation.name not in _OPERATIONS:
            raise DataError(
                f"has the pickle operation {operation.name}, which no CIFAR-10 batch needs: not "
                "loaded"
            )
        if i >= MOST_OPERATIONS:
            raise DataError(f"is a pickle of more than {MOST_OPERATIONS} operations")


class _Named(dict[Any, Any]):
    """A dictionary of a batch. Its keys are text: the hash of nested tuples can take for ever."""

    def __setitem__(self, key: object, value: object) -> None:
        if not isinstance(key, str | bytes):
            raise DataError(f"holds a dictionary with a key that is a {type(key).__name__}")
        super().__setitem__(key, value)


class _Array:
    """Stand-in for a pickled NumPy array: its state, as data."""

    _state: object = None

    def __setstate__(self, state: object) -> None:
        self._state = state

    def array(self) -> np.ndarray:
        match self._state:
            case (int(), (int() as rows, int() as columns), _ByteType(), False, bytes(data)):
                return np.frombuffer(data, np.uint8).reshape(rows, columns)
        raise DataError("holds an array that is not one of bytes in C order")


class _ByteType:
    """Stand-in for the type of such an array."""

    def __setstate__(self, state: object) -> None:
        pass


class _BatchUnpickler(pickle._Unpickler):  # the one in C sizes its memory by a number in the file
    """An unpickler that calls nothing but the functions in `find_class`."""

    def __init__(self, file: BinaryIO) -> None:
        super().__init__(file, encoding="bytes")
        self._encoded = 0

    def find_class(self, module: str, name: str) -> Callable[..., object]:
        def reconstruct(*_: object) -> _Array:
            return _Array()

        def dtype(code: object, *_: object) -> _ByteType:
            if not isinstance(code, str | bytes) or code not in ("u1", b"u1"):
                kind = printable(code, 20) if isinstance(code, str | bytes) else type(code).__name__
                raise DataError(f"holds an array of type {kind}, not uint8")
            return _ByteType()

        def ndarray() -> None:  # only ever named, as an argument of `reconstruct`
            raise DataError("calls numpy.ndarray")

        # how Python 3 writes bytes in protocol 2
        def encode(text: object, encoding: object) -> bytes:
            if not isinstance(text, str) or encoding != "latin1":
                raise DataError("holds bytes in an unknown encoding")
            self._encoded += len(text)
            if self._encoded > LARGEST_BATCH:
                raise DataError("unpacks to more bytes than a batch has")
            return text.encode("latin1")

        known = {
            "numpy.core.multiarray._reconstruct": reconstruct,
            "numpy._core.multiarray._reconstruct": reconstruct,
            "numpy.ndarray": ndarray,
            "numpy.dtype": dtype,
            "_codecs.encode": encode,
        }
        asked = f"{module}.{name}"
        if asked not in known:
            raise DataError(
                f"asks for {printable(asked, 60)}, which no CIFAR-10 batch needs: not loaded"
            )
        return known[asked]

    def _load_empty_dictionary(self) -> None:
        self.append(_Named())  # type: ignore[attr-defined]

    def _load_dictionary(self) -> None:
        items = self.pop_mark()  # type: ignore[attr-defined]
        named = _Named()
        for key, value in zip(items[::2], items[1::2], strict=True):
            named[key] = value
        self.append(named)  # type: ignore[attr-defined]

    dispatch = {  # type: ignore[assignment]  # noqa: RUF012 - as the class that it is derived from
        **pickle._Unpickler.dispatch,
        pickle.EMPTY_DICT[0]: _load_empty_dictionary,
        pickle.DICT[0]: _load_dictionary,
    }
