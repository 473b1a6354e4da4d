"""Tables in CSV and Parquet files and in memory, read column by column by name."""

import csv
import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stability.runs.command_line import UsageError
from stability.runs.untrusted import UntrustedFileError, open_regular, printable

__all__ = [
    "CLASS_FOLDER",
    "MOST_ROWS",
    "RawTable",
    "raw_table",
    "read_raw",
]

CLASS_FOLDER = "class folder"
"""Column of the classes of pictures; a generation without class folders lacks it."""
MOST_ROWS = 200_000
"""Rows of a file that are kept; of more, that many are drawn at random."""
LARGEST_FILE = 2**36
LARGEST_HEADER = 2**20
_BLOCK = 2**23
_DELIMITERS = ",;\t|"
_BOM = b"\xef\xbb\xbf"
_PANDAS_INDEX = "__index_level_"


@dataclass(frozen=True, eq=False)
class RawTable:
    """A table as read: cells by column, float64 or objects, in the order of the file.

    Attributes:
        cells: By column, (n,) each: float64 with NaN for missing, or texts and None.
        zones: Of columns that the file itself calls dates: whether they have a time zone.
        total_rows: Rows of the file, of which n were kept.
        notes: What was left out, a line each.
        whole: Columns that the file itself calls whole numbers.
        declared: Columns that the file itself calls categories.
        points: Whether the columns are coordinates of points, those of an array or features.
    """

    cells: dict[str, NDArray[Any]]
    zones: dict[str, bool | None] = field(default_factory=dict)
    total_rows: int = 0
    notes: tuple[str, ...] = ()
    whole: frozenset[str] = frozenset()
    declared: frozenset[str] = frozenset()
    points: bool = False


def read_raw(path: Path, most_rows: int = MOST_ROWS) -> RawTable:
    """Read a CSV or Parquet file in blocks; memory is bounded by the rows that are kept.

    Args:
        path: The file; its suffix says what it is.
        most_rows: Rows to keep.

    Returns:
        Its columns.

    Raises:
        UsageError: If it cannot be read as a table; the message names file and reason.
        OSError: If it cannot be opened.
    """
    _require_readers()
    import pyarrow as pa

    try:
        with open_regular(path, LARGEST_FILE) as file:
            parquet = path.suffix.lower() in (".parquet", ".pq")
            blocks = _parquet_blocks(file) if parquet else _csv_blocks(file)
            table, total = _kept(blocks, most_rows)
    except (UntrustedFileError, pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UsageError(f"{path}: {printable(reason)}") from None
    if table is None or total == 0:
        raise UsageError(f"{path}: 0 rows; nothing to compare")
    return _raw(table, total, path)


def _require_readers() -> None:
    if not (find_spec("pyarrow") and find_spec("pandas")):
        raise UsageError(
            'tables need pandas and pyarrow: pip install "iterative-retraining[tables]"'
        )


def _csv_blocks(file: Any) -> Iterator[Any]:
    import pyarrow as pa
    from pyarrow import csv as arrow_csv

    names, delimiter, start = _header(file)
    file.seek(start)
    options = {name: pa.string() for name in names}
    try:
        with arrow_csv.open_csv(
            file,
            read_options=arrow_csv.ReadOptions(
                column_names=names, block_size=_BLOCK, use_threads=False
            ),
            parse_options=arrow_csv.ParseOptions(
                delimiter=delimiter,
                newlines_in_values=True,
                ignore_empty_lines=len(names) > 1,  # of one column, an empty line is a missing cell
            ),
            convert_options=arrow_csv.ConvertOptions(
                column_types=options, strings_can_be_null=True, null_values=[""]
            ),
        ) as reader:
            yield from reader
    except pa.ArrowInvalid as error:
        if "Empty CSV" in str(error):
            return
        raise


def _header(file: Any) -> tuple[list[str], str, int]:
    """Names of the columns, the character between them, and where the rows begin."""
    line = file.readline(LARGEST_HEADER)
    start = file.tell()
    if b"\0" in line or (line and len(line) == LARGEST_HEADER):
        raise UntrustedFileError("is no text with a line of column names")
    try:
        text = line.removeprefix(_BOM).decode("utf-8")
    except UnicodeDecodeError:
        raise UntrustedFileError("is not UTF-8; save it as UTF-8") from None
    if not text.strip():
        raise UntrustedFileError("has no line of column names")

    delimiter = max(_DELIMITERS, key=lambda sign: text.count(sign))
    names = next(csv.reader(io.StringIO(text), delimiter=delimiter))
    _require_distinct(names)
    return names, delimiter, start


def _require_distinct(names: list[str]) -> None:
    for i, name in enumerate(names):
        if name in names[:i]:
            raise UntrustedFileError(
                f"duplicate column {printable(name)!r} (columns {names.index(name) + 1} and "
                f"{i + 1})"
            )


def _parquet_blocks(file: Any) -> Iterator[Any]:
    from pyarrow import parquet

    source = parquet.ParquetFile(file)
    _require_distinct(list(source.schema_arrow.names))
    yield from source.iter_batches(batch_size=65_536)


def _kept(blocks: Iterator[Any], most: int) -> tuple[Any, int]:
    """At most `most` rows, each as likely as any other, in their order; and how many there are."""
    import pyarrow as pa

    rng = np.random.default_rng(most)  # the same rows whenever the same file is read
    parts: list[Any] = []
    lots: list[NDArray[np.float64]] = []
    total = kept = 0
    for block in blocks:
        if block.num_rows == 0:
            continue
        parts.append(block)
        lots.append(rng.random(block.num_rows))
        total, kept = total + block.num_rows, kept + block.num_rows
        if kept > 2 * most:
            parts, lots = _thinned(parts, lots, most)
            kept = most
    if kept > most:
        parts, lots = _thinned(parts, lots, most)
    return (pa.Table.from_batches(parts) if parts else None), total


def _thinned(parts: list[Any], lots: list[NDArray[np.float64]], most: int) -> tuple[list, list]:
    import pyarrow as pa

    drawn = np.concatenate(lots)
    chosen = np.sort(np.argpartition(drawn, most)[:most])
    table = pa.Table.from_batches(parts).take(chosen).combine_chunks()
    return table.to_batches(), [drawn[chosen]]


def _raw(table: Any, total: int, path: Path) -> RawTable:
    """Arrow's columns as arrays; columns that are no data are left out with a note."""
    import pyarrow as pa

    cells: dict[str, NDArray[Any]] = {}
    zones: dict[str, bool | None] = {}
    notes, whole, declared = [], [], []
    for i, name in enumerate(table.column_names):
        column = table.column(i)
        if not name or name.startswith(_PANDAS_INDEX):
            first, last = column[0].as_py(), column[-1].as_py()
            shown = f"column {i + 1} of {path.name} is unnamed" if not name else f"column {name}"
            notes.append(f"{shown} ({first}..{last}, a row index): left out")
            continue
        whole += [name] if pa.types.is_integer(column.type) else []
        declared += [name] if pa.types.is_dictionary(column.type) else []
        try:
            cells[name] = _as_array(column, name, zones)
        except UsageError as error:
            raise UsageError(f"{path}: {error}") from None
    if not cells:
        raise UsageError(f"{path}: no column with a name")
    if len(table) < total:
        notes.append(f"{path.name}: {len(table):,} of {total:,} rows, drawn at random")
    return RawTable(cells, zones, total, tuple(notes), frozenset(whole), frozenset(declared))


def _as_array(column: Any, name: str, zones: dict[str, bool | None]) -> NDArray[Any]:
    """float64 for numbers and dates, objects (texts and None) otherwise."""
    import pyarrow as pa
    import pyarrow.compute as pc

    kind = column.type
    if pa.types.is_dictionary(kind):
        column = column.cast(kind.value_type)
        kind = kind.value_type
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        zones[name] = None if pa.types.is_date(kind) else kind.tz is not None
        micro = pc.cast(column, pa.timestamp("us", getattr(kind, "tz", None)), safe=False)
        return _floats(pc.cast(micro, pa.int64())) / 1e6
    if pa.types.is_integer(kind):
        largest = np.abs(np.nan_to_num(_floats(column))).max(initial=0)
        if largest <= 2**53:
            return _floats(column)
        column = column.cast(pa.string())
    elif pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return _floats(column) + 0.0
    elif pa.types.is_boolean(kind):
        column = column.cast(pa.string())
    elif not (pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_null(kind)):
        raise UsageError(f"column {printable(name)} holds {kind}, which is no cell of a table")

    numbers = _fast_numbers(column)
    return column.to_numpy(zero_copy_only=False) if numbers is None else numbers


def _floats(column: Any) -> NDArray[np.float64]:
    import pyarrow as pa
    import pyarrow.compute as pc

    return pc.cast(column, pa.float64(), safe=False).to_numpy(zero_copy_only=False).astype(float)


def _fast_numbers(column: Any) -> NDArray[np.float64] | None:
    """A column whose texts all have a decimal point, at once; None: look at it text by text."""
    import pyarrow as pa
    import pyarrow.compute as pc

    pattern = r"^[+-]?(\d{1,15}\.\d*|\d*\.\d{1,25})([eE][+-]?\d{1,3})?$"
    if not pa.types.is_string(column.type) or column.null_count == len(column):
        return None
    fits = pc.call_function("match_substring_regex", [column], pc.MatchSubstringOptions(pattern))
    if not pc.call_function("all", [fits]).as_py():
        return None
    try:
        return _floats(column) + 0.0
    except pa.ArrowInvalid:
        return None


def raw_table(data: Any) -> RawTable:
    """Take a table in memory as a raw table.

    Args:
        data: A pandas table or one like it, or arrays and lists by name.

    Returns:
        The raw table.

    Raises:
        TypeError: If it is no table.
        UsageError: If a name occurs twice or a column holds something else than cells.
    """
    if not (isinstance(data, Mapping) or hasattr(data, "columns")):
        raise TypeError(f"table must be a table or columns by name, got {type(data).__name__}")
    _require_readers()
    import pandas as pd
    import pyarrow as pa

    try:
        if not isinstance(data, Mapping | pd.DataFrame):
            data = {name: np.asarray(data[name]) for name in data.columns}
        frame = data if isinstance(data, pd.DataFrame) else pd.DataFrame(data)
        _require_distinct([str(name) for name in frame.columns])
        frame = frame.set_axis([str(name) for name in frame.columns], axis=1)
        table = pa.Table.from_pandas(frame, preserve_index=False)
    except (UntrustedFileError, ValueError, TypeError) as error:  # those of Arrow are among them
        raise UsageError(f"table: {printable(str(error).splitlines()[0])}") from None
    if len(frame) == 0:
        raise UsageError("table: 0 rows; nothing to compare")
    return _raw(table, len(frame), Path("table"))
