"""A run as its folder says it: options, history, quantities and floors, without its lock."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stability.loop.regimes import Selector
from stability.runs.earlier_edition import earlier_line, earlier_quantities
from stability.runs.history import (
    History,
    HistoryError,
    HistoryLine,
    checked,
    read_history,
    read_lines,
)
from stability.runs.run_layout import CONFIG, EDITION, HISTORY, RunDirectoryError
from stability.runs.study_file import StudyFile, read_study_file
from stability.runs.untrusted import UntrustedFileError, parse_json, read_bytes

__all__ = ["RecordedRun", "read_config", "read_run"]

LARGEST_CONFIG = 2**24
"""Bytes of config.json."""


@dataclass(frozen=True)
class RecordedRun:
    """Record of a run, read from its folder.

    Attributes:
        folder: The folder.
        config: Options that decide the result, flat, by name.
        environment: Where the run was started.
        history: The finished generations.
        study: What was measured, and floors.
    """

    folder: Path
    config: Mapping[str, Any]
    environment: Mapping[str, Any]
    history: History
    study: StudyFile


def read_config(folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Read config.json.

    Args:
        folder: Of a run.

    Returns:
        The options and the environment.

    Raises:
        HistoryError: If it is damaged, or not of a run.
        OSError: If there is none.
    """
    file = folder / CONFIG
    try:
        content = parse_json(read_bytes(file, LARGEST_CONFIG))
    except UntrustedFileError as error:
        raise HistoryError(f"{file} {error}") from None
    config = content.get("config") if isinstance(content, dict) else None
    environment = content.get("environment") or {} if isinstance(content, dict) else None
    if not isinstance(config, dict) or not isinstance(environment, dict):
        raise HistoryError(f"{file} is not of a run")
    return config, environment


def read_run(folder: Path, selectors: Mapping[str, Selector] | None = None) -> RecordedRun:
    """Read a run of this edition or the previous one; nothing is written, and no lock is taken.

    Args:
        folder: Of the run.
        selectors: Rewards and verifiers by name, for regimes that have them.

    Returns:
        What is recorded.

    Raises:
        HistoryError: If it is damaged.
        RunDirectoryError: If it is not a folder of a run.
        OSError: If a file cannot be read.
    """
    if not (folder / CONFIG).exists():
        raise RunDirectoryError(f"{folder} holds no run: it has no {CONFIG}")
    config, environment = read_config(folder)
    file = folder / HISTORY
    if not file.exists():
        return RecordedRun(folder, config, environment, History(()), StudyFile())
    if EDITION not in config:
        history, study = _earlier(file, config)
    else:
        history, study = read_history(file, selectors), read_study_file(folder)
        study = study or _plain_study(history)
    return RecordedRun(folder, config, environment, history, study)


def _earlier(file: Path, config: Mapping[str, Any]) -> tuple[History, StudyFile]:
    """A history of the previous edition. HistoryError if it is damaged."""
    lines: list[HistoryLine] = []
    study = StudyFile()
    for t, text in enumerate(read_lines(file)):
        try:
            data = parse_json(text)
            lines.append(earlier_line(data, t, config))
            if t == 0:
                quantities, floors = earlier_quantities(data, lines[0])
                retrainings = config.get("retrainings", config.get("rounds", 0))
                study = StudyFile(quantities, floors, int(retrainings))
        except UntrustedFileError as error:
            raise HistoryError(f"{file}, line {t + 1} {error}") from None
        except (KeyError, TypeError, ValueError, AttributeError, ArithmeticError):
            raise HistoryError(f"{file}, line {t + 1} is not generation {t} of a run") from None
    return checked(History(tuple(lines)), file), study


def _plain_study(history: History) -> StudyFile:
    """Quantities without words and floors, where study.json is lost."""
    from stability.runs.observer import Quantity

    return StudyFile([Quantity(key) for key in history.keys()])  # noqa: SIM118
