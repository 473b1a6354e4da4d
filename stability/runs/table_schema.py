"""The schema of a table: what each column is, inferred once from the real data.

Learners, `plan` and `check` read every table with the real data's schema, so that a column that
looks different later is a finding and not another type. A cell is missing if it is empty; text such
as "NA" is missing in a column of numbers and a category elsewhere. Columns are found by name.

A learner and a distance take points (n, k). The schema maps rows to points and back:

    number, date          one coordinate, (value − centre) / scale
    category              one coordinate a level, 0 or 1
    missing cells         one more coordinate, 1 where the cell is missing
    text, key, empty      none
"""

import math
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from stability.runs.command_line import UsageError
from stability.runs.table_files import CLASS_FOLDER, RawTable, raw_table
from stability.runs.text_cells import (
    CellError,
    Raw,
    as_dates,
    as_numbers,
    canonical,
    factorised,
    number_code,
    text_hashes,
)
from stability.runs.untrusted import printable

__all__ = ["CodedTable", "ColumnKind", "LevelType", "TableColumn", "TableSchema", "code_reference"]

ColumnKind = Literal["number", "date", "category", "text", "key", "empty"]
LevelType = Literal["text", "whole", "number", "truth"]
FEWEST_KEYS = 20
"""Rows from which on a column of distinct texts is taken for a key."""
MOST_LEVELS = 1000
"""Levels of a category; a column with more is text, which is matched and not compared."""
TEXT_FRACTION = 0.5
"""Distinct values per row above which a column of text is no category."""
LARGEST_WHOLE = 2**53
_KEY_NAME = re.compile(r"(^|.*[_ ])(id|key|uuid|guid|index)$", re.IGNORECASE)
_WHOLE = re.compile(r"\s*[+-]?\d+([.,]0*)?\s*")
_DATE_UNITS = {"D": 86_400.0, "s": 1.0, "us": 1e-6}
"""Seconds of NumPy's units of dates."""
_READ_LEVEL = {
    "text": str,
    "whole": int,
    "number": float,
    "truth": lambda text: text == "true",
}


@dataclass(frozen=True)
class TableColumn:
    """One column of a table.

    Attributes:
        name: Name in the header.
        kind: `number`, `date` (seconds since 1970), `category`, `text` (many distinct values:
            matched, not compared), `key` (names rows: left out) or `empty`.
        levels: Of a category: the levels of the real data as texts, most frequent first.
        level_type: What the levels are. Levels other than text are equal when written differently
            (1 and 1.0, True and true).
        missing: Whether real cells are missing: one more coordinate.
        whole: Whether numbers are whole: a decoded one is rounded.
        zoned: Of dates: whether the instants have a time zone; None for plain days.
        unit: Of dates, NumPy's name of the coarsest unit in which they are whole: D, s or us.
        centre: Of numbers and dates: mean of the real cells, a date's in its unit since 1970.
        scale: Their standard deviation, > 0; 1 for a constant.
    """

    name: str
    kind: ColumnKind
    levels: tuple[str, ...] = ()
    level_type: LevelType = "text"
    missing: bool = False
    whole: bool = False
    zoned: bool | None = None
    unit: str = ""
    centre: float = 0.0
    scale: float = 1.0

    def __post_init__(self) -> None:
        if self.kind not in get_args(ColumnKind):
            raise ValueError(f"kind must be one of {get_args(ColumnKind)}, got {self.kind!r}")
        if self.level_type not in get_args(LevelType):
            raise ValueError(
                f"level_type must be one of {get_args(LevelType)}, got {self.level_type!r}"
            )
        if (self.kind == "category") != bool(self.levels):
            raise ValueError(f"levels must be given for a category alone, got {self.levels}")
        if not (math.isfinite(self.centre) and 0 < self.scale < math.inf):
            raise ValueError(
                f"centre and scale must be finite, scale > 0, got {self.centre} and {self.scale}"
            )
        if self.unit not in ("", *_DATE_UNITS) or (self.unit and self.kind != "date"):
            raise ValueError(f"unit must be one of {tuple(_DATE_UNITS)} for dates, got {self.unit}")

    @property
    def width(self) -> int:
        """Coordinates of the column in a point."""
        if self.kind not in ("number", "date", "category"):
            return 0
        return (len(self.levels) or 1) + self.missing

    @property
    def places(self) -> list[int]:
        """Index in `levels` of each level's coordinate: sorted by value."""
        values = [_READ_LEVEL[self.level_type](level) for level in self.levels]
        return sorted(range(len(values)), key=values.__getitem__)

    @property
    def cells(self) -> list[Any]:
        """Levels as a decoded table has them, in the order of their coordinates."""
        return [_READ_LEVEL[self.level_type](self.levels[place]) for place in self.places]

    @property
    def coordinates(self) -> tuple[str, ...]:
        """A name for each coordinate: `age`, `city = Bern`, `age missing`."""
        if not self.width:
            return ()
        names = [f"{self.name} = {level}" for level in self.cells] or [self.name]
        return (*names, f"{self.name} missing") if self.missing else tuple(names)


@dataclass(frozen=True)
class TableSchema:
    """The columns of the real data, and the one that a model would predict from the others.

    Attributes:
        columns: In the order of the real data; names are all different.
        target: Name of the column to predict, if any.
    """

    columns: tuple[TableColumn, ...]
    target: str | None = None

    @classmethod
    def of(cls, table: Any, categories: Collection[str] = ()) -> "TableSchema":
        """Infer the schema of a table that a model learns: every column has coordinates.

        Args:
            table: A pandas table, or arrays and lists by name.
            categories: Names of columns of numbers that are codes, not quantities. Text, truth
                values, pandas' categories and whole numbers with two values are categories without
                being named.

        Returns:
            The schema; cells may be missing where the table has a missing cell.

        Raises:
            ValueError: If a column name occurs twice or is unknown, or a column is a key, free
                text, empty, or has infinite cells.
            TypeError: If it is no table.
        """
        coded = code_reference(raw_table(table), "table", categories)
        for column in coded.schema.columns:
            if column.kind == "empty":
                raise ValueError(
                    f"column {printable(column.name)} must have a cell that is not missing"
                )
            if not column.width:
                raise ValueError(
                    f"column {printable(column.name)} is a key or free text; leave it out"
                )
            require_finite_cells(column, coded)
        return coded.schema

    def names(self, *kinds: ColumnKind) -> list[str]:
        """List columns of some kinds, in order.

        Args:
            kinds: The kinds; none: all.

        Returns:
            Their names.
        """
        return [c.name for c in self.columns if not kinds or c.kind in kinds]

    def column(self, name: str) -> TableColumn:
        """Find a column.

        Args:
            name: Its name.

        Returns:
            The column.
        """
        return next(column for column in self.columns if column.name == name)

    @property
    def width(self) -> int:
        """Coordinates of a point."""
        return sum(column.width for column in self.columns)

    @property
    def coordinates(self) -> tuple[str, ...]:
        """A name for each coordinate of a point."""
        return tuple(name for column in self.columns for name in column.coordinates)

    def read(self, raw: RawTable, source: str) -> "CodedTable":
        """Read a raw table with this schema, columns by name.

        Args:
            raw: As read.
            source: What to call it in messages.

        Returns:
            The table.

        Raises:
            UsageError: If a column is missing, additional, or holds cells of another kind.
        """
        flat = CLASS_FOLDER in self.names() and CLASS_FOLDER not in raw.cells
        columns = [c for c in self.columns if not (flat and c.name == CLASS_FOLDER)]
        missing = [column.name for column in columns if column.name not in raw.cells]
        if missing:
            raise UsageError(
                f"{source}: lacks the column {printable(missing[0])}; it has "
                f"{printable(', '.join(raw.cells))}"
            )
        extra = [name for name in raw.cells if name not in self.names() and name != CLASS_FOLDER]
        if extra:
            raise UsageError(
                f"{source}: has a column {printable(extra[0])} that the real data lack"
            )

        cells: dict[str, NDArray[Any]] = {}
        levels: dict[str, tuple[str, ...]] = {}
        for column in columns:
            try:
                values, new = _coded(column, raw.cells[column.name], raw.zones.get(column.name))
            except CellError as error:
                raise UsageError(f"{source}: {error}") from None
            if column.kind not in ("key", "empty"):
                cells[column.name] = values
            if column.kind == "category":
                levels[column.name] = (*column.levels, *new)
        if not cells:
            raise UsageError(f"{source}: no column can be compared (keys and empty columns only)")
        notes = (f"no class folders in {source}: classes not compared",) if flat else ()
        return CodedTable(self, cells, levels, raw.total_rows, (*raw.notes, *notes))

    def encode(self, table: Any) -> NDArray[np.float64]:
        """Map the rows of a table to points.

        Args:
            table: Has the columns of the schema, in any order; no others. Instants without a zone
                are those of UTC. Or a table that was read with this schema.

        Returns:
            (n, width). A missing number is 0, its column's mean, beside an indicator 1.

        Raises:
            ValueError: If a column is missing, unknown or of another kind, a category has a level
                that the reference lacks, a cell is infinite, or missing where none was.
            TypeError: If it is no table.
        """
        if not isinstance(table, CodedTable):
            raw = raw_table(table)
            zones = {name: self._zone(name, zone) for name, zone in raw.zones.items()}
            table = self.read(replace(raw, zones=zones), "table")
        return np.concatenate([_points(c, table) for c in self.columns if c.width], axis=1)

    def _zone(self, name: str, zone: bool | None) -> bool | None:
        """The zone that a column in memory is read with: decoded instants are those of UTC."""
        return self.column(name).zoned if name in self.names() else zone

    def decode(self, points: Any) -> dict[str, NDArray[Any]]:
        """Map points to rows, also points that no row has, such as a model's samples.

        Args:
            points: (n, width), finite. The largest coordinate of a category names its level; a cell
                is missing where the indicator is > 1/2 (a category's: where it is the largest).

        Returns:
            One array (n,) a column: float64, int64, bool, datetime64, or objects for text and for
            columns with missing cells (None).

        Raises:
            ValueError: If the shape is another or an entry is not finite.
        """
        points = np.asarray(points, dtype=float)
        if points.ndim != 2 or points.shape[1] != self.width or not np.isfinite(points).all():
            raise ValueError(
                f"points must be finite, of shape (n, {self.width}), got shape {points.shape}"
            )
        columns = [column for column in self.columns if column.width]
        ends = np.cumsum([column.width for column in columns])
        parts = np.split(points, ends[:-1], axis=1)
        return {c.name: _decoded(c, part) for c, part in zip(columns, parts, strict=True)}

    def project(self, points: Any) -> NDArray[np.float64]:
        """Move points to the nearest ones that a row has: `encode(decode(points))`.

        Args:
            points: (n, width), such as a model's samples.

        Returns:
            (n, width), with one level a category and whole numbers.
        """
        return self.encode(self.decode(points))

    def as_data(self) -> dict[str, Any]:
        """The schema as JSON values; `from_data` reads them back."""
        columns = [{**vars(column), "levels": list(column.levels)} for column in self.columns]
        return {"columns": columns, "target": self.target}

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> "TableSchema":
        """Read the result of `as_data`.

        Args:
            data: The JSON values.

        Returns:
            The schema.

        Raises:
            ValueError: If a field has no such value.
            TypeError: If a field is missing or unknown.
        """
        columns = [TableColumn(**{**c, "levels": tuple(c["levels"])}) for c in data["columns"]]
        return cls(tuple(columns), data["target"])


@dataclass(frozen=True, eq=False)
class CodedTable:
    """The rows of a table, read with the schema of the real data.

    Attributes:
        schema: The real data's.
        cells: By column, (n,): numbers and dates float64 (NaN: missing), categories as indices into
            `levels` (−1: missing), texts as hashes; keys are left out.
        levels: Of each category: the real data's levels, then new ones.
        total_rows: Rows of the source.
        notes: Remarks about reading, a line each.
    """

    schema: TableSchema
    cells: dict[str, NDArray[Any]]
    levels: dict[str, tuple[str, ...]]
    total_rows: int
    notes: tuple[str, ...] = ()

    @property
    def rows(self) -> int:
        """Rows that were kept."""
        return len(next(iter(self.cells.values())))

    def take(self, rows: NDArray[Any]) -> "CodedTable":
        """Choose rows.

        Args:
            rows: Indices, or a mask (n,).

        Returns:
            The table of these rows.
        """
        cells = {name: values[rows] for name, values in self.cells.items()}
        return replace(self, cells=cells)


def code_reference(
    raw: RawTable,
    source: str,
    categorical: Collection[str] = (),
    keys: Collection[str] = (),
    target: str | None = None,
) -> CodedTable:
    """Infer the schema of the real data and read them with it.

    Args:
        raw: As read.
        source: What to call it in messages.
        categorical: Names of columns whose numbers are codes.
        keys: Names of columns that name rows.
        target: The column to predict, if any.

    Returns:
        The real data.

    Raises:
        UsageError: If an option names no column, or no column can be compared.
    """
    for option, names in (("categorical", categorical), ("id", keys)):
        for name in names:
            _require_known(name, raw, option, source)
    if target is not None:
        _require_known(target, raw, "target", source)

    columns = []
    for name, cells in raw.cells.items():
        if name in keys:
            columns.append(TableColumn(name, "key"))
        elif name in raw.zones:
            columns.append(TableColumn(name, "date", zoned=raw.zones[name]))
        else:
            is_category = name in categorical or name in raw.declared
            try:
                columns.append(_inferred(name, cells, is_category, name == target, raw.whole))
            except CellError as error:
                raise UsageError(f"{source}: {error}") from None
    coded = TableSchema(tuple(columns), target).read(raw, source)
    measured = tuple(_measured(column, coded) for column in columns)
    return replace(coded, schema=TableSchema(measured, target))


def _require_known(name: str, raw: RawTable, option: str, source: str) -> None:
    if name not in raw.cells:
        raise UsageError(
            f"{source}: {option} must name a column of the real data, got {printable(name)}; it "
            f"has {printable(', '.join(raw.cells))}"
        )


def require_finite_cells(column: TableColumn, table: CodedTable) -> None:
    """Refuse a column of numbers with infinite cells, which has no coordinates.

    Args:
        column: The column.
        table: The rows.

    Raises:
        ValueError: If a cell is infinite; the message names column and count.
    """
    if column.kind in ("number", "date"):
        infinite = int(np.isinf(table.cells[column.name]).sum())
        if infinite:
            raise ValueError(f"column {printable(column.name)} has {infinite} infinite cells")


def _inferred(
    name: str, cells: Raw, is_category: bool, is_target: bool, whole: Collection[str]
) -> TableColumn:
    """The column that cells as read make."""
    distinct, inverse = factorised(cells)
    counts = np.bincount(inverse[inverse >= 0], minlength=len(distinct))
    if not distinct:
        return TableColumn(name, "empty")

    is_text = isinstance(distinct[0], str)
    numbers = as_numbers(distinct) if is_text else np.array(distinct)
    if numbers is not None:
        is_whole = all(map(_WHOLE.fullmatch, distinct)) if is_text else name in whole
        return _numeric(name, numbers, counts, is_category, is_target, is_whole)
    if all(text.lower() in ("true", "false") for text in distinct):
        return _category(name, [text.lower() for text in distinct], counts, "truth")
    if not is_category and (dates := as_dates(distinct, name)) is not None:
        return TableColumn(name, "date", zoned=dates[1])

    rows = int(counts.sum())
    if not (is_category or is_target):
        if len(distinct) == rows >= FEWEST_KEYS:
            return TableColumn(name, "key")
        if len(distinct) > max(TEXT_FRACTION * rows, FEWEST_KEYS) or len(distinct) > MOST_LEVELS:
            return TableColumn(name, "text")
    return _category(name, distinct, counts, "text")


def _numeric(
    name: str,
    numbers: NDArray[np.float64],
    counts: Raw,
    is_category: bool,
    is_target: bool,
    is_whole: bool,
) -> TableColumn:
    """A column of numbers: a quantity, codes, or a key."""
    finite = numbers[np.isfinite(numbers)]
    whole = len(finite) > 0 and bool((finite == np.round(finite)).all())
    few = len(numbers) == len(finite) <= (20 if is_target else 2) and whole
    if is_category or few:
        texts = [number_code(x) for x in numbers]
        level_type: LevelType = "whole" if whole and len(finite) == len(numbers) else "number"
        return _category(name, texts, counts, level_type)

    rows = int(counts.sum())
    spaced = whole and np.ptp(finite) + 1 <= 1.05 * rows  # 0, 1, 2, … in any order
    if whole and len(numbers) == rows >= FEWEST_KEYS and (spaced or _KEY_NAME.match(name)):
        return TableColumn(name, "key")
    return TableColumn(name, "number", whole=whole and is_whole)


def _category(name: str, texts: Sequence[str], counts: Raw, level_type: LevelType) -> TableColumn:
    totals: dict[str, int] = {}
    for text, count in zip(texts, counts, strict=True):
        totals[text] = totals.get(text, 0) + int(count)
    levels = sorted(totals, key=lambda text: (-totals[text], text))
    return TableColumn(name, "category", tuple(levels), level_type)


def _measured(column: TableColumn, table: CodedTable) -> TableColumn:
    """The column with the centre and scale of its cells, and whether some are missing."""
    if column.kind == "category":
        has_gaps = column.name in table.cells and bool((table.cells[column.name] < 0).any())
        return replace(column, missing=has_gaps)
    if column.kind not in ("number", "date"):
        return column

    cells = table.cells[column.name]
    finite, unit = cells[np.isfinite(cells)], ""
    if column.kind == "date":
        unit = next(
            (u for u, s in _DATE_UNITS.items() if (finite / s == np.rint(finite / s)).all()), "us"
        )
        finite = np.rint(finite / _DATE_UNITS[unit])
    with np.errstate(over="ignore"):  # of numbers near the largest float
        centre, spread = (float(finite.mean()), float(finite.std())) if len(finite) else (0.0, 1.0)
    return replace(
        column,
        missing=bool(np.isnan(cells).any()),
        unit=unit,
        centre=centre if math.isfinite(centre) else 0.0,
        scale=spread if 0 < spread < math.inf else 1.0,
    )


def _coded(column: TableColumn, cells: Raw, zoned: bool | None) -> tuple[Raw, Raw]:
    """Cells (n,) as a `CodedTable` has them, and the levels that the real data lack.

    Raises:
        CellError: If a cell is of another kind than the column.
    """
    if column.kind == "number":
        return _numbers(column, cells), np.array([], object)
    if column.kind == "date":
        return _dates(column, cells, zoned), np.array([], object)
    if column.kind == "category":
        return _levels(column, cells)
    return text_hashes(cells), np.array([], object)


def _numbers(column: TableColumn, cells: Raw) -> Raw:
    if cells.dtype.kind == "f":
        return cells
    distinct, inverse = factorised(cells)
    numbers = np.full(len(distinct) + 1, np.nan)  # the last entry is for index −1: missing
    found = as_numbers(distinct, keep_text=False)
    if found is None:
        bad = next(text for text in distinct if as_numbers([text], keep_text=False) is None)
        row = int(np.flatnonzero(inverse == distinct.index(bad))[0]) + 1
        raise CellError(
            f"column {printable(column.name)} holds {printable(bad)!r} in row {row}; the real data "
            "hold numbers"
        )
    numbers[: len(distinct)] = found
    return numbers[inverse]


def _least_like_a_date(texts: Sequence[str]) -> str:
    """The first text that is no date, or, if all are dates of several forms, the first."""
    for text in texts:
        try:
            if as_dates([text]) is None:
                return text
        except CellError:  # a date whose day and month cannot be told apart
            continue
    return texts[0]


def _dates(column: TableColumn, cells: Raw, zoned: bool | None) -> Raw:
    has_zone = zoned
    if cells.dtype.kind == "f":
        seconds = cells
    else:
        distinct, inverse = factorised(cells)
        found = as_dates(distinct, column.name)
        if found is None:
            raise CellError(
                f"column {printable(column.name)} holds {printable(_least_like_a_date(distinct))!r}"
                "; the real data hold dates, and all must be of one form"
            )
        seconds, has_zone = np.append(found[0], np.nan)[inverse], found[1]

    if column.zoned is not None and has_zone is not None and has_zone != column.zoned:
        here, there = ("no zone", "one") if column.zoned else ("a zone", "none")
        raise CellError(
            f"column {printable(column.name)} has {here} while the real data have {there}; "
            "write both in UTC"
        )
    return seconds


def _levels(column: TableColumn, cells: Raw) -> tuple[Raw, Raw]:
    distinct, inverse = factorised(cells)
    is_text = column.level_type == "text"
    texts = [str(text) if is_text else canonical(text) for text in distinct]
    index = {level: i for i, level in enumerate(column.levels)}
    new = [text for text in dict.fromkeys(texts) if text not in index]
    index |= {level: len(index) + i for i, level in enumerate(new)}
    codes = np.array([index[text] for text in texts] + [-1])
    return codes[inverse], np.array(new, object)


def _points(column: TableColumn, table: CodedTable) -> NDArray[np.float64]:
    """(n, width) coordinates of one column."""
    cells, points = table.cells[column.name], np.zeros((table.rows, column.width))
    missing = cells < 0 if column.kind == "category" else np.isnan(cells)
    if missing.any() and not column.missing:
        raise ValueError(
            f"column {printable(column.name)} has {int(missing.sum())} missing cells, the "
            "reference has none"
        )
    if column.missing:
        points[:, -1] = missing

    if column.kind == "category":
        unseen = np.flatnonzero(cells >= len(column.levels))
        if len(unseen):
            level = cells[unseen[0]]
            raise ValueError(
                f"column {printable(column.name)} has the level "
                f"{printable(table.levels[column.name][level])} ({int((cells == level).sum())} of "
                f"{len(cells)} cells), which the reference lacks"
            )
        at = np.empty(len(column.levels), int)
        at[column.places] = np.arange(len(at))
        points[np.flatnonzero(~missing), at[cells[~missing]]] = 1
        return points

    require_finite_cells(column, table)
    values = cells[~missing]
    if column.kind == "date":
        values = np.rint(values / _DATE_UNITS[column.unit])
    points[~missing, 0] = (values - column.centre) / column.scale
    return points


def _decoded(column: TableColumn, part: NDArray[np.float64]) -> NDArray[Any]:
    """(n,) cells of one column's coordinates (n, width)."""
    if column.kind == "category":
        # where cells may be missing the last coordinate is None
        cells = column.cells + [None] * column.missing
        plain = not column.missing and column.level_type != "text"
        if plain:
            return np.array(cells)[part.argmax(axis=1)]
        levels = np.empty(column.width, dtype=object)
        levels[:] = cells
        return levels[part.argmax(axis=1)]

    numbers: NDArray[Any] = column.centre + column.scale * part[:, 0]
    if column.kind == "date" or column.whole:
        numbers = np.rint(np.clip(numbers, -LARGEST_WHOLE, LARGEST_WHOLE)).astype(np.int64)
    if column.kind == "date":
        numbers = numbers.astype(f"M8[{column.unit}]")
    if column.missing:
        numbers = numbers.astype(object)
        numbers[part[:, -1] > 0.5] = None
    return numbers
