"""No option of deep.retrain does nothing: each field changes the history, is refused, or is named
as one that does not decide a result; see tests/test_options.py.
"""

from dataclasses import replace
from pathlib import Path

import pytest

import deep.metrics.feature_choice
from deep.metrics.label_encoder import EncoderTraining
from deep.retrain import main
from deep.retraining.presets import PRESETS
from stability.runs.command_line import UsageError
from tests.support.figures import leave_out_page
from tests.support.option_table import Refused, fields_of, require, table
from tests.support.options_images import COMMANDS, RUN, SHARED


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_is_in_the_table(command):
    assert sorted(COMMANDS[command].cases) == sorted(fields_of(COMMANDS[command]))


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder for caches, and the history of each command without changes."""
    folder = tmp_path_factory.mktemp("options")
    known: dict[str, bytes] = {}

    def of(command):
        if command not in known:
            known[command] = cached(command, folder).history(folder / command)
        return known[command]

    return folder, of


def cached(name, folder):
    """The command with a cache that its runs share."""
    command = COMMANDS[name]
    run = replace(RUN, cache=folder / "cache")
    return replace(command, parts=command.parts | {"run": run})


@pytest.fixture
def quick(monkeypatch):
    """Without pictures, pages and a long training of the encoder."""
    monkeypatch.setattr(
        deep.metrics.feature_choice,
        "EncoderTraining",
        lambda seed: EncoderTraining(seed=seed, steps=5, width=8),
    )
    monkeypatch.setattr("deep.retraining.figures.draw_figures", lambda run: [])
    leave_out_page(monkeypatch)


def lines():
    """The table, without what the three commands share a second time; most of it takes a minute."""
    for line in table(COMMANDS):
        command, name = line.values
        if command == "retrain edm" or name not in SHARED:
            case = COMMANDS[command].cases[name]
            slow = name not in QUICK and not isinstance(case, Refused)
            marks = [pytest.mark.slow] if slow else []
            yield pytest.param(command, name, id=line.id, marks=marks)


QUICK = {"lam", "seed", "real", "samples", "latents", "carry", "from_scratch", "retrainings"}
QUICK |= {"images_per_retraining", "first_images", "k", "kid_subsets", "metrics", "quiet"}
QUICK |= {"steps", "dropout", "batch"}
"""Fields that the default suite tries; the others are tried by `pytest -m slow`."""


@pytest.mark.parametrize(("command", "name"), list(lines()))
def test_each_option(command, name, place, tmp_path, quick):
    folder, default = place
    require(cached(command, folder), name, default(command), tmp_path)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"init": Path("a.pt")}, "--first-images has no meaning with --init a.pt"),
        ({"from_scratch": True, "carry": "ema"}, "--carry has no meaning with --from-scratch"),
        ({"metrics": ("fd",), "k": 4}, "--k has no meaning without --metrics pr"),
        ({"metrics": ("pr",), "kid_subsets": 3}, "--kid-subsets has no meaning without --metrics"),
    ],
)
def test_options_without_effect_beside_others_are_refused(changes, words, tmp_path):
    run = replace(RUN, out=tmp_path / "run", **changes)
    with pytest.raises(UsageError, match=words):
        main(replace(PRESETS["edm", "digits"], run=run))
    assert not (tmp_path / "run").exists()
