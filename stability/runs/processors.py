"""Processors that this process may use, and the threads that use them.

A machine with 64 processors may give us two of them: by affinity (`taskset`, SLURM) or by a limit
of processor time (containers). More threads than that wait for one another. Neither depends on the
load of the moment, so that equal commands record equal threads.
"""

import math
import os
import warnings
from pathlib import Path

import threadpoolctl

from stability.machine.control_groups import PROC, group_folders
from stability.runs.command_line import UsageError
from stability.runs.option_error import worded

__all__ = ["default_threads", "local_processes", "processors", "use_threads"]


def processors() -> int:
    """Number of processors that are ours, >= 1: the affinity, or the limit of a control group if
    that is less.

    A limit of 1.5 processors counts as two: two threads use all of it, one leaves a third.
    """
    # macOS and Windows have no affinity
    affine = (
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    )

    limits = (_limit(folder) for folder in group_folders("cpu", PROC))
    return max(1, min([affine, *(math.ceil(limit) for limit in limits if limit is not None)]))


def default_threads() -> int:
    """Number of threads of this process without `--threads`, >= 1.

    Its share of `processors()` if torchrun started several processes here. A process that is alone
    uses at most OMP_NUM_THREADS, if that is set; torchrun sets it to 1 for its processes by itself.

    Raises:
        UsageError: If LOCAL_WORLD_SIZE is set and no whole number >= 1.
    """
    together = local_processes()
    share = max(1, processors() // together)

    # the rest is for nested parallelism
    wish = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    if together == 1 and wish.isdecimal() and int(wish) >= 1:
        return min(share, int(wish))
    return share


def local_processes() -> int:
    """Number of processes that torchrun started on this machine, 1 without it.

    Raises:
        UsageError: If LOCAL_WORLD_SIZE is set and no whole number >= 1.
    """
    value = os.environ.get("LOCAL_WORLD_SIZE", "1").strip()
    if not (value.isdecimal() and int(value) >= 1):
        raise UsageError(
            f"LOCAL_WORLD_SIZE in the environment must be a whole number >= 1, got {value!r}; "
            "unset it, or start with torchrun, which sets it"
        )
    return int(value)


def use_threads(threads: int) -> None:
    """Let torch, and the linear algebra of NumPy and SciPy, use so many threads from now on.

    Warns if that is more than the processors that are ours.

    Args:
        threads: Number of threads of this process, >= 1.
    """
    ours, together = processors(), local_processes()
    first = os.environ.get("LOCAL_RANK", "0") == "0"  # one line, not one a process
    if first and threads * together > max(ours, together):
        each = f" in each of {together} processes" if together > 1 else ""
        words = (
            f"{threads} threads{each} on {ours} of our processors wait for one another, often ten "
            f"times as long as they work; --threads {max(1, ours // together)} uses them all"
        )
        warnings.warn(worded(words), stacklevel=2)

    import torch  # takes a second; a command's help does without

    torch.set_num_threads(threads)
    threadpoolctl.threadpool_limits(threads, user_api="blas")


def _limit(folder: Path) -> float | None:
    """Processors that the group in this folder may use at a time; None: any number."""
    try:
        if (folder / "cpu.max").exists():  # version 2: "150000 100000", or "max 100000"
            quota, period = (folder / "cpu.max").read_text(encoding="utf-8").split()
        else:
            quota = (folder / "cpu.cfs_quota_us").read_text(encoding="utf-8").strip()  # -1: none
            period = (folder / "cpu.cfs_period_us").read_text(encoding="utf-8").strip()
    except (OSError, ValueError):
        return None
    return (
        int(quota) / int(period)
        if quota.isdecimal() and period.isdecimal() and int(period) > 0
        else None
    )
