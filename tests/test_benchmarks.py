"""Options of the benchmarks; what they measure is for people to run."""

import dataclasses
import importlib

import pytest

NAMES = ["deep", "metrics", "stability", "toy", "two_moons"]


@pytest.mark.parametrize("name", NAMES)
def test_counts_below_one_are_refused_by_name(name):
    benchmark = importlib.import_module(f"benchmarks.{name}").Benchmark
    counts = [
        field.name for field in dataclasses.fields(benchmark) if field.type in {"int", int} and field.name != "seed"
    ]
    assert len(counts) >= 4
    for count in counts:
        with pytest.raises(ValueError, match=f"--{count.replace('_', '-')} must be >= 1, got 0"):
            benchmark(**{count: 0})


def test_every_number_of_a_list_is_looked_at():
    benchmark = importlib.import_module("benchmarks.toy").Benchmark
    for replicas in ((), (2, 0)):
        with pytest.raises(ValueError, match="--replicas"):
            benchmark(replicas=replicas)
