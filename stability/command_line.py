"""Command lines made from a frozen configuration dataclass, with errors of one line."""

import contextlib
import io
import re
import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import rich.console
import tyro

from stability.retraining import RetrainingError
from stability.run_directory import RunDirectoryError

__all__ = ["UsageError", "command", "parse"]

Config = TypeVar("Config")

EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_INTERRUPTED = 130


class UsageError(ValueError):
    """Options that do not fit together or their input; the message names the option, its value and what is allowed."""


def command(config_type: type[Config], run: Callable[[Config], Any], arguments: Sequence[str] | None = None) -> None:
    """Parse the command line into `config_type`, run, and leave with a status.

    0: done.   2: a bad option or a folder that cannot be used.   1: the run failed.   130: interrupted.
    Every failure that a user can mend is one line on standard error; warnings are one line each too.
    """
    config = parse(config_type, arguments)
    warnings.showwarning = _one_line_warning
    try:
        run(config)
    except UsageError as error:
        _leave(EXIT_USAGE, str(error))
    except RunDirectoryError as error:
        _leave(EXIT_USAGE, f"--out: {error}")
    except RetrainingError as error:
        _leave(EXIT_FAILED, f"stopped at {error}; the generations before it are kept")
    except OSError as error:
        _leave(EXIT_USAGE, f"{error.strerror or error}: {error.filename or ''}".rstrip(": "))
    except KeyboardInterrupt:
        _leave(EXIT_INTERRUPTED, "interrupted; the same command goes on from the last finished generation")


def parse(config_type: type[Config], arguments: Sequence[str] | None = None) -> Config:
    """The configuration that the arguments (default: of this process) describe.

    Leaves with status 2 and one line that names the option, the value and what is allowed if they are wrong.
    """
    shown = io.StringIO()
    try:
        with contextlib.redirect_stderr(shown):
            return tyro.cli(config_type, prog=_program(), args=arguments, config=(tyro.conf.FlagCreatePairsOff,))
    except ValueError as error:  # of a nested configuration's own checks
        _leave(EXIT_USAGE, str(error))
    except SystemExit as leaving:
        if leaving.code != EXIT_USAGE:
            raise
        _leave(EXIT_USAGE, _first_paragraph(shown.getvalue()))


def _program() -> str:
    """How this process was started: python -m PACKAGE.MODULE, or the script's name."""
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    return f"python -m {spec.name.removesuffix('.__main__')}" if spec else Path(sys.argv[0]).name


def _first_paragraph(box: str) -> str:
    """The message in the box that tyro draws: its first lines, down to the rule or the end of the box."""
    lines = []
    for line in box.splitlines()[1:]:
        text = line.strip("│ ")
        if not text.strip("─╰╯"):
            break
        lines.append(text)
    return re.sub(r"^Error parsing (\w+: )?", "", " ".join(lines))


def _leave(status: int, message: str) -> NoReturn:
    sys.stderr.write(f"error: {' '.join(message.split())}\n")
    raise SystemExit(status)


def _one_line_warning(message, category, filename, lineno, file=None, line=None) -> None:
    rich.console.Console(stderr=True, soft_wrap=True, highlight=False).print(f"warning: {message}", markup=False)
