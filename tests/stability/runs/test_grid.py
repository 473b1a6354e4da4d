"""Runs of a grid that die, fail or finish."""

import json
import shutil

import pytest

from stability.runs.attached import ProcessExit
from stability.runs.grid import GridRun, split_arguments


@pytest.fixture
def run(tmp_path):
    folder = tmp_path / "lambda-1" / "seed-0"
    folder.mkdir(parents=True)
    return GridRun("lambda-1/seed-0", folder, ["-m", "toy.two_moons", "--lambda", "1"])


def with_generations(run, count, retrainings=20):
    (run.folder / "config.json").write_text(json.dumps({"config": {"retrainings": retrainings}}))
    (run.folder / "history.jsonl").write_text("{}\n" * count)


def test_a_finished_run_is_known_by_its_command(run):
    with_generations(run, 21)
    assert not run.is_finished()
    assert not run.ended(ProcessExit(0, "figures.png"), retries=3)
    assert (run.state, run.message, run.progress()) == ("finished", "", "20 of 20")
    assert GridRun(run.name, run.folder, list(run.arguments)).is_finished()
    assert not GridRun(run.name, run.folder, [*run.arguments, "--retrainings", "30"]).is_finished()
    shutil.rmtree(run.folder)
    assert not run.is_finished()


@pytest.mark.parametrize(
    "outcome",
    [ProcessExit(2, "error: --k must be > 0"), ProcessExit(1, "error: stopped at t = 3: NaN")],
)
def test_a_run_that_says_what_is_wrong_is_not_started_again(run, outcome):
    assert not run.ended(outcome, retries=3)
    assert (run.state, run.message, run.deaths) == ("failed", outcome.message, 0)


DEATHS = [
    ProcessExit(-9, "killed by SIGKILL"),
    ProcessExit(1, "torch.OutOfMemoryError: CUDA"),
    ProcessExit(130, "error: stopped"),
]


@pytest.mark.parametrize("outcome", DEATHS)
@pytest.mark.parametrize("retries", [0, 2])
def test_a_run_that_dies_is_started_again_so_many_times(run, outcome, retries):
    assert [run.ended(outcome, retries) for _ in range(retries + 1)] == [True] * retries + [False]
    assert (run.state, run.message) == ("failed", outcome.message)


def test_who_gets_on_may_die_often_but_not_in_vain(run):
    again = []
    # after a death the history is cut back to the last checkpoint
    for generations in (1, 2, 3, 4, 3, 4, 4):
        with_generations(run, generations)
        again.append(run.ended(ProcessExit(-15, "killed by SIGTERM"), retries=3))
    assert again == [True] * 6 + [False]
    assert run.deaths == 7


@pytest.mark.parametrize(
    "content", ["{", "[]", '{"config": 1}', "[" * 10**5, '{"config": {"retrainings": "x"}}']
)
def test_a_damaged_run_is_shown_as_one_that_has_not_begun(run, content):
    """The run itself says what is wrong."""
    with_generations(run, 3)
    (run.folder / "config.json").write_text(content)
    run.folder.with_name("seed-0.finished.json").write_text(content)
    assert run.progress() == "–"
    assert not run.is_finished()


def test_what_stands_after_two_hyphens_is_handed_on():
    assert split_arguments(["a", "--b", "--", "-c", "--"]) == (["a", "--b"], ("-c", "--"))
    assert split_arguments(["a"]) == (["a"], ())
