"""Inputs of `plan`: data as points, and an object with fit and sample."""

import inspect
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stability.loop.estimator_learner import EstimatorRecipe, from_estimator
from stability.planning.row_order import dependence
from stability.runs.command_line import UsageError
from stability.runs.data_files import read_data
from stability.runs.table_files import CLASS_FOLDER, RawTable
from stability.runs.table_schema import TableSchema, code_reference
from stability.runs.untrusted import printable
from stability.runs.user_code import run_file

__all__ = ["Points", "load_learner", "read_real_points", "read_round"]

SEED_NAMES = ("seed", "random_state")


@dataclass(frozen=True, eq=False)
class Points:
    """The real data as points, and how other data become points of the same coordinates.

    Attributes:
        values: (n, d), finite.
        names: One a coordinate.
        full: Schema of all columns of a table; None for arrays and pictures.
        schema: The columns that have coordinates: maps points to tables. None for arrays.
        pictures: Whether the coordinates are features of pictures.
        classes: Class folders of pictures, whose indicators are the first coordinates.
        notes: Remarks about reading, a line each.
    """

    values: NDArray[np.float64]
    names: tuple[str, ...]
    full: TableSchema | None = None
    schema: TableSchema | None = None
    pictures: bool = False
    classes: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def read_real_points(
    data: Any,
    *,
    categories: Collection[str] = (),
    features: str = "pixels",
    array: str | None = None,
) -> Points:
    """Read the real data.

    Args:
        data: An array (n, …), a table, or a path to a table, an array, or a folder of pictures.
        categories: Columns of numbers that are codes.
        features: Of pictures, as of `stability.runs.data_files.read_data`.
        array: Name of the array in an .npz file.

    Returns:
        The points. Keys, free text and empty columns of a table are left out, with a note.

    Raises:
        UsageError: If they cannot be read or are not finite.
        OSError: If a file cannot be opened.
    """
    name = _called(data, "real data")
    raw = read_data(data, features, array)
    if raw.points:
        classes = tuple(sorted(set(raw.cells.get(CLASS_FOLDER, ()))))
        values, names = _coordinates(raw, classes)
        pictures = isinstance(data, str | Path) and Path(data).is_dir()
        return Points(_usable(values, name), names, None, None, pictures, classes, raw.notes)

    coded = code_reference(raw, name, categories)
    lag = dependence(coded)
    kept = tuple(column for column in coded.schema.columns if column.width)
    if not kept:
        raise UsageError(f"{name}: no column of numbers, dates or categories")
    schema = TableSchema(kept)
    left = [c for c in coded.schema.columns if not c.width]
    notes = [f"left out: {c.name} ({'free text' if c.kind == 'text' else c.kind})" for c in left]
    if lag is not None:
        notes.append(
            f"rows depend on each other (lag-1 correlation {lag[1]:.2f} of {printable(lag[0])} in "
            "file order), so intervals are too narrow"
        )
    try:
        values = schema.encode(coded)
    except ValueError as error:
        raise UsageError(f"{name}: {error}") from None
    return Points(
        _usable(values, name),
        schema.coordinates,
        coded.schema,
        schema,
        notes=(*coded.notes, *notes),
    )


def read_round(
    known_round: tuple[Any, Any],
    real: Points,
    *,
    features: str = "pixels",
    array: str | None = None,
) -> tuple[Points, NDArray[np.float64], NDArray[np.float64]]:
    """Read a model's training set and samples, as points in the coordinates of the real ones.

    Args:
        known_round: Training data and samples, each as of `read_real_points`.
        real: The real points.
        features: See `read_real_points`.
        array: See `read_real_points`.

    Returns:
        The real points, the training points (k, d) and the samples (m, d). Where pictures of either
        are in no class folders, none of the three has classes, and a note says so.

    Raises:
        UsageError: If they cannot be read, are not finite, or have other columns.
        OSError: If a file cannot be opened.
    """
    names = [_called(*pair) for pair in zip(known_round, ("train", "samples"), strict=True)]
    raws = [read_data(data, features, array) for data in known_round]
    flat = [name for name, raw in zip(names, raws, strict=True) if CLASS_FOLDER not in raw.cells]
    if real.classes and flat:
        k, note = len(real.classes), f"no class folders in {flat[0]}: classes are not planned"
        left = {"values": real.values[:, k:], "names": real.names[k:], "classes": ()}
        real = replace(real, **left, notes=(*real.notes, note))
    for name, raw in zip(names, raws, strict=True):
        new = sorted(set(raw.cells.get(CLASS_FOLDER, ())) - set(real.classes)) if not flat else []
        if new:
            note = f"{name}: class {printable(new[0])} is in no folder of the real data; left out"
            real = replace(real, notes=(*real.notes, note))
    read = [_as_points(raw, name, real) for name, raw in zip(names, raws, strict=True)]
    notes = dict.fromkeys((*real.notes, *(note for _, own in read for note in own)))
    return replace(real, notes=tuple(notes)), read[0][0], read[1][0]


def _as_points(
    raw: RawTable, name: str, like: Points
) -> tuple[NDArray[np.float64], tuple[str, ...]]:
    """(k, d), with the coordinates of the real points, and notes about reading."""
    if raw.points != (like.schema is None):
        there, here = ("a table", "none") if like.schema is not None else ("no table", "one")
        raise UsageError(f"{name}: the real data are {there}, this is {here}")
    if like.schema is None or like.full is None:
        values, names = _coordinates(raw, like.classes)
        if len(names) != len(like.names):
            raise UsageError(
                f"{name} must have {len(like.names)} columns as the real data, got {len(names)}"
            )
        return _usable(values, name), raw.notes
    try:
        coded = like.full.read(raw, name)
        return _usable(like.schema.encode(coded), name), coded.notes
    except UsageError:
        raise
    except ValueError as error:
        raise UsageError(f"{name}: {error}") from None


def _called(data: Any, otherwise: str) -> str:
    return printable(data) if isinstance(data, str | Path) else otherwise


def _coordinates(
    raw: RawTable, classes: tuple[str, ...]
) -> tuple[NDArray[np.float64], tuple[str, ...]]:
    """(n, d) and the names: an indicator a class, then the features."""
    features = [name for name in raw.cells if name != CLASS_FOLDER]
    columns = [np.asarray(raw.cells[CLASS_FOLDER] == level, dtype=float) for level in classes]
    columns += [raw.cells[name] for name in features]
    return np.stack(columns, axis=1), (*(f"class {printable(c)}" for c in classes), *features)


def _usable(values: NDArray[np.float64], name: str) -> NDArray[np.float64]:
    if not np.isfinite(values).all():
        raise UsageError(f"{name} must be finite, got NaN or Inf")
    if len(values) < 2:
        raise UsageError(f"{name} must have at least 2 rows, got {len(values)}")
    return values


def load_learner(learner: Any, schema: TableSchema | None) -> Any:
    """Make a recipe (number of chains -> learner) of what a user has.

    Args:
        learner: `file.py:Class` (the file is run), a class or function whose objects have `fit` and
            `sample`, such an object's recipe, or a function of the number of chains.
        schema: Maps points to tables, for objects that take tables.

    Returns:
        The recipe.

    Raises:
        UserCodeError: If the file fails.
        UsageError: If there is no such file or name, or it has no `fit` and `sample`.
    """
    if isinstance(learner, str):
        learner = _named(learner)
    if isinstance(learner, EstimatorRecipe):
        return learner
    if not callable(learner):
        raise UsageError(
            f"learner must be a class or a function that makes objects, got an object of type "
            f"{type(learner).__name__}: each fit needs a new one"
        )
    parameters = _parameters(learner)
    if "chains" in parameters:
        return learner
    taken = [name for name in SEED_NAMES if name in parameters]

    def factory(seed: int) -> Any:
        return learner(**{taken[0]: seed}) if taken else learner()

    try:
        return from_estimator(factory, schema=schema)
    except TypeError as error:
        raise UsageError(f"learner: {error}") from None


def _parameters(make: Callable[..., Any]) -> Mapping[str, Any]:
    try:
        return inspect.signature(make).parameters
    except (TypeError, ValueError):
        return {}


def _named(text: str) -> Any:
    """The object that `file.py:Name` names."""
    file, colon, name = text.rpartition(":")
    if not (colon and file.endswith(".py") and name.isidentifier()):
        raise UsageError(f"learner must be like synth.py:Synth, got {printable(text)}")
    path = Path(file)
    if not path.is_file():
        raise UsageError(f"learner: there is no file {printable(file)}")
    module = run_file(path, f"{path.stem}_learner")
    if not hasattr(module, name):
        raise UsageError(f"learner: {printable(file)} has no {name}")
    return getattr(module, name)
