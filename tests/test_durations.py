"""Durations of the main commands stand in one table; other pages repeat it and add none."""

import re

import pytest

from benchmarks.durations import (
    COMMANDS,
    MARK,
    PAGE,
    ROOT,
    Benchmark,
    Duration,
    filled_in,
    main,
    measured,
    pages,
    read_table,
    table,
)
from stability.runs.command_line import UsageError

TABLE = read_table(PAGE.read_text(encoding="utf-8"))
NUMBER = r"(?:\d[\d.,]*\s*|(?:an?|half an?|two|three|four|five|six|seven|eight|nine|ten|twelve)\s+)"
DURATION = re.compile(
    rf"\b{NUMBER}(?:(?:to|or|and a half)\s+(?:{NUMBER})?)?(?:s|sec|seconds?|min|minutes?|hours?)\b"
)


def stated(text):
    """Durations that a page states beside a command of the table, outside of its marks: in the
    same row or paragraph, and in the paragraphs around a block of code.
    """
    text = MARK.sub("", text)
    blocks = re.split(r"\n\s*\n|\n(?=\|)", text)
    for i, block in enumerate(blocks):
        if any(re.search(rf"{re.escape(line)}(?=`|\n|$)", block) for line in COMMANDS):
            code = block.lstrip().startswith(("```", "<!-- quick -->"))
            for near in blocks[max(i - 1, 0) : i + 2] if code else [block]:
                if near is block or not near.lstrip().startswith(("```", "|", "#", "<!--")):
                    yield from DURATION.findall(near)


def test_every_command_was_measured():
    assert list(TABLE) == list(COMMANDS)
    assert all(0 < each.processor < 3600 and each.wall > 0 for each in TABLE.values())


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_pages_say_what_the_table_says(page):
    text = page.read_text(encoding="utf-8")
    assert {line for line, _ in MARK.findall(text)} <= set(COMMANDS)
    assert filled_in(text, TABLE) == text
    assert list(stated(text)) == []


def test_readers_find_the_durations():
    marks = [line for page in pages() for line, _ in MARK.findall(page.read_text("utf-8"))]
    assert set(marks) == set(COMMANDS)


@pytest.mark.parametrize(
    "text",
    [
        "Two to three minutes:\n\n```\npython -m toy.two_moons --lambda 0.5\n```\n",
        "```\npython -m stability\n```\n\nIt takes 4.5 min on a laptop.",
        "| all of it | `python -m stability` | 90 s |",
        "`python -m deep.train edm` is done after half an hour.",
    ],
)
def test_another_duration_is_found(text):
    assert list(stated(text))


@pytest.mark.parametrize(
    "text",
    [
        "| all | `python -m stability` | <!-- takes: python -m stability -->3 min<!-- end --> |",
        "`python -m stability --out report` takes 5 minutes.",  # another command
        "`python -m stability` examines 44 statements on 2 seeds.",
        "Ten minutes later:\n\n# A heading\n\n`python -m stability`",
    ],
)
def test_other_words_are_no_duration(text):
    assert list(stated(text)) == []


def test_the_table_is_read_as_it_is_written():
    known = {line: Duration(1.5 * i, 2.5 * i) for i, line in enumerate(COMMANDS, 1)}
    assert read_table(table(known)) == known


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(2.68, "2.7 s"), (67.8, "68 s"), (99.9, "100 s"), (100, "1.7 min"), (754, "13 min")],
)
def test_a_reader_gets_two_digits(seconds, words):
    assert Duration(seconds, 1.0).words == f"{words} of one core"


def test_a_command_is_measured():
    found = measured("python -c print(sum(range(1000000)))")
    assert 0 < found.processor < found.wall + 10
    with pytest.raises(UsageError, match="ended with status 1"):
        measured("python -c raise(ValueError)")


def test_a_word_in_no_command_is_refused():
    with pytest.raises(UsageError, match="must be in one of the commands"):
        main(Benchmark(only=("nothing of this",)))
