"""`--help` in whole paragraphs: with many options the common ones first, the others below headings.

tyro explains each option; here its explanations are sorted, and set as whole paragraphs. A default
that says nothing, such as None where the explanation has a sentence on it, is left out.
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

__all__ = ["ARGUMENTS", "COMMON", "FEW", "OPTIONS", "groups_of", "show_help", "wide"]

COMMON = "common options"
"""Heading of the options that most runs need."""
FEW = 14
"""Options up to which a command's help has no headings."""
WIDTH = 4000  # characters of a line in which tyro breaks no explanation
NAMES = 26  # columns for names of options, from which on the explanation begins below
OPTIONS = "options"
"""Heading of all options of a command that has few."""
ARGUMENTS = "arguments"
"""Heading of what is given without the name of an option."""
_ENTRY = re.compile(r"^[│ ] {0,2}(-h, --help|--[a-z][\w.-]*)(.*)$")
_POSITIONAL = re.compile(r"^[│ ] ([^\s-]\S*(?: \S+)*)(?: {2,}(.*))?$")
_HEADING = re.compile(r"^[╭ ]?[─ ]*(positional arguments|options|subcommands)\b[─╮ ]*$")
_LIST = re.compile(r"\{[^}]{80,}\}")  # more names than a usage line should have
_OPTIONAL = "{None}|"  # tyro's mark of an option that may be left out, as all may


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
            names = _options(part)
            of_parts |= {names[inner]: _heading(part, inner, words) for inner in _fields(part)}
        else:
            own[_options(member)[name]] = _heading(member, name, COMMON)
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


def _options(owner: type) -> dict[str, str]:
    """Name of the option of each field: its own, or the one that an annotation gives it."""
    hints = typing.get_type_hints(owner, include_extras=True)
    return {name: f"--{(_given_name(hints[name]) or name).replace('_', '-')}" for name in hints}


def _given_name(hint: Any) -> str | None:
    """The name in `tyro.conf.arg(name=…)`."""
    names = (getattr(one, "name", None) for one in getattr(hint, "__metadata__", ()))
    return next(filter(None, names), None)


def _heading(owner: type, name: str, otherwise: str) -> str:
    """The heading that a class, or one that it is derived from, gives a field."""
    groups = (vars(base).get("help_groups", {}) for base in owner.__mro__)
    return next((of[name] for of in groups if name in of), otherwise)


@contextlib.contextmanager
def wide(environment: MutableMapping[str, str]) -> Iterator[io.StringIO]:
    """Catch the text that is printed in the block, in lines without breaks.

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
    """Print a help in whole paragraphs, with headings where there are many options.

    Args:
        text: Help that tyro made, caught by `wide`.
        members: Headings by option, from `groups_of`.

    Returns:
        Whether it was printed; False where there are subcommands, which have a help of their own.
    """
    if any("subcommands" in _heading_of(line) for line in text.splitlines()):
        return False

    head, arguments, entries = _entries(text)
    console = make_console()
    for paragraph in head:
        console.print(paragraph + "\n")
    for heading, rows in {ARGUMENTS: arguments, **_by_heading(entries, members)}.items():
        if rows:
            console.print(f"{heading}:", style="bold", soft_wrap=True)
            for names, words in rows:
                console.print("\n".join(_set(names, words, console.width)), soft_wrap=True)
            console.print()
    return True


def _by_heading(
    entries: Mapping[str, tuple[str, str]], members: Sequence[Mapping[str, str]]
) -> dict[str, list[tuple[str, str]]]:
    """Options below their headings; few ones below one."""
    if len(entries) <= FEW or not members:
        return {OPTIONS: list(entries.values())}

    left = dict(entries)
    groups = max(members, key=lambda known: len(known.keys() & entries.keys()))
    found = {COMMON: [left.pop("--help")]}
    for option, heading in groups.items():
        # a part with a name of its own has options such as --ema.images
        names = (option, option.replace("--", "--no-", 1))
        of_part = [name for name in left if name.split(".")[0] in names]
        for name in of_part:
            found.setdefault(heading, []).append(left.pop(name))
    found[COMMON] += left.values()
    return found if len(found) > 1 else {OPTIONS: found[COMMON]}


def _set(names: str, words: str, width: int) -> list[str]:
    """Lines of an option: its explanation beside its name, or below a long one."""
    beside = textwrap.wrap(words, max(20, width - NAMES), break_on_hyphens=False) or [""]
    lines = [" " * NAMES + line for line in beside]
    if len(names) > NAMES - 4:
        shown = names if len(names) < width else names.replace(",", ", ")  # may be broken there
        own = textwrap.wrap(
            shown,
            width,
            initial_indent="  ",
            subsequent_indent=" " * 6,
            break_on_hyphens=False,
        )
        return [*own, *lines]
    return [f"  {names}".ljust(NAMES) + beside[0], *lines[1:]]


def _entries(
    text: str,
) -> tuple[list[str], list[tuple[str, str]], dict[str, tuple[str, str]]]:
    """Paragraphs before the options; arguments without a name; and each option with its values
    and its explanation.
    """
    head: list[str] = []
    arguments: list[list[str]] = []
    entries: dict[str, list[str]] = {}
    now: list[str] | None = None
    heading = ""

    for line in text.replace(_OPTIONAL, "").splitlines():
        bare = line.rstrip("│ ")
        if found := _heading_of(line):
            heading, now = found, None
        elif not bare.strip("│─╭╮╰╯- "):  # of a frame, or empty
            now = None
            head += [] if heading else [""]
        elif match := _ENTRY.match(bare):
            values, words = re.split(r" {2,}|$", match[2], maxsplit=1)
            now = entries.setdefault(match[1].split(" ")[-1], [match[1] + values])
            now.append(words.strip())
        elif heading == "positional arguments" and (match := _POSITIONAL.match(bare)):
            now = [_without_brackets(match[1]), match[2] or ""]
            arguments.append(now)
        elif now is not None:
            now.append(line.strip("│ "))
        elif not heading:
            head.append(line.strip())

    paragraphs = [_LIST.sub("NAME", " ".join(p.split())) for p in "\n".join(head).split("\n\n")]
    return (
        [p for p in paragraphs if p],
        [_explained(lines) for lines in arguments],
        {option: _explained(lines) for option, lines in entries.items()},
    )


def _heading_of(line: str) -> str:
    """The heading of one of tyro's boxes; "" for any other line."""
    match = _HEADING.match(line)
    return match[1] if match else ""


def _without_brackets(values: str) -> str:
    """`PATH` of `[PATH]`, and `PATH [PATH ...]` of `[[PATH [PATH ...]]]`."""
    while values.startswith("[") and values.endswith("]"):
        values = values[1:-1]
    return values + "]" * (values.count("[") - values.count("]"))


def _explained(lines: Sequence[str]) -> tuple[str, str]:
    """An option's name and values, and its explanation as one paragraph."""
    names, words = lines[0], " ".join(" ".join(lines[1:]).split())
    if names.endswith("--help"):
        return names, "Show this help and exit."
    empty = "|True" if "--no-" in names else "" if "{None," in names else "|None"
    return names, re.sub(rf" ?\(default: (?:False{empty}|)\)$", "", words)
