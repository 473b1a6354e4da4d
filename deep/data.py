"""Image data sets in memory, as uint8, from the file formats of the field. Nothing that a file holds is executed.

| source | what it is |
|---|---|
| `digits` | scikit-learn's 1797 handwritten digits, 8×8, grey, with labels; embedded, so nothing is downloaded |
| `*.tar.gz`, or its folder | CIFAR-10, "python version" |
| `*.zip` | the zip of EDM and StyleGAN: square PNGs, and labels in `dataset.json` |
| a folder | PNGs, in any depth; labels from `dataset.json`, or else the names of the top-level folders |
| `*.npz`, `*.npy` | (n, c, h, w), (n, h, w, c) or (n, h, w); an .npz holds `images`, or one array, and `labels` |
"""

import gzip
import io
import json
import pickle
import stat
import tarfile
import warnings
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

import numpy as np
from PIL import Image

from deep.content_cache import digest

__all__ = ["DIGITS", "DataError", "ImageSet", "load_images", "read_cifar10"]

DIGITS = "digits"
CIFAR10_FOLDER = "cifar-10-batches-py"
TRAINING_BATCHES = tuple(f"data_batch_{i}" for i in range(1, 6))
LARGEST_SET = 2**36  # bytes of pixels: 64 GiB, since a set is kept in memory
LARGEST_SIDE = 4096  # pixels
LARGEST_BATCH = 2**25  # bytes of a CIFAR-10 batch, which has 31 million
LARGEST_ARCHIVE = 2**28  # bytes of CIFAR-10 unpacked: 186 million, and a margin
LARGEST_LABELS = 2**28  # bytes of dataset.json


class DataError(ValueError):
    """A source does not hold the images that it should; the message names it and says why."""


@dataclass(frozen=True)
class ImageSet:
    """Square images of one size.

    images: (n, c, h, h) uint8, n >= 1, c = 1 (grey) or 3 (RGB).
    labels: (n,) int64 class numbers >= 0, or None where the source has none.
    """

    images: np.ndarray
    labels: np.ndarray | None = None

    @cached_property
    def digest(self) -> str:
        """20 hexadecimal digits that stand for all pixels and labels: equal only for equal sets."""
        return digest(self.images, *(() if self.labels is None else (self.labels,)))

    def __post_init__(self) -> None:
        images, labels = self.images, self.labels
        if images.dtype != np.uint8:
            raise DataError(f"pixels must be uint8, got {images.dtype}")
        if images.ndim != 4 or images.shape[1] not in (1, 3) or images.shape[2] != images.shape[3] or not images.size:
            raise DataError(f"images must be (n, c, h, h) with n, h >= 1 and c = 1 or 3, got {images.shape}")
        if labels is None:
            return
        if labels.shape != (len(images),) or labels.dtype.kind not in "iu" or labels.min() < 0:
            raise DataError(
                f"labels must be {len(images)} class numbers >= 0, one an image, got {labels.dtype} {labels.shape}"
            )


def load_images(source: str | Path) -> ImageSet:
    """The training images of a source: see the table of this module. A CIFAR-10 archive gives its five batches.

    DataError if there is nothing such, or if it is not what its name says: truncated, of another format or size, images
    of different shapes, names that lead out of the archive, or sizes beyond what is plausible (a decompression bomb).
    """
    if source == DIGITS:
        return _digits()
    path = Path(source)
    with _one_error(path):
        if path.is_dir():
            cifar = [folder for folder in (path, path / CIFAR10_FOLDER) if (folder / TRAINING_BATCHES[0]).is_file()]
            return _read_cifar10(cifar[0]) if cifar else _read_folder(path)
        if not path.exists():
            raise DataError("no such file or folder")
        for suffix, read in _READERS.items():
            if path.name.endswith(suffix):
                return read(path)
    raise DataError(f"{path}: must be '{DIGITS}', a folder, or a file named {', '.join(f'*{s}' for s in _READERS)}")


@contextmanager
def _one_error(path: Path | str) -> Iterator[None]:
    """Whatever goes wrong in the block is a DataError that names `path`."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            yield
    except MemoryError:
        raise DataError(f"{path}: does not fit into memory") from None
    except Exception as error:  # readers of damaged files raise anything: OSError, EOFError, zlib.error, SyntaxError, …
        raise DataError(f"{path}: {' '.join(str(error).split()) or type(error).__name__}") from error


def _digits() -> ImageSet:
    from sklearn.datasets import load_digits  # takes a second

    pixels, labels = load_digits(return_X_y=True)
    images = np.round(pixels * (255 / 16)).astype(np.uint8)  # their grey values are 0 … 16
    return ImageSet(images.reshape(-1, 1, 8, 8), labels.astype(np.int64))


# CIFAR-10


def read_cifar10(path: Path, batches: Sequence[str] = TRAINING_BATCHES) -> ImageSet:
    """The batches of the archive or of its unpacked folder, in order; ["test_batch"] for the test set.

    The batches are pickles. They are read by an unpickler that knows one array of bytes and plain containers, and
    refuses everything else. DataError as for `load_images`.
    """
    with _one_error(path):
        return _read_cifar10(path, batches)


def _read_cifar10(path: Path, batches: Sequence[str] = TRAINING_BATCHES) -> ImageSet:
    names = ("batches.meta", *batches)
    files = _read_batch_files(path, names) if path.is_dir() else _read_batch_archive(path, names)
    missing = [name for name in names if name not in files]
    if missing:
        raise DataError(f"is not CIFAR-10: it lacks {', '.join(missing)}")
    rows = _unpickled(files["batches.meta"], "batches.meta").get("num_cases_per_batch")
    data, labels = zip(*(_read_batch(files[name], name, rows) for name in batches), strict=True)
    return ImageSet(np.concatenate(data), np.concatenate(labels))


def _read_batch_files(folder: Path, names: Sequence[str]) -> dict[str, bytes]:
    found = {}
    for name in names:
        if (folder / name).is_file():
            with (folder / name).open("rb") as file:
                found[name] = _read_at_most(file, LARGEST_BATCH, name)
    return found


def _read_batch_archive(path: Path, names: Sequence[str]) -> dict[str, bytes]:
    """The wanted members, read in one pass; nothing is unpacked to the disk."""
    found = {}
    with gzip.open(path) as stream, tarfile.open(fileobj=_Bounded(stream, LARGEST_ARCHIVE), mode="r|") as archive:
        for member in archive:
            name = _inner_path(member.name)
            if not (member.isfile() or member.isdir()):
                raise DataError(f"member {member.name} is neither a file nor a folder")
            if name.parent == PurePosixPath(CIFAR10_FOLDER) and name.name in names:
                file = archive.extractfile(member)
                assert file is not None  # it is a file
                found[name.name] = _read_at_most(file, LARGEST_BATCH, name.name)
    return found


class _Bounded(io.RawIOBase):
    """A stream that gives up after `limit` bytes, so that no small archive unpacks without end."""

    def __init__(self, stream: Any, limit: int) -> None:
        self._stream, self._left, self._limit = stream, limit, limit

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        data = self._stream.read(size if 0 <= size <= self._left else self._left + 1)
        self._left -= len(data)
        if self._left < 0:
            raise DataError(f"unpacks to more than {self._limit} bytes")
        return data


def _read_batch(content: bytes, name: str, rows: object) -> tuple[np.ndarray, np.ndarray]:
    batch = _unpickled(content, name)
    data, labels = batch.get("data"), batch.get("labels")
    if not (isinstance(data, np.ndarray) and data.shape == (rows, 3072)):
        found = data.shape if isinstance(data, np.ndarray) else type(data).__name__
        raise DataError(f"{name} must hold {rows} images of 3072 bytes, got {found}")
    if not (isinstance(labels, list) and len(labels) == rows and all(label in range(10) for label in labels)):
        raise DataError(f"{name} must hold {rows} labels from 0 to 9")
    return data.reshape(-1, 3, 32, 32), np.array(labels, dtype=np.int64)


def _unpickled(content: bytes, name: str) -> dict[str, Any]:
    """The dictionary of a batch, with its keys as text: Python 2 wrote bytes."""
    with _one_error(name):
        batch = _BatchUnpickler(io.BytesIO(content)).load()
        if not isinstance(batch, dict):
            raise DataError(f"is a {type(batch).__name__}, not a dictionary")
        keys = (key.decode("latin1") if isinstance(key, bytes) else key for key in batch)
        values = (value.array() if isinstance(value, _Array) else value for value in batch.values())
        return dict(zip(keys, values, strict=True))


class _Array:
    """What a pickled NumPy array becomes: its state, as data."""

    _state: object = None

    def __setstate__(self, state: object) -> None:
        self._state = state

    def array(self) -> np.ndarray:
        match self._state:
            case (int(), tuple(shape), _ByteType(), False, bytes(data)):
                return np.frombuffer(data, np.uint8).reshape(shape)
        raise DataError("holds an array that is not one of bytes in C order")


class _ByteType:
    """What the type of such an array becomes."""

    def __setstate__(self, state: object) -> None:
        pass


class _BatchUnpickler(pickle._Unpickler):  # the one in C sizes its memory by a number in the file
    """An unpickler that calls nothing but the functions in `find_class`."""

    def __init__(self, file: BinaryIO) -> None:
        super().__init__(file, encoding="bytes")

    def find_class(self, module: str, name: str) -> Callable[..., object]:
        def reconstruct(*_: object) -> _Array:
            return _Array()

        def dtype(code: object, *_: object) -> _ByteType:
            if code not in ("u1", b"u1"):
                raise DataError(f"holds an array of type {code!r}, not uint8")
            return _ByteType()

        def ndarray() -> None:  # only ever named, as an argument of `reconstruct`
            raise DataError("calls numpy.ndarray")

        def encode(text: str, encoding: str) -> bytes:  # how Python 3 writes bytes in protocol 2
            return text.encode(encoding) if encoding == "latin1" else b""

        known = {
            "numpy.core.multiarray._reconstruct": reconstruct,
            "numpy._core.multiarray._reconstruct": reconstruct,
            "numpy.ndarray": ndarray,
            "numpy.dtype": dtype,
            "_codecs.encode": encode,
        }
        if f"{module}.{name}" not in known:
            raise DataError(f"asks for {module}.{name}, which no CIFAR-10 batch needs: not loaded")
        return known[f"{module}.{name}"]


# Folders and zips of PNGs


def _read_zip(path: Path) -> ImageSet:
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            _inner_path(info.filename)
            if stat.S_ISLNK(info.external_attr >> 16):
                raise DataError(f"member {info.filename} is a link")

        def read(name: str, limit: int) -> bytes:
            with archive.open(name) as file:
                return _read_at_most(file, limit, name)

        return _read_pngs(archive.namelist(), read)


def _read_folder(path: Path) -> ImageSet:
    def read(name: str, limit: int) -> bytes:
        with (path / name).open("rb") as file:
            return _read_at_most(file, limit, name)

    names = [file.relative_to(path).as_posix() for file in path.rglob("*") if file.is_file()]
    found = _read_pngs(names, read)
    if found.labels is not None:
        return found
    folders = [PurePosixPath(name).parts[0] for name in _png_names(names)]
    classes = sorted(set(folders))
    if len(classes) < 2 or any("/" not in name for name in _png_names(names)):
        return found
    return ImageSet(found.images, np.array([classes.index(folder) for folder in folders]))


def _png_names(names: Iterable[str]) -> list[str]:
    """In the order of EDM's tool: by path, as text, so that 10.png comes before 2.png."""
    return sorted(name for name in names if name.lower().endswith(".png"))


def _read_pngs(names: Sequence[str], read: Callable[[str, int], bytes]) -> ImageSet:
    """names: of all files.   read: the content of one, at most so many bytes."""
    pngs = _png_names(names)
    if not pngs:
        raise DataError("holds no PNG images")
    first = _decoded(read(pngs[0], LARGEST_SIDE**2 * 4), pngs[0])
    if len(pngs) * first.nbytes > LARGEST_SET:
        raise DataError(f"holds {len(pngs)} images of shape {first.shape}, more than {LARGEST_SET} bytes")
    images = np.empty((len(pngs), *first.shape), np.uint8)
    for i, name in enumerate(pngs):
        image = _decoded(read(name, 2 * first.nbytes + 2**20), name)  # a PNG is not larger than its pixels by much
        if image.shape != first.shape:
            raise DataError(f"holds images of different shapes: {pngs[0]} is {first.shape}, {name} is {image.shape}")
        images[i] = image
    labels = _labels(read("dataset.json", LARGEST_LABELS), pngs) if "dataset.json" in names else None
    return ImageSet(images, labels)


def _decoded(content: bytes, name: str) -> np.ndarray:
    """(c, h, w) uint8."""
    with _one_error(name), Image.open(io.BytesIO(content), formats=("PNG",)) as image:
        if max(image.size) > LARGEST_SIDE:
            raise DataError(f"has {image.size[0]} × {image.size[1]} pixels; at most {LARGEST_SIDE} a side are read")
        if image.mode not in ("L", "RGB"):
            raise DataError(f"has mode {image.mode}; it must be 8-bit grey or RGB")
        pixels = np.asarray(image)
    return pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)


def _labels(content: bytes, names: Sequence[str]) -> np.ndarray | None:
    """Class numbers by file name; None if the file has null, or vectors instead of class numbers."""
    with _one_error("dataset.json"):
        entries = json.loads(content)["labels"]
        if entries is None:
            return None
        by_name = dict(entries)
        missing = [name for name in names if name not in by_name]
        if missing:
            raise DataError(f"has no label for {missing[0]}")
        labels = [by_name[name] for name in names]
        if all(isinstance(label, list) for label in labels):
            return None
        if not all(type(label) is int and 0 <= label < 2**31 for label in labels):
            raise DataError("has labels that are not class numbers >= 0")
        return np.array(labels, dtype=np.int64)


# Arrays


def _read_npz(path: Path) -> ImageSet:
    with zipfile.ZipFile(path) as archive:
        size = sum(info.file_size for info in archive.infolist())
    if size > LARGEST_SET:
        raise DataError(f"unpacks to {size} bytes, more than {LARGEST_SET}")
    with np.load(path, allow_pickle=False) as file:
        others = [name for name in file.files if name != "labels"]
        if "images" not in others and len(others) != 1:
            raise DataError(
                f"must hold an array named images, or one array; it holds {', '.join(file.files) or 'none'}"
            )
        images = file["images" if "images" in others else others[0]]
        labels = file["labels"] if "labels" in file.files else None
    if labels is not None and labels.dtype.kind in "iu":
        labels = labels.astype(np.int64)
    return ImageSet(_channels_first(images), labels)


def _read_npy(path: Path) -> ImageSet:
    mapped = np.load(path, mmap_mode="r", allow_pickle=False)  # compares shape and file size before any allocation
    return ImageSet(_channels_first(np.array(mapped)))


def _channels_first(images: np.ndarray) -> np.ndarray:
    if images.ndim == 3:
        return images[:, None]
    if images.ndim == 4 and images.shape[1] not in (1, 3):
        return np.ascontiguousarray(images.transpose(0, 3, 1, 2))
    return images


_READERS: dict[str, Callable[[Path], ImageSet]] = {
    ".tar.gz": _read_cifar10,
    ".zip": _read_zip,
    ".npz": _read_npz,
    ".npy": _read_npy,
}


# What all of them need


def _inner_path(name: str) -> PurePosixPath:
    """The path of an archive's member. DataError if it leads out of the archive."""
    path = PurePosixPath(name.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or ":" in name:
        raise DataError(f"member {name} leads out of the archive")
    return path


def _read_at_most(file: Any, limit: int, name: str) -> bytes:
    content = file.read(limit + 1)
    if len(content) > limit:
        raise DataError(f"{name} has more than {limit} bytes")
    return content
