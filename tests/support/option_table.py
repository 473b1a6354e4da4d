"""The effect of each option of a command: a table of command × field, and a test for each line.

`python -m tests.support.option_table` prints the table.
"""

import dataclasses
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

__all__ = [
    "LOOP",
    "Beside",
    "Case",
    "Command",
    "Refused",
    "Same",
    "fields_of",
    "outcome",
    "require",
    "table",
]


@dataclass(frozen=True)
class Refused:
    """A change that is refused, with these words."""

    change: dict[str, Any]
    words: str


@dataclass(frozen=True)
class Same:
    """A change that does not decide the result, and why."""

    change: dict[str, Any]
    why: str
    exact: bool = True
    """Whether all bytes are the same, or only the law."""


LOOP = {
    "lam": (1.0,),
    "regime": "accumulate",
    "fully_synthetic": True,
    "retrainings": 1,
    "samples": 41,
    "seeds": 2,
    "seed": 1,
    "latents": "shared",
    "from_scratch": True,
    "keep": Same({"keep": "all"}, "tests/stability/runs/test_study.py, what is kept"),
    "keep_samples": Same({"keep_samples": "2"}, "tests/stability/runs/test_study.py"),
    "max_hours": {"max_hours": 1e-9},
    "out": Same({}, "the place of the run, here a new one each time"),
    "overwrite": Same({"overwrite": True}, "tests/toy/test_experiment.py"),
    "quiet": Same({"quiet": True}, "what is printed: tests/toy/test_experiment.py"),
    "device": Same({"device": "cpu"}, "of a machine without a GPU"),
    "threads": Same({"threads": 1}, "speed; here the same as in the default"),
}
"""What the options that every command has do."""


@dataclass(frozen=True)
class Beside:
    """Changes beside others, without which they make no sense."""

    others: dict[str, Any]
    change: dict[str, Any]


Case = Any
"""What a field is changed to; a dictionary of changes where it needs others beside it; `Beside`,
`Refused` or `Same`."""


@dataclass(frozen=True)
class Command:
    """A command, small; changes go to whichever part has such a field.

    Attributes:
        main: Runs a configuration.
        config: Its class, or what makes it of parts by name.
        parts: Its dataclasses by name; "" for fields of its own.
        cases: For each field a `Case`.
        own: Its fields that are no dataclasses.
    """

    main: Any
    config: Any
    parts: dict[str, Any]
    cases: dict[str, Case]
    own: dict[str, Any] = field(default_factory=dict)

    def history(self, folder: Path, **changes: Any) -> bytes:
        """Run it with changes.

        Args:
            folder: Of the run.
            changes: To fields of its parts.

        Returns:
            What it recorded.
        """
        parts, own = dict(self.parts), dict(self.own)
        for part, of in parts.items():  # all at once: some fit only together
            of_part = {name: value for name, value in changes.items() if hasattr(of, name)}
            of_part |= {"out": folder} if hasattr(of, "out") else {}
            parts[part] = replace(of, **of_part)
        known = [name for of in self.parts.values() for name in changes if hasattr(of, name)]
        own |= {name: value for name, value in changes.items() if name not in known}
        self.main(parts[""] if "" in parts else self.config(**parts, **own))
        return b"".join(path.read_bytes() for path in sorted(folder.rglob("history.jsonl")))


def fields_of(command: Command) -> list[str]:
    """All options of a command."""
    made = command.parts.get("") or command.config(**command.parts, **command.own)
    names = []
    for one in dataclasses.fields(made):
        value = getattr(made, one.name)
        nested = dataclasses.is_dataclass(value)
        names += [f.name for f in dataclasses.fields(value)] if nested else [one.name]
    return names


def outcome(case: Case) -> str:
    """`refused`, `same` or `changes`."""
    return {Refused: "refused", Same: "same"}.get(type(case), "changes")


def table(commands: dict[str, Command]) -> list[Any]:
    """One parameter of a test for each command and field, named as a line of the table."""
    return [
        pytest.param(command, name, id=f"{command}-{name}-{outcome(case)}")
        for command, of in commands.items()
        for name, case in of.cases.items()
    ]


def require(command: Command, name: str, default: bytes, folder: Path) -> None:
    """Require that a field does what the table says.

    Args:
        command: The command.
        name: Of the field.
        default: What the command records without changes.
        folder: For runs with the change.
    """
    case = command.cases[name]
    if isinstance(case, Refused):
        with pytest.raises((ValueError, OSError), match=case.words):
            command.history(folder / "run", **case.change)
    elif isinstance(case, Same):
        found = command.history(folder / "run", **case.change)
        assert found == default or not case.exact, case.why
    else:
        change = case if isinstance(case, dict) else {name: case}
        beside = {key: value for key, value in change.items() if key != name}
        if isinstance(case, Beside):
            beside, change = case.others, case.others | case.change
        without = command.history(folder / "without", **beside) if beside else default
        assert command.history(folder / "run", **change) != without


def main() -> None:
    """Print the table."""
    from tests.support.options_2d import COMMANDS, WIDTH_CASES
    from tests.support.options_images import COMMANDS as OF_IMAGES

    cases = {command: of.cases for command, of in (COMMANDS | OF_IMAGES).items()}
    for command, of in (cases | {"width_map": WIDTH_CASES}).items():
        for name, case in of.items():
            note = getattr(case, "words", getattr(case, "why", ""))
            line = f"{command:18}{name:24}{outcome(case):9}{note}"
            sys.stdout.write(line.rstrip() + "\n")


if __name__ == "__main__":
    from tests.support import option_table

    option_table.main()  # not this copy of the module, whose classes are others than the cases'
