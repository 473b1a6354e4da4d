"""Errors of options: the Python API names arguments (`lam`), the command line options
(`--lambda`).
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

__all__ = ["OptionError", "on_command_line", "option_name", "worded"]

_ON_COMMAND_LINE = ContextVar("_ON_COMMAND_LINE", default=False)
# not within a path or a word: a folder may be named runs/mine--two
_OPTION = re.compile(r"(?<![\w/.-])--([a-z][a-z0-9-]*)")
# where the argument is not the option with underscores
_ARGUMENTS = {"lambda": "lam", "overwrite": "overwrite=True"}


class OptionError(ValueError):
    """A value that an option cannot have.

    Args:
        message: What is wrong, with options as on the command line: `--ode-steps must be >= 1`. In
            a Python program the message says `ode_steps must be >= 1`.
    """

    def __init__(self, message: str) -> None:
        super().__init__(worded(message))


def option_name(argument: str) -> str:
    """Name the option that sets an argument.

    Args:
        argument: Name of a field of a configuration.

    Returns:
        The option: `--ode-steps`; `--lambda` for `lam`.
    """
    options = {name: option for option, name in _ARGUMENTS.items()}
    return f"--{options.get(argument, argument.replace('_', '-'))}"


def worded(message: str) -> str:
    """Name options in a message as its reader knows them.

    Args:
        message: With options as on the command line.

    Returns:
        It on a command line; with names of arguments in a Python program.
    """
    return message if _ON_COMMAND_LINE.get() else _OPTION.sub(_argument, message)


@contextmanager
def on_command_line() -> Iterator[None]:
    """Within the block, messages name options, with dashes."""
    token = _ON_COMMAND_LINE.set(True)
    try:
        yield
    finally:
        _ON_COMMAND_LINE.reset(token)


def _argument(option: re.Match[str]) -> str:
    """The argument of the Python API that an option sets."""
    return _ARGUMENTS.get(option[1], option[1].replace("-", "_"))
