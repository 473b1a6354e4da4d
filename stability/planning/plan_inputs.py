"""What `plan` is given: arrays, tables and files as points, and an object with fit and sample."""

import importlib.util
import inspect
import sys
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stability.loop.arguments import numeric_array
from stability.loop.estimator_learner import EstimatorRecipe, from_estimator
from stability.runs.array_files import npz_sizes, read_npy, read_npz
from stability.runs.table_schema import TableSchema, table_columns
from stability.runs.untrusted import UntrustedFileError, open_regular, printable

__all__ = ["InputError", "PlainCodec", "Points", "load_learner", "read_points"]

LARGEST_ARRAY = 2**32
LARGEST_TABLE = 2**30
SEED_NAMES = ("seed", "random_state")


class InputError(ValueError):
    """A file or an object cannot be planned with; the message names it."""


@dataclass(frozen=True)
class PlainCodec:
    """A schema whose tables have plain types: whole numbers and truth values not as objects.

    Attributes:
        schema: The schema.
    """

    schema: TableSchema

    def encode(self, table: Any) -> NDArray[np.float64]:
        """Encode a table.

        Args:
            table: With the columns of the schema.

        Returns:
            (n, width).
        """
        return self.schema.encode(table)

    def decode(self, points: Any) -> Mapping[str, NDArray]:
        """Decode points.

        Args:
            points: (n, width).

        Returns:
            Columns by name.
        """
        cells = self.schema.decode(points)
        for column in self.schema.columns:
            kinds = {type(level) for level in column.levels}
            if len(kinds) == 1 and kinds <= {int, bool} and not column.missing:
                cells[column.name] = cells[column.name].astype(kinds.pop())
        return cells


@dataclass(frozen=True, eq=False)
class Points:
    """Points, and what their coordinates are.

    Attributes:
        values: (n, d), finite.
        names: One a coordinate.
        codec: Maps them to tables; None for arrays.
    """

    values: NDArray[np.float64]
    names: tuple[str, ...]
    codec: PlainCodec | None = None


def read_points(
    data: Any,
    name: str,
    *,
    like: Points | None = None,
    categories: Collection[str] = (),
) -> Points:
    """Read points from an array, a table or a file.

    Args:
        data: An array (n, d), a table, or a path to .npy, .npz, .csv or .parquet.
        name: What to call it in an error.
        like: Points whose columns these must have.
        categories: Columns of whole numbers that are codes. Those of 0 and 1 are without being
            named.

    Returns:
        The points.

    Raises:
        InputError: If they cannot be read, are not finite, or differ from `like`.
        OSError: If a file cannot be opened.
    """
    if isinstance(data, str | Path):
        name = printable(data)
        data = _read_file(Path(data), name)
    try:
        points = _table_points(data, like, categories) if _is_table(data) else _array_points(data)
    except (ValueError, TypeError) as error:
        raise InputError(f"{name}: {error}") from None
    if not np.isfinite(points.values).all():
        raise InputError(f"{name} must be finite, got NaN or Inf")
    if len(points.values) < 2:
        raise InputError(f"{name} must have at least 2 rows, got {len(points.values)}")
    if like is not None and points.values.shape[1] != like.values.shape[1]:
        raise InputError(
            f"{name} must have {like.values.shape[1]} columns as the real data, got "
            f"{points.values.shape[1]}"
        )
    return points


def _is_table(data: Any) -> bool:
    return isinstance(data, Mapping) or hasattr(data, "columns")


def _array_points(data: Any) -> Points:
    values = numeric_array(data, "points").astype(float)
    if values.ndim == 1:
        values = values[:, None]
    if values.ndim != 2:
        raise ValueError(f"must be an array (n, d), got shape {values.shape}")
    return Points(values, tuple(f"x{j + 1}" for j in range(values.shape[1])))


def _table_points(data: Any, like: Points | None, categories: Collection[str]) -> Points:
    if like is not None and like.codec is not None:
        return Points(like.codec.encode(data), like.names, like.codec)
    if like is not None:
        raise ValueError("is a table, and the real data are an array")
    binary = [
        column
        for column, cells in table_columns(data).items()
        if cells.dtype.kind in "iuf" and np.isin(cells[cells == cells], (0, 1)).all()
    ]
    schema = TableSchema.of(data, {*categories, *binary})
    codec = PlainCodec(schema)
    return Points(codec.encode(data), schema.coordinates, codec)


def _read_file(path: Path, name: str) -> Any:
    """The array or table of a file; it executes nothing."""
    suffix = path.suffix.lower()
    try:
        if suffix == ".npy":
            return read_npy(path, LARGEST_ARRAY)
        if suffix == ".npz":
            sizes = npz_sizes(path, LARGEST_ARRAY)
            if len(sizes) != 1:
                raise InputError(f"{name} holds {', '.join(sizes)}: give a file of one array")
            return next(iter(read_npz(path, LARGEST_ARRAY).values()))
        if suffix in (".csv", ".parquet"):
            return _read_table(path, suffix)
    except UntrustedFileError as error:
        raise InputError(f"{name} {error}") from None
    raise InputError(f"{name} must end in .npy, .npz, .csv or .parquet")


def _read_table(path: Path, suffix: str) -> Any:
    try:
        import pandas
    except ImportError:
        raise InputError("tables need pandas and pyarrow: pip install pandas pyarrow") from None
    with open_regular(path, LARGEST_TABLE) as file:
        try:
            if suffix == ".parquet":
                return pandas.read_parquet(file)
            return pandas.read_csv(file, keep_default_na=False, na_values=[""], low_memory=False)
        except (ValueError, OSError, ImportError, UnicodeDecodeError) as error:
            raise UntrustedFileError(f"is no readable table ({printable(error)})") from None


def load_learner(learner: Any, codec: PlainCodec | None) -> Any:
    """Make a recipe (number of chains -> learner) of what a user has.

    Args:
        learner: `file.py:Class` (the file is run), a class or function whose objects have `fit` and
            `sample`, such an object's recipe, or a function of the number of chains.
        codec: Maps points to tables, for objects that take tables.

    Returns:
        The recipe.

    Raises:
        InputError: If there is no such file or name, or it has no `fit` and `sample`.
    """
    if isinstance(learner, str):
        learner = _named(learner)
    if isinstance(learner, EstimatorRecipe):
        return learner
    if not callable(learner):
        raise InputError(
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
        return from_estimator(factory, schema=codec)
    except TypeError as error:
        raise InputError(f"learner: {error}") from None


def _parameters(make: Callable[..., Any]) -> Mapping[str, Any]:
    try:
        return inspect.signature(make).parameters
    except (TypeError, ValueError):
        return {}


def _named(text: str) -> Any:
    """The object that `file.py:Name` names."""
    file, colon, name = text.rpartition(":")
    if not (colon and file.endswith(".py") and name.isidentifier()):
        raise InputError(f"learner must be like synth.py:Synth, got {printable(text)}")
    path = Path(file)
    if not path.is_file():
        raise InputError(f"learner: there is no file {printable(file)}")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None  # it ends in .py
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules.setdefault(path.stem, module)
    spec.loader.exec_module(module)
    if not hasattr(module, name):
        raise InputError(f"learner: {printable(file)} has no {name}")
    return getattr(module, name)
