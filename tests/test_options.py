"""No option does nothing: each field of each command changes the history, is refused, or is named
here as one that does not decide a result.

`python -m tests.support.option_table` prints the table, a line for each command and field. Fields
of the settings of the other 2-D models have tests beside their models; those of deep.retrain are in
tests/deep/test_retrain_options.py.
"""

import dataclasses
import re
from dataclasses import replace
from pathlib import Path

import pytest

from stability.runs.loop_options import NOT_RECORDED
from tests.support.console_command import module_command
from tests.support.figures import leave_out_figures
from tests.support.learners_2d import SMALL_FLOW as SMALL
from tests.support.option_table import LOOP, Refused, Same, fields_of, outcome, require, table
from tests.support.options_2d import COMMANDS, DIFFUSION, WIDTH, WIDTH_CASES
from toy import eight_gaussians, width_map
from toy.learners.settings import DDPMConfig
from toy.width_map import WidthMap


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_is_in_the_table(command):
    assert sorted(COMMANDS[command].cases) == sorted(fields_of(COMMANDS[command]))


def test_options_that_do_not_decide_a_result_are_those_that_are_not_recorded():
    decided = {name for name, case in LOOP.items() if not isinstance(case, Same)}
    # max_hours ends a run early: its history is shorter, not another one
    assert set(LOOP) - decided | {"max_hours"} == NOT_RECORDED


@pytest.fixture(scope="module")
def defaults(tmp_path_factory):
    """History of each command without changes, made when it is asked for."""
    known: dict[str, bytes] = {}

    def of(command):
        if command not in known:
            known[command] = COMMANDS[command].history(tmp_path_factory.mktemp(command))
        return known[command]

    return of


@pytest.fixture
def quick(monkeypatch):
    """Without pictures and pages, which take longer than the rest of a tiny run."""
    monkeypatch.setattr("toy.contraction.save_figure", lambda *arguments: [])
    leave_out_figures(monkeypatch)


@pytest.mark.parametrize(("command", "name"), table(COMMANDS))
def test_each_option(command, name, defaults, tmp_path, quick):
    require(COMMANDS[command], name, defaults(command), tmp_path)


def width_history(config: WidthMap) -> bytes:
    """One panel: the others differ in the learner alone."""
    width_map.trained_widths(config, "DDIM 100", width_map.cases(config)["DDIM 100"])
    return b"".join(p.read_bytes() for p in sorted(config.folder.rglob("history.jsonl")))


@pytest.fixture(scope="module")
def default_width(tmp_path_factory):
    return width_history(replace(WIDTH, out=tmp_path_factory.mktemp("width") / "default"))


@pytest.mark.parametrize(
    "name",
    [pytest.param(n, id=f"width_map-{n}-{outcome(case)}") for n, case in WIDTH_CASES.items()],
)
def test_each_option_of_the_width_map(name, tmp_path, default_width):
    assert sorted(WIDTH_CASES) == sorted(f.name for f in dataclasses.fields(WIDTH))
    case = WIDTH_CASES[name]
    if isinstance(case, Refused):
        with pytest.raises(ValueError, match=case.words):
            replace(WIDTH, **case.change)
        return
    change = (
        case.change if isinstance(case, Same) else case if isinstance(case, dict) else {name: case}
    )
    changed = width_history(replace(WIDTH, **change, out=tmp_path / "changed"))
    assert (changed == default_width) == isinstance(case, Same)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"pairs": "independent", "plan": 16}, "plan has no meaning for pairs independent"),
        ({"pairs": "independent", "solver": "pot"}, "solver has no meaning for pairs independent"),
        ({"integrator": "dopri5", "ode_steps": 9}, "ode_steps has no meaning for integrator"),
        ({"integrator": "euler", "tolerance": 0.1}, "tolerance has no meaning for integrator"),
    ],
)
def test_options_without_effect_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        replace(SMALL, **settings)


@pytest.mark.parametrize("option", eight_gaussians.OF_A_NETWORK)
def test_a_learner_that_is_exact_takes_no_options_of_a_network(option):
    changed = replace(DDPMConfig(), **{option: DIFFUSION[option]})
    with pytest.raises(ValueError, match=f"{option} has no meaning for learner exact"):
        eight_gaussians.EightGaussians(diffusion=changed, learner="exact")


@pytest.mark.parametrize(
    ("change", "option"),
    [
        ({"lam": (2.0,)}, "lam"),
        ({"width": 32}, "width"),
        ({"s0": 0.2}, "s0"),
        ({"seed": 1}, "seed"),
    ],
)
def test_a_prediction_alone_takes_no_options_of_a_run(change, option):
    with pytest.raises(ValueError, match=f"^{option} has no meaning with epochs 0"):
        WidthMap(epochs=0, **change)
    WidthMap(epochs=0, out=Path("prediction"), quiet=True)


def test_the_table_can_be_printed(monkeypatch, capsys):
    """`python -m tests.support.option_table`, a line a command and field."""
    done = module_command(monkeypatch, capsys, "tests.support.option_table")
    lines = done.stdout.splitlines()
    assert {line[42:].split()[0] for line in lines} == {"changes", "refused", "same"}
    assert any(re.match(r"two_moons +threads +same ", line) for line in lines)
    assert any(re.match(r"retrain edm +data +refused +none.npz", line) for line in lines)
