"""Files in which a long computation keeps its results, so that it resumes after a kill."""

import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from stability.runs.state_file import read_state, write_state
from stability.runs.untrusted import UntrustedFileError, printable

__all__ = ["Kept"]


class Kept:
    """A computation's file, written at most once in `seconds` while it is under way, and at its
    end.

    Args:
        path: The file.
        key: Names the computation and all that it depends on; a file with another key is not used.
        seconds: Least time between two writings, in seconds.
        writes: Whether this process writes; of several processes, only the first one does.
    """

    def __init__(self, path: Path, key: str, seconds: float, writes: bool = True) -> None:
        self._path, self._key, self._seconds, self._writes = path, key, seconds, writes
        self._saved = time.monotonic()

    def load(self) -> dict[str, Any] | None:
        """Load the state that was kept.

        A file that is damaged or of another computation is a warning.

        Returns:
            The state; None if nothing was kept, or that file is not usable.
        """
        try:
            found = read_state(self._path)
        except FileNotFoundError:
            return None
        except (UntrustedFileError, OSError) as error:
            reason = (
                str(error)
                if isinstance(error, UntrustedFileError)
                else f"cannot be read ({printable(error)})"
            )
            warnings.warn(f"{self._path} {reason}; what it held is done again", stacklevel=2)
            return None
        if found.get("key") != self._key or not isinstance(found.get("state"), dict):
            warnings.warn(
                f"{self._path} is of another computation; what it held is done again", stacklevel=2
            )
            return None
        return found["state"]

    def save(self, state: Callable[[], dict[str, Any]], final: bool) -> None:
        """Keep a state if it is time to, or if it is final.

        Args:
            state: Makes the state; called only if it is kept.
            final: Keep it, whatever the time.

        Raises:
            OSError: As from any file.
        """
        if self._writes and (final or time.monotonic() - self._saved >= self._seconds):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            write_state(self._path, {"key": self._key, "state": state()})
            self._saved = time.monotonic()
