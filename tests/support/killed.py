"""Runs a command that kills itself as it enters a function for the k-th time:

    python -m tests.support.killed stability.runs.state_file.write_state 2 deep.train edm --out X

What the command did since its last write is lost, whatever the speed of the machine.
"""

import importlib
import os
import runpy
import signal
import sys


def killing(function, at):
    """The function, which ends this process in place of its call number `at`."""
    calls = 0

    def counted(*arguments, **options):
        nonlocal calls
        calls += 1
        if calls == at:
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*arguments, **options)

    return counted


def main(name: str, at: int, module: str, arguments: list[str]) -> None:
    """Run a module as a command.

    Args:
        name: Dotted name of the function, or of a method "package.module.Class.method".
        at: Number of the call that ends the process.
        module: Name of the command's module.
        arguments: Arguments of the command.
    """
    path, _, attribute = name.rpartition(".")
    parent, _, last = path.rpartition(".")
    of_class = last[0].isupper()
    owner = (
        getattr(importlib.import_module(parent), last)
        if of_class
        else importlib.import_module(path)
    )

    # before the command's modules take the function from there
    setattr(owner, attribute, killing(getattr(owner, attribute), at))
    sys.modules.pop(module, None)
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4:])
