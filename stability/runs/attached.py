"""A run as a program of its own that does not outlive the process that waits for it.

If that process is killed, or the machine lost, the run dies too and lets go of its folder; whoever
starts it again waits for that, since two of them cannot have one folder.
"""

import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import filelock

__all__ = ["ProcessExit", "attached", "process_exit", "run_attached"]

# Tells the kernel to send SIGTERM when the parent dies (prctl(2), Linux only), then becomes the
# program. torchrun hands SIGTERM on to its processes, which SIGKILL would leave behind. A parent
# that was faster has another process's number.
_PR_SET_PDEATHSIG = 1
_ATTACH = f"""
import ctypes, os, signal, sys
parent, program = int(sys.argv[1]), sys.argv[2:]
if sys.platform == "linux":
    ctypes.CDLL(None).prctl({_PR_SET_PDEATHSIG}, signal.SIGTERM)
if os.getppid() == parent:
    os.execv(program[0], program)
"""


@dataclass(frozen=True)
class ProcessExit:
    """The message is the last line that begins with "error: ", as the project's commands say what a
    user can mend, also through torchrun, whose own report follows and whose status is always 1;
    otherwise the last line of all.

    Attributes:
        code: Exit status, or minus the number of the signal that ended it.
        message: One line, why it ended.
    """

    code: int
    message: str


def attached(program: Sequence[str]) -> list[str]:
    """Make a program end when the process that starts it does.

    Args:
        program: Path of an executable file, and its arguments.

    Returns:
        The program to start instead; it becomes the given one. On Windows: the given one itself,
        which goes on when its parent dies.
    """
    if sys.platform == "win32":  # there a program cannot become another one
        return [*program]
    return [sys.executable, "-c", _ATTACH, str(os.getpid()), *program]


def run_attached(
    arguments: Sequence[str], run: Path, log: Path, cwd: Path, patience_s: float = 180
) -> ProcessExit:
    """Run this Python with `arguments` until it ends.

    Args:
        arguments: Command-line arguments of Python.
        run: Folder that the command writes; another process that holds it is waited for.
        log: File to which the output is appended.
        cwd: Working directory of the command.
        patience_s: Longest wait for the folder, in seconds, >= 0.

    Returns:
        Exit code and message of the command.

    Raises:
        OSError: If the log or the working directory cannot be used.
    """
    # without one, nobody has the folder, which may not be a run's at all
    if (run / ".lock").is_file():
        with suppress(filelock.Timeout), filelock.FileLock(run / ".lock", timeout=patience_s):
            pass
    program = [sys.executable, *arguments]
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as file:
        file.write(f"$ {shlex.join(program)}\n".encode())
        file.flush()
        start = file.tell()
        code = subprocess.Popen(
            attached(program),
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            # or what it says last need not be last in the log
            env=os.environ | {"PYTHONUNBUFFERED": "1"},
        ).wait()
    with log.open("rb") as file:
        file.seek(start)
        said = file.read().decode(errors="replace")
    return process_exit(code, said)


def process_exit(code: int, said: str) -> ProcessExit:
    """Describe how a program ended.

    Args:
        code: Exit status, or minus the number of the signal that ended it.
        said: What it printed.

    Returns:
        The status and one line.
    """
    if code < 0:
        return ProcessExit(code, f"killed by {signal.Signals(-code).name}")
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("error: ")]
    return ProcessExit(code, [f"exit status {code}", *lines, *errors][-1])
