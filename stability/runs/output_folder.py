"""Folders of results that a command makes anew each time: reports and figures."""

import json
from pathlib import Path

from stability.runs.atomic import atomic_write
from stability.runs.run_layout import RunDirectoryError
from stability.runs.untrusted import UntrustedFileError, parse_json, read_bytes

__all__ = ["MARK", "claim_output_folder"]

MARK = ".made-by.json"
"""Name of the file that says which command made the folder."""
LARGEST_MARK = 2**10
"""Bytes of that file."""


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
    content = {"made_by": command}
    if folder.is_dir() and any(folder.iterdir()):
        try:
            found = parse_json(read_bytes(folder / MARK, LARGEST_MARK))
        except (UntrustedFileError, OSError):
            found = None
        if found != content:
            raise RunDirectoryError(
                f"{folder} is not empty and was not made by {command}; choose another folder"
            )
        return

    folder.mkdir(parents=True, exist_ok=True)
    with atomic_write(folder / MARK) as file:
        file.write(json.dumps(content).encode() + b"\n")
