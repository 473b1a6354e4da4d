"""Images as files, PNG or JPEG, in a folder or in a zip, and the labels beside them.

Labels come from `dataset.json`, EDM's and StyleGAN's table, wherever it lies; in a folder without
one, from the names of the folders in which the images lie. What is not read is said in one line.
"""

import os
import re
import stat
import zipfile
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from deep.image_sets.image_set import (
    LARGEST_LABEL,
    LARGEST_SET,
    DataError,
    ImageSet,
    one_error,
    require_memory_for,
    require_plausible,
    warn_of,
)
from deep.image_sets.picture import LARGEST_SIDE, SUFFIXES, decode
from stability.runs.untrusted import open_regular, parse_json, printable, read_bytes, zip_members

__all__ = ["read_folder", "read_zip"]

TABLE = "dataset.json"
LARGEST_TABLE = 2**27
"""Bytes of dataset.json."""
MOST_FILES = 2**21
"""Files of a folder or members of a zip, of all kinds."""
SHOWN = 3
"""Names that a message repeats."""
_PART = re.compile(
    r"(train(ing)?|test(ing)?|val(id(ation)?)?|dev|eval)([-_]?(set|data|images|\d+))?",
    re.IGNORECASE,
)
_EDM_FOLDER = re.compile(r"\d{5}")

Read = Callable[[str, int], bytes]
"""The content of a file by its name, at most so many bytes."""


@dataclass(frozen=True)
class _Listing:
    """Names of files, each relative to the folder or zip.

    Attributes:
        images: Sorted by path, as text, so that 10.png comes before 2.png, as EDM's tool does.
        tables: Files named dataset.json, the outermost first.
        ignored: How many there are of each kind that is not read.
    """

    images: list[str]
    tables: list[str]
    ignored: Counter[str]


def read_folder(path: Path) -> ImageSet:
    """Read the images of a folder and of the folders in it; links to files are followed.

    Args:
        path: The folder.

    Returns:
        Images; labels from a table in it or from its folders, if there are any.
    """
    names, odd = _walk(path)
    listing = _listing(names)
    listing.ignored.update(odd)

    def read(name: str, limit: int) -> bytes:
        with one_error(printable(name)):
            return read_bytes(path / name, limit)

    packed = sum((path / name).stat().st_size for name in listing.images)
    images = _read_images(path, listing, packed, read)
    table = _table(path, listing)
    if table is not None:
        return ImageSet(images, _labels(path, read, table, listing.images))
    if listing.tables:
        return ImageSet(images)
    return ImageSet(images, _labels_of_folders(path, listing.images))


def read_zip(path: Path) -> ImageSet:
    """Read the images of a zip, as EDM's and StyleGAN's tools write it.

    Args:
        path: The zip.

    Returns:
        Images; labels if a table in it has them.

    Raises:
        DataError: If it is no such zip, or a member is a link, lies outside, or is too large.
    """
    with open_regular(path, LARGEST_SET) as file:
        members = {member.filename: member for member in zip_members(file, LARGEST_SET, MOST_FILES)}
        for name, member in members.items():
            _require_inside(name)
            if stat.S_ISLNK(member.external_attr >> 16):
                raise DataError(f"member {printable(name)} is a link")

        with zipfile.ZipFile(file) as archive:

            def read(name: str, limit: int) -> bytes:
                with one_error(printable(name)):
                    if members[name].file_size > limit:
                        raise DataError(f"has more than {limit} bytes")
                    with archive.open(members[name]) as member:
                        return member.read()

            listing = _listing(name for name in members if not name.endswith("/"))
            images = _read_images(path, listing, file.seek(0, os.SEEK_END), read)
            table = _table(path, listing)
            if table is not None:
                return ImageSet(images, _labels(path, read, table, listing.images))
            if not listing.tables:
                _say_that_folders_are_no_classes(path, listing.images)
            return ImageSet(images)


def _require_inside(name: str) -> None:
    path = PurePosixPath(name.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or ":" in name:
        raise DataError(f"member {printable(name)} leads out of the archive")


# Which files are images


def _walk(path: Path) -> tuple[list[str], Counter[str]]:
    """All files below a folder; and what is neither file nor folder, or not looked into,
    counted.
    """
    names: list[str] = []
    odd: Counter[str] = Counter()
    folders = [""]
    while folders:
        folder = folders.pop()
        with os.scandir(path / folder) as entries:
            for entry in entries:
                name = f"{folder}{entry.name}"
                if entry.is_file():
                    names.append(name)
                elif entry.is_dir(follow_symlinks=False) and not _hidden(entry.name):
                    folders.append(f"{name}/")
                elif entry.is_dir():
                    odd["hidden" if _hidden(entry.name) else "linked folder"] += 1
                else:
                    odd["pipe, device or broken link"] += 1
                if len(names) + len(folders) > MOST_FILES:
                    raise DataError(f"holds more than {MOST_FILES:,} files, the most that are read")
    return names, odd


def _hidden(name: str) -> bool:
    """Tell whether a file or folder is a system's: .ipynb_checkpoints, .DS_Store, ._x of macOS."""
    return name.startswith(".") or name == "__MACOSX"


def _listing(names: Iterable[str]) -> _Listing:
    images, tables = [], []
    ignored: Counter[str] = Counter()
    for name in names:
        path = PurePosixPath(name)
        if any(map(_hidden, path.parts)):
            ignored["hidden"] += 1
        elif name.lower().endswith(SUFFIXES):
            images.append(name)
        elif path.name == TABLE:
            tables.append(name)
        else:
            ignored[printable(path.suffix, 12) or "without suffix"] += 1
    return _Listing(sorted(images), sorted(tables, key=len), ignored)


def _counted(kinds: Counter[str]) -> str:
    """As in: 3 files: 2 .gif, 1 hidden."""
    total = kinds.total()
    ranked = sorted(kinds.items(), key=lambda item: (-item[1], item[0]))
    shown = ", ".join(f"{count} {kind}" for kind, count in ranked[: 2 * SHOWN])
    more = ", …" if len(kinds) > 2 * SHOWN else ""
    return f"{total} {'file' if total == 1 else 'files'}: {shown}{more}"


# Pixels


def _read_images(path: Path, listing: _Listing, packed: int, read: Read) -> np.ndarray:
    """(n, c, h, w) uint8.   packed: bytes of the files or of the zip."""
    names = listing.images
    if not names:
        found = f"; it holds {_counted(listing.ignored)}" if listing.ignored else ""
        raise DataError(f"holds no PNG or JPEG images{found}")
    _require_one_set(path, listing)

    content = read(names[0], LARGEST_SIDE**2 * 4)
    first, _ = decode(content, names[0])
    if len(names) * first.nbytes > LARGEST_SET:
        raise DataError(
            f"holds {len(names)} images of shape {first.shape}, more than {LARGEST_SET} bytes"
        )

    largest = 2 * first.nbytes + 2**20  # a file is not larger than its pixels by much
    require_plausible(len(names) * first.nbytes, packed)
    require_memory_for(len(names) * first.nbytes)
    images = np.empty((len(names), *first.shape), np.uint8)
    turned = []
    for i, name in enumerate(names):
        images[i], to_turn = _alike(decode(read(name, largest), name), name, first, names[0])
        if to_turn:
            turned.append(name)

    if turned:
        warn_of(
            path,
            f"{len(turned)} images, such as {printable(turned[0])}, have an Exif orientation, "
            "which is "
            "ignored: they are read as they are stored",
        )
    if listing.ignored:
        warn_of(path, f"ignored {_counted(listing.ignored)}")
    return images


def _alike(
    decoded: tuple[np.ndarray, bool], name: str, first: np.ndarray, first_name: str
) -> tuple[np.ndarray, bool]:
    image, _ = decoded
    if image.shape != first.shape:
        kinds = " (grey and RGB: convert all to one)" if image.shape[1:] == first.shape[1:] else ""
        raise DataError(
            f"holds images of different shapes{kinds}: {printable(first_name)} is {first.shape}, "
            f"{printable(name)} is {image.shape}"
        )
    return decoded


# Labels


def _common_folder(names: Sequence[str]) -> str:
    """The folder that all files lie in, with a slash at its end; empty at the top."""
    prefix = os.path.commonprefix([name[: name.rfind("/") + 1] for name in names])  # noqa: RUF071 - cut below
    return prefix[: prefix.rfind("/") + 1]


def _require_one_set(path: Path, listing: _Listing) -> None:
    """Ask which, if there is a training set beside others and no table for all of them."""
    common = _common_folder(listing.images)
    if any(common.startswith(table.removesuffix(TABLE)) for table in listing.tables):
        return
    tops = sorted(
        {name[len(common) :].split("/")[0] for name in listing.images if "/" in name[len(common) :]}
    )
    parts = [top for top in tops if _PART.fullmatch(top)]
    if len(parts) > 1:
        listed = " and ".join(f"{printable(part)}/" for part in parts)
        raise DataError(
            f"holds {listed}, which are not one set: give one of them, as in "
            f"{path / common / parts[-1]}"
        )


def _table(path: Path, listing: _Listing) -> str | None:
    """The dataset.json of all images, if there is one."""
    for table in listing.tables:
        folder = table.removesuffix(TABLE)
        outside = [name for name in listing.images if not name.startswith(folder)]
        if not outside:
            return table
    if len(listing.tables) > 1:
        shown = ", ".join(map(printable, listing.tables[:SHOWN]))
        raise DataError(
            f"holds {len(listing.tables)} sets, each with a {TABLE}: give one of {shown}"
        )
    if listing.tables:
        table = listing.tables[0]
        stray = next(n for n in listing.images if not n.startswith(table.removesuffix(TABLE)))
        warn_of(
            path,
            f"no labels are read, because {printable(stray)} lies outside of the folder of "
            f"{printable(table)}",
        )
    return None


def _labels_of_folders(path: Path, names: Sequence[str]) -> np.ndarray | None:
    """The number of the folder that an image lies in, among the sorted ones where the paths
    part.
    """
    common = _common_folder(names)
    inner = [name[len(common) :] for name in names]
    stray = [name for name in inner if "/" not in name]
    folders = [name.split("/")[0] for name in inner if "/" in name]
    classes = sorted(set(folders))
    if len(classes) < 2:
        return None
    if stray:
        shown = ", ".join(map(printable, stray[:SHOWN])) + (", …" if len(stray) > SHOWN else "")
        warn_of(
            path,
            f"no labels are read from the {len(classes)} folders, because images lie beside them: "
            f"{shown}",
        )
        return None
    numbers = {name: number for number, name in enumerate(classes)}
    return np.array([numbers[folder] for folder in folders])


def _say_that_folders_are_no_classes(path: Path, names: Sequence[str]) -> None:
    """In a zip; unless they are those into which EDM's tool divides any set."""
    common = _common_folder(names)
    folders = {inner.split("/")[0] for name in names if "/" in (inner := name[len(common) :])}
    if len(folders) > 1 and not all(_EDM_FOLDER.fullmatch(folder) for folder in folders):
        warn_of(
            path,
            f"no labels are read, because there is no {TABLE}; "
            f"unpack it to take its {len(folders)} folders for classes",
        )


def _labels(path: Path, read: Read, table: str, names: Sequence[str]) -> np.ndarray | None:
    """Class numbers by file name; None if the file has null, or vectors instead of class
    numbers.
    """
    content = read(table, min(LARGEST_TABLE, 2**20 + 2**10 * len(names)))
    folder = table.removesuffix(TABLE)
    with one_error(printable(table)):
        found = parse_json(content, LARGEST_TABLE)
        if not isinstance(found, dict) or "labels" not in found:
            raise DataError('must be an object with "labels"')
        if found["labels"] is None:
            return None
        by_name = _by_name(found["labels"])
        missing = [name for name in names if name.removeprefix(folder) not in by_name]
        if missing:
            raise DataError(f"has no label for {printable(missing[0])}")
        labels = [by_name[name.removeprefix(folder)] for name in names]
        if all(isinstance(label, list) for label in labels):
            warn_of(path, f"no labels are read, because {printable(table)} has vectors")
            return None
        if not all(type(label) is int and 0 <= label <= LARGEST_LABEL for label in labels):
            raise DataError("has labels that are not class numbers >= 0")
        return np.array(labels, dtype=np.int64)


def _by_name(entries: object) -> dict[str, object]:
    if isinstance(entries, dict):
        return entries
    if not isinstance(entries, list):
        raise DataError(
            f'"labels" must be a list of names and class numbers, got {type(entries).__name__}'
        )
    by_name: dict[str, object] = {}
    for entry in entries:
        match entry:
            case [str(name), label]:
                if by_name.setdefault(name, label) != label:
                    raise DataError(f"has two labels for {printable(name)}")
            case _:
                raise DataError(
                    f"has an entry that is not a name and a label: {printable(entry, 60)}"
                )
    return by_name
