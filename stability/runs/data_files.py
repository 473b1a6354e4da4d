"""Readers of a generation: a table, an array of features, a folder of pictures or tables, or a
generation of a recorded run.

Every reader returns a raw table: columns by name. Features become columns x0, x1, …; the classes of
a folder of pictures become a column.
"""

import importlib
import re
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stability.runs.array_files import npz_sizes, read_npy, read_npz
from stability.runs.command_line import UsageError
from stability.runs.run_generations import RunGeneration
from stability.runs.table_files import CLASS_FOLDER, MOST_ROWS, RawTable, raw_table, read_raw
from stability.runs.untrusted import UntrustedFileError, open_regular, printable
from stability.runs.user_code import failure_in_user_code

__all__ = ["FEATURE_SPACES", "natural_order", "read_data"]

TABLES = (".csv", ".tsv", ".txt", ".parquet", ".pq")
ARRAYS = (".npy", ".npz")
PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff")
LARGEST_ARRAY = 2**33
LARGEST_PICTURE = 2**28
MOST_PIXELS = 2**26
MOST_PICTURES = 100_000
BACKGROUND = (255, 255, 255)
CONVOLUTIONS = ((3, 32), (32, 64))

Features = Callable[[NDArray[np.uint8]], Any]
"""A function from a picture, uint8 (height, width, 3), to its features (k,)."""
FEATURE_SPACES = ("pixels", "random-conv", "NAME:FILE", "module:function")
PLUGINS = "retraining.features"
"""Entry points of packages that offer feature spaces: name -> function of a file -> `Features`."""


def natural_order(paths: Sequence[Path]) -> list[Path]:
    """Sort paths as people count: gen2 before gen10.

    Args:
        paths: Files or folders.

    Returns:
        The same, sorted.
    """

    def key(path: Path) -> tuple[list[tuple[int, int, str]], str]:
        parts = re.split(r"(\d+)", str(path))
        return [(1, int(p), "") if p.isdecimal() else (0, 0, p) for p in parts], str(path)

    return sorted(paths, key=key)


def read_data(source: Any, features: str = "pixels", array: str | None = None) -> RawTable:
    """Read one generation, or the real data.

    Args:
        source: A path, a pandas table, an array of features (n, d), or a run's generation.
        features: Of pictures: `pixels`, `random-conv`, `inception:FILE` (weights; of the package
            `deep`), or `module:function`, which maps a picture (height, width, 3) of uint8 to
            features.
        array: Name of the array in an .npz file that has several.

    Returns:
        Its rows.

    Raises:
        UsageError: If it is no such thing; one line that names it.
        OSError: If a file cannot be opened.
    """
    if isinstance(source, RunGeneration):
        return _from_array(source.points(), source.name)
    if isinstance(source, np.ndarray):
        return _from_array(source, "array")
    if not isinstance(source, str | Path):
        return raw_table(source)

    path = Path(source)
    if path.is_dir():
        return _from_folder(path, features, array)
    suffix = path.suffix.lower()
    if suffix in TABLES:
        return read_raw(path)
    if suffix in ARRAYS:
        try:
            return _from_array(_array(path, array), str(path))
        except UntrustedFileError as error:
            raise UsageError(f"{path}: {error}") from None
    if not path.exists():
        raise UsageError(f"{path}: no such file or folder")
    raise UsageError(f"{path}: want a folder or one of {', '.join((*TABLES, *ARRAYS))}")


def _array(path: Path, name: str | None) -> NDArray[Any]:
    if path.suffix.lower() == ".npy":
        return read_npy(path, LARGEST_ARRAY)
    names = list(npz_sizes(path, LARGEST_ARRAY))
    if name is None and len(names) != 1:
        arrays = read_npz(path, LARGEST_ARRAY)
        shown = ", ".join(f"{printable(n)} {x.shape}" for n, x in arrays.items())
        raise UsageError(f"{path}: holds {shown or 'no array'}: name one with --array")
    chosen = names[0] if name is None else name
    return read_npz(path, LARGEST_ARRAY, [chosen])[chosen]


def _from_array(points: NDArray[Any], source: str) -> RawTable:
    if points.dtype.kind not in "biuf":
        raise UsageError(f"{source}: holds {points.dtype}, not real numbers")
    if points.ndim < 1:
        raise UsageError(f"{source}: holds one number; want rows of features")
    if not len(points):
        raise UsageError(f"{source}: 0 rows; nothing to compare")
    flat = points.reshape(len(points), -1).astype(np.float64)
    total, notes = len(flat), ()
    if total > MOST_ROWS:
        chosen = np.random.default_rng(MOST_ROWS).permutation(total)[:MOST_ROWS]
        flat = flat[np.sort(chosen)]
        notes = (f"{Path(source).name}: {MOST_ROWS:,} of {total:,} rows, drawn at random",)
    cells = {f"x{j}": flat[:, j] + 0.0 for j in range(flat.shape[1])}
    return RawTable(cells, {}, total, notes, points=True)


def _from_folder(folder: Path, features: str, array: str | None) -> RawTable:
    """The only table or array of a folder, or its pictures."""
    inside = natural_order(list(folder.rglob("*")))
    files = [path for path in inside if path.is_file() and not _is_hidden(path, folder)]
    data = [path for path in files if path.suffix.lower() in (*TABLES, *ARRAYS)]
    pictures = [path for path in files if path.suffix.lower() in PICTURES]
    if len(data) == 1 and not pictures:
        return read_data(data[0], features, array)
    if data or not pictures:
        found = f"{data[0].name}" if data else "no table, array or picture"
        found += f" and {len(data) - 1} more tables or arrays" if len(data) > 1 else ""
        found += f" and {_pictures(len(pictures))}" if pictures else ""
        raise UsageError(f"{folder}: holds {found}; want one table, one array, or pictures alone")
    if len(pictures) > MOST_PICTURES:
        raise UsageError(f"{folder}: holds {len(pictures):,} pictures; at most {MOST_PICTURES:,}")
    return _from_pictures(folder, pictures, features)


def _is_hidden(path: Path, folder: Path) -> bool:
    """True for what file managers leave beside the files of a user: .DS_Store, ._a.png."""
    parts = path.relative_to(folder).parts
    return any(part.startswith(".") or part == "__MACOSX" for part in parts)


def _from_pictures(folder: Path, paths: list[Path], features: str) -> RawTable:
    space = _feature_space(features)
    rows, size, laid = [], None, 0
    for path in paths:
        picture, transparent = _picture(path)
        laid += transparent
        if features == "pixels" and size not in (None, picture.shape):
            raise UsageError(
                f"{path}: has {picture.shape[1]}×{picture.shape[0]} pixels, others have "
                f"{size[1]}×{size[0]}; make them one size, or use --features random-conv"
            )
        size = picture.shape
        row = np.asarray(space(picture), dtype=np.float64).reshape(-1)
        if not np.isfinite(row).all():
            raise UsageError(f"{path}: {features} gives NaN, Inf or nothing")
        if rows and len(row) != len(rows[0]):
            raise UsageError(f"{path}: {features} gives {len(row)} features, {len(rows[0])} before")
        rows.append(row)

    raw = _from_array(np.stack(rows), str(folder))
    notes = [f"{folder.name}: {_pictures(len(rows))}"]
    if laid:
        notes.append(f"{folder.name}: {_pictures(laid)} with transparency, laid on white")
    cells = dict(raw.cells)
    classes = [path.relative_to(folder).parts[0] for path in paths]
    if all(len(path.relative_to(folder).parts) == 2 for path in paths):
        cells[CLASS_FOLDER] = np.array(classes, object)
    return RawTable(cells, {}, raw.total_rows, (*notes, *raw.notes), points=True)


def _pictures(count: int) -> str:
    return "1 picture" if count == 1 else f"{count} pictures"


def _picture(path: Path) -> tuple[NDArray[np.uint8], bool]:
    """RGB pixels (height, width, 3) as a viewer shows them, on white; whether that mattered."""
    from PIL import Image, ImageOps, UnidentifiedImageError

    try:
        with open_regular(path, LARGEST_PICTURE) as file, Image.open(file) as opened:
            if opened.width * opened.height > MOST_PIXELS:
                raise UsageError(f"{path}: has more than {MOST_PIXELS:,} pixels")
            if opened.mode[0] in "IF":  # Pillow would cut them off at 255
                raise UsageError(f"{path}: has more than 8 bits a channel: convert it to 8")
            turned = ImageOps.exif_transpose(opened)
            layered = turned.convert("RGBA")
    except UsageError:
        raise
    except UntrustedFileError as error:
        raise UsageError(f"{path}: {error}") from None
    except UnidentifiedImageError:
        raise UsageError(f"{path}: is no picture") from None
    except (OSError, ValueError, SyntaxError) as error:
        raise UsageError(f"{path}: is no picture ({printable(str(error))})") from None
    white = Image.new("RGBA", layered.size, (*BACKGROUND, 255))
    transparent = layered.getextrema()[3][0] < 255  # type: ignore[index]
    return np.asarray(Image.alpha_composite(white, layered).convert("RGB")), bool(transparent)


def _feature_space(name: str) -> Features:
    if name == "pixels":
        return lambda picture: picture.reshape(-1) / 255.0
    if name == "random-conv":
        return _random_convolutions()

    module, colon, function = name.partition(":")
    if not colon:
        raise UsageError(
            f"--features must be pixels, random-conv, inception:FILE or module:function, got {name}"
        )

    try:
        for plugin in entry_points(group=PLUGINS, name=module):
            return plugin.load()(Path(function))
    except ValueError as error:
        raise UsageError(f"--features {name}: {printable(str(error))}") from None

    if str(Path.cwd()) not in sys.path:  # the command `retraining` is started elsewhere
        sys.path.insert(0, str(Path.cwd()))
    try:
        found = getattr(importlib.import_module(module), function)
    except Exception as error:
        words = failure_in_user_code(error) or str(error)
        raise UsageError(f"--features {name}: {printable(words)}") from None

    if not callable(found):
        raise UsageError(f"--features {name}: is no function")
    return found


def _random_convolutions() -> Features:
    """Two layers of random filters, the same in every call; mean and spread of each channel."""
    import torch

    generator = torch.Generator().manual_seed(0)
    layers = [
        torch.randn(out, into, 5, 5, generator=generator) / (5 * into**0.5)
        for into, out in CONVOLUTIONS
    ]

    def space(picture: NDArray[np.uint8]) -> NDArray[np.float64]:
        x = torch.from_numpy(picture.copy()).permute(2, 0, 1)[None] / 255.0 - 0.5
        for layer in layers:
            x = torch.relu(torch.nn.functional.conv2d(x, layer, stride=2, padding=2))
        mean, spread = x.mean(dim=(2, 3)), x.std(dim=(2, 3), correction=0)
        return torch.cat([mean, spread], dim=1)[0].double().numpy()

    return space
