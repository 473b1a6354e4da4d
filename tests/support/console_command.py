"""Commands, run in this process: no second one has to start and import everything again."""

import runpy
import sys
import warnings
from dataclasses import dataclass

from stability.runs import console_script

__all__ = ["Done", "module_command", "retraining"]


@dataclass(frozen=True)
class Done:
    """The result of a command.

    Attributes:
        returncode: Its exit status.
        stdout: What it printed.
        stderr: Errors that it printed.
    """

    returncode: object
    stdout: str
    stderr: str


def retraining(monkeypatch, *arguments):
    """The exit status of the command in this process."""
    return _status(monkeypatch, ["/usr/bin/retraining", *arguments], console_script.main)


def module_command(monkeypatch, capsys, module, *arguments):
    """Run `python -m MODULE ARGUMENTS` in this process.

    Args:
        monkeypatch: The fixture.
        capsys: The fixture; what was printed before is dropped.
        module: Name of the module, which is executed anew, as `__main__`.
        arguments: Arguments of the command.

    Returns:
        What it left.
    """

    def run():
        with warnings.catch_warnings():
            # it is imported already: only a second copy of what it defines could harm
            warnings.filterwarnings("ignore", ".*found in sys.modules", RuntimeWarning)
            runpy.run_module(module, run_name="__main__", alter_sys=True)

    capsys.readouterr()
    status = _status(monkeypatch, [module, *arguments], run)
    return Done(status, *capsys.readouterr())


def _status(monkeypatch, argv, run):
    """The exit status of a function that takes its arguments from `sys.argv`."""
    monkeypatch.setattr(sys, "argv", argv)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)
    try:
        run()
    except SystemExit as leaving:
        return 0 if leaving.code is None else leaving.code
    return 0
