"""The command `verify`: is a run folder or a watch's state whole? One line; nothing is changed."""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tyro

from stability.planning.watch_state import read_state_file
from stability.runs.command_line import UsageError, command
from stability.runs.console import make_console
from stability.runs.run_layout import RunDirectoryError, found_run
from stability.runs.sealed import sealed_digest
from stability.runs.state_file import read_state
from stability.runs.table_schema import TableSchema
from stability.runs.untrusted import UntrustedFileError, open_regular, printable, read_bytes

__all__ = ["VerifyOptions", "verify", "verify_main"]

LARGEST_HISTORY, LARGEST_SAMPLES = 2**31, 2**36
EXIT_BROKEN = 1


@dataclass(frozen=True)
class VerifyOptions:
    """Verify a run folder or the state file of a watch: digests, schema and completeness.

    Exit status 0: whole. 1: damaged or incomplete, and the line says where. 2: no such thing.
    Nothing is changed.
    """

    path: tyro.conf.Positional[Path]
    """Folder of a run, or the JSON file of `check --state`."""


def verify_main(arguments: Sequence[str]) -> None:
    """Run the command.

    Args:
        arguments: Of the command line, after the name of the command.
    """
    command(VerifyOptions, run, arguments)


def run(options: VerifyOptions) -> None:
    """Verify, print one line, leave with the status.

    Args:
        options: Options of the command.

    Raises:
        SystemExit: With status 0 if everything is as recorded, another one if not.
        UsageError: If the path is neither a run folder nor a state file.
    """
    whole, line = verify(options.path)
    make_console().print(printable(f"{options.path}: {line}", 1000), soft_wrap=True)
    raise SystemExit(0 if whole else EXIT_BROKEN)


def verify(path: Path) -> tuple[bool, str]:
    """Verify a run folder or a state file.

    Args:
        path: The folder or file.

    Returns:
        Whether it is whole, and a line about it.

    Raises:
        UsageError: If it is neither.
    """
    if not path.exists():
        raise UsageError(f"{path}: no such file or folder")
    if not path.is_dir():
        return _state(path)
    try:
        recorded = found_run(path)
    except RunDirectoryError as error:
        raise UsageError(str(error).removesuffix("; choose another folder")) from None
    if recorded is None:
        raise UsageError(f"{path}: holds no run")
    if recorded.problem is not None:
        return False, recorded.problem
    return _run(path)


def _state(path: Path) -> tuple[bool, str]:
    """A watch's state: digest, names, and as many looks as the alarm has seen."""
    try:
        content = read_state_file(path)
        looks, seen, means = content["looks"], content["seen"], content["means"]
        TableSchema.from_data(content["schema"])
        consistent = len(looks) == seen == len(means) and len(content["rounds"]) <= seen
    except UsageError as error:
        if "damaged" in str(error):
            return False, str(error).removeprefix(f"{path}: ")
        raise
    except (KeyError, TypeError, ValueError) as error:
        return False, f"is damaged ({error!r})"
    if not consistent:
        return False, "is damaged (its parts are of other generations)"
    return True, f"whole; a watch of {seen} generations, the last one {looks[-1]['name']}"


def _run(folder: Path) -> tuple[bool, str]:
    """A run: newest checkpoint, and the lines of history and samples whose digests it holds."""
    stored = sorted((folder / "checkpoints").glob("generation-*.pt"), key=_generation)
    if not stored:
        return False, "no checkpoint: the run ended before its first generation, or it was removed"
    newest = _generation(stored[-1])
    try:
        state = read_state(stored[-1])
        lines, samples = list(state["lines"]), list(state["sample_files"])
        right = state["t"] == newest and len(lines) == len(samples) == newest + 1
    except (UntrustedFileError, KeyError, TypeError) as error:
        return False, f"{stored[-1].name} {error}"
    if not right:
        return False, f"{stored[-1].name} is of another generation"

    problem = _history_problem(folder / "history.jsonl", lines)
    for t, digest in enumerate(samples):
        problem = problem or _samples_problem(
            folder / "samples" / f"generation-{t:04d}.npz", digest
        )
    if problem:
        return False, problem
    return True, f"whole; generations 0 to {newest}, every line and sample file as recorded"


def _generation(path: Path) -> int:
    found = re.fullmatch(r"generation-(\d+)", path.stem)
    return int(found[1]) if found else -1


def _history_problem(path: Path, digests: Sequence[Any]) -> str:
    try:
        lines = read_bytes(path, LARGEST_HISTORY).splitlines(keepends=True)
    except (UntrustedFileError, OSError) as error:
        return f"{path.name} {_reason(error)}"
    for i, digest in enumerate(digests):
        if i >= len(lines) or hashlib.sha256(lines[i]).hexdigest() != digest:
            return f"{path.name}: line {i + 1} is missing or changed"
    more = len(lines) - len(digests)
    return f"{path.name}: {more} lines beyond the newest checkpoint" if more > 1 else ""


def _samples_problem(path: Path, digest: Any) -> str:
    try:
        with open_regular(path, LARGEST_SAMPLES) as file:
            return "" if sealed_digest(file) == digest else f"{path.name} differs from its record"
    except (UntrustedFileError, OSError) as error:
        return f"{path.name} {_reason(error)}"


def _reason(error: Exception) -> str:
    return "is missing" if isinstance(error, FileNotFoundError) else printable(error)
