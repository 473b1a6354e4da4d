"""Commands that start at once: forks of a process that has imported everything and computed
nothing.

A test that needs a process of its own (to kill it, to read its exit status and output) waits for
no import of torch. `python -m tests.support.warm_process` is that process: it reads a request a
line, and answers each with a line. On other systems than Linux, where forks are not there or not
safe, commands are started as ever.
"""

import atexit
import importlib
import json
import os
import runpy
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from functools import cache
from pathlib import Path

__all__ = ["Command", "start"]

ROOT = Path(__file__).parents[2]
LIMIT_S = 400
"""Longest time for one command."""
IMPORTED = (
    *("deep.retrain", "deep.train", "toy.run", "toy.two_moons", "toy.eight_gaussians"),
    *("stability.runs.study", "stability.planning.__main__", "PIL.GifImagePlugin"),
    *("matplotlib.backends.backend_agg", "matplotlib.backends.backend_pdf"),
    *("numba", "scipy.stats", "sklearn.datasets", "torch._dynamo"),
)
"""Modules that commands need, and that take long to import."""


class Command:
    """A command that runs.

    Attributes:
        pid: Number of its process.
        returncode: Exit status; minus the number of the signal that ended it.
    """

    def __init__(self, arguments, cwd, environment):
        self._out, self._err = (tempfile.NamedTemporaryFile() for _ in range(2))  # noqa: SIM115
        self.returncode = None
        arguments = [str(argument) for argument in arguments]
        if sys.platform == "linux":
            names = [self._out.name, self._err.name]
            self.pid = _asked("start", [arguments, str(cwd), environment, *names])
            self._ended = lambda: _asked("wait", [self.pid])
        else:
            process = subprocess.Popen(
                [sys.executable, *arguments],
                cwd=cwd,
                env=environment,
                stdout=self._out,
                stderr=self._err,
            )
            self.pid, self._ended = process.pid, process.wait

    def communicate(self):
        """Wait for its end; the texts that it wrote to standard output and to standard error."""
        self.returncode = self._ended()
        texts = []
        for file in (self._out, self._err):
            with file:
                file.seek(0)
                texts.append(file.read().decode(errors="replace").replace("\r\n", "\n"))
        return tuple(texts)


def start(*arguments, cwd=ROOT, environment=None):
    """Start a command.

    Args:
        arguments: As after `python`: "-m", a module and its arguments, or a script and its.
        cwd: Its folder.
        environment: Variables beside those of this process.

    Returns:
        The command.
    """
    variables = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8"}
    return Command(arguments, cwd, dict(variables | (environment or {})))


@cache
def _warm():
    """The warm process; it ends with this one, whose pipe it reads."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.support.warm_process"],
        cwd=ROOT,
        env=os.environ | {"PYTHONIOENCODING": "utf-8"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        encoding="utf-8",
    )
    atexit.register(process.communicate)
    return process


def _asked(request, arguments):
    """The answer of the warm process."""
    process = _warm()
    assert process.stdin
    assert process.stdout
    process.stdin.write(json.dumps([request, arguments]) + "\n")
    process.stdin.flush()
    line = process.stdout.readline()
    assert line, "the warm process has ended"
    return json.loads(line)


# In the warm process


def serve(requests, answers):
    """Answer every request.

    Args:
        requests: File with a line a request.
        answers: File that gets a line an answer.
    """
    for name in IMPORTED:
        importlib.import_module(name)
    for line in requests:
        request, arguments = json.loads(line)
        answer = _forked(*arguments) if request == "start" else _ended(*arguments)
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


def _forked(arguments, cwd, environment, out, err):
    """Number of a new process that runs a command."""
    if child := os.fork():
        return child
    status = 1
    try:
        # no file of the tests' is open in a command
        for number, name in ((0, os.devnull), (1, out), (2, err)):
            file = os.open(name, os.O_RDONLY if number == 0 else os.O_WRONLY)
            os.dup2(file, number)
            os.close(file)
        os.closerange(3, 256)
        os.chdir(cwd)
        os.environ.clear()
        os.environ.update(environment)
        status = _run(arguments)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def _run(arguments):
    """Exit status of a command in this process."""
    is_module = arguments[0] == "-m"
    sys.argv = arguments[1:] if is_module else list(arguments)
    script = Path.cwd() if is_module else Path(arguments[0]).resolve().parent
    sys.path[:1] = [str(script), str(ROOT)]
    status = 0
    try:
        if is_module:
            sys.modules.pop(arguments[1], None)  # as if it had not been imported
            runpy.run_module(arguments[1], run_name="__main__", alter_sys=True)
        else:
            runpy.run_path(arguments[0], run_name="__main__")
    except SystemExit as leaving:
        status = leaving.code if isinstance(leaving.code, int) else int(leaving.code is not None)
        if isinstance(leaving.code, str):
            sys.stderr.write(leaving.code + "\n")
    for thread in threading.enumerate():  # as at the end of any program
        if thread is not threading.current_thread() and not thread.daemon:
            thread.join()
    atexit._run_exitfuncs()
    return status


def _ended(pid):
    """Exit status of a process that was started here, as soon as it ends; one that hangs is
    killed.
    """
    for _ in range(int(LIMIT_S / 0.01)):
        found, status = os.waitpid(pid, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.01)
    os.kill(pid, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


if __name__ == "__main__":
    serve(sys.stdin, sys.stdout)
