"""Memory that a command would take, estimated before it begins, against what this process may have.

The estimates count only what must be held at the same time, so what is refused could not have run.
"""

import os
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from stability.machine.control_groups import PROC, group_folders
from stability.runs.command_line import UsageError

__all__ = ["GB", "Need", "memory_limit", "require_memory"]

GB = 1e9


@dataclass(frozen=True)
class Need:
    """Something that is held in memory.

    Attributes:
        what: It in words.
        option: Of the command, which makes it large.
        size: Bytes.
    """

    what: str
    option: str
    size: float


def memory_limit(proc: Path = PROC) -> float:
    """Bytes that this process may have: all of the machine's memory, or a limit on it if that is
    less.

    Args:
        proc: Folder of this process under /proc.

    Returns:
        The least of the physical memory, the limits of control groups (containers) and those of
        `ulimit`; inf where none of them is known. It does not depend on what is free at the moment.
    """
    limits = [_number(folder / name) for folder in group_folders("memory", proc) for name in _NAMES]
    with suppress(AttributeError, ValueError, OSError):
        limits.append(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    with suppress(ImportError):
        import resource  # not on Windows

        soft = [resource.getrlimit(kind)[0] for kind in (resource.RLIMIT_AS, resource.RLIMIT_DATA)]
        limits += [limit for limit in soft if limit != resource.RLIM_INFINITY]
    return min((limit for limit in limits if limit > 0), default=float("inf"))


_NAMES = ("memory.max", "memory.limit_in_bytes")  # of version 2 and of version 1


def _number(path: Path) -> float:
    """The limit in a file of a control group; 0: none."""
    try:
        text = path.read_text(encoding="utf-8").strip()
    except OSError:
        return 0
    return int(text) if text.isdecimal() else 0


def require_memory(needs: Iterable[Need]) -> None:
    """Refuse anything that no machine of this size can hold.

    Args:
        needs: All that is held at the same time.

    Raises:
        UsageError: If that is more than `memory_limit()`; names the largest part, its option, and
            both sizes.
    """
    needs = list(needs)
    total, limit = sum(need.size for need in needs), memory_limit()
    if total <= limit:
        return
    largest = max(needs, key=lambda need: need.size)
    raise UsageError(
        f"{largest.option}: this takes at least {_shown(total)}, of which {_shown(largest.size)} "
        f"for {largest.what}; "
        f"there are {_shown(limit)}"
    )


def _shown(size: float) -> str:
    return f"{size / GB:,.1f} GB" if size < 1e6 * GB else f"{size / GB:.1e} GB"
