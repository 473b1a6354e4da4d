import json
import os
import pickle
import re
import shutil
import stat
import subprocess
from contextlib import contextmanager

import numpy as np
import pytest
import torch

from stability import (
    Accumulate,
    FreshReal,
    FullySynthetic,
    GaussianLearner,
    Mix,
    Subsample,
    Weighted,
    retrain,
)
from stability.runs import run_directory
from stability.runs.atomic import PARTIAL_SUFFIX
from stability.runs.run_directory import RunDirectory, RunDirectoryError, environment

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
            learner,
            real,
            regimes,
            generations,
            seed=1,
            draws=10,
            after=after,
            fresh=lambda n, rng: rng.random((n, 2)),
        ):
            line = {
                "mean": learner.mean.tolist(),
                "m": [data.synthetic for data in generation.training],
            }
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
    regimes = [
        Subsample(Accumulate(1.0)),
        Weighted(Subsample(Accumulate(0.5)), 0.7),
        Weighted(FreshReal(1.0), 0.6),
    ]
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


def checkpoints(path):
    return sorted((path / "checkpoints").iterdir())


def truncate(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip(path, rng):
    """One bit somewhere."""
    content = bytearray(path.read_bytes())
    content[rng.integers(len(content))] ^= 1 << rng.integers(8)
    path.write_bytes(content)


@contextmanager
def warned(*patterns):
    """The block gives exactly these warnings, in this order."""
    with pytest.warns(UserWarning, match=".") as found:
        yield
    said = [str(warning.message) for warning in found]
    assert len(said) == len(patterns), said
    for text, pattern in zip(said, patterns, strict=True):
        assert re.search(pattern, text), (pattern, text)


KEPT = r"history.jsonl is cut to {} lines, .* is in history-kept-1.jsonl"


def no_state(path):
    path.write_bytes(b"")


@pytest.mark.parametrize("damage", [truncate, no_state, flip])
def test_a_damaged_checkpoint_falls_back_to_the_one_before(tmp_path, uninterrupted, damage, rng):
    path = tmp_path / "run"
    finish_run(path)
    newest = checkpoints(path)[-1]
    damage(newest, rng) if damage is flip else damage(newest)
    with (
        RunDirectory(path, CONFIG) as run,
        warned(
            r"generation-0004.pt is damaged .*; going back to the one before it", KEPT.format(4)
        ),
    ):
        checkpoint = run.latest()
        assert checkpoint is not None
        assert checkpoint.generation.t == 3
        assert len(run.history()) == 4
    assert (path / "history-kept-1.jsonl").read_bytes() == uninterrupted
    newest.unlink()
    assert finish_run(path) == uninterrupted


def test_a_lost_checkpoint_falls_back_to_the_one_before(tmp_path, uninterrupted):
    """As after a kill between the line and the checkpoint, which is nothing to speak of."""
    path = tmp_path / "run"
    finish_run(path)
    checkpoints(path)[-1].unlink()
    assert finish_run(path) == uninterrupted
    assert not list(path.glob("history-kept-*"))


def test_a_history_is_never_thrown_away_because_of_checkpoints(tmp_path, uninterrupted, rng):
    """Without a good checkpoint the run starts again, and what it had recorded is still there."""
    path = tmp_path / "run"
    for i, damage in enumerate(
        (truncate, lambda file: flip(file, rng), lambda file: file.unlink()), start=1
    ):
        finish_run(path)
        for file in checkpoints(path):
            damage(file)
        with pytest.warns(UserWarning, match=".") as said:
            assert finish_run(path) == uninterrupted
        assert f"history-kept-{i}.jsonl" in str(said[-1].message)
        assert (path / f"history-kept-{i}.jsonl").read_bytes() == uninterrupted


def test_a_lost_last_line_is_made_again(tmp_path, uninterrupted):
    path = tmp_path / "run"
    finish_run(path)
    lines = uninterrupted.splitlines(keepends=True)
    (path / "history.jsonl").write_bytes(b"".join(lines[:4]) + lines[4][:10])
    with warned(
        "history.jsonl: line 5 is missing or changed since generation-0004.pt", KEPT.format(4)
    ):
        assert finish_run(path) == uninterrupted


@pytest.mark.parametrize("line", range(5))
def test_a_digit_that_changed_is_noticed(tmp_path, uninterrupted, line, rng):
    """The newest checkpoints know lines 0 to 4 and 0 to 3: only the last line can be made again."""
    path = tmp_path / "run"
    finish_run(path)
    lines = uninterrupted.splitlines(keepends=True)
    digits = [i for i, c in enumerate(lines[line]) if chr(c).isdigit() and i > 8]  # not that of t
    at = rng.choice(digits)
    lines[line] = (
        lines[line][:at]
        + str((int(chr(lines[line][at])) + 1) % 10).encode()
        + lines[line][at + 1 :]
    )
    changed = b"".join(lines)
    (path / "history.jsonl").write_bytes(changed)
    if line == 4:
        with warned("line 5 is missing or changed since generation-0004.pt", KEPT.format(4)):
            assert finish_run(path) == uninterrupted
        assert (path / "history-kept-1.jsonl").read_bytes() == changed
    else:
        with (
            pytest.warns(UserWarning, match=f"line {line + 1} is missing or changed"),
            pytest.raises(
                RunDirectoryError,
                match=rf"line {line + 1} is missing or was changed .*; restore it, or use",
            ),
        ):
            finish_run(path)
        assert (path / "history.jsonl").read_bytes() == changed


def test_checkpoints_of_other_runs_and_generations_are_passed_over(tmp_path, uninterrupted):
    path = tmp_path / "run"
    finish_run(path)
    with RunDirectory(tmp_path / "other", {**CONFIG, "seed": 1}) as run:
        (generation,) = retrain(
            GaussianLearner(1, 1), [np.array([[0.0], [1.0]])], [Mix(0.0)], 0, seed=1
        )
        run.record(generation, {}, {}, {}, seconds=0.0)
    for t in (4, 5):
        shutil.copy(
            tmp_path / "other" / "checkpoints" / "generation-0000.pt",
            path / "checkpoints" / f"generation-000{t}.pt",
        )
    shutil.copy(
        path / "checkpoints" / "generation-0003.pt", path / "checkpoints" / "generation-0006.pt"
    )
    with warned(
        "generation-0006.pt holds generation 3, not the one in its name",
        "generation-0005.pt is of a run with another configuration",
        "generation-0004.pt is of a run with another configuration",
        KEPT.format(4),
    ):
        assert finish_run(path) == uninterrupted


class NumPyLearner(GaussianLearner):
    """Its state holds what torch's restricted loader refuses."""

    def state_dict(self):
        state = super().state_dict()
        more = {
            "array": np.arange(6.0).reshape(2, 3)[:, ::-1],
            "scalar": np.float32(0.1),
            "names": np.array("αβ"),
        }
        nested = [{"when": np.datetime64("2020-01-01"), "empty": np.zeros((0, 2), np.int16)}]
        return {**state, **more, "nested": nested}


def record_once(path, learner):
    (generation,) = retrain(learner, [np.array([[0.0], [1.0]])], [Mix(0.0)], 0, seed=0)
    with RunDirectory(path, CONFIG) as run:
        run.record(generation, {}, learner.state_dict(), {}, seconds=0.0)


def test_numpy_in_a_state_comes_back_as_it_was(tmp_path):
    learner = NumPyLearner(1, 1)
    record_once(tmp_path / "run", learner)
    with RunDirectory(tmp_path / "run", CONFIG) as run:
        checkpoint = run.latest()
    assert checkpoint is not None
    for name in ("array", "scalar", "names"):
        expected, found = learner.state_dict()[name], checkpoint.learner[name]
        assert type(found) is type(expected)
        assert found.dtype == expected.dtype
        np.testing.assert_array_equal(found, expected)
    (nested,) = checkpoint.learner["nested"]
    assert nested["when"] == np.datetime64("2020-01-01")
    assert nested["empty"].shape == (0, 2)


class ObjectLearner(GaussianLearner):
    def state_dict(self):
        return {**super().state_dict(), "best": [1.0, {"model": self}]}


def test_a_state_that_cannot_be_stored_is_refused_before_anything_is_written(tmp_path):
    with pytest.raises(
        TypeError,
        match=r"learner\['best'\]\[1\]\['model'\] is ObjectLearner, which cannot be stored",
    ):
        record_once(tmp_path / "run", ObjectLearner(1, 1))
    assert not list(tmp_path.iterdir())


def test_a_generation_out_of_turn_is_refused(tmp_path):
    (generation,) = retrain(
        GaussianLearner(1, 1), [np.array([[0.0], [1.0]])], [Mix(0.0)], 0, seed=0
    )
    record_once(tmp_path / "run", GaussianLearner(1, 1))
    with RunDirectory(tmp_path / "run", CONFIG) as run:
        with pytest.raises(ValueError, match=r"call latest\(\) before"):
            run.record(generation, {}, {}, {}, seconds=0.0)
        run.latest()
        with pytest.raises(ValueError, match="must be the next one, t = 1, got t = 0"):
            run.record(generation, {}, {}, {}, seconds=0.0)


def test_a_generation_that_the_disk_did_not_take_can_be_recorded_again(tmp_path, monkeypatch):
    (generation,) = retrain(
        GaussianLearner(1, 1), [np.array([[0.0], [1.0]])], [Mix(0.0)], 0, seed=0
    )

    def full(*arguments):
        raise OSError("no space left")

    with RunDirectory(tmp_path / "run", CONFIG) as run:
        with monkeypatch.context() as patch:
            patch.setattr("stability.runs.run_directory.write_state", full)
            with pytest.raises(OSError, match="no space left"):
                run.record(generation, {}, {}, {}, seconds=0.0)
        run.record(generation, {}, {}, {}, seconds=0.0)
        assert run.history() == [{"t": 0}]
    with RunDirectory(tmp_path / "run", CONFIG) as run:
        assert run.latest() is not None


# Samples


def test_samples_that_a_checkpoint_still_has_are_written_again(tmp_path, rng):
    path = tmp_path / "run"
    finish_run(path)
    files = {t: path / "samples" / f"generation-000{t}.npz" for t in range(5)}
    before = {t: file.read_bytes() for t, file in files.items()}
    files[4].unlink()
    flip(files[3], rng)
    with RunDirectory(path, CONFIG) as run:
        with warned(
            "generation-0003.npz is damaged .*; written again from the checkpoint",
            "generation-0004.npz is missing; written again from the checkpoint",
        ):
            run.latest()
        files[3].unlink()
        with warned("generation-0003.npz is missing; written again from the checkpoint"):
            run.load_samples(3)
    assert {t: file.read_bytes() for t, file in files.items()} == before


def test_samples_that_are_lost_are_said_and_do_not_stop_the_run(tmp_path, uninterrupted):
    path = tmp_path / "run"
    finish_run(path)
    (path / "samples" / "generation-0001.npz").unlink()
    shutil.copy(path / "samples" / "generation-0002.npz", path / "samples" / "generation-0000.npz")
    lost = "generation-0001.npz is missing, and no checkpoint has its samples any more"
    another = "generation-0000.npz differs from what was recorded, and no"
    with warned(another, lost):
        assert finish_run(path) == uninterrupted
    with RunDirectory(path, CONFIG) as run:
        with warned(another, lost):
            run.latest()
        with pytest.raises(RunDirectoryError, match=lost):
            run.load_samples(1)
        with pytest.raises(RunDirectoryError, match=another):
            run.load_samples(0)


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
    with (
        RunDirectory(path, CONFIG) as run,
        pytest.warns(UserWarning, match="generation-000[89].pt is damaged"),
    ):
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
def test_another_configuration_is_refused_by_its_first_difference(
    tmp_path, uninterrupted, config, message
):
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


# What is not ours


def listing(folder):
    """The listing of `find`: each entry's kind, size, time of change and content."""
    found = {}
    for entry in sorted(folder.rglob("*")):
        status = entry.lstat()
        content = entry.read_bytes() if stat.S_ISREG(status.st_mode) else b""
        content = str(entry.readlink()).encode() if entry.is_symlink() else content
        found[str(entry)] = (status.st_mode, status.st_size, status.st_mtime_ns, content)
    return found


PRECIOUS = (
    "thesis.tex",
    "Downloads/movie.partial",
    "samples/notes.txt",
    "figures/mine.png",
    "checkpoints/keep.pt",
    "checkpoints/unfinished/list.pt",
    "checkpoints/generation-1.pt",
    "network.safetensors.partial",
)


def others(folder):
    """Things that people keep in folders, some of it under names like ours."""
    for name in PRECIOUS:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(f"precious {name}")


def text(name, content):
    def write(folder):
        folder.mkdir()
        (folder / name).write_text(content)

    return write


def of_another_run(folder):
    with RunDirectory(folder, {**CONFIG, "seed": 1}):
        pass
    (folder / ".lock").unlink()  # as in a copy


def in_a_link(name):
    def write(folder):
        finish_run(folder)
        (folder / name).rename(folder.parent / "elsewhere")
        (folder / name).symlink_to(folder.parent / "elsewhere")

    return write


FOREIGN = {
    "other things": others,
    "history of another program": text("history.jsonl", '{"t": 0}\n'),
    "configuration of another program": text("config.json", '{"model_type": "bert"}'),
    "something like ours": text("config.json", '{"config": {}, "environment": {}, "version": 3}'),
    "a later version": text(
        "config.json", '{"format": "iterative-retraining run 3", "config": {}, "environment": {}}'
    ),
    "no JSON": text("config.json", "{"),
    "a list": text("config.json", "[]"),
    "nested": text("config.json", "[" * 100_000),
    "a lock with something in it": text(".lock", "mine"),
    "half a file of another program": text("config.json.partial", "{"),
    "samples in a link": in_a_link("samples"),
    "checkpoints in a link": in_a_link("checkpoints"),
    "figures in a link": in_a_link("figures"),
    "history in a link": in_a_link("history.jsonl"),
    "configuration in a link": in_a_link("config.json"),
}


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("make", FOREIGN.values(), ids=FOREIGN)
def test_a_folder_of_something_else_is_refused_and_left_as_it_was(tmp_path, make, overwrite):
    make(tmp_path / "folder")
    before = listing(tmp_path)
    with pytest.raises(RunDirectoryError) as caught:
        RunDirectory(tmp_path / "folder", CONFIG, overwrite=overwrite)
    assert listing(tmp_path) == before
    assert "\n" not in str(caught.value)
    assert str(tmp_path / "folder") in str(caught.value)


def earlier_version(folder):
    finish_run(folder)
    found = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(
        json.dumps({name: found[name] for name in ("config", "environment")})
    )


def changed_threads(folder):
    finish_run(folder)
    content = (
        (folder / "config.json")
        .read_text()
        .replace('"environment": null', '"environment": {"threads": 7}')
    )
    (folder / "config.json").write_text(content)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            of_another_run,
            "holds a run with seed = 1, not 0; choose another out or use overwrite=True",
        ),
        (earlier_version, "holds a run that an earlier version began; .* use overwrite=True"),
        (
            changed_threads,
            "holds a config.json that was changed since the run began; restore it, .* use "
            "overwrite=True",
        ),
    ],
)
def test_a_run_that_cannot_go_on_is_left_as_it_was_until_it_is_overwritten(
    tmp_path, make, message, uninterrupted
):
    make(tmp_path / "run")
    before = listing(tmp_path)
    with pytest.raises(RunDirectoryError, match=message):
        RunDirectory(tmp_path / "run", CONFIG)
    assert listing(tmp_path) == before
    RunDirectory(tmp_path / "run", CONFIG, overwrite=True).close()
    assert finish_run(tmp_path / "run") == uninterrupted


def test_overwriting_removes_what_a_run_writes_and_nothing_else(tmp_path):
    finish_run(tmp_path / "run")
    others(tmp_path / "run")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text("precious")
    for link in (
        "samples/generation-0009.npz",
        f"figures/distances.pdf{PARTIAL_SUFFIX}",
        "checkpoints/training.pt",
    ):
        (tmp_path / "run" / link).symlink_to(elsewhere)
    others(tmp_path / "kept")
    with RunDirectory(tmp_path / "run", {**CONFIG, "seed": 1}, overwrite=True):
        pass
    found = {
        str(path.relative_to(tmp_path / "run"))
        for path in (tmp_path / "run").rglob("*")
        if not path.is_dir()
    }
    kept = {
        str(path.relative_to(tmp_path / "kept"))
        for path in (tmp_path / "kept").rglob("*")
        if not path.is_dir()
    }
    assert found == kept | {"config.json", ".lock"}
    assert elsewhere.read_text() == "precious"


def test_opening_a_run_changes_nothing_of_others_in_it(tmp_path, uninterrupted):
    finish_run(tmp_path / "run")
    others(tmp_path / "run")
    before = {
        name: status for name, status in listing(tmp_path).items() if "precious" in str(status)
    }
    assert len(before) == 8
    assert finish_run(tmp_path / "run", 5).startswith(uninterrupted)
    assert {name: status for name, status in listing(tmp_path).items() if name in before} == before


@pytest.mark.parametrize("folder", ["there", "new", "new/below"])
def test_a_run_that_fails_before_it_records_anything_leaves_nothing(tmp_path, folder):
    (tmp_path / "there").mkdir()
    before = listing(tmp_path)
    with (
        pytest.raises(ValueError, match="no such learner"),
        RunDirectory(tmp_path / folder, CONFIG),
    ):
        raise ValueError("no such learner")
    assert listing(tmp_path) == {name: listing(tmp_path)[name] for name in before}
    assert set(listing(tmp_path)) == set(before)


def test_two_processes_cannot_share_a_folder(tmp_path):
    with (
        RunDirectory(tmp_path / "run", CONFIG),
        pytest.raises(RunDirectoryError, match="in use by another process"),
    ):
        RunDirectory(tmp_path / "run", CONFIG)
    RunDirectory(tmp_path / "run", CONFIG).close()


def test_values_that_are_not_finite_are_not_recorded(tmp_path):
    learner = GaussianLearner(1, 1)
    with RunDirectory(tmp_path / "run", CONFIG) as run:
        (generation,) = retrain(learner, [np.array([[0.0], [1.0]])], [Mix(0.0)], 0, seed=0)
        with pytest.raises(ValueError, match="JSON"):
            run.record(generation, {"w1": float("nan")}, learner.state_dict(), {}, seconds=0.0)
        assert run.history() == []


def test_the_commit_is_that_of_this_code_and_of_no_repository_around_it(tmp_path, monkeypatch):
    """The usual layout: a repository of the user's, with this package installed in an ignored
    folder of it.
    """
    if not shutil.which("git"):
        pytest.skip("needs git")
    copy = tmp_path / "paper" / ".venv" / "stability" / "run_directory.py"
    copy.parent.mkdir(parents=True)
    shutil.copy(run_directory.__file__, copy)
    git = [
        "git",
        "-C",
        str(tmp_path / "paper"),
        "-c",
        "user.name=u",
        "-c",
        "user.email=u@example.org",
    ]
    (tmp_path / "paper" / ".gitignore").write_text(".venv")
    for arguments in (["init", "-q"], ["add", "."], ["commit", "-qm", "my paper"]):
        subprocess.run([*git, *arguments], check=True)

    monkeypatch.setattr(run_directory, "__file__", str(copy))
    assert (environment()["commit"], environment()["uncommitted_changes"]) == (None, None)
    assert "iterative-retraining" in environment()["packages"]
    # negative control: now it is the code's repository
    subprocess.run([*git, "add", "-f", ".venv"], check=True)
    assert len(environment()["commit"]) == 40
    assert environment()["uncommitted_changes"]


def test_the_environment_names_versions_and_commit(tmp_path):
    recorded = environment(("numpy", "no-such-package"))
    assert recorded["packages"] == {"numpy": np.__version__, "no-such-package": None}
    if shutil.which("git") and recorded["commit"]:
        assert len(recorded["commit"]) == 40
    with RunDirectory(tmp_path / "run", CONFIG, recorded) as run:
        assert run.environment == recorded
    with RunDirectory(tmp_path / "run", CONFIG, {"python": "another"}) as run:
        assert run.environment == recorded  # that of the start


@pytest.mark.parametrize("threads", [0, -1, 1.5, "2", True, None, 10**9, [1]])
def test_a_number_of_threads_that_is_none_is_refused(tmp_path, threads):
    with (
        RunDirectory(tmp_path / "run", CONFIG, {"threads": threads, "device": "cpu"}) as run,
        pytest.raises(RunDirectoryError, match="threads; it must be a whole number from 1 to 4096"),
    ):
        run.threads("cpu")
    with (
        RunDirectory(tmp_path / "gpu", CONFIG, {"threads": 2, "device": "cuda"}) as run,
        pytest.raises(RunDirectoryError, match="was started on a GPU and there is none here"),
    ):
        run.threads("cpu")
