"""A family of one's own on the command line: a row a λ, and the curve."""

import sys

import numpy as np
import pytest

from stability.analysis.local_analysis import analyse
from stability.families import Gamma
from stability.report.own_family import lambda_table, load_family, load_points, parameters
from stability.runs.command_line import UsageError
from tests.support.console_command import module_command

MODULE = """
import torch
from stability.families import Gamma

class Own(Gamma):
    pass

class Column(Gamma):
    def log_prob(self, theta, x):
        return super().log_prob(theta, x)[:, None]
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    (tmp_path / "mymodule.py").write_text(MODULE)
    points = np.random.default_rng(0).lognormal(size=(60, 1))
    np.savetxt(tmp_path / "x.csv", points, header="waiting", comments="")
    np.save(tmp_path / "x.npy", points)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def command(folder, monkeypatch, capsys):
    """`python -m stability theorem1` in a folder with modules of one's own."""
    monkeypatch.syspath_prepend(folder)
    monkeypatch.delitem(sys.modules, "mymodule", raising=False)
    yield lambda *words: module_command(monkeypatch, capsys, "stability", "theorem1", *words)
    sys.modules.pop("mymodule", None)


def test_the_command_prints_what_the_analysis_says(folder, command):
    done = command(
        "--family", "mymodule:Own", "--data", "x.csv", "--lambda", "0.05", "1", "--out", "o"
    )
    assert done.returncode == 0, done.stderr
    expected = analyse(Gamma(), load_points(folder / "x.npy"), 0.05, n=60)
    for lam in (0.05, 1.0):
        at = expected.at(lam)
        for number in (at.norm, at.rho, at.retraining[0]):
            assert f"{number:.5g}" in done.stdout
    assert "shape = " in done.stdout
    assert (folder / "o/figures/own-family.png").stat().st_size > 10_000


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--family", "mymodule:Nothing", "--data", "x.csv"), "--family must be module:attribute"),
        (("--family", "nomodule:Own", "--data", "x.csv"), "--family must be module:attribute"),
        (("--family", "mymodule:Own"), "--data"),
        (("--family", "gamma", "--data", "x.csv"), "need a family of one's own"),
        (("--family", "mymodule:Column", "--data", "x.csv"), "must return one number a point"),
        (("--family", "mymodule:Own", "--data", "none.csv"), "none.csv"),
    ],
)
def test_what_cannot_be_run_is_one_line_and_status_2(command, arguments, message):
    done = command(*arguments)
    assert done.returncode == 2, done.stdout
    assert message in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_points_come_from_text_with_or_without_names_and_from_arrays(folder):
    one, two = load_points(folder / "x.csv"), load_points(folder / "x.npy")
    assert one == pytest.approx(two, rel=1e-12)
    (folder / "plain.csv").write_text("1,2\n3,4\n")
    assert load_points(folder / "plain.csv").tolist() == [[1, 2], [3, 4]]
    (folder / "bad.csv").write_text("1,2\n3,nan\n")
    with pytest.raises(UsageError, match="finite points"):
        load_points(folder / "bad.csv")
    (folder / "words.csv").write_text("a\nb\n")
    with pytest.raises(UsageError, match="numbers and commas"):
        load_points(folder / "words.csv")


def test_a_row_a_lambda_and_names_of_parameters(folder):
    family = load_family("mymodule:Own")
    local = analyse(family, load_points(folder / "x.npy"), 0.05)
    table = lambda_table(local, (0.05, 0.2))
    assert [str(cell) for cell in table.columns[0].cells] == ["0.05", "0.2"]
    assert parameters(local, family).startswith(f"shape = {local.theta[0]:.5g}")
