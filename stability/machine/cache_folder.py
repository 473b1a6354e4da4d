"""The folder for files that can be made again: features, encoders, machine code."""

import os
import stat
import tempfile
import warnings
from pathlib import Path

__all__ = ["cache_folder", "private_folder"]

NAME = "iterative-retraining"


def cache_folder() -> Path:
    """Find the folder for files that can be made again.

    Returns:
        `iterative-retraining` in $XDG_CACHE_HOME, or else in ~/.cache. Where that cannot be
        written, or there is no home folder: `private_folder()`, with a warning.
    """
    given = os.environ.get("XDG_CACHE_HOME")
    try:
        folder = Path(given or Path.home() / ".cache") / NAME
        folder.mkdir(parents=True, exist_ok=True)
        if os.access(folder, os.W_OK | os.X_OK):
            return folder
        reason = f"{folder} cannot be written"
    except (OSError, RuntimeError) as error:  # RuntimeError: an unknown user has no home folder
        reason = f"no cache folder ({error})"

    instead = private_folder()
    warnings.warn(f"{reason}; using {instead} (XDG_CACHE_HOME names another)", stacklevel=2)
    return instead


def private_folder() -> Path:
    """Make, or find, a folder among the temporary files that no other user can write.

    Returns:
        `iterative-retraining-UID`; a fresh folder if somebody else made that one.
    """
    user = os.getuid() if hasattr(os, "getuid") else "user"
    folder = Path(tempfile.gettempdir()) / f"{NAME}-{user}"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
    except OSError:
        return Path(tempfile.mkdtemp(prefix=f"{NAME}-"))

    own = stat.S_ISDIR(found.st_mode) and (user == "user" or found.st_uid == user)
    return (
        folder if own and not found.st_mode & 0o022 else Path(tempfile.mkdtemp(prefix=f"{NAME}-"))
    )
