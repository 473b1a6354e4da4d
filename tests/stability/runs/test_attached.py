"""Runs as programs: how they ended, what they said, and that none outlives whoever waits for it."""

import os
import subprocess
import sys
import time
from pathlib import Path

import filelock
import pytest

from stability.runs.attached import ProcessExit, run_attached
from tests.support.processes import is_alive, waited_for

ROOT = Path(__file__).parents[3]


def attached(tmp_path, code, **options):
    return run_attached(["-c", code], tmp_path / "run", tmp_path / "run.log", tmp_path, **options)


@pytest.mark.parametrize(
    ("code", "outcome"),
    [
        ("print('table'); print('figure.png')", ProcessExit(0, "figure.png")),
        ("", ProcessExit(0, "exit status 0")),
        (
            "import os; print(os.getpid()); os.kill(os.getpid(), 9)",
            ProcessExit(-9, "killed by SIGKILL"),
        ),
        ("1 / 0", ProcessExit(1, "ZeroDivisionError: division by zero")),
        (
            "import sys; print('begins'); sys.stderr.write('error: --k, got 0\\n'); "
            "print('ends'); sys.exit(2)",
            ProcessExit(2, "error: --k, got 0"),
        ),
    ],
)
def test_how_a_run_ended_and_what_it_said(code, outcome, tmp_path):
    (tmp_path / "run.log").write_text("error: of an earlier attempt\n")
    assert attached(tmp_path, code) == outcome
    assert (tmp_path / "run.log").read_text().startswith("error: of an earlier attempt\n$ ")


@pytest.mark.skipif(sys.platform != "linux", reason="needs Linux's PR_SET_PDEATHSIG")
def test_a_run_dies_with_whoever_waits_for_it_and_its_folder_is_free(tmp_path):
    """Also a run that holds the folder's lock, so that the next one can have it."""
    holder = (
        "import filelock, os, pathlib, time; filelock.FileLock('run/.lock').acquire(); "
        "pathlib.Path('pid').write_text(f'{os.getpid()} '); time.sleep(600)"
    )
    waiting = (
        "from stability.runs.attached import run_attached; from pathlib import Path; p = "
        f"Path({str(tmp_path)!r})\n"
    )
    waiting += f"run_attached(['-c', {holder!r}], p / 'run', p / 'run.log', p)"
    parent = subprocess.Popen(
        [sys.executable, "-c", waiting], env=os.environ | {"PYTHONPATH": str(ROOT)}
    )
    pid = int(
        str(waited_for(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text()))
    )
    assert is_alive(pid)
    parent.kill()
    parent.wait()
    waited_for(lambda: not is_alive(pid))
    with filelock.FileLock(tmp_path / "run" / ".lock", timeout=0):
        pass


def test_a_folder_that_another_process_still_has_is_waited_for(tmp_path):
    (tmp_path / "run").mkdir()
    lock = filelock.FileLock(tmp_path / "run" / ".lock")
    lock.acquire()
    began = time.monotonic()
    # whether it can run, it knows best
    assert attached(tmp_path, "print('ran')", patience_s=0.5) == ProcessExit(0, "ran")
    assert time.monotonic() - began >= 0.5
    lock.release()
    began = time.monotonic()
    attached(tmp_path, "", patience_s=60)
    assert time.monotonic() - began < 50
