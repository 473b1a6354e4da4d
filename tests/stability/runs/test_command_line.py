import os
import shlex
import subprocess
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import pytest
import tyro

from stability.loop.retraining import RetrainingError
from stability.runs.command_line import command, parse
from stability.runs.run_directory import RunDirectoryError
from stability.runs.user_code import run_file


@dataclass(frozen=True)
class Config:
    """A configuration."""

    lam: Annotated[tuple[float, ...], tyro.conf.arg(name="lambda")] = ()
    """Synthetic points per real point."""
    regime: Literal["mix", "synthetic"] = "mix"
    """Training set."""
    seed: int = 0
    """Seed of every draw."""
    most: int | None = None
    """A whole number, or none."""
    least: float = 0.0
    """A number."""

    def __post_init__(self):
        if any(not lam >= 0 for lam in self.lam):
            raise ValueError(f"--lambda must be >= 0, got {self.lam[0]:g}")


def test_options_become_the_configuration():
    assert parse(Config, ["--lambda", "0", "0.5", "--seed", "3"]) == Config(lam=(0.0, 0.5), seed=3)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--lambda", "-1"], ["--lambda", ">= 0", "-1"]),
        (["--lambda", "nan"], ["--lambda", ">= 0", "nan"]),
        (["--lambda", "abc"], ["--lambda must be numbers, got abc"]),
        (["--seed", "1.5"], ["--seed must be a whole number, got 1.5"]),
        (["--most", "1e9"], ["--most must be a whole number, got 1e9"]),
        (["--least", "x"], ["--least must be a number, got x"]),
        (["--regime", "foo"], ["--regime", "foo", "mix", "synthetic"]),
        (["--bogus", "1"], ["--bogus"]),
    ],
)
def test_a_bad_option_is_one_line_and_status_2(arguments, words, capsys):
    with pytest.raises(SystemExit) as leaving:
        parse(Config, arguments)
    assert leaving.value.code == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert all(word in err for word in words), err


def test_help_explains_every_option(capsys):
    with pytest.raises(SystemExit) as leaving:
        parse(Config, ["--help"])
    assert leaving.value.code == 0
    out = capsys.readouterr().out
    assert all(
        words in out
        for words in ("--lambda", "Synthetic points per real point.", "--seed", "(default: 0)")
    )


@pytest.mark.parametrize(
    ("error", "status", "words"),
    [
        (RunDirectoryError("runs/a holds a run with seed = 1, not 0"), 2, "--out: runs/a holds"),
        (RetrainingError("generation 3: the loss of chain 0 is nan"), 1, "stopped at generation 3"),
        (PermissionError(13, "Permission denied", "/out"), 2, "Permission denied: /out"),
        (OSError(28, "No space left on device"), 2, "No space left on device"),
        (KeyboardInterrupt(), 130, "the same command resumes"),
    ],
)
def test_a_failure_is_one_line(error, status, words, capsys):
    def fail(config):
        raise error

    with pytest.raises(SystemExit) as leaving:
        command(Config, fail, [])
    assert leaving.value.code == status
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert words in err


def test_a_warning_is_one_line(capsys):
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        command(Config, lambda config: warnings.warn("floor(lam * n) is 0", stacklevel=1), [])
    assert capsys.readouterr().err == "warning: floor(lam * n) is 0\n"


def test_an_unexpected_error_keeps_its_traceback():
    with pytest.raises(ZeroDivisionError):
        command(Config, lambda config: 1 / 0, [])


def test_an_error_in_code_of_the_user_is_one_line_with_its_place(tmp_path, monkeypatch, capsys):
    (tmp_path / "mine.py").write_text("def fit(x):\n    return 1 / 0\n")
    monkeypatch.chdir(tmp_path)
    fit = run_file(tmp_path / "mine.py", "mine_of_a_test").fit
    with pytest.raises(SystemExit) as leaving:
        command(Config, lambda config: list(map(fit, [0])), [])
    assert leaving.value.code == 2
    said = "error: mine.py, line 2: ZeroDivisionError: division by zero\n"
    assert capsys.readouterr().err == said


def test_usage_names_the_command_before_the_options(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["retraining", "plan", "--help"])
    monkeypatch.setattr(sys.modules["__main__"], "__spec__", None)
    with pytest.raises(SystemExit):
        parse(Config, ["--help"])
    assert capsys.readouterr().out.startswith("usage: retraining plan [-h]")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--seed", "1", "--seed", "2"], "--seed is given twice"),
        (["--seed", "1", "--seed=2"], "--seed is given twice"),
        (["--seed="], "--seed must not be empty"),
        (["--regime", ""], "--regime must not be empty"),
        (["--regime", "a\0b"], "--regime must not contain a NUL"),
        (["--tyro-print-completion", "bash"], "--tyro-print-completion"),
        (["--tyro_write_completion", "bash", "file"], "--tyro-write-completion"),
        (["--regime", "\x1b[2J"], "--regime"),
    ],
)
def test_malformed_arguments_are_refused(arguments, words, capsys):
    with pytest.raises(SystemExit) as leaving:
        parse(Config, arguments)
    assert leaving.value.code == 2
    err = capsys.readouterr().err
    assert words in err
    assert err.count("\n") == 1
    assert "\x1b" not in err


@pytest.mark.parametrize(
    "error",
    [
        MemoryError("Unable to allocate 7 GiB"),
        RuntimeError("can't allocate memory: you tried 7 bytes"),
    ],
)
def test_memory_that_is_not_there_is_one_line(error, capsys):
    def fail(config):
        raise error

    with pytest.raises(SystemExit) as leaving:
        command(Config, fail, [])
    assert leaving.value.code == 1
    err = capsys.readouterr().err
    assert err.startswith("error: this takes more memory than there is (")
    assert err.count("\n") == 1


PROGRAM = """
import sys
from dataclasses import dataclass
from stability.runs.command_line import command
@dataclass(frozen=True)
class Config:
    {doc}
    n: int = 0
command(Config, lambda config: print("λ ≤ 1 ‖θ‖ " * 20000))
"""
DOC = '"""λ ≤ 1, ‖θ‖."""'


def _shell(line, **environment):
    """A shell line in which PROGRAM stands for the command."""
    program = shlex.join([sys.executable, "-c", PROGRAM.format(doc=DOC)])
    return subprocess.run(
        ["bash", "-c", f"set -o pipefail; {line.replace('PROGRAM', program)}"],
        env=os.environ | environment,
        cwd=Path(__file__).parents[3],
        capture_output=True,
        text=True,
        errors="replace",
    )


@pytest.mark.parametrize("encoding", ["ascii", pytest.param("cp1252", marks=pytest.mark.slow)])
@pytest.mark.parametrize("option", ["", pytest.param("--help", marks=pytest.mark.slow)])
def test_what_an_encoding_lacks_is_replaced(encoding, option):
    done = _shell(f"PROGRAM {option}", PYTHONIOENCODING=encoding)
    assert (done.returncode, done.stderr) == (0, "")
    assert "?" in done.stdout


@pytest.mark.parametrize(
    ("line", "status"),
    [
        ("PROGRAM | head -c 1 > /dev/null", 1),
        pytest.param("PROGRAM --help | true", 1, marks=pytest.mark.slow),
        pytest.param("PROGRAM >&-", 0, marks=pytest.mark.slow),
        pytest.param("PROGRAM <&- > /dev/null", 0, marks=pytest.mark.slow),
        pytest.param("PROGRAM --n x 2>&-", 2, marks=pytest.mark.slow),
    ],
)
def test_output_that_nobody_reads_ends_the_command_quietly(line, status):
    done = _shell(line)
    assert (done.returncode, done.stdout, done.stderr) == (status, "", "")
