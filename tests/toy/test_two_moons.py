"""The command as a user runs it."""

import os
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import pytest

from stability.runs.command_line import command
from toy.two_moons import TwoMoons, main

ROOT = Path(__file__).parents[2]
SMALL = [
    "--lambda",
    "0.5",
    "--fully-synthetic",
    "--samples",
    "200",
    "--epochs",
    "60",
    "--threads",
    "2",
]


def start(*arguments):
    return subprocess.Popen(
        [sys.executable, "-m", "toy.two_moons", *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
    )


def finish(process):
    out, err = process.communicate(timeout=300)
    return process.returncode, out, err


def test_killed_in_the_middle_of_a_generation_it_goes_on_to_the_same_history(tmp_path):
    arguments = [*SMALL, "--retrainings", "2"]
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    code, out, err = finish(start(*arguments, "--out", str(whole)))
    assert (code, err) == (0, ""), err
    assert "W1 to the truth" in out

    process = start(*arguments, "--out", str(killed))
    history, timings = killed / "history.jsonl", killed / "timings.jsonl"
    deadline = time.monotonic() + 240
    while not (timings.exists() and timings.read_text().count("\n") == 2):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.005)
    time.sleep(0.1)  # a generation takes longer than that: it is in the fit of generation 2
    os.kill(process.pid, signal.SIGKILL)
    assert finish(process)[0] == -signal.SIGKILL
    assert history.read_bytes() == b"".join(
        whole.joinpath("history.jsonl").read_bytes().splitlines(True)[:2]
    )

    code, _, err = finish(start(*arguments, "--out", str(killed)))
    assert (code, err) == (0, "")
    assert history.read_bytes() == (whole / "history.jsonl").read_bytes()
    assert timings.read_text().count("\n") == 3  # no finished generation was made again


def test_bad_input_is_one_line_and_status_2():
    code, out, err = finish(start("--lambda", "-1"))
    assert (code, out, err) == (
        2,
        "",
        "error: --lambda must be finite and >= 0, got -1 (no real data: --fully-synthetic)\n",
    )


@pytest.fixture
def run(monkeypatch, capsys, no_figures):
    """The command in this process: arguments -> status, output, errors."""
    monkeypatch.setattr("warnings.showwarning", warnings.showwarning)  # which the command replaces

    def run(*arguments):
        code = 0
        try:
            command(TwoMoons, main, arguments)
        except SystemExit as leaving:
            code = leaving.code
        return code, *capsys.readouterr()

    return run


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--lambda", "nan"], ["--lambda", "finite", "nan"]),
        (["--samples", "1"], ["--samples", ">= 2", "1"]),
        (["--angles", "even"], ["--angles", "even", "random", "grid"]),
        (["--out", "/proc/no/such/folder"], ["/proc/no"]),
    ],
)
def test_bad_input_names_what_is_allowed(arguments, words, run):
    code, out, err = run(*arguments)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert all(word in err for word in words), err


def test_another_configuration_in_the_same_folder_is_refused(tmp_path, run):
    tiny = ["--lambda", "0.5", "--samples", "10", "--epochs", "1", "--out", str(tmp_path / "run")]
    assert run(*tiny, "--retrainings", "1")[0] == 0
    code, out, err = run(*tiny, "--retrainings", "2")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "retrainings = 1, not 2" in err


def test_a_loss_that_blows_up_keeps_the_generations_before(tmp_path, run):
    out = tmp_path / "run"
    code, _, err = run(*SMALL, "--learning-rate", "1e37", "--out", str(out))
    assert (code, err.count("\n")) == (1, 1), err
    assert "stopped at generation 0: the loss of chain 0 is" in err
