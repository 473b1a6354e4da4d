"""The command as a user runs it."""

import signal
import warnings

import pytest

from stability.runs.command_line import command
from tests.support.warm_process import start
from toy.two_moons import TwoMoons, main

SMALL = [
    "--lambda",
    "0.5",
    "--fully-synthetic",
    "--samples",
    "100",
    "--epochs",
    "10",
    "--threads",
    "2",
]


def run_process(*arguments, launcher=()):
    """Exit status, output and errors of the command in a process of its own."""
    command = start("-m", *launcher, "toy.two_moons", *arguments)
    out, err = command.communicate()
    return command.returncode, out, err


def test_killed_in_the_middle_of_a_generation_it_goes_on_to_the_same_history(tmp_path):
    arguments = [*SMALL, "--retrainings", "2"]
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    code, out, err = run_process(*arguments, "--out", whole)
    assert (code, err) == (0, ""), err
    assert "W1 to the truth" in out

    # before generation 2 is recorded, all of whose work is lost
    method = "stability.runs.run_directory.RunDirectory.record"
    status, _, _ = run_process(
        *arguments, "--out", killed, launcher=("tests.support.killed", method, "3")
    )
    assert status == -signal.SIGKILL
    history, timings = killed / "history.jsonl", killed / "timings.jsonl"
    assert history.read_bytes() == b"".join(
        whole.joinpath("history.jsonl").read_bytes().splitlines(True)[:2]
    )

    code, _, err = run_process(*arguments, "--out", killed)
    assert (code, err) == (0, "")
    assert history.read_bytes() == (whole / "history.jsonl").read_bytes()
    assert timings.read_text().count("\n") == 3  # no finished generation was made again


def test_bad_input_is_one_line_and_status_2():
    code, out, err = run_process("--lambda", "-1")
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
