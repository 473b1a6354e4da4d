"""Streams of metrics to trackers, read back as the trackers have them."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from stability.gaussian.learner import GaussianLearner
from stability.loop.regimes import FullySynthetic, Mix
from stability.observers import trackers
from stability.observers.moments import Moments
from stability.runs.result import Result
from stability.runs.study import Study

ROOT = Path(__file__).parents[3]


def normal(n, rng):
    return rng.standard_normal((n, 1))


def run(out, *observers, generations=2):
    return Study(
        learner=lambda chains: GaussianLearner(chains, 1),
        real=normal,
        samples=20,
        seeds=2,
        regimes=[Mix(0.5), FullySynthetic()],
        generations=generations,
        observers=[Moments(), *observers],
        out=out,
        progress=False,
    ).run()


def expected(result, key, row, seed):
    return [float(value) for value in result.history.values(key)[row][:, seed]]


def test_tensorboard_has_a_run_for_each_chain(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    folder = tmp_path / "tb"
    result = run(tmp_path / "run", trackers.TensorBoard(folder))
    trackers.TensorBoard(folder).track(result.history[2])  # as after a kill before it was recorded
    events = EventAccumulator(str(folder / "lambda-0.5" / "seed-1"))
    events.Reload()
    found = events.Scalars("mean_shift")
    assert [event.step for event in found] == [0, 1, 2]
    assert [event.value for event in found] == pytest.approx(
        expected(result, "mean_shift", "λ = 0.5", 1), rel=1e-6
    )
    assert (folder / "fully synthetic" / "seed-0").is_dir()


def test_mlflow_has_a_run_for_each_chain_also_after_a_restart(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    from mlflow import MlflowClient

    folder = tmp_path / "mlruns"
    result = run(tmp_path / "run", trackers.MLflow(folder))
    again = trackers.MLflow(folder)
    again.track(result.history[2])

    client = MlflowClient(tracking_uri=folder.as_uri())
    experiment = client.get_experiment_by_name("retraining")
    assert experiment is not None
    runs = {
        run.info.run_name: run.info.run_id for run in client.search_runs([experiment.experiment_id])
    }
    assert len(runs) == 4
    history = client.get_metric_history(runs["lambda-0.5/seed-1"], "variance_ratio")
    assert [metric.step for metric in history] == [0, 1, 2]
    assert [metric.value for metric in history] == expected(result, "variance_ratio", "λ = 0.5", 1)


def log_records(content, block=2**15):
    """Records of a log of LevelDB's format, behind the 7 bytes with which wandb begins the file."""
    at, parts = 7, []
    while at + 7 <= len(content):
        if block - at % block < 7:  # the rest of a block is padding
            at += block - at % block
            continue
        length, kind = int.from_bytes(content[at + 4 : at + 6], "little"), content[at + 6]
        parts.append(content[at + 7 : at + 7 + length])
        at += 7 + length
        if kind in (1, 4):  # whole, or the last part of one
            yield b"".join(parts)
            parts = []


WRITE = """
from pathlib import Path
from stability.observers.trackers import WandB
from tests.stability.observers.test_trackers import run

if __name__ == "__main__":
    run(Path("run"), WandB("files"))
"""
READ = """
import json
from pathlib import Path
from wandb.proto.wandb_internal_pb2 import Record
from tests.stability.observers.test_trackers import log_records

found = {}
(file,) = Path("files/wandb").glob("offline-run-*/*.wandb")
for data in log_records(file.read_bytes()):
    record = Record()
    record.ParseFromString(data)
    if record.WhichOneof("record_type") == "history":
        items = {i.nested_key[0]: json.loads(i.value_json) for i in record.history.item}
        found[items["_step"]] = items["lambda-0.5/seed-1/mean_shift"]
print(json.dumps(found))
"""


def test_wandb_offline_has_every_generation(tmp_path):
    """In processes of their own: wandb starts a service that it talks to over a local socket."""
    environment = os.environ | {
        "PYTHONPATH": str(ROOT),
        "WANDB_SILENT": "true",
        "HOME": str(tmp_path),
        "WANDB_DISABLE_GIT": "true",
    }
    for name, code in (("write", WRITE), ("read", READ)):
        (tmp_path / f"{name}.py").write_text(code)
        done = subprocess.run(
            [sys.executable, f"{name}.py"],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    wanted = expected(Result.open(tmp_path / "run"), "mean_shift", "λ = 0.5", 1)
    assert [found.get(str(t)) for t in range(3)] == wanted, found


def test_a_run_goes_on_with_other_trackers_or_none(tmp_path):
    class Noted(trackers._Watching):
        def __init__(self):
            self.seen = []

        def track(self, line):
            self.seen.append(line.t)

    noted = Noted()
    result = run(tmp_path / "run", noted)
    assert noted.seen == [0, 1, 2]
    assert run(tmp_path / "run").history == result.history  # finished: the same run


@pytest.mark.parametrize(
    ("name", "module", "install"),
    [
        ("TensorBoard", "torch.utils.tensorboard", "tensorboard"),
        ("MLflow", "mlflow", "mlflow-skinny"),
        ("WandB", "wandb", "wandb"),
    ],
)
def test_without_the_extra_one_line_says_what_to_install(
    name, module, install, monkeypatch, tmp_path
):
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ImportError, match=f"pip install {install}$"):
        getattr(trackers, name)(tmp_path)
