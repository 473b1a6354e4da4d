import os
import pickle
import shutil

import numpy as np
import pytest
import torch

from stability import Accumulate, FreshReal, FullySynthetic, GaussianLearner, Mix, Subsample, Weighted, retrain
from stability.atomic import PARTIAL_SUFFIX
from stability.run_directory import RunDirectory, RunDirectoryError, environment

CONFIG = {"lam": [0.5], "seed": 0}
REGIMES = [Mix(0.5), Accumulate(1.0), FullySynthetic()]


def finish_run(path, generations=4, regimes=REGIMES):
    """Run, or finish, a small experiment in `path`; returns the bytes of its history."""
    real = [np.random.default_rng(r).standard_normal((10, 2)) for r in range(len(regimes))]
    learner = GaussianLearner(len(regimes), 2)
    with RunDirectory(path, CONFIG) as run:
        checkpoint = run.latest()
        if checkpoint:
            learner.load_state_dict(checkpoint.learner)
        after = checkpoint.generation if checkpoint else None
        for generation in retrain(
            learner, real, regimes, generations, seed=1, draws=10, after=after, fresh=lambda n, rng: rng.random((n, 2))
        ):
            line = {"mean": learner.mean.tolist(), "m": [data.synthetic for data in generation.training]}
            run.record(generation, line, learner.state_dict(), {"seen": generation.t}, seconds=0.0)
    return (path / "history.jsonl").read_bytes()


@pytest.fixture
def uninterrupted(tmp_path):
    return finish_run(tmp_path / "uninterrupted")


def test_a_run_can_be_read_back(tmp_path):
    finish_run(tmp_path / "run")
    with RunDirectory(tmp_path / "run", CONFIG) as run:
        history = run.history()
        assert [line["t"] for line in history] == [0, 1, 2, 3, 4]
        checkpoint = run.latest()
        assert checkpoint is not None
        assert checkpoint.generation.t == 4
        assert checkpoint.observers == {"seen": 4}
        for one, two in zip(run.load_samples(4), checkpoint.generation.samples, strict=True):
            np.testing.assert_array_equal(one, two)
        assert [data.real for data in checkpoint.generation.training] == [10, 10, 0]
        assert history[-1]["mean"] == checkpoint.learner["mean"].tolist()
    assert len(list((tmp_path / "run" / "checkpoints").iterdir())) == 2


def test_what_a_regime_remembers_is_stored(tmp_path):
    """Weights, and pools within pools, are there when a run goes on."""
    regimes = [Subsample(Accumulate(1.0)), Weighted(Subsample(Accumulate(0.5)), 0.7), Weighted(FreshReal(1.0), 0.6)]
    whole = finish_run(tmp_path / "whole", generations=4, regimes=regimes)
    finish_run(tmp_path / "stopped", generations=2, regimes=regimes)
    with RunDirectory(tmp_path / "stopped", CONFIG) as run:
        checkpoint = run.latest()
        assert checkpoint is not None
        one, two, three = checkpoint.generation.training
    assert one.pool is not None
    assert len(one.pool.points) == 30
    assert two.pool is not None
    assert two.weights is not None
    assert three.weights is not None
    assert three.pool is None
    assert finish_run(tmp_path / "stopped", generations=4, regimes=regimes) == whole


class Killed(BaseException):
    """Stands for a kill: nothing of the program may catch it."""


def test_killed_at_any_write_a_run_ends_with_the_same_history(tmp_path, uninterrupted, monkeypatch):
    """Kill before the k-th time that bytes are forced to the disk, for every k, then run again."""
    fsync, calls = os.fsync, 0

    def count_down(descriptor):
        nonlocal calls
        calls -= 1
        if calls < 0:
            raise Killed
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", count_down)
    kills = 0
    while True:
        path = tmp_path / f"killed-{kills}"
        calls = kills
        try:
            finish_run(path)
            break
        except Killed:
            kills += 1
        (path / f"leftover{PARTIAL_SUFFIX}").write_bytes(b"half a fi")
        calls = 10**9
        assert finish_run(path) == uninterrupted
        assert not list(path.rglob(f"*{PARTIAL_SUFFIX}"))
    assert kills > 5 * 4  # five generations, four writes each


def checkpoints(path):
    return sorted((path / "checkpoints").iterdir())


def truncate(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.mark.parametrize("damage", [truncate, lambda path: path.write_bytes(b""), lambda path: path.unlink()])
def test_a_damaged_checkpoint_falls_back_to_the_one_before(tmp_path, uninterrupted, damage):
    path = tmp_path / "run"
    finish_run(path)
    damage(checkpoints(path)[-1])
    with RunDirectory(path, CONFIG) as run:
        if checkpoints(path)[-1].name == "generation-0004.pt":
            with pytest.warns(UserWarning, match=r"generation-0004.pt is damaged .*; going back to the one before"):
                checkpoint = run.latest()
        else:
            checkpoint = run.latest()
        assert checkpoint is not None
        assert checkpoint.generation.t == 3
        assert len(run.history()) == 4
    for leftover in checkpoints(path)[1:]:
        leftover.unlink()
    assert finish_run(path) == uninterrupted


def test_every_single_flipped_byte_of_the_data_is_noticed(tmp_path, rng):
    path = tmp_path / "run"
    finish_run(path)
    newest = checkpoints(path)[-1]
    whole = newest.read_bytes()
    state = torch.load(newest, weights_only=True)
    position = whole.index(state["learner"]["mean"].numpy().tobytes())
    newest.write_bytes(whole[:position] + bytes([whole[position] ^ 1]) + whole[position + 1 :])
    with RunDirectory(path, CONFIG) as run, pytest.warns(UserWarning, match="damaged .checksum mismatch"):
        checkpoint = run.latest()
    assert checkpoint is not None
    assert checkpoint.generation.t == 3


def test_without_a_good_checkpoint_a_run_starts_again(tmp_path, uninterrupted):
    path = tmp_path / "run"
    finish_run(path)
    for file in checkpoints(path):
        file.unlink()
    assert finish_run(path) == uninterrupted


def test_lost_history_is_made_again(tmp_path, uninterrupted):
    path = tmp_path / "run"
    finish_run(path)
    lines = uninterrupted.splitlines(keepends=True)
    (path / "history.jsonl").write_bytes(b"".join(lines[:4]) + lines[4][:10])
    with pytest.warns(UserWarning, match="lacks lines of generation-0004.pt"):
        assert finish_run(path) == uninterrupted


class Malicious:
    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return (os.mkdir, (str(self.target),))


def test_a_checkpoint_never_executes_anything(tmp_path):
    path, target = tmp_path / "run", tmp_path / "written-by-the-checkpoint"
    finish_run(path)
    torch.save({"t": 9, "learner": Malicious(target)}, path / "checkpoints" / "generation-0009.pt")
    (path / "checkpoints" / "generation-0008.pt").write_bytes(pickle.dumps(Malicious(target)))
    with RunDirectory(path, CONFIG) as run, pytest.warns(UserWarning, match="is damaged"):
        checkpoint = run.latest()
    assert checkpoint is not None
    assert checkpoint.generation.t == 4
    assert not target.exists()


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"lam": [1.0], "seed": 0}, r"holds a run with lam = \[0.5\], not \[1.0\]"),
        ({"lam": [0.5], "seed": 0, "sigma": 0.1}, "holds a run with sigma = None, not 0.1"),
        ({"lam": [0.5]}, "holds a run with seed = 0, not None"),
    ],
)
def test_another_configuration_is_refused_by_its_first_difference(tmp_path, uninterrupted, config, message):
    with pytest.raises(RunDirectoryError, match=message):
        RunDirectory(tmp_path / "uninterrupted", config)
    assert (tmp_path / "uninterrupted" / "history.jsonl").read_bytes() == uninterrupted


def test_overwrite_starts_again(tmp_path, uninterrupted):
    path = tmp_path / "uninterrupted"
    with RunDirectory(path, {"lam": [1.0]}, overwrite=True) as run:
        assert run.latest() is None
        assert run.history() == []
        assert not list(run.samples.iterdir())
    with pytest.raises(RunDirectoryError):
        RunDirectory(path, CONFIG)


def test_a_folder_of_something_else_is_left_alone(tmp_path):
    (tmp_path / "thesis.tex").write_text("precious")
    for overwrite in (False, True):
        with pytest.raises(RunDirectoryError, match="is not empty and holds no run"):
            RunDirectory(tmp_path, CONFIG, overwrite=overwrite)
    assert (tmp_path / "thesis.tex").read_text() == "precious"


def test_an_unreadable_configuration_is_said(tmp_path):
    finish_run(tmp_path / "run")
    (tmp_path / "run" / "config.json").write_text("{")
    with pytest.raises(RunDirectoryError, match=r"config.json is not JSON .* use --overwrite"):
        RunDirectory(tmp_path / "run", CONFIG)
    RunDirectory(tmp_path / "run", CONFIG, overwrite=True).close()


def test_two_processes_cannot_share_a_folder(tmp_path):
    with RunDirectory(tmp_path / "run", CONFIG), pytest.raises(RunDirectoryError, match="in use by another process"):
        RunDirectory(tmp_path / "run", CONFIG)
    RunDirectory(tmp_path / "run", CONFIG).close()


def test_values_that_are_not_finite_are_not_recorded(tmp_path):
    learner = GaussianLearner(1, 1)
    with RunDirectory(tmp_path / "run", CONFIG) as run:
        (generation,) = retrain(learner, [np.array([[0.0], [1.0]])], [Mix(0.0)], 0, seed=0)
        with pytest.raises(ValueError, match="JSON"):
            run.record(generation, {"w1": float("nan")}, learner.state_dict(), {}, seconds=0.0)
        assert run.history() == []


def test_the_environment_names_versions_and_commit(tmp_path):
    recorded = environment(("numpy", "no-such-package"))
    assert recorded["packages"] == {"numpy": np.__version__, "no-such-package": None}
    if shutil.which("git") and recorded["commit"]:
        assert len(recorded["commit"]) == 40
    with RunDirectory(tmp_path / "run", CONFIG, recorded) as run:
        assert run.environment == recorded
    with RunDirectory(tmp_path / "run", CONFIG, {"python": "another"}) as run:
        assert run.environment == recorded  # that of the start
