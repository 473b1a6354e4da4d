"""Names of arguments in Python, of options on the command line."""

import ast
import re
from dataclasses import replace

import numpy as np
import pytest

from stability import Mix, Study
from stability.runs.command_line import parse
from stability.runs.loop_options import LoopOptions
from stability.runs.option_error import OptionError, on_command_line
from stability.runs.run_layout import RunDirectoryError
from tests.conftest import FIXTURES
from tests.support.kernels import Blur

ROOT = FIXTURES.parents[1]


def test_dashes_are_for_the_command_line():
    words = "--ode-steps has no meaning for --integrator dopri5; --lambda must be >= 0, got -1"
    assert str(OptionError(words)) == (
        "ode_steps has no meaning for integrator dopri5; lam must be >= 0, got -1"
    )
    with on_command_line():
        assert str(OptionError(words)) == words
    assert "--" not in str(OptionError(words))
    assert str(OptionError("runs/mine--two holds a run; use --overwrite")) == (
        "runs/mine--two holds a run; use overwrite=True"
    )


def test_the_same_mistake_in_both(capsys):
    with pytest.raises(ValueError, match=r"^lam must be finite and >= 0, got -1"):
        LoopOptions(lam=(-1.0,))
    with pytest.raises(SystemExit):
        parse(LoopOptions, ["--lambda", "-1"])
    assert capsys.readouterr().err.startswith("error: --lambda must be finite and >= 0, got -1")


def test_what_is_raised_names_options_in_one_way_only():
    """Only errors that know their reader may say `--option`; a plain one would say it in Python."""
    aware = {"OptionError", "UsageError", "RunDirectoryError"}
    wrong = []
    for package in ("stability", "toy", "deep"):
        for path in sorted((ROOT / package).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                call = node.exc if isinstance(node, ast.Raise) else node
                if isinstance(call, ast.Call) and _says_option(call):
                    name = ast.unparse(call.func)
                    raised = isinstance(node, ast.Raise) and name not in aware
                    if raised or name == "warnings.warn":
                        wrong.append(f"{path.relative_to(ROOT)}:{call.lineno}")
    assert wrong == []


def _says_option(call):
    texts = (n.value for n in ast.walk(call) if isinstance(n, ast.Constant))
    return any(isinstance(text, str) and re.search(r"--[a-z]", text) for text in texts)


def test_a_folder_that_is_refused_is_named_as_its_reader_does(tmp_path):
    study = Study(
        learner=Blur,
        real=np.zeros((20, 2)),
        regimes=[Mix(1.0)],
        generations=1,
        observers=(),
        out=tmp_path / "run",
    )
    study.run()
    words = "holds a run with seed = 0, not 1; choose another %s or use %s"
    with pytest.raises(RunDirectoryError, match=words % ("out", "overwrite=True")):
        replace(study, seed=1).run()
    with on_command_line(), pytest.raises(RunDirectoryError, match=words % ("--out", "--over")):
        replace(study, seed=1).run()
