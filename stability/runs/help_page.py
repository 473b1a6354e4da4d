"""`--help` of a command with many options: the common ones first, the others below their headings.

tyro explains each option; here its explanations are sorted, and set as whole paragraphs.
"""

import contextlib
import dataclasses
import inspect
import io
import re
import textwrap
import typing
from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from typing import Any

from stability.runs.console import make_console

__all__ = ["COMMON", "FEW", "groups_of", "show_help", "wide"]

COMMON = "common options"
"""Heading of the options that most runs need."""
FEW = 14
"""Options up to which a command's help has no headings."""
WIDTH = 4000  # characters of a line in which tyro breaks no explanation
NAMES = 26  # columns for names of options, from which on the explanation begins below
_ENTRY = re.compile(r"^[│ ] {0,2}(-h, --help|--[a-z][\w.-]*)(.*)$")


def groups_of(config_type: Any) -> list[dict[str, str]]:
    """Find the heading of each option.

    A class says it: `help_groups` has the heading of some of its fields by name. Those of other
    fields are the first words of the class; fields of the configuration itself are common.

    Args:
        config_type: A dataclass, or a union of them, annotated or not.

    Returns:
        Headings by option, such as `--ode-steps`, one dictionary a member of the union.
    """
    return [_groups(member) for member in _members(config_type)]


def _groups(member: type) -> dict[str, str]:
    """Headings by option: of fields of the configuration, then of its parts."""
    own: dict[str, str] = {}
    of_parts: dict[str, str] = {}
    hints = typing.get_type_hints(member)
    for name in _fields(member):
        part = hints[name]
        if dataclasses.is_dataclass(part) and isinstance(part, type):
            words = " ".join(re.split(r"[.;:]", part.__doc__ or name)[0].split())
            of_parts |= {_option(inner): _heading(part, inner, words) for inner in _fields(part)}
        else:
            own[_option(name)] = _heading(member, name, COMMON)
    return own | of_parts


def _fields(owner: type) -> list[str]:
    """Names of the fields of a dataclass, its own ones before those of what it is derived from."""
    known = {field.name for field in dataclasses.fields(owner)}
    names = (name for base in owner.__mro__ for name in inspect.get_annotations(base))
    return [name for name in dict.fromkeys(names) if name in known]


def _members(config_type: Any) -> Iterator[type]:
    if dataclasses.is_dataclass(config_type) and isinstance(config_type, type):
        yield config_type
    for argument in typing.get_args(config_type):
        yield from _members(argument)


def _option(name: str) -> str:
    return "--lambda" if name == "lam" else f"--{name.replace('_', '-')}"


def _heading(owner: type, name: str, otherwise: str) -> str:
    """The heading that a class, or one that it is derived from, gives a field."""
    groups = (vars(base).get("help_groups", {}) for base in owner.__mro__)
    return next((of[name] for of in groups if name in of), otherwise)


@contextlib.contextmanager
def wide(environment: MutableMapping[str, str]) -> Iterator[io.StringIO]:
    """Catch what is printed in the block, in lines without breaks.

    Args:
        environment: Of this process, `os.environ`.

    Yields:
        What was printed.
    """
    before = environment.get("COLUMNS")
    environment["COLUMNS"] = str(WIDTH)
    shown = io.StringIO()
    try:
        with contextlib.redirect_stdout(shown):
            yield shown
    finally:
        environment.pop("COLUMNS")
        if before is not None:
            environment["COLUMNS"] = before


def show_help(text: str, members: Sequence[Mapping[str, str]]) -> bool:
    """Print a help with headings.

    Args:
        text: Help that tyro made, caught by `wide`.
        members: Headings by option, from `groups_of`.

    Returns:
        Whether it was printed; False where there are few options, or subcommands.
    """
    head, entries = _entries(text)
    if len(entries) <= FEW or not members:
        return False
    groups = max(members, key=lambda known: len(known.keys() & entries.keys()))
    by_heading = {COMMON: [entries.pop("--help")]}
    for option, heading in groups.items():
        # a part with a name of its own has options such as --ema.images
        names = (option, option.replace("--", "--no-", 1))
        of_part = [name for name in entries if name.split(".")[0] in names]
        for name in of_part:
            by_heading.setdefault(heading, []).append(entries.pop(name))
    by_heading[COMMON] += entries.values()
    if len(by_heading) == 1:
        return False

    console = make_console()
    for paragraph in head:
        console.print(paragraph + "\n")
    for heading, rows in by_heading.items():
        console.print(f"{heading}:", style="bold", soft_wrap=True)
        for names, words in rows:
            console.print("\n".join(_set(names, words, console.width)), soft_wrap=True)
        console.print()
    return True


def _set(names: str, words: str, width: int) -> list[str]:
    """Lines of an option: its explanation beside its name, or below a long one."""
    beside = textwrap.wrap(words, max(20, width - NAMES)) or [""]
    lines = [" " * NAMES + line for line in beside]
    if len(names) > NAMES - 4:
        return [f"  {names}", *lines]
    return [f"  {names}".ljust(NAMES) + beside[0], *lines[1:]]


def _entries(text: str) -> tuple[list[str], dict[str, tuple[str, str]]]:
    """Paragraphs before the options; and each option with its values and its explanation."""
    head: list[str] = []
    entries: dict[str, list[str]] = {}
    now: list[str] | None = None
    for line in text.splitlines():
        if match := _ENTRY.match(line.rstrip("│ ")):
            values, words = re.split(r" {2,}|$", match[2], maxsplit=1)
            now = entries.setdefault(match[1].split(" ")[-1], [match[1] + values])
            now.append(words.strip())
        elif line[:1] in ("╭", "╰") or not line.strip("│─- "):  # of a frame, or empty
            now = None
            head += [] if entries else [""]
        elif now is not None:
            now.append(line.strip("│ "))
        elif not entries:
            head.append(line.strip())
    paragraphs = [" ".join(p.split()) for p in "\n".join(head).split("\n\n")]
    shown = {option: (lines[0], " ".join(lines[1:]).strip()) for option, lines in entries.items()}
    return [p for p in paragraphs if p and p != "options"], shown
