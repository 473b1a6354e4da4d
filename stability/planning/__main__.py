"""Plan a loop before it runs, and watch it while it runs: python -m stability.planning COMMAND"""

import sys
from collections.abc import Sequence
from importlib import import_module

__all__ = ["COMMANDS", "main"]

COMMANDS = {
    "plan": ("plan_command", "how much synthetic data a loop can take, and at what price"),
    "check": ("check_command", "whether a loop is degrading, from what each generation drew"),
    "verify": ("verify", "whether a run folder or a watch's state is whole"),
}
"""Module of each command, in which `NAME_main(arguments)` runs it, and what it answers."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command that the first argument names.

    Args:
        arguments: Default: of this process.

    Raises:
        SystemExit: With status 2 and one line, if there is no such command.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    name = given[0] if given else ""
    if name in ("-h", "--help"):
        lines = [f"  {command:8}{words}" for command, (_, words) in COMMANDS.items()]
        sys.stdout.write("\n".join(["commands, each with its own --help:", *lines, ""]))
        return
    if name not in COMMANDS:
        names = ", ".join(COMMANDS)
        sys.stderr.write(f"error: the first argument must be one of {names}; --help explains\n")
        raise SystemExit(2)

    module = import_module(f"stability.planning.{COMMANDS[name][0]}")
    getattr(module, f"{name}_main")(given[1:])


if __name__ == "__main__":
    main()
