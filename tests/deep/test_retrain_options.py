"""No option of deep.retrain does nothing: each field changes the history, is refused, or is named
as one that does not decide a result; see tests/test_options.py.
"""

from dataclasses import replace

import pytest

import deep.metrics.feature_choice
from deep.metrics.label_encoder import EncoderTraining
from tests.support.option_table import fields_of, require, table
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
    monkeypatch.setattr("stability.runs.result.Result.report", lambda result: result.folder)


@pytest.mark.parametrize(("command", "name"), table(COMMANDS))
def test_each_option(command, name, place, tmp_path, quick):
    folder, default = place
    if command != "retrain edm" and name in SHARED and name != "preset":
        return  # one class for all three: its fields are tested with the first
    require(cached(command, folder), name, default(command), tmp_path)
