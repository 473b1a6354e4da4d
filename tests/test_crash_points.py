"""Killed right after any operation on a file and started again, a run ends with the same bytes."""

import json

import pytest

from tests.support.warm_process import start


def tried(folder, every, *command):
    """The report of `tests.support.crash_points`."""
    module = ("-m", "tests.support.crash_points")
    run = start(*module, folder, every, *command, environment={"OMP_NUM_THREADS": "1"})
    said, complained = run.communicate()
    assert run.returncode == 0, complained
    print(said)  # noqa: T201
    return json.loads(said)


def test_a_small_run_is_killed_after_some_operations(tmp_path):
    found = tried(tmp_path, 12, "tests.support.small_run")
    assert found["differ"] == {}
    assert found["operations"] > 60
    assert len(found["tried"]) >= 5


@pytest.mark.slow
def test_a_small_run_is_killed_after_every_operation(tmp_path):
    found = tried(tmp_path, 1, "tests.support.small_run")
    assert found["differ"] == {}
    assert len(found["tried"]) == found["operations"]


TOY = (
    "toy.run",
    "--model",
    "kde",
    "--samples",
    "30",
    "--retrainings",
    "1",
    "--lambda",
    "1",
    "--threads",
    "1",
)


@pytest.mark.slow
def test_a_command_is_killed_after_every_operation(tmp_path):
    found = tried(tmp_path, 1, *TOY)
    assert found["differ"] == {}
    assert len(found["tried"]) == found["operations"]
