"""The names that a run writes in its folder, and whether a folder is a run's.

Nothing is changed in a folder before it is known to be a run's, and then only what has one of these
names: people keep other things beside their runs.
"""

import hashlib
import json
import re
import stat
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stability.runs.atomic import PARTIAL_SUFFIX, atomic_write
from stability.runs.option_error import OptionError
from stability.runs.untrusted import UntrustedFileError, parse_json, printable, read_bytes

__all__ = [
    "CONFIG",
    "EDITION",
    "FOLDERS",
    "HISTORY",
    "LOCK",
    "STUDY",
    "TIMINGS",
    "UNFINISHED",
    "Recorded",
    "RunDirectoryError",
    "config_digest",
    "found_run",
    "own_files",
    "remove_empty",
    "remove_run",
    "write_config",
]

CONFIG, LOCK, STUDY, HISTORY = "config.json", ".lock", "study.json", "history.jsonl"
TIMINGS = "timings.jsonl"
FOLDERS = ("checkpoints/unfinished", "checkpoints", "samples", "figures")
FORMAT = "iterative-retraining run 2"
EDITION = "history"
"""Name in a configuration of the version of the history's lines; the previous edition had none."""
LARGEST_CONFIG = 2**24
"""Bytes of config.json."""

UNFINISHED = r"(fit|samples|measured)-\d{4,}-\d{3,}(-[0-9a-f]{8})?\.pt"
"""Names of what an image model has finished of a generation under way: work, generation, chain,
digest of the inputs."""

_IMAGES = "contraction|data|densities|distances|loss|metrics|parameters|profile|samples|so-far"
_NAMES = {
    "checkpoints/unfinished": UNFINISHED,
    "checkpoints": r"generation-\d{4,}\.pt|training\.pt",
    "samples": r"(generation|grid)-\d{4,}\.npz|samples\.npz",
    "figures": rf"({_IMAGES})\.(png|pdf|gif)",
    "": r"history\.jsonl|history-kept-\d+\.jsonl|timings\.jsonl|network\.safetensors|claims\.md|"
    r"study\.json|report\.html",
}
_OURS = {
    folder: re.compile(rf"({names})({re.escape(PARTIAL_SUFFIX)})?")
    for folder, names in _NAMES.items()
}


class RunDirectoryError(OptionError):
    """The folder cannot hold this run; the message says why and what to do.

    Options in it are arguments in a Python program, as in any `OptionError`.
    """


@dataclass(frozen=True)
class Recorded:
    """Content of config.json.

    Attributes:
        config: The configuration.
        environment: Where the run was started.
        problem: Why the run cannot go on, though it is one of ours; None if it can.
    """

    config: dict[str, Any]
    environment: dict[str, Any]
    problem: str | None


def config_digest(config: Any) -> str:
    """SHA-256 of a JSON value; the order of keys does not matter.

    Args:
        config: JSON value.

    Returns:
        The digest, 64 hexadecimal digits.
    """
    return hashlib.sha256(json.dumps(config, sort_keys=True).encode()).hexdigest()


def write_config(folder: Path, config: dict[str, Any], environment: dict[str, Any] | None) -> None:
    """Write config.json, by which the folder is known from then on.

    Args:
        folder: The run's folder.
        config: JSON object.
        environment: JSON object.
    """
    content = {"format": FORMAT, "config": config, "environment": environment}
    content["digest"] = config_digest(content)
    with atomic_write(folder / CONFIG) as file:
        file.write(json.dumps(content, indent=2, allow_nan=False).encode() + b"\n")


def found_run(folder: Path) -> Recorded | None:
    """Look at a folder without changing it.

    Args:
        folder: Where a run is, or is to be.

    Returns:
        What is recorded of the run there; None where one may begin: no such folder, or an empty
        one.

    Raises:
        RunDirectoryError: If there is something else.
    """
    if not folder.exists():
        return None
    if not folder.is_dir():
        raise RunDirectoryError(f"{folder} is not a folder")

    # where a run was killed at its very beginning, there is a lock without content and perhaps half
    # a config.json
    names = {entry.name for entry in folder.iterdir()}
    for name in (LOCK, CONFIG, CONFIG + PARTIAL_SUFFIX):
        if name in names and not stat.S_ISREG((folder / name).lstat().st_mode):
            raise RunDirectoryError(
                f"{folder} holds no run: {name} is not a regular file; choose another folder"
            )
    if LOCK in names and (folder / LOCK).stat().st_size:
        raise RunDirectoryError(
            f"{folder} holds no run: {LOCK} is not empty; choose another folder"
        )
    if CONFIG not in names:
        if names - {LOCK, CONFIG + PARTIAL_SUFFIX}:
            raise RunDirectoryError(
                f"{folder} is not empty and holds no run; choose another folder"
            )
        return None

    recorded = _recorded(folder / CONFIG)
    _require_kinds(folder, names)
    return recorded


def _recorded(path: Path) -> Recorded:
    try:
        found = parse_json(read_bytes(path, LARGEST_CONFIG))
    except UntrustedFileError as error:
        raise RunDirectoryError(
            f"{path} is not of a run ({error}); choose another folder"
        ) from None
    keys = set(found) if isinstance(found, dict) else set()
    earlier = keys == {"config", "environment"}
    ours = earlier or (
        keys == {"format", "config", "environment", "digest"} and found["format"] == FORMAT
    )
    if (
        not ours
        or not isinstance(found["config"], dict)
        or not isinstance(found["environment"], dict | None)
    ):
        form = f" (format {printable(found['format'])})" if "format" in keys else ""
        raise RunDirectoryError(
            f"{path} is not of a run that this version knows{form}; choose another folder"
        )

    problem = None
    if earlier:
        problem = "holds a run that an earlier version began; go on with that version"
    elif found["digest"] != config_digest(
        {key: value for key, value in found.items() if key != "digest"}
    ):
        problem = f"holds a {CONFIG} that was changed since the run began; restore it"
    return Recorded(found["config"], found["environment"] or {}, problem)


def _require_kinds(folder: Path, names: set[str]) -> None:
    """Refuse links: what is written and removed under them would be elsewhere."""
    for name in (HISTORY, TIMINGS, STUDY):
        if name in names and not stat.S_ISREG((folder / name).lstat().st_mode):
            raise RunDirectoryError(
                f"{folder / name} must be a regular file, not a folder, link or pipe"
            )
    for name in FOLDERS:
        with suppress(FileNotFoundError):
            if not stat.S_ISDIR((folder / name).lstat().st_mode):
                raise RunDirectoryError(f"{folder / name} must be a folder, not a file or a link")


def own_files(folder: Path) -> list[Path]:
    """The files that a run has written in its folder, by their names; config.json and the lock are
    not among them.

    Args:
        folder: The folder of a run.

    Returns:
        Their paths, checkpoints first.
    """
    return [
        entry
        for name, pattern in _OURS.items()
        if (folder / name).is_dir()
        for entry in sorted((folder / name).iterdir())
        if pattern.fullmatch(entry.name) and not stat.S_ISDIR(entry.lstat().st_mode)
    ]


def remove_run(folder: Path) -> None:
    """Remove what a run has written but config.json, by which the folder is still known when this
    is interrupted.

    Args:
        folder: The folder of a run, whose lock the caller has.
    """
    for file in own_files(folder):
        file.unlink()
    remove_empty(folder)


def remove_empty(folder: Path) -> None:
    """Remove the empty subfolders of a run.

    Args:
        folder: Folder of the run.
    """
    for name in FOLDERS:
        with suppress(OSError):  # not there, or with files that are not ours
            (folder / name).rmdir()
