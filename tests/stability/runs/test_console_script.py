"""The command `retraining`."""

import subprocess
import sys

import pytest

from stability import __version__
from tests.support.console_command import retraining

SCRIPT = """
import numpy as np
from stability import GaussianLearner, Mix, Moments, Study

study = Study(
    learner=lambda chains: GaussianLearner(chains, 1), real=np.arange(20.0)[:, None],
    truth=np.arange(20.0)[:, None] + 0.5, regimes=[Mix(1.0)], generations=5, observers=[Moments()],
)
"""


def test_run_open_and_compare_are_one_after_another(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "study.py").write_text(SCRIPT)
    for folder, generations in (("runs/a", "2"), ("runs/b", "3")):
        options = ["--out", folder, "--seeds", "2", "--generations", generations, "--threads", "1"]
        assert retraining(monkeypatch, "run", "study.py", *options) == 0
    assert "report.html" in capsys.readouterr().out
    assert retraining(monkeypatch, "open", "runs", "--no-browser") == 0
    assert "2 runs" in capsys.readouterr().out
    assert retraining(monkeypatch, "compare", "runs/a", "runs/b") == 0
    assert "retrainings 2 → 3" in capsys.readouterr().out


def test_the_version_is_that_of_the_package(monkeypatch, capsys):
    assert retraining(monkeypatch, "--version") == 0
    assert capsys.readouterr().out == f"retraining {__version__}\n"


def test_help_lists_the_commands(monkeypatch, capsys):
    assert retraining(monkeypatch, "--help") == 0
    said = capsys.readouterr().out
    assert all(f"  {name} " in said for name in ("run", "compare", "open"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "the first argument must be one of run, compare, open"),
        (["fly"], "the first argument must be one of run, compare, open"),
        (["open", "nothing"], "nothing: there is no such folder"),
        (["run", "nothing.py"], "nothing.py: there is no such file"),
        (["run", "x.py", "--seeds", "0"], "--seeds must be >= 1, got 0"),
        (["compare", "a"], "a comparison takes two runs or more, got 1"),
    ],
)
def test_what_is_wrong_is_one_line(arguments, message, monkeypatch, capsys):
    assert retraining(monkeypatch, *arguments) == 2
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1


def test_it_starts_without_loading_what_it_does_not_need():
    code = (
        "import sys; sys.argv = ['retraining', '--version']\n"
        "from stability.runs.console_script import main; main()\n"
        "print([m for m in ('matplotlib', 'sklearn', 'pandas', 'ray') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
