"""`--help` with headings: every option once, below its heading, in whole paragraphs."""

import re
from dataclasses import dataclass, field, fields
from typing import Annotated, ClassVar, Literal

import pytest
import tyro

from stability.runs.command_line import parse
from stability.runs.help_page import ARGUMENTS, COMMON, OPTIONS, groups_of
from stability.runs.loop_options import LoopOptions


@dataclass(frozen=True)
class Inner:
    """Options of a picture, for a help page."""

    decay: float = 0.5
    """Factor a step."""


@dataclass(frozen=True)
class Model:
    """Settings of the model: all of them."""

    width: int = 8
    """Width of the network, which is explained in a sentence that takes more than one line of this
    file and more than one line of a terminal."""
    keep_going: bool = True
    """Go on."""
    inner: Annotated[Inner, tyro.conf.arg(name="inner")] = field(default_factory=Inner)
    """Averages."""


@dataclass(frozen=True)
class Loop(LoopOptions):
    """The loop."""

    help_groups: ClassVar = {"colour": "looks"}
    colour: str = "red"
    """Options of the curves."""


@dataclass(frozen=True)
class Command:
    """Do it."""

    loop: Annotated[Loop, tyro.conf.arg(name="")] = field(default_factory=Loop)
    model: Annotated[Model, tyro.conf.arg(name="")] = field(default_factory=Model)
    kind: str = "a"
    """Kind of it."""


def shown(capsys, config: type = Command):
    with pytest.raises(SystemExit) as leaving:
        parse(config, ["--help"])
    assert leaving.value.code == 0
    return capsys.readouterr().out


def sections(text):
    """Options by heading."""
    found: dict[str, list[str]] = {}
    heading = ""
    for line in text.splitlines():
        if line and not line.startswith(" ") and line.endswith(":"):
            heading = line[:-1]
        elif match := re.match(r"  (?:-h, )?(--[a-z.-]+)", line):
            found.setdefault(heading, []).append(match[1])
    return found


def test_common_options_come_first_and_every_option_is_there_once(capsys):
    found = sections(shown(capsys))
    assert next(iter(found)) == COMMON
    assert found[COMMON][:3] == ["--help", "--kind", "--lambda"]
    assert found["looks"] == ["--colour"]
    assert found["Settings of the model"] == ["--width", "--no-keep-going", "--inner.decay"]
    names = [option for options in found.values() for option in options]
    assert len(set(names)) == len(names)
    of_loop = {f"--{f.name.replace('_', '-')}" for f in fields(Loop)} - {"--lam"} | {"--lambda"}
    assert of_loop < set(names)


def test_an_explanation_is_one_paragraph_at_any_width(capsys, monkeypatch):
    sentence = "which is explained in a sentence that takes more than one line of this file and"
    for columns in ("80", "200"):
        monkeypatch.setenv("COLUMNS", columns)
        text = shown(capsys)
        assert sentence in " ".join(text.split())
        assert max(map(len, text.splitlines())) <= int(columns)
    lines = [line.strip() for line in text.splitlines()]
    assert any(sentence in line for line in lines)  # wide enough: no break of the source is left


@dataclass(frozen=True)
class Short:
    """Few options."""

    kind: str = "a"
    """Kind of it."""


def test_a_short_help_has_one_heading(capsys):
    assert sections(shown(capsys, Short)) == {OPTIONS: ["--help", "--kind"]}


NAMES = tuple(f"one-of-many-{i}" for i in range(20))


@dataclass(frozen=True)
class Given:
    """Take files."""

    files: tyro.conf.Positional[tuple[str, ...]] = ()
    """Files that are read,
    one after the other."""
    limit: int | None = None
    """Lines that are read.
    None: all."""
    colour: Literal["red", "the-other-one"] | None = None
    """A colour."""
    fast: bool = False
    """Be fast."""
    slow: bool = True
    """Be slow."""
    ease: float = 0.5
    """Ease."""
    pick: Literal[NAMES] = NAMES[0]  # type: ignore[valid-type]
    """One of many."""


def test_arguments_without_a_name_stand_first(capsys):
    text = shown(capsys, Given)
    assert text.index(f"{ARGUMENTS}:") < text.index(f"{OPTIONS}:")
    assert "STR [STR ...] Files that are read, one after the other." in " ".join(text.split())


def test_defaults_that_say_nothing_are_left_out(capsys):
    flat = " ".join(shown(capsys, Given).split())
    assert "--limit INT Lines that are read. None: all. --colour" in flat
    assert "{None,red,the-other-one} A colour. (default: None)" in flat
    assert "--fast Be fast. --no-slow Be slow. --ease FLOAT Ease. (default: 0.5)" in flat


def test_a_long_list_of_values_is_broken_between_them(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    lines = shown(capsys, Given).splitlines()
    assert max(map(len, lines)) <= 80
    words = [word.strip("{,}") for line in lines for word in line.split()]
    assert set(NAMES) <= set(words)


def test_a_subcommand_has_the_headings_of_its_own_class(capsys):
    other = Annotated[Short, tyro.conf.subcommand("short", default=Short())]
    one = Annotated[Command, tyro.conf.subcommand("long", default=Command())]
    with pytest.raises(SystemExit):
        parse(one | other, ["long", "--help"])
    assert sections(capsys.readouterr().out)["looks"] == ["--colour"]
    with pytest.raises(SystemExit):
        parse(one | other, ["--help"])
    assert "short" in capsys.readouterr().out


def test_headings_are_those_that_a_class_says():
    (groups,) = groups_of(Command)
    assert groups["--colour"] == "looks"
    assert groups["--kind"] == groups["--lambda"] == groups["--seed"] == COMMON
    assert groups["--threads"] == groups["--keep"]
