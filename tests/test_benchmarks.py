"""Options of the benchmarks; what they measure is for people to run."""

import dataclasses
import json
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from benchmarks import (
    checkouts,
    deep,
    false_alarms,
    fixed_seed,
    gpu,
    metrics,
    neighbours,
    stability,
    throughput,
    toy,
    two_moons,
)
from benchmarks.plain_others import plain_copy
from deep.training.presets import PRESETS
from tests.support.official import randomised, relative_error


@pytest.mark.parametrize(
    "benchmark",
    [
        part.Benchmark
        for part in (
            deep,
            false_alarms,
            fixed_seed,
            gpu,
            metrics,
            neighbours,
            stability,
            throughput,
            toy,
            two_moons,
        )
    ],
)
def test_counts_below_one_are_refused_by_name(benchmark):
    counts = [
        field.name
        for field in dataclasses.fields(benchmark)
        if field.type in {"int", int} and field.name != "seed"
    ]
    assert len(counts) >= 3
    for count in counts:
        with pytest.raises(ValueError, match=f"--{count.replace('_', '-')} must be >= 1, got 0"):
            benchmark(**{count: 0})


def test_every_number_of_a_list_is_looked_at():
    for replicas in ((), (2, 0)):
        with pytest.raises(ValueError, match="--replicas"):
            toy.Benchmark(replicas=replicas)


def test_processor_time_leaves_out_waiting(monkeypatch):
    seconds = []
    for processor_time in (True, False):
        config = deep.Benchmark(device="cpu", processor_time=processor_time)
        bench = SimpleNamespace(config=config, device=torch.device("cpu"))
        seconds.append(deep.Bench.seconds(bench, lambda: time.sleep(0.3)))  # type: ignore[arg-type]
    assert 0 <= seconds[0] < 0.3 <= seconds[1]

    monkeypatch.setattr(deep, "chosen_device", lambda device: "cuda")
    with pytest.raises(ValueError, match="time needs"):
        deep.Benchmark(processor_time=True)


@pytest.mark.parametrize("name", ["ddpm-cifar10", "otcfm-cifar10"])
def test_the_plain_networks_are_ours(name, rng):
    """Else the table of benchmarks.gpu would compare two different networks."""
    preset = gpu.smaller(PRESETS[name])
    ours = randomised(preset.network.build(torch.Generator()), rng).eval()
    plain = plain_copy(ours, torch.device("cpu"))
    x = torch.from_numpy(rng.standard_normal((2, 3, 8, 8), dtype=np.float32))
    t = torch.tensor([5.0, 800.0])
    arguments = (t / 1000, x) if name.startswith("otcfm") else (x, t)
    with torch.no_grad():
        assert relative_error(plain(*arguments), ours(*arguments)) < 1e-4


def test_without_a_gpu_the_table_is_a_line(monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    gpu.main(gpu.Benchmark())
    assert "no NVIDIA GPU here, so nothing was measured" in capsys.readouterr().out


def test_the_table_of_the_gpu_runs_small(tmp_path, capsys):
    with torch.random.fork_rng(devices=[]):  # dropout of the plain code
        gpu.main(gpu.Benchmark(small=True, out=tmp_path / "table.json"))
    rows = json.loads((tmp_path / "table.json").read_text())["rows"]
    ways = 1 + sum(way.compile is None for way in gpu.WAYS)
    assert len(rows) == 2 * ways * len(gpu.MODELS)
    assert {row["model"] for row in rows} == set(gpu.MODELS)
    assert all(row["rate"] > 0 and row["of_peak"] > 0 for row in rows)
    assert all(row["ratio"] == 1 for row in rows if row["way"].startswith("plain"))
    assert capsys.readouterr().out.count("sampling") == ways * len(gpu.MODELS)


def test_what_fails_on_the_gpu_is_one_line_and_the_rest_is_written(tmp_path, capsys, monkeypatch):
    """As when plain code runs out of memory: its ratios are unknown, and the others are there."""

    def full(*_):
        raise RuntimeError("CUDA out of memory. Tried to allocate 20 GiB\nand a traceback")

    monkeypatch.setattr(gpu, "train_plainly", full)
    config = gpu.Benchmark(small=True, models=("edm-cifar10",), out=tmp_path / "table.json")
    with torch.random.fork_rng(devices=[]):  # dropout of the plain code
        gpu.main(config)

    content = json.loads((tmp_path / "table.json").read_text())
    (failure,) = content["failed"]
    assert (failure["work"], failure["way"]) == ("training", "plain fp32")
    assert failure["reason"] == "RuntimeError: CUDA out of memory. Tried to allocate 20 GiB"
    ways = 1 + sum(way.compile is None for way in gpu.WAYS)
    assert len(content["rows"]) == 2 * ways - 1
    assert all((row["ratio"] is None) == (row["work"] == "training") for row in content["rows"])
    assert failure["reason"] in capsys.readouterr().out


def test_two_checkouts_are_timed_alone_and_beside_a_neighbour(capsys):
    here = Path(checkouts.__file__).parents[1]
    checkouts.main(checkouts.Benchmark(here, ("start of toy.run",), rounds=1))
    title, head, alone, beside = capsys.readouterr().out.splitlines()
    assert "1 rounds" in title
    assert head.split()[-6:] == ["before", "now", "now", "/", "before", "range"]
    assert "alone" in alone
    assert "one neighbour" in beside


def test_a_folder_that_is_no_checkout_is_refused(tmp_path):
    with pytest.raises(ValueError, match="is no checkout of this project"):
        checkouts.Benchmark(tmp_path)
    with pytest.raises(ValueError, match="--rounds must be >= 1, got 0"):
        checkouts.Benchmark(Path(checkouts.__file__).parents[1], rounds=0)


def test_a_command_that_fails_in_a_checkout_says_where(tmp_path, monkeypatch):
    monkeypatch.setattr(checkouts, "commands", lambda _: {"start of toy.run": ["toy.run", "--no"]})
    with pytest.raises(SystemExit, match=r"start of toy\.run fails in .*--no"):
        checkouts.measure("start of toy.run", tmp_path, 0)
