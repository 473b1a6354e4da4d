"""The schema of a monitored table: what each column is, inferred once from the real data.

All generations are read with the real data's schema, so that a column that looks different later is
a finding and not another type. A cell is missing if it is empty. Text such as "NA" is missing in a
column of numbers and a category elsewhere.
"""

import hashlib
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from stability.runs.untrusted import printable

__all__ = [
    "CellError",
    "MonitoredColumn",
    "MonitoredKind",
    "MonitoredSchema",
    "cells_of",
    "infer",
    "text_hashes",
]

MonitoredKind = Literal["number", "date", "category", "text", "key", "empty"]
MISSING_NUMBERS = ("na", "n/a", "nan", "null", "none", "nat")
LARGEST_WHOLE = 2.0**53
FEWEST_KEYS = 20
"""Rows from which on a column of distinct texts is taken for a key."""
MOST_LEVELS = 1000
"""Levels of a category; a column with more is text, which is matched and not compared."""
TEXT_FRACTION = 0.5
"""Distinct values per row above which a column of text is no category."""

_LEADING_ZERO = re.compile(r"[+-]?0\d+")
_DECIMAL_COMMA = re.compile(r"[+-]?\d+(,\d+)?")
_ISO = re.compile(r"\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}(:\d{2}([.,]\d+)?)?\s?(Z|[+-]\d{2}:?\d{2})?)?")
_DAY_FORMATS = {
    "day first": re.compile(r"(?P<d>\d{1,2})[/.-](?P<m>\d{1,2})[/.-](?P<y>\d{4})"),
    "month first": re.compile(r"(?P<m>\d{1,2})[/.-](?P<d>\d{1,2})[/.-](?P<y>\d{4})"),
    "year first": re.compile(r"(?P<y>\d{4})[/.](?P<m>\d{1,2})[/.](?P<d>\d{1,2})"),
}
_KEY_NAME = re.compile(r"(^|.*[_ ])(id|key|uuid|guid|index)$", re.IGNORECASE)


class CellError(ValueError):
    """Cells do not fit the column's kind; the message names the column and the first such cell."""


@dataclass(frozen=True)
class MonitoredColumn:
    """One column of a table.

    Attributes:
        name: Name in the header.
        kind: `number`, `date` (seconds since 1970), `category`, `text` (many distinct values:
            matched, not compared), `key` (names rows: left out) or `empty`.
        levels: Of a category: the levels of the real data, most frequent first.
        zoned: Of dates: whether the instants have a time zone; None for plain days.
        codes: Of a category: whether its levels are numbers or truth values, which are equal when
            written differently (1 and 1.0, True and true).
    """

    name: str
    kind: MonitoredKind
    levels: tuple[str, ...] = ()
    zoned: bool | None = None
    codes: bool = False

    def __post_init__(self) -> None:
        if self.kind not in get_args(MonitoredKind):
            raise ValueError(f"kind must be one of {get_args(MonitoredKind)}, got {self.kind!r}")


@dataclass(frozen=True)
class MonitoredSchema:
    """The columns of the real data, and the one that a model would predict from the others.

    Attributes:
        columns: In the order of the real data.
        target: Name of the column to predict, if any.
    """

    columns: tuple[MonitoredColumn, ...]
    target: str | None = None

    def names(self, *kinds: MonitoredKind) -> list[str]:
        """List columns of some kinds, in order.

        Args:
            kinds: The kinds; none: all.

        Returns:
            Their names.
        """
        return [c.name for c in self.columns if not kinds or c.kind in kinds]

    def column(self, name: str) -> MonitoredColumn:
        """Find a column.

        Args:
            name: Its name.

        Returns:
            The column.
        """
        return next(column for column in self.columns if column.name == name)

    def as_data(self) -> dict[str, Any]:
        """The schema as JSON values."""
        columns = [
            {
                "name": c.name,
                "kind": c.kind,
                "levels": list(c.levels),
                "zoned": c.zoned,
                "codes": c.codes,
            }
            for c in self.columns
        ]
        return {"columns": columns, "target": self.target}

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> "MonitoredSchema":
        """Read what `as_data` returned.

        Args:
            data: The JSON values.

        Returns:
            The schema.
        """
        columns = [MonitoredColumn(**{**c, "levels": tuple(c["levels"])}) for c in data["columns"]]
        return cls(tuple(columns), data["target"])


Raw = NDArray[Any]
"""Cells of a column as read: float64 (NaN: missing), or objects: texts and None."""


def infer(
    raw: Mapping[str, Raw],
    zones: Mapping[str, bool | None],
    categorical: Collection[str] = (),
    keys: Collection[str] = (),
    target: str | None = None,
) -> MonitoredSchema:
    """Infer the schema of the real data.

    Args:
        raw: Cells by column, as read.
        zones: Of the columns that the file itself calls dates: whether they have a zone.
        categorical: Names of columns whose numbers are codes.
        keys: Names of columns that name rows.
        target: The column to predict, if any.

    Returns:
        The schema.

    Raises:
        ValueError: If a name is none of a column.
    """
    for option, names in (("categorical", categorical), ("id", keys)):
        for name in names:
            _require_known(name, raw, option)
    if target is not None:
        _require_known(target, raw, "target")

    columns = []
    for name, cells in raw.items():
        if name in keys:
            columns.append(MonitoredColumn(name, "key"))
        elif name in zones:
            columns.append(MonitoredColumn(name, "date", zoned=zones[name]))
        else:
            columns.append(_inferred(name, cells, name in categorical, name == target))
    return MonitoredSchema(tuple(columns), target)


def _require_known(name: str, raw: Mapping[str, Raw], option: str) -> None:
    if name not in raw:
        raise ValueError(
            f"{option} must name a column of the real data, got {printable(name)}; it has "
            f"{printable(', '.join(raw))}"
        )


def _inferred(name: str, cells: Raw, is_category: bool, is_target: bool) -> MonitoredColumn:
    """The column that cells as read make."""
    distinct, counts = _distinct(cells)
    if not distinct:
        return MonitoredColumn(name, "empty")

    numbers = _as_numbers(distinct) if isinstance(distinct[0], str) else np.array(distinct)
    if numbers is not None:
        return _numeric(name, numbers, counts, is_category, is_target)
    if all(text.lower() in ("true", "false") for text in distinct):
        return _category(name, [text.lower() for text in distinct], counts, codes=True)
    if not is_category and (dates := _as_dates(distinct, None)) is not None:
        return MonitoredColumn(name, "date", zoned=dates[1])

    rows = int(counts.sum())
    if not (is_category or is_target):
        if len(distinct) == rows >= FEWEST_KEYS:
            return MonitoredColumn(name, "key")
        if len(distinct) > max(TEXT_FRACTION * rows, FEWEST_KEYS) or len(distinct) > MOST_LEVELS:
            return MonitoredColumn(name, "text")
    return _category(name, distinct, counts)


def _numeric(
    name: str, numbers: NDArray[np.float64], counts: Raw, is_category: bool, is_target: bool
) -> MonitoredColumn:
    """A column of numbers: a quantity, codes, or a key."""
    finite = numbers[np.isfinite(numbers)]
    whole = len(finite) > 0 and bool((finite == np.round(finite)).all())
    few = len(numbers) <= (20 if is_target else 2) and whole
    if is_category or few:
        return _category(name, [_code(x) for x in numbers], counts, codes=True)

    rows = int(counts.sum())
    spaced = whole and np.ptp(finite) + 1 <= 1.05 * rows  # 0, 1, 2, … in any order
    if whole and len(numbers) == rows >= FEWEST_KEYS and (spaced or _KEY_NAME.match(name)):
        return MonitoredColumn(name, "key")
    return MonitoredColumn(name, "number")


def _category(name: str, texts: Sequence[str], counts: Raw, codes: bool = False) -> MonitoredColumn:
    totals: dict[str, int] = {}
    for text, count in zip(texts, counts, strict=True):
        totals[text] = totals.get(text, 0) + int(count)
    levels = sorted(totals, key=lambda text: (-totals[text], text))
    return MonitoredColumn(name, "category", tuple(levels), codes=codes)


def cells_of(column: MonitoredColumn, cells: Raw, zoned: bool | None = None) -> tuple[Raw, Raw]:
    """Read cells as what the schema says that they are.

    Args:
        column: Column of the real data's schema.
        cells: As read, (n,).
        zoned: Whether the file itself says that they are instants with a zone.

    Returns:
        The cells, (n,), and the levels that the real data lack. Numbers and dates are float64 with
        NaN for missing; categories are indices of `column.levels`, then of the new levels, −1 for
        missing; texts and keys are hashes.

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


def text_hashes(cells: Raw) -> NDArray[np.uint64]:
    """Hash texts; equal ones have equal hashes, in every process.

    Args:
        cells: Texts and None, (n,).

    Returns:
        Shape (n,).
    """
    distinct, inverse = _factorised(cells)
    words = [str(text).encode(errors="surrogatepass") for text in distinct]
    hashes = [int.from_bytes(hashlib.blake2b(word, digest_size=8).digest()) for word in words]
    return np.array([*hashes, 0], np.uint64)[inverse]  # the last one is for −1: missing


def _numbers(column: MonitoredColumn, cells: Raw) -> Raw:
    if cells.dtype.kind == "f":
        return cells
    distinct, inverse = _factorised(cells)
    numbers = np.full(len(distinct) + 1, np.nan)  # the last entry is for index −1: missing
    found = _as_numbers(distinct, keep_text=False)
    if found is None:
        bad = next(text for text in distinct if _as_numbers([text], keep_text=False) is None)
        raise CellError(
            f"column {printable(column.name)} holds {printable(bad)!r} in row "
            f"{_row_of(bad, distinct, inverse)}; the real data hold numbers"
        )
    numbers[: len(distinct)] = found
    return numbers[inverse]


def _dates(column: MonitoredColumn, cells: Raw, zoned: bool | None) -> Raw:
    has_zone = zoned
    if cells.dtype.kind == "f":
        seconds = cells
    else:
        distinct, inverse = _factorised(cells)
        found = _as_dates(distinct, column)
        if found is None:
            raise CellError(
                f"column {printable(column.name)} holds {printable(distinct[0])!r} and others "
                "that are not dates of one form; the real data hold dates"
            )
        seconds, has_zone = np.append(found[0], np.nan)[inverse], found[1]
    if column.zoned is not None and has_zone is not None and has_zone != column.zoned:
        here, there = ("no zone", "one") if column.zoned else ("a zone", "none")
        raise CellError(
            f"column {printable(column.name)} has {here} while the real data have {there}; "
            "write both in UTC"
        )
    return seconds


def _levels(column: MonitoredColumn, cells: Raw) -> tuple[Raw, Raw]:
    distinct, inverse = _factorised(cells)
    texts = [_canonical(text) if column.codes else str(text) for text in distinct]
    index = {level: i for i, level in enumerate(column.levels)}
    new = [text for text in dict.fromkeys(texts) if text not in index]
    index |= {level: len(index) + i for i, level in enumerate(new)}
    codes = np.array([index[text] for text in texts] + [-1])
    return codes[inverse], np.array(new, object)


def _factorised(cells: Raw) -> tuple[list[Any], NDArray[np.int64]]:
    """Distinct cells that are not missing, and the index of each cell among them, −1: missing."""
    import pandas as pd

    inverse, distinct = pd.factorize(cells, use_na_sentinel=True)
    return list(distinct), np.asarray(inverse, np.int64)


def _distinct(cells: Raw) -> tuple[list[Any], NDArray[np.int64]]:
    distinct, inverse = _factorised(cells)
    return distinct, np.bincount(inverse[inverse >= 0], minlength=len(distinct))


def _row_of(text: str, distinct: list[Any], inverse: NDArray[np.int64]) -> int:
    return int(np.flatnonzero(inverse == distinct.index(text))[0]) + 1


def _as_numbers(texts: Sequence[str], keep_text: bool = True) -> NDArray[np.float64] | None:
    """Numbers, NaN where the text says that one is missing; None if one is something else.

    Args:
        texts: Distinct cells.
        keep_text: Refuse what would lose digits as a number: postal codes with leading zeros and
            whole numbers beyond 2^53.
    """
    present = [str(text).strip() for text in texts]
    missing = [text.lower() in MISSING_NUMBERS for text in present]
    if all(missing) and present:
        return None if keep_text else np.full(len(present), np.nan)
    if any("," in text for text in present):
        comma = all(m or _DECIMAL_COMMA.fullmatch(t) for t, m in zip(present, missing, strict=True))
        if not comma:
            return None
        present = [text.replace(",", ".") for text in present]

    given = [text for text, gone in zip(present, missing, strict=True) if not gone]
    try:
        values = [float(text) for text in given]
    except ValueError:
        return None
    if any("_" in text for text in given):  # 1_000 is Python's own spelling
        return None
    if keep_text and any(_loses_digits(text) for text in given):
        return None
    numbers = np.full(len(present), np.nan)
    numbers[~np.array(missing, dtype=bool)] = values
    return numbers + 0.0  # −0.0 becomes 0.0


def _loses_digits(text: str) -> bool:
    """Whether a number would be another text: 02134, or a whole number beyond 2^53."""
    digits = text.lstrip("+-")
    return bool(_LEADING_ZERO.fullmatch(text)) or (
        digits.isdecimal() and len(digits) > 15 and int(digits) > LARGEST_WHOLE
    )


def _as_dates(
    texts: Sequence[str], column: MonitoredColumn | None
) -> tuple[NDArray[np.float64], bool | None] | None:
    """Seconds since 1970 (UTC) and whether there is a zone (None: plain days), or None."""
    texts = [str(text).strip() for text in texts]
    if all(_ISO.fullmatch(text) for text in texts):
        return _iso_dates(texts)
    parsed = {}
    for form, pattern in _DAY_FORMATS.items():
        days = [_day(pattern, text) for text in texts]
        if all(day is not None for day in days):
            parsed[form] = np.array(days, float)
    if not parsed:
        return None
    if len(parsed) > 1 and not np.array_equal(*parsed.values()):
        name = printable(column.name) if column else "a column"
        raise CellError(
            f"column {name} may be day first or month first ({printable(texts[0])}); write dates "
            "as YYYY-MM-DD"
        )
    return next(iter(parsed.values())), None


def _iso_dates(texts: Sequence[str]) -> tuple[NDArray[np.float64], bool | None] | None:
    try:
        dates = [datetime.fromisoformat(text.replace(",", ".")) for text in texts]
    except ValueError:
        return None
    zones = {date.tzinfo is not None for date in dates}
    if len(zones) > 1:
        return None
    zoned = zones.pop()
    epoch = datetime(1970, 1, 1, tzinfo=UTC if zoned else None)
    seconds = np.array([(date - epoch).total_seconds() for date in dates])
    plain = all(len(text) == 10 for text in texts)
    return seconds, None if plain else zoned


def _day(pattern: re.Pattern[str], text: str) -> float | None:
    found = pattern.fullmatch(text)
    try:
        if found:
            date = datetime(int(found["y"]), int(found["m"]), int(found["d"]))
            return (date - datetime(1970, 1, 1)).total_seconds()
    except ValueError:
        pass
    return None


def _canonical(text: Any) -> str:
    """A level whose spelling does not matter: 1.0 and 1, True and true."""
    try:
        return _code(float(text))
    except (TypeError, ValueError):
        return str(text).strip().lower()


def _code(number: float) -> str:
    return str(int(number)) if np.isfinite(number) and number == round(number) else repr(number)
