"""Completion of the command `retraining` in a shell, written by tyro from the same options."""

import contextlib
import io
from collections.abc import Mapping
from functools import reduce
from operator import or_
from typing import Annotated, Any, Literal

import tyro

__all__ = ["SHELLS", "Shell", "completion_script"]

Shell = Literal["bash", "zsh"]
"""Shells whose completion is offered."""
SHELLS: tuple[Shell, ...] = ("bash", "zsh")


def completion_script(shell: Shell, program: str, commands: Mapping[str, type]) -> str:
    """Write the script that completes a program's commands, their options and choices.

    Args:
        shell: The shell that reads it.
        program: Name of the program.
        commands: Configuration of each command, by its name.

    Returns:
        The script.
    """
    union: Any = reduce(
        or_,
        (Annotated[config, tyro.conf.subcommand(name)] for name, config in commands.items()),
    )

    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.suppress(SystemExit):
        tyro.cli(
            union,
            prog=program,
            args=["--tyro-write-completion", shell, "-"],
            config=(tyro.conf.FlagCreatePairsOff,),
        )

    # the shells read a completion a line: no description may have several
    lines = printed.getvalue().splitlines()
    return "\n".join(
        line.replace("\\n", " ") if line.startswith("COMPLETION_SPEC = ") else line
        for line in [*lines, ""]
    )
