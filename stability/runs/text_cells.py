"""Cells that are text: what they are as numbers, dates and codes."""

import hashlib
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stability.runs.untrusted import printable

__all__ = [
    "CellError",
    "Raw",
    "as_dates",
    "as_numbers",
    "canonical",
    "factorised",
    "number_code",
    "text_hashes",
]

Raw = NDArray[Any]
"""Cells of a column as read: float64 (NaN: missing), or objects: texts and None."""
MISSING_NUMBERS = ("na", "n/a", "nan", "null", "none", "nat")
LARGEST_WHOLE = 2.0**53

_LEADING_ZERO = re.compile(r"[+-]?0\d+")
_DECIMAL_COMMA = re.compile(r"[+-]?\d+(,\d+)?")
_ISO = re.compile(r"\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}(:\d{2}([.,]\d+)?)?\s?(Z|[+-]\d{2}:?\d{2})?)?")
_DAY_FORMATS = {
    "day first": re.compile(r"(?P<d>\d{1,2})[/.-](?P<m>\d{1,2})[/.-](?P<y>\d{4})"),
    "month first": re.compile(r"(?P<m>\d{1,2})[/.-](?P<d>\d{1,2})[/.-](?P<y>\d{4})"),
    "year first": re.compile(r"(?P<y>\d{4})[/.](?P<m>\d{1,2})[/.](?P<d>\d{1,2})"),
}


class CellError(ValueError):
    """Cells do not fit the column's kind; the message names the column and the first such cell."""


def factorised(cells: Raw) -> tuple[list[Any], NDArray[np.int64]]:
    """Find the distinct cells.

    Args:
        cells: As read, (n,).

    Returns:
        Those that are not missing, and the index of each cell among them, (n,); −1: missing.
    """
    import pandas as pd

    inverse, distinct = pd.factorize(cells, use_na_sentinel=True)
    return list(distinct), np.asarray(inverse, np.int64)


def text_hashes(cells: Raw) -> NDArray[np.uint64]:
    """Hash texts; equal ones have equal hashes, in every process.

    Args:
        cells: Texts and None, (n,).

    Returns:
        Shape (n,).
    """
    distinct, inverse = factorised(cells)
    words = [str(text).encode(errors="surrogatepass") for text in distinct]
    hashes = [int.from_bytes(hashlib.blake2b(word, digest_size=8).digest()) for word in words]
    return np.array([*hashes, 0], np.uint64)[inverse]  # the last one is for −1: missing


def as_numbers(texts: Sequence[str], keep_text: bool = True) -> NDArray[np.float64] | None:
    """Read texts as numbers.

    Args:
        texts: Distinct cells.
        keep_text: Refuse what would lose digits as a number: postal codes with leading zeros and
            whole numbers beyond 2^53.

    Returns:
        The numbers, NaN where the text says that one is missing; None: some text is no number.
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
    """Return whether a number would be another text: 02134, or a whole number beyond 2^53."""
    digits = text.lstrip("+-")
    return bool(_LEADING_ZERO.fullmatch(text)) or (
        digits.isdecimal() and len(digits) > 15 and int(digits) > LARGEST_WHOLE
    )


def as_dates(
    texts: Sequence[str], column: str = ""
) -> tuple[NDArray[np.float64], bool | None] | None:
    """Read texts as dates of one form.

    Args:
        texts: Distinct cells.
        column: Its name, for an error.

    Returns:
        Seconds since 1970 (UTC), and whether there is a zone (None: plain days); None: some text
        is no date.

    Raises:
        CellError: If day and month cannot be told apart.
    """
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
        name = printable(column) if column else "a column"
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


def canonical(text: Any) -> str:
    """Spell a level whose spelling does not matter: 1.0 and 1, True and true.

    Args:
        text: The cell.

    Returns:
        The same text for equal levels.
    """
    try:
        return number_code(float(text))
    except (TypeError, ValueError):
        return str(text).strip().lower()


def number_code(number: float) -> str:
    """Spell a number that is a code.

    Args:
        number: The code.

    Returns:
        Without a fraction if it is whole.
    """
    return str(int(number)) if np.isfinite(number) and number == round(number) else repr(number)
