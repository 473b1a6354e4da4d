"""Files in which a long computation keeps what it has done, so that it goes on after a kill."""

import time
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from stability.atomic import atomic_write

__all__ = ["Kept", "read_state", "write_state"]


def write_state(path: Path, state: dict[str, Any]) -> None:
    """Tensors and plain values, whole or not at all. OSError as from any file."""
    with atomic_write(path) as file:
        torch.save(state, file)


def read_state(path: Path) -> dict[str, Any]:
    """What `write_state` wrote, on the CPU; nothing in the file is executed. Damage raises, with errors of any kind."""
    with zipfile.ZipFile(path) as archive:
        if archive.testzip():  # torch does not compare the checksums that it writes
            raise ValueError("checksum mismatch")
    return torch.load(path, map_location="cpu", weights_only=True)


class Kept:
    """A computation's file, written at most once in `seconds` while it is under way, and at its end.

    writes: whether this process does that; of several processes, only the first one.
    """

    def __init__(self, path: Path, seconds: float, writes: bool = True) -> None:
        self._path, self._seconds, self._writes = path, seconds, writes
        self._saved = time.monotonic()

    def load(self) -> dict[str, Any] | None:
        """What was kept; None if that is nothing, or damaged, which is a warning."""
        if not self._path.exists():
            return None
        try:
            return read_state(self._path)
        except Exception as error:  # whatever is wrong with the file, what it had is done again
            warnings.warn(f"{self._path} is damaged ({error}); what it held is done again", stacklevel=2)
            return None

    def save(self, state: Callable[[], dict[str, Any]], final: bool) -> None:
        """Keep `state()` if it is time to, or if it is final. OSError as from any file."""
        if self._writes and (final or time.monotonic() - self._saved >= self._seconds):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            write_state(self._path, state())
            self._saved = time.monotonic()
