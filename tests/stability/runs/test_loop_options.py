"""The options that every experiment has."""

import dataclasses
from dataclasses import replace

import pytest

from stability import Accumulate, FullySynthetic, Mix, Subsample
from stability.runs.loop_options import (
    NOT_RECORDED,
    LoopOptions,
    RunOptions,
    parts_of,
    recorded_options,
    study_settings,
)


def test_what_is_recorded_is_what_decides_the_result():
    recorded = recorded_options(*parts_of(LoopOptions(seed=3, threads=2, keep="all")))
    assert recorded["seed"] == 3
    assert not recorded.keys() & {"out", "overwrite", "threads", "device", "keep", "max_hours"}


def test_all_other_options_are_recorded():
    names = {field.name for field in dataclasses.fields(LoopOptions)}
    assert set(recorded_options(LoopOptions())) == names - NOT_RECORDED
    assert names >= NOT_RECORDED
    assert {field.name for field in dataclasses.fields(RunOptions)} < names


def test_numbers_that_json_lacks_are_recorded_as_text():
    assert recorded_options({"churn_max": float("inf"), "path": __name__}) == {
        "churn_max": "Infinity", "path": __name__,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("options", "rows"),
    [
        ({}, [Mix(0.25), FullySynthetic()]),
        ({"lam": (1.0, 2.0)}, [Mix(1.0), Mix(2.0)]),
        ({"fully_synthetic": True}, [FullySynthetic()]),
        ({"regime": "synthetic"}, [FullySynthetic()]),
        ({"regime": "accumulate", "lam": (0.5,)}, [Accumulate(0.5)]),
        ({"regime": "subsample"}, [Subsample(Accumulate(0.25))]),
    ],
)
def test_rows(options, rows):
    assert LoopOptions(**options).regimes((0.25,)) == rows


def test_the_largest_training_set_is_that_of_the_loop():
    """All synthetic sets of an accumulating one."""
    mix, accumulate = (
        LoopOptions(lam=(0.5,), regime="mix", retrainings=4),
        LoopOptions(lam=(0.5,), regime="accumulate", retrainings=4),
    )
    assert mix.largest([5, 3], 10) == 10 + 5
    assert accumulate.largest([5, 3], 10) == 10 + 4 * 5
    assert replace(accumulate, regime="subsample").largest([5, 3], 10) == 10 + 4 * 5


def test_a_command_says_a_line_a_generation_only_where_no_bar_is_seen(capsys):
    settings = study_settings(LoopOptions())
    assert settings["lines"]
    settings["say"]("run: a [bold]folder[/bold]")
    assert capsys.readouterr().out == "run: a [bold]folder[/bold]\n"
    quiet = study_settings(LoopOptions(quiet=True))
    quiet["say"]("run: a folder")
    assert capsys.readouterr().out == ""
    assert not quiet["lines"]
    assert not quiet["progress"]
