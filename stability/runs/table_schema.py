"""Tables as arrays of numbers and back: a schema of mixed columns.

A learner and a distance take points (n, k). A table has numbers, whole numbers, dates, categories
and missing cells. `TableSchema` keeps what each column is, as measured once on a reference table:

    number, whole, date   one coordinate, (value − centre) / scale
    category              one coordinate a level, 0 or 1
    missing cells         one more coordinate, 1 where the cell is missing

Columns are found by name; their order in a table does not matter.
"""

import datetime
import math
import operator
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from numbers import Integral, Real
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from stability.runs.untrusted import printable

__all__ = ["ColumnKind", "TableColumn", "TableSchema", "table_columns"]

ColumnKind = Literal["number", "whole", "date", "category"]
Level = str | bool | int
LARGEST_WHOLE = 2**53
"""Above it float64 does not hold every whole number."""
MOST_LEVELS = 1000
"""Levels of one category: each is a coordinate."""
_DATE_UNITS = ("D", "s", "us")


@dataclass(frozen=True)
class TableColumn:
    """One column of a table, and where its cells lie in the encoded array.

    Attributes:
        name: Name in the table.
        kind: `number`, `whole` (rounded when decoded), `date` or `category`.
        levels: Of a category, in the order of their coordinates.
        missing: Whether cells may be missing: one more coordinate.
        centre: Of numbers: mean of the reference's cells, in the column's unit.
        scale: Of numbers: standard deviation of the reference's cells, > 0; 1 for a constant.
        unit: Of dates, NumPy's name: "D", "s" or "us". Numbers count it since 1970.
    """

    name: str
    kind: ColumnKind
    levels: tuple[Level, ...] = ()
    missing: bool = False
    centre: float = 0.0
    scale: float = 1.0
    unit: str = ""

    def __post_init__(self) -> None:
        if self.kind not in get_args(ColumnKind):
            raise ValueError(f"kind must be one of {get_args(ColumnKind)}, got {self.kind!r}")
        if (self.kind == "category") != bool(self.levels):
            raise ValueError(f"levels must be given for a category alone, got {self.levels}")
        if not (math.isfinite(self.centre) and 0 < self.scale < math.inf):
            raise ValueError(
                f"centre and scale must be finite, scale > 0, got {self.centre} and {self.scale}"
            )
        if (self.kind == "date") != (self.unit in _DATE_UNITS):
            raise ValueError(f"unit must be one of {_DATE_UNITS} for dates, got {self.unit!r}")

    @property
    def width(self) -> int:
        """Coordinates of the column in the encoded array."""
        return (len(self.levels) or 1) + self.missing

    @property
    def coordinates(self) -> tuple[str, ...]:
        """A name for each coordinate: `age`, `city = Bern`, `age missing`."""
        names = [f"{self.name} = {level}" for level in self.levels] or [self.name]
        return (*names, f"{self.name} missing") if self.missing else tuple(names)


@dataclass(frozen=True)
class TableSchema:
    """Maps tables of some columns to arrays (n, width) of float64 and back.

    Attributes:
        columns: In the order of their coordinates; names are all different.
    """

    columns: tuple[TableColumn, ...]

    def __post_init__(self) -> None:
        _require_distinct([column.name for column in self.columns])
        if not self.columns:
            raise ValueError("columns must not be empty")

    @classmethod
    def of(cls, table: Any, categories: Collection[str] = ()) -> "TableSchema":
        """Measure the schema of a reference table.

        Args:
            table: A pandas or polars table, or arrays and lists by name.
            categories: Names of columns of whole numbers that are codes, not quantities. Text,
                truth values and pandas' categories are categories without being named.

        Returns:
            The schema; cells may be missing where the reference has a missing cell.

        Raises:
            ValueError: If a column name occurs twice or is unknown, a column is empty, has infinite
                cells, whole numbers beyond 2**53, or too many levels.
            TypeError: If cells of a column are of different kinds, or of none of the four.
        """
        cells = table_columns(table)
        unknown = [name for name in categories if name not in cells]
        if unknown:
            raise ValueError(f"categories must be names of columns, got {printable(unknown[0])}")
        return cls(
            tuple(
                _measured(name, values, name in categories or _is_categorical(table, name))
                for name, values in cells.items()
            )
        )

    @property
    def width(self) -> int:
        """Coordinates of the encoded array."""
        return sum(column.width for column in self.columns)

    @property
    def coordinates(self) -> tuple[str, ...]:
        """A name for each coordinate of the encoded array."""
        return tuple(name for column in self.columns for name in column.coordinates)

    def encode(self, table: Any) -> NDArray[np.float64]:
        """Encode the rows of a table.

        Args:
            table: Has the columns of the schema, in any order; no others.

        Returns:
            (n, width). A missing number is 0, its column's mean, beside an indicator 1.

        Raises:
            ValueError: If a column is missing, unknown or of another length, a category has a level
                that the reference lacks, or a cell is missing where none was.
            TypeError: If cells are of another kind than the reference's.
        """
        cells = table_columns(table)
        names = [column.name for column in self.columns]
        for name in names:
            if name not in cells:
                raise ValueError(f"table must have the column {printable(name)}; it is missing")
        for name in cells:
            if name not in names:
                raise ValueError(
                    f"table must have the reference's columns alone, got {printable(name)}"
                )
        return np.concatenate([_encoded(c, cells[c.name]) for c in self.columns], axis=1)

    def decode(self, points: Any) -> dict[str, NDArray[Any]]:
        """Decode rows, also those that no table encodes to, such as a model's samples.

        Args:
            points: (n, width), finite. The largest coordinate of a category names its level; a cell
                is missing where the indicator is > 1/2 (a category's: where it is the largest).

        Returns:
            One array (n,) a column: float64, int64, datetime64, or objects for categories and for
            columns with missing cells (None).

        Raises:
            ValueError: If the shape is another or an entry is not finite.
        """
        points = np.asarray(points, dtype=float)
        if points.ndim != 2 or points.shape[1] != self.width or not np.isfinite(points).all():
            raise ValueError(
                f"points must be finite, of shape (n, {self.width}), got shape {points.shape}"
            )
        ends = np.cumsum([column.width for column in self.columns])
        parts = np.split(points, ends[:-1], axis=1)
        return {c.name: _decoded(c, part) for c, part in zip(self.columns, parts, strict=True)}

    def project(self, points: Any) -> NDArray[np.float64]:
        """Move points to the nearest rows that a table can have: `encode(decode(points))`.

        Args:
            points: (n, width), such as a model's samples.

        Returns:
            (n, width), with one level a category and whole numbers.
        """
        return self.encode(self.decode(points))

    def as_data(self) -> list[dict[str, Any]]:
        """The schema as JSON values, one object a column; `from_data` reads it back."""
        return [
            {
                "name": column.name,
                "kind": column.kind,
                "levels": list(column.levels),
                "missing": column.missing,
                "centre": column.centre,
                "scale": column.scale,
                "unit": column.unit,
            }
            for column in self.columns
        ]

    @classmethod
    def from_data(cls, data: Sequence[Mapping[str, Any]]) -> "TableSchema":
        """Read what `as_data` returned.

        Args:
            data: One object a column.

        Returns:
            The schema.

        Raises:
            ValueError: If a field has no such value.
            TypeError: If a field is missing or unknown.
        """
        return cls(tuple(TableColumn(**{**c, "levels": tuple(c["levels"])}) for c in data))


def table_columns(table: Any) -> dict[str, NDArray[Any]]:
    """Take a table apart.

    Args:
        table: A pandas or polars table, or arrays and lists by name.

    Returns:
        Each column's cells (n,), by name, in order.

    Raises:
        TypeError: If it is no table, or a name is no text.
        ValueError: If two columns have one name, or lengths differ.
    """
    if isinstance(table, Mapping):
        names = list(table)
    elif hasattr(table, "columns") and hasattr(table, "__getitem__"):
        names = list(table.columns)
    else:
        raise TypeError(f"table must be a table or columns by name, got {type(table).__name__}")
    for name in names:
        if not isinstance(name, str):
            raise TypeError(f"names of columns must be text, got {printable(repr(name))}")
    _require_distinct(names)

    cells = {name: _cells(table[name]) for name in names}
    lengths = {name: len(values) for name, values in cells.items()}
    if len(set(lengths.values())) > 1:
        raise ValueError(f"columns must have the same length, got {lengths}")
    return cells


def _require_distinct(names: Sequence[str]) -> None:
    for i, name in enumerate(names):
        if name in names[:i]:
            raise ValueError(
                f"names of columns must differ, got {printable(name)} twice (columns "
                f"{names.index(name) + 1} and {i + 1})"
            )


def _cells(column: Any) -> NDArray[Any]:
    """(n,); text and mixed cells as objects, which keep what they are."""
    if isinstance(column, list | tuple):
        return np.fromiter(column, dtype=object, count=len(column))
    values = np.asarray(column)
    return values.astype(object) if values.dtype.kind in "US" else values


def _is_categorical(table: Any, name: str) -> bool:
    """Whether pandas says so."""
    return str(getattr(getattr(table[name], "dtype", None), "name", "")) == "category"


def _is_missing(values: NDArray[Any]) -> NDArray[np.bool_]:
    """None, NaN, NaT and pandas' NA."""
    if values.dtype.kind == "f":
        return np.isnan(values)
    if values.dtype.kind in "mM":
        return np.isnat(values)
    if values.dtype.kind != "O":
        return np.zeros(len(values), dtype=bool)
    return np.array([_is_missing_cell(cell) for cell in values], dtype=bool)


def _is_missing_cell(cell: Any) -> bool:
    if cell is None or type(cell).__name__ in ("NAType", "NaTType"):
        return True
    return isinstance(cell, Real | Decimal) and bool(cell != cell)


def _kind(name: str, present: NDArray[Any], as_category: bool) -> ColumnKind:
    """What the cells are that are not missing, of which there is one at least."""
    by_dtype: dict[str, ColumnKind] = {
        "b": "category",
        "i": "whole",
        "u": "whole",
        "f": "number",
        "M": "date",
    }
    kind = by_dtype.get(present.dtype.kind)
    if present.dtype.kind == "O":
        kinds: set[ColumnKind | None] = {_kind_of_cell(cell) for cell in present}
        mixed: ColumnKind | None = "number" if kinds == {"number", "whole"} else None
        kind = kinds.pop() if len(kinds) == 1 else mixed
    if kind is None:
        raise TypeError(
            f"column {printable(name)} must hold numbers, dates, truth values or text alone, got "
            f"{sorted({type(cell).__name__ for cell in present[:1000]})}"
        )
    return "category" if as_category else kind


def _kind_of_cell(cell: Any) -> ColumnKind | None:
    if isinstance(cell, str | bool | np.bool_):
        return "category"
    if isinstance(cell, Integral):
        return "whole"
    if isinstance(cell, Real | Decimal):
        return "number"
    return "date" if isinstance(cell, datetime.date | np.datetime64) else None


def _measured(name: str, values: NDArray[Any], as_category: bool) -> TableColumn:
    """The column of a schema that these cells (n,) have."""
    missing = _is_missing(values)
    present = values[~missing]
    if not len(present):
        raise ValueError(f"column {printable(name)} must have a cell that is not missing")

    kind = _kind(name, present, as_category)
    some_missing = bool(missing.any())
    if kind == "category":
        levels = sorted({_level(name, cell) for cell in present}, key=_order)
        if len(levels) > MOST_LEVELS or len(levels) == len(present) > 20:
            raise ValueError(
                f"column {printable(name)} has {len(levels)} levels in {len(present)} cells: a key "
                "or free text; leave it out"
            )
        return TableColumn(name, kind, levels=tuple(levels), missing=some_missing)

    unit = _unit(present) if kind == "date" else ""
    numbers = _numbers(name, kind, unit, present)
    spread = float(numbers.std())
    return TableColumn(
        name,
        kind,
        missing=some_missing,
        centre=float(numbers.mean()),
        scale=spread if 0 < spread < math.inf else 1.0,
        unit=unit,
    )


def _level(name: str, cell: Any) -> Level:
    if isinstance(cell, str):
        return cell
    if isinstance(cell, bool | np.bool_):
        return bool(cell)
    if isinstance(cell, Integral):
        return operator.index(cell)
    if isinstance(cell, Real) and float(cell).is_integer():
        return int(float(cell))
    raise TypeError(
        f"column {printable(name)} must hold text, truth values or whole numbers to be a category, "
        f"got {printable(repr(cell))}"
    )


def _order(level: Level) -> tuple[str, Any]:
    return type(level).__name__, level


def _unit(dates: NDArray[Any]) -> str:
    """The coarsest of days, seconds and microseconds in which all dates are whole."""
    exact = _as_dates(dates)
    return next(unit for unit in _DATE_UNITS if (exact.astype(f"M8[{unit}]") == exact).all())


def _as_dates(dates: NDArray[Any]) -> NDArray[np.datetime64]:
    """Microseconds since 1970, of UTC where a date has a zone."""
    if dates.dtype.kind == "M":
        return dates.astype("M8[us]")
    utc = datetime.UTC
    plain = [
        cell.astimezone(utc).replace(tzinfo=None)
        if isinstance(cell, datetime.datetime) and cell.tzinfo
        else cell
        for cell in dates
    ]
    return np.array([np.datetime64(cell, "us") for cell in plain])


def _numbers(name: str, kind: ColumnKind, unit: str, present: NDArray[Any]) -> NDArray[np.float64]:
    """Cells that are not missing as float64."""
    if kind == "date":
        numbers = _as_dates(present).astype(f"M8[{unit}]").astype(np.int64)
    else:
        numbers = present
    if kind in ("whole", "date") and any(abs(int(x)) > LARGEST_WHOLE for x in numbers):
        raise ValueError(
            f"column {printable(name)} has whole numbers beyond 2**53, which float64 rounds; name "
            "it in categories or leave it out"
        )
    as_float = numbers.astype(float)
    infinite = int(np.isinf(as_float).sum())
    if infinite:
        raise ValueError(f"column {printable(name)} has {infinite} infinite cells")
    return as_float


def _encoded(column: TableColumn, values: NDArray[Any]) -> NDArray[np.float64]:
    """(n, width) of one column's cells (n,)."""
    missing = _is_missing(values)
    if missing.any() and not column.missing:
        raise ValueError(
            f"column {printable(column.name)} has {int(missing.sum())} missing cells, the "
            "reference has none"
        )
    present = values[~missing]
    encoded = np.zeros((len(values), column.width))
    if column.missing:
        encoded[:, -1] = missing
    if not len(present):
        return encoded

    kind = _kind(column.name, present, column.kind == "category")
    if kind != column.kind and {kind, column.kind} != {"number", "whole"}:
        raise TypeError(
            f"column {printable(column.name)} must hold cells of kind {column.kind}, got {kind}"
        )
    if column.kind == "category":
        index = {(type(level), level): i for i, level in enumerate(column.levels)}
        found = [_level(column.name, cell) for cell in present]
        unseen = [level for level in found if (type(level), level) not in index]
        if unseen:
            raise ValueError(
                f"column {printable(column.name)} has the level {printable(unseen[0])} "
                f"({unseen.count(unseen[0])} of {len(values)} cells), which the reference lacks"
            )
        encoded[np.flatnonzero(~missing), [index[type(level), level] for level in found]] = 1
    else:
        numbers = _numbers(column.name, column.kind, column.unit, present)
        encoded[~missing, 0] = (numbers - column.centre) / column.scale
    return encoded


def _decoded(column: TableColumn, part: NDArray[np.float64]) -> NDArray[Any]:
    """(n,) cells of one column's coordinates (n, width)."""
    if column.kind == "category":
        levels = np.empty(column.width, dtype=object)  # where cells may be missing the last is None
        levels[: len(column.levels)] = column.levels
        return levels[part.argmax(axis=1)]

    numbers = column.centre + column.scale * part[:, 0]
    cells: NDArray[Any] = numbers
    if column.kind != "number":
        cells = np.rint(np.clip(numbers, -LARGEST_WHOLE, LARGEST_WHOLE)).astype(np.int64)
    if column.kind == "date":
        cells = cells.astype(f"M8[{column.unit}]")
    if column.missing:
        cells = cells.astype(object)
        cells[part[:, -1] > 0.5] = None
    return cells
