"""Processes that tests start: waiting for what they do, and whether they live."""

import time
from collections.abc import Callable
from pathlib import Path

__all__ = ["LIMIT_S", "is_alive", "waited_for"]

LIMIT_S = 400
"""Seconds for anything to happen on a slow machine with much else to do."""


def waited_for(what: Callable[[], object]) -> object:
    """Wait until a function returns something true.

    Args:
        what: The function; called every 20 ms.

    Returns:
        Its first value that is true.
    """
    for _ in range(int(LIMIT_S / 0.02)):
        if found := what():
            return found
        time.sleep(0.02)
    raise AssertionError("it did not happen")


def is_alive(pid: int) -> bool:
    """Tell whether a process runs; a zombie does not.

    Args:
        pid: Its number.
    """
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):  # also if it ends while it is looked at
        return False
