"""Folders of results that a command makes anew each time: reports and figures."""

import json
from pathlib import Path

from stability.runs.atomic import atomic_write
from stability.runs.run_layout import RunDirectoryError
from stability.runs.untrusted import UntrustedFileError, parse_json, read_bytes

__all__ = ["MARK", "claim_output_folder", "require_output_folder"]

MARK = ".made-by.json"
"""Name of the file that says which command made the folder."""
LARGEST_MARK = 2**10
"""Bytes of that file."""


def require_output_folder(folder: Path, command: str) -> bool:
    """Find out whether a command may write its results into a folder, without changing anything.

    Args:
        folder: Where results go.
        command: Name of the command, such as "deep.report".

    Returns:
        Whether the command has made the folder before.

    Raises:
        RunDirectoryError: If the folder holds files, and this command did not make it.
        OSError: If it cannot be read.
    """
    if not folder.is_dir() or not any(folder.iterdir()):
        return False
    try:
        found = parse_json(read_bytes(folder / MARK, LARGEST_MARK))
    except (UntrustedFileError, OSError):
        found = None
    if found != {"made_by": command}:
        raise RunDirectoryError(
            f"{folder} is not empty and was not made by {command}; choose another folder"
        )
    return True


def claim_output_folder(folder: Path, command: str) -> None:
    """Make a folder of results, or find the one that the same command made.

    Args:
        folder: Where results go. Made if it is missing; an empty one is taken.
        command: Name of the command, such as "deep.report".

    Raises:
        RunDirectoryError: If the folder holds files, and this command did not make it. Nothing is
            changed then.
        OSError: If it cannot be written.
    """
    if require_output_folder(folder, command):
        return

    folder.mkdir(parents=True, exist_ok=True)
    with atomic_write(folder / MARK) as file:
        file.write(json.dumps({"made_by": command}).encode() + b"\n")
