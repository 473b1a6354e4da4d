"""The history of a run: one typed record a chain and generation, and how it is written and read.

A line of `history.jsonl` is one generation:

    {"t": 1, "schema": 3, "chains": [{"regime": {"mix": {"lam": 0.5}}, "seed": 0, "n": 40, "m": 20,
    "measured": {"w1": 0.31}, "labels": {}}]}

Regimes are data, never parsed from a label. Files are read as untrusted: bounded, and refused with
the line that is wrong. Runs of the previous edition are converted when they are read
(`stability.runs.earlier_edition`).
"""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from stability.loop.capabilities import models_of
from stability.loop.regime_data import regime_from_data, regime_to_data
from stability.loop.regimes import Regime, Selector, TrainingSet
from stability.runs.untrusted import UntrustedFileError, parse_json, printable, read_bytes

__all__ = [
    "SCHEMA",
    "ChainRecord",
    "History",
    "HistoryError",
    "HistoryLine",
    "counts",
    "read_history",
    "read_lines",
]

SCHEMA = 3
"""Version of a line; 1 and 2 are those of the previous edition, which had no such number."""
LARGEST_HISTORY = 2**31
"""Bytes of history.jsonl."""
LARGEST_NUMBER = 1e100
"""Largest finite number that a history may hold: no axis shows a larger one."""
_NOT_FINITE = {"inf": math.inf, "-inf": -math.inf, "nan": math.nan}


class HistoryError(ValueError):
    """A history cannot be used; the message says which file and why."""


@dataclass(frozen=True)
class ChainRecord:
    """One chain in one generation.

    Attributes:
        regime: Rule by which the chain feeds on itself.
        seed: Which repeat it is, counted from 0.
        n: Real points that this generation was trained on.
        m: Synthetic points that it was trained on.
        measured: What observers measured, by key: numbers, and lists of them.
        labels: What else tells the chain from others, by name.
    """

    regime: Regime
    seed: int
    n: int
    m: int
    measured: Mapping[str, Any]
    labels: Mapping[str, str] = field(default_factory=dict)

    @property
    def lam(self) -> float:
        """λ = m/n of the training set; inf without real data."""
        return self.m / self.n if self.n else math.inf

    @property
    def share(self) -> float:
        """m/(n + m), the synthetic part of the training set."""
        return self.m / (self.n + self.m)

    @property
    def row(self) -> str:
        """The row of tables and figures that it belongs to."""
        return ", ".join([str(self.regime), *self.labels.values()])

    def to_data(self) -> dict[str, Any]:
        """The record as JSON values; numbers that are not finite become strings."""
        data = {
            "regime": regime_to_data(self.regime),
            "seed": self.seed,
            "n": self.n,
            "m": self.m,
            "measured": {key: _storable(value) for key, value in self.measured.items()},
        }
        return data | ({"labels": dict(self.labels)} if self.labels else {})


@dataclass(frozen=True)
class HistoryLine:
    """One generation.

    Attributes:
        t: Number of retrainings so far.
        chains: One record a chain.
    """

    t: int
    chains: tuple[ChainRecord, ...]

    def to_data(self) -> dict[str, Any]:
        """The line as JSON values, without t."""
        return {"schema": SCHEMA, "chains": [chain.to_data() for chain in self.chains]}


@dataclass(frozen=True)
class History(Sequence[HistoryLine]):
    """All finished generations of a run, in order; every line has the same chains.

    Attributes:
        lines: One a generation.
    """

    lines: tuple[HistoryLine, ...]

    @overload
    def __getitem__(self, index: int) -> HistoryLine: ...
    @overload
    def __getitem__(self, index: slice) -> "History": ...
    def __getitem__(self, index: int | slice) -> "HistoryLine | History":
        return History(self.lines[index]) if isinstance(index, slice) else self.lines[index]

    def __len__(self) -> int:
        return len(self.lines)

    def __iter__(self) -> Iterator[HistoryLine]:
        return iter(self.lines)

    @cached_property
    def rows(self) -> dict[str, list[int]]:
        """Positions of the chains of each row, by seed, in the order of the run."""
        rows: dict[str, list[int]] = {}
        for position, chain in enumerate(self.lines[0].chains if self.lines else ()):
            rows.setdefault(chain.row, []).append(position)
        return rows

    @property
    def regimes(self) -> list[Regime]:
        """One regime a row, in the order of the run."""
        return [self.lines[0].chains[positions[0]].regime for positions in self.rows.values()]

    @property
    def seeds(self) -> int:
        """Number of repeats of a row; the least, where rows have different numbers."""
        return min((len(positions) for positions in self.rows.values()), default=0)

    def keys(self) -> list[str]:
        """Quantities that every chain of every generation has as a number, in their order."""
        records = [chain.measured for line in self.lines for chain in line.chains]
        return [
            key
            for key in (records[0] if records else ())
            if all(isinstance(record.get(key), int | float) for record in records)
        ]

    def values(self, key: str) -> dict[str, NDArray[np.float64]]:
        """A quantity by row.

        Args:
            key: Of the quantity.

        Returns:
            For each row, generations by seeds, (T + 1, S).

        Raises:
            KeyError: If a chain lacks it.
        """
        return {
            row: np.array(
                [[line.chains[i].measured[key] for i in positions] for line in self.lines],
                dtype=float,
            )
            for row, positions in self.rows.items()
        }

    def repeats(self, key: str) -> dict[str, NDArray[np.float64]]:
        """A quantity by row, one value for each independent repeat.

        Args:
            key: Of the quantity.

        Returns:
            As `values`; of models that train on each other's samples the mean over each population,
            since its chains depend on each other.

        Raises:
            KeyError: If a chain lacks it.
        """
        found = self.values(key)
        for (row, values), regime in zip(found.items(), self.regimes, strict=True):
            models = models_of(regime)
            if models > 1 and values.shape[1] % models == 0:
                found[row] = values.reshape(len(values), -1, models).mean(axis=2)
        return found


def counts(training: TrainingSet) -> dict[str, int]:
    """Count the points of the training set of a generation.

    Args:
        training: Its training set.

    Returns:
        n real and m synthetic points, as a `ChainRecord` names them.
    """
    return {"n": training.real, "m": training.synthetic}


def read_lines(file: Path) -> list[bytes]:
    """Read the finished lines of a history; one that is being written, or was cut by a kill, is
    left out.

    Args:
        file: history.jsonl.

    Returns:
        The lines.

    Raises:
        HistoryError: If it is no regular file, or too large.
        OSError: If it cannot be read.
    """
    try:
        lines = read_bytes(file, LARGEST_HISTORY).splitlines(keepends=True)
    except UntrustedFileError as error:
        raise HistoryError(f"{file} {error}") from None
    return lines[:-1] if lines and not lines[-1].endswith(b"\n") else lines


def read_history(file: Path, selectors: Mapping[str, Selector] | None = None) -> History:
    """Read a history of this edition.

    Args:
        file: history.jsonl.
        selectors: Rewards and verifiers by name, for regimes that have them.

    Returns:
        The history; empty where no generation is finished.

    Raises:
        HistoryError: If it is damaged; the message names the line.
        OSError: If it cannot be read.
    """
    lines = []
    for t, text in enumerate(read_lines(file)):
        try:
            lines.append(_line(parse_json(text), t, selectors))
        except UntrustedFileError as error:
            raise HistoryError(f"{file}, line {t + 1} {error}") from None
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
            raise HistoryError(f"{file}, line {t + 1} is not generation {t} of a run") from None
    return checked(History(tuple(lines)), file)


def checked(history: History, file: Path) -> History:
    """Refuse a history whose lines do not have the same chains.

    Args:
        history: What was read.
        file: Where from, for the message.

    Returns:
        The history.

    Raises:
        HistoryError: Names the first line that differs.
    """
    lines = [[(chain.row, chain.seed) for chain in line.chains] for line in history]
    for t, chains in enumerate(lines):
        if chains != lines[0]:
            raise HistoryError(f"{file}, line {t + 1} has other chains than line 1")
    if lines and len(set(lines[0])) < len(lines[0]):
        raise HistoryError(f"{file} has the same chain twice")
    return history


def _line(data: Any, t: int, selectors: Mapping[str, Selector] | None) -> HistoryLine:
    """A line from its JSON value. KeyError, TypeError or ValueError if it is none."""
    if data["t"] != t or data["schema"] != SCHEMA or not data["chains"]:
        raise ValueError
    return HistoryLine(t, tuple(_chain(chain, selectors) for chain in data["chains"]))


def _chain(data: Any, selectors: Mapping[str, Selector] | None) -> ChainRecord:
    labels = {name(key): name(value) for key, value in data.get("labels", {}).items()}
    regime = regime_from_data(data["regime"], selectors)
    name(str(regime))
    measured = {name(key): _measured(value) for key, value in data["measured"].items()}
    n, m = count(data["n"]), count(data["m"])
    if not n + m:
        raise ValueError
    return ChainRecord(regime, count(data["seed"]), n, m, measured, labels)


def name(value: Any) -> str:
    """Require a name from a file.

    Args:
        value: JSON value.

    Returns:
        The name.

    Raises:
        ValueError: If it is no text, empty, or cannot be shown as it is.
    """
    if not isinstance(value, str) or not value or printable(value) != value:
        raise ValueError
    return value


def count(value: Any) -> int:
    """Require a count from a file.

    Args:
        value: JSON value.

    Returns:
        The count, in [0, 2^63).

    Raises:
        ValueError: If it is not such an integer.
    """
    if type(value) is not int or not 0 <= value < 2**63:
        raise ValueError
    return value


def number(value: Any) -> float:
    """Require a number from a file.

    Args:
        value: JSON value; inf and nan are texts.

    Returns:
        The number.

    Raises:
        ValueError: If it is no number, or too large to be drawn.
        KeyError: If it is another text.
    """
    if isinstance(value, str):
        return _NOT_FINITE[value]
    if type(value) not in (int, float) or not abs(value) <= LARGEST_NUMBER:
        raise ValueError
    return value


def _measured(value: Any) -> Any:
    return [_measured(item) for item in value] if isinstance(value, list) else number(value)


def _storable(value: Any) -> Any:
    """A measured value as JSON: numbers, and lists of them."""
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, list | tuple):
        return [_storable(item) for item in value]
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(
            f"observers must return numbers, and lists of them, got {type(value).__name__}"
        )
    return storable(value)


def storable(value: float) -> float | str:
    """Make a number a JSON value that `number` reads.

    Args:
        value: Any number.

    Returns:
        It; the text inf or -inf where it is too large to be drawn, nan where it is none.
    """
    if abs(value) <= LARGEST_NUMBER:
        return value
    return "nan" if math.isnan(value) else "inf" if value > 0 else "-inf"


def as_json(value: Any) -> str:
    """Write a JSON value as canonical text, for comparisons.

    Args:
        value: JSON value.

    Returns:
        The text; the order of keys does not matter.
    """
    return json.dumps(value, sort_keys=True)
