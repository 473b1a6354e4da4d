"""The command `retraining`: run, compare and open runs, and whatever other rooms add."""

import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from importlib.metadata import version
from importlib.util import find_spec

from stability.runs.command_line import command
from stability.runs.completion import SHELLS, Shell, completion_script
from stability.runs.run_directory import PACKAGE

__all__ = ["main"]

_OWN = {
    "run": ("stability.runs.run_command", "RunStudy", "run the study in a Python file"),
    "compare": (
        "stability.runs.compare_runs",
        "CompareRuns",
        "whether runs on the same data differ",
    ),
    "open": ("stability.runs.overview", "OpenRuns", "one page over all runs of a folder"),
}
"""Module, configuration and answer of each command."""
_PLANNING = "stability.planning.__main__"
"""Has more commands, which take their own arguments."""


def _commands() -> dict[str, tuple[str, Callable[[Sequence[str]], object]]]:
    """Purpose of each command, and the function that runs it, by name."""
    found: dict[str, tuple[str, Callable[[Sequence[str]], object]]] = {}
    for name, (module, config, words) in _OWN.items():

        def run(arguments: Sequence[str], module: str = module, config: str = config) -> None:
            found = import_module(module)
            command(getattr(found, config), found.main, arguments)

        found[name] = words, run
    if find_spec(_PLANNING.rpartition(".")[0]) and find_spec(_PLANNING):
        planning = import_module(_PLANNING)
        for name, (_, words) in planning.COMMANDS.items():
            found[name] = words, lambda arguments, name=name: planning.main([name, *arguments])
    found["completion"] = f"completion for a shell: {' or '.join(SHELLS)}", _print_completion
    return found


def _print_completion(arguments: Sequence[str]) -> None:
    """Print the completion of all commands for a shell; SystemExit if it is none of `SHELLS`."""
    shell: Shell | None = next((each for each in SHELLS if list(arguments) == [each]), None)
    if shell is None:
        sys.stderr.write(f"error: completion must be followed by one of {', '.join(SHELLS)}\n")
        raise SystemExit(2)

    configs = {
        name: getattr(import_module(module), config) for name, (module, config, _) in _OWN.items()
    }
    if find_spec(_PLANNING.rpartition(".")[0]) and find_spec(_PLANNING):
        for name, (module, _) in import_module(_PLANNING).COMMANDS.items():
            found = import_module(f"stability.planning.{module}")
            configs[name] = getattr(found, f"{name.capitalize()}Options")
    sys.stdout.write(completion_script(shell, "retraining", configs))


def main() -> None:
    """Run the command that the first argument names; leaves with its status.

    Raises:
        SystemExit: With status 2 and one line, if there is no such command.
    """
    given = sys.argv[1:]
    commands = _commands()
    if given[:1] == ["--version"]:
        sys.stdout.write(f"retraining {version(PACKAGE)}\n")
    elif given[:1] in (["-h"], ["--help"]):
        lines = [f"  {name:12}{words}" for name, (words, _) in commands.items()]
        head = ["usage: retraining COMMAND …", "", "commands, each with its own --help:"]
        sys.stdout.write("\n".join([*head, *lines, ""]))
    elif given and given[0] in commands:
        commands[given[0]][1](given[1:])
    else:
        names = ", ".join(commands)
        sys.stderr.write(f"error: the first argument must be one of {names}; --help explains\n")
        raise SystemExit(2)
