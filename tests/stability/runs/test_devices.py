"""Devices that a command accepts, with MPS there and not there."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.deep import Benchmark as DeepBenchmark
from benchmarks.throughput import Benchmark as ThroughputBenchmark
from deep.measure import Measure
from deep.retraining.presets import PRESETS
from deep.train import PRESETS as TRAININGS
from stability.runs.devices import chosen_device, require_device
from stability.runs.option_error import OptionError
from stability.runs.run_directory import RunDirectory, RunDirectoryError
from stability.runs.study_script import StudyPart
from tests.support.console_command import module_command
from tests.support.fake_mps import FakeMPS
from tests.support.figures import leave_out_figures
from toy.experiment import Experiment
from toy.learners.settings import OTCFMConfig
from toy.two_moons import TwoMoons, main

RETRAIN, TRAIN = PRESETS["edm", "digits"], next(iter(TRAININGS.values()))
ACCEPTING = {
    "toy": lambda device: TwoMoons(Experiment(device=device)),
    "deep.retrain": lambda device: replace(RETRAIN, run=replace(RETRAIN.run, device=device)),
    "deep.train": lambda device: replace(TRAIN, run=replace(TRAIN.run, device=device)),
    "deep.measure": lambda device: Measure(Path("x.npz"), "digits", device=device),
    "a study of a user": lambda device: StudyPart(
        Path("study.py"), row=0, seed=0, out=Path("out"), device=device
    ),
    "benchmarks.deep": lambda device: DeepBenchmark(device=device),
    "benchmarks.throughput": lambda device: ThroughputBenchmark(device=device),
}


@pytest.fixture
def mps(monkeypatch):
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)


@pytest.fixture
def no_gpu(monkeypatch):
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)


@pytest.mark.parametrize("name", ACCEPTING)
def test_mps_is_accepted_where_torch_has_it(name, mps):
    ACCEPTING[name]("mps")


@pytest.mark.parametrize("name", ACCEPTING)
@pytest.mark.parametrize("device", ["mps", "cuda"])
def test_a_gpu_that_is_not_there_is_refused_in_one_line(name, device, no_gpu):
    with pytest.raises(
        OptionError, match=rf"^device {device}: no {device.upper()} device is available, use cpu"
    ) as refused:
        ACCEPTING[name](device)
    assert "\n" not in str(refused.value)


@pytest.mark.skipif(torch.backends.mps.is_available(), reason="has MPS")
@pytest.mark.parametrize("module", ["toy.two_moons", "deep.retrain edm"])
def test_a_command_without_mps_ends_with_status_2_and_writes_nothing(
    module, tmp_path, monkeypatch, capsys
):
    words, out = module.split(), tmp_path / "run"
    ended = module_command(monkeypatch, capsys, *words, "--device", "mps", "--out", str(out))
    assert ended.returncode == 2
    assert ended.stderr.count("\n") == 1
    assert "--device mps: no MPS device is available, use cpu or auto" in ended.stderr
    assert not out.exists()


def test_the_device_is_chosen(mps, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert [chosen_device(name) for name in ("auto", "cpu", "cuda", "mps")] == [
        "cuda", "cpu", "cuda", "mps",
    ]  # fmt: skip
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert chosen_device("auto") == "cpu"  # MPS only if it is asked for


@pytest.mark.parametrize("device", ["gpu", "CPU", "", "mps:0"])
def test_other_words_are_refused(device):
    with pytest.raises(OptionError, match="device must be auto, cpu, cuda or mps, got"):
        require_device(device)


def test_a_run_on_mps_is_that_of_the_cpu_and_resumes_only_there(tmp_path, mps, monkeypatch):
    """Integrated by dopri5, whose step sizes are float64; the faked device refuses float64."""
    leave_out_figures(monkeypatch)

    def run(device, name):
        options = Experiment(
            lam=(0.5,), samples=60, retrainings=1, threads=1, quiet=True,
            device=device, out=tmp_path / name,
        )  # fmt: skip
        main(TwoMoons(options, OTCFMConfig(epochs=4)))

    run("cpu", "cpu")
    with FakeMPS():
        run("mps", "mps")

    recorded = json.loads((tmp_path / "mps" / "config.json").read_text(encoding="utf-8"))
    assert recorded["environment"]["device"] == "mps"
    one, two = (np.load(tmp_path / name / "samples/generation-0001.npz") for name in ("cpu", "mps"))
    for name in one:
        np.testing.assert_allclose(one[name], two[name], atol=1e-3)

    with pytest.raises(RunDirectoryError, match="was started on MPS; resume it with device mps"):
        run("auto", "mps")
    with FakeMPS():
        run("mps", "mps")


def test_where_a_run_may_go_on(tmp_path):
    for began, here, refused in (
        ("mps", "cpu", True), ("mps", "cuda", True), ("mps", "mps", False),
        ("cuda", "mps", True), ("cpu", "mps", False), ("cuda", "cuda", False),
    ):  # fmt: skip
        folder = tmp_path / f"{began}-{here}"
        with RunDirectory(folder, {"seed": 0}, {"threads": 2, "device": began}) as run:
            if refused:
                with pytest.raises(RunDirectoryError, match="was started"):
                    run.threads(here)
            else:
                assert run.threads(here) == 2
