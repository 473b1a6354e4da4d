"""The scripts of the pages about own learners, run as a user runs them."""

import os
import re
import signal
import sys
from pathlib import Path

import pytest

from tests.support.processes import waited_for
from tests.support.warm_process import start

ROOT = Path(__file__).parents[1]
PAGES = ROOT / "docs" / "how-to"
SCRIPT = re.compile(r"<!-- script -->\n+```python\n(.*?)```", re.DOTALL)
NAMES = ("own-learner", "own-flow", "own-table", "own-language-model")


def script_of(name):
    (code,) = SCRIPT.findall((PAGES / f"{name}.md").read_text(encoding="utf-8"))
    return code


def started(code, folder):
    (folder / "study.py").write_text(code, encoding="utf-8")
    return start("study.py", cwd=folder)


def finished(command):
    said, complained = command.communicate()
    assert command.returncode == 0, complained
    return said


@pytest.mark.parametrize("name", NAMES)
def test_the_script_of_the_page_runs_and_writes_its_page(name, tmp_path):
    said = finished(started(script_of(name), tmp_path))
    page = tmp_path / said.strip().splitlines()[-1]
    assert page.name == "report.html"
    text = page.read_text(encoding="utf-8")
    assert "a perfect model" in text  # the row of floors
    assert "data:image/svg+xml" in text
    assert "http://" not in text.replace("http://www.w3.org", "")


def test_the_scripts_are_as_short_as_the_pages_say():
    def lines(name):
        return [line for line in script_of(name).splitlines() if line.strip()]

    assert len(lines("own-learner")) <= 12
    assert len(lines("own-language-model")) <= 60


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL")
def test_a_kill_changes_nothing(tmp_path):
    code = script_of("own-learner").replace("generations=5", "generations=12")
    for name in ("whole", "killed"):
        (tmp_path / name).mkdir()
    finished(started(code, tmp_path / "whole"))

    history = Path("runs") / "mixture" / "history.jsonl"
    there = tmp_path / "killed" / history
    for lines in (1, 5):
        process = started(code, tmp_path / "killed")
        waited_for(lambda n=lines: there.exists() and there.read_bytes().count(b"\n") >= n)
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
    assert there.read_bytes().count(b"\n") < 13
    finished(started(code, tmp_path / "killed"))
    assert there.read_bytes() == (tmp_path / "whole" / history).read_bytes()
