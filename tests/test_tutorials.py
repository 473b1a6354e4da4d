"""The tutorials, followed from an empty folder as a new user does.

A block after `<!-- file: NAME -->` is saved, one after `<!-- run -->` is run, and each line of the
output that the page shows must be printed. Numbers may differ, since they depend on the machine.
"""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = ROOT / "docs" / "tutorials"
BLOCK = re.compile(r"(?:<!-- ([^\n]+?) -->\n+)?```(\w*)\n(.*?)\n```", re.DOTALL)
NUMBER = re.compile(r"[-+−]?\d[\d.,]*(?:e[-+]?\d+)?")
RETRAINING = "from stability.runs.console_script import main; main()"
LONG = {"experimentalist", "image-lab"}


def words(line):
    """The line with a mark for each number, and single spaces."""
    return " ".join(NUMBER.sub("#", line).split())


def run(line, folder):
    """The output and the exit status of a command."""
    command = shlex.split(line)
    program = {
        "python": [sys.executable],
        "retraining": [sys.executable, "-c", RETRAINING],
    }[command[0]]
    done = subprocess.run(
        [*program, *command[1:]],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8"},
        capture_output=True,
        encoding="utf-8",
        timeout=400,
        check=False,
    )
    return done.stdout, done.returncode, done.stderr


def steps(page):
    """Kind of each step, its text, and the lines that are shown as printed, in blocks below it."""
    found = []
    is_shown = False
    for mark, language, text in BLOCK.findall(page.read_text(encoding="utf-8")):
        if mark.startswith(("file", "run")):
            found.append((mark, text, []))
        elif language == "text" and is_shown:
            found[-1][2].extend(text.splitlines())
        is_shown = mark.startswith("run") or (is_shown and language == "text")
    return found


@pytest.mark.parametrize(
    "page",
    [
        pytest.param(path, id=path.stem, marks=[pytest.mark.slow] if path.stem in LONG else [])
        for path in sorted(PAGES.glob("*.md"))
    ],
)
def test_a_tutorial_does_what_it_says(page, tmp_path):
    ran = 0
    for what, text, shown in steps(page):
        kind, _, detail = what.partition(": ")
        if kind == "file":
            (tmp_path / detail).write_text(text + "\n", encoding="utf-8")
            continue
        printed = ""
        for line in text.splitlines():
            out, status, complaint = run(line, tmp_path)
            assert status == int(detail or 0), complaint
            printed += out
        lines = {words(line) for line in printed.splitlines()}
        assert [line for line in map(words, shown) if line and line not in lines] == []
        ran += 1
    assert ran


def test_every_tutorial_shows_what_is_printed():
    for page in PAGES.glob("*.md"):
        assert sum(len(shown) for *_, shown in steps(page)) >= 3
