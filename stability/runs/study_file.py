"""study.json: what a run measured, in words and with its noise floors, so that the folder alone
says it.
"""

import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stability.runs.atomic import atomic_write
from stability.runs.history import SCHEMA, HistoryError, count, name, number, storable
from stability.runs.observer import NOISE_FLOOR, Floor, Quantity
from stability.runs.run_layout import STUDY, config_digest
from stability.runs.untrusted import UntrustedFileError, parse_json, printable, read_bytes

__all__ = ["UNKNOWN", "StudyFile", "read_study_file", "write_study_file"]

LARGEST_STUDY = 2**24
"""Bytes of study.json."""
MOST_TEXT = 1000
"""Characters of a text in it."""
UNKNOWN = Floor(math.nan, math.nan)
"""The floor of a quantity that has none."""


@dataclass(frozen=True)
class StudyFile:
    """Content of study.json.

    Attributes:
        quantities: What was measured, in the order of tables and figures.
        floors: What a perfect model gets, by key.
        generations: Retrainings that the run is to have.
        covers: What intervals over seeds cover, in words.
        keep_samples: Which samples stay, as of `stability.runs.keep`.
    """

    quantities: Sequence[Quantity] = ()
    floors: Mapping[str, Floor] = field(default_factory=dict)
    generations: int = 0
    covers: str = ""
    keep_samples: str = "all"

    @property
    def shown(self) -> list[Quantity]:
        """The quantities that tables and figures show."""
        return [quantity for quantity in self.quantities if quantity.shown]

    def floor(self, key: str) -> Floor:
        """Floor of a quantity.

        Args:
            key: Key of the quantity.

        Returns:
            Its floor; `UNKNOWN` if it has none.
        """
        return self.floors.get(key, UNKNOWN)


def write_study_file(folder: Path, study: StudyFile) -> None:
    """Write study.json.

    Args:
        folder: Of the run.
        study: What to write.
    """
    content: dict[str, Any] = {
        "schema": SCHEMA,
        "quantities": [dataclasses.asdict(quantity) for quantity in study.quantities],
        "floors": {
            key: [storable(floor.mean), storable(floor.sd), floor.draws]
            for key, floor in study.floors.items()
        },
        "generations": study.generations,
        "covers": study.covers,
        "keep_samples": study.keep_samples,
    }
    content["digest"] = config_digest(content)
    with atomic_write(folder / STUDY) as file:
        file.write(json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False).encode())


def read_study_file(folder: Path) -> StudyFile | None:
    """Read study.json.

    Args:
        folder: Of the run.

    Returns:
        What it says; None if there is none.

    Raises:
        HistoryError: If it is damaged.
        OSError: If it cannot be read.
    """
    path = folder / STUDY
    try:
        content = parse_json(read_bytes(path, LARGEST_STUDY))
    except FileNotFoundError:
        return None
    except UntrustedFileError as error:
        raise HistoryError(f"{path} {error}") from None

    try:
        digest = content.pop("digest")
        if content["schema"] != SCHEMA or digest != config_digest(content):
            raise ValueError
        floors = {
            name(key): Floor(number(mean), number(sd), count(draws))
            for key, (mean, sd, draws) in content["floors"].items()
        }
        quantities = [_quantity(**quantity) for quantity in content["quantities"]]
        generations, covers = count(content["generations"]), text(content["covers"])
        return StudyFile(quantities, floors, generations, covers, text(content["keep_samples"]))
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
        raise HistoryError(f"{path} is damaged") from None


def text(value: Any) -> str:
    """Require a text from a file, which may be empty and have lines.

    Args:
        value: JSON value.

    Returns:
        The text.

    Raises:
        ValueError: If it is no text, too long, or cannot be shown as it is.
    """
    if not isinstance(value, str) or len(value) > MOST_TEXT:
        raise ValueError
    lines = value.split("\n")
    if any(printable(line, MOST_TEXT) != line for line in lines):
        raise ValueError
    return value


def _quantity(
    key: Any,
    title: Any,
    label: Any,
    log: Any = False,
    from_zero: Any = True,
    floor: Any = NOISE_FLOOR,
    shown: Any = True,
    about: Any = None,
) -> Quantity:
    """A quantity from its JSON values. ValueError if it is none."""
    flags = (log, from_zero, shown)
    if not all(isinstance(flag, bool) for flag in flags) or not isinstance(about, dict):
        raise ValueError
    return Quantity(name(key), text(title), text(label), log, from_zero, text(floor), shown, about)
