"""Options of the benchmarks; what they measure is for people to run."""

import dataclasses

import pytest

from benchmarks import (
    deep,
    false_alarms,
    fixed_seed,
    metrics,
    neighbours,
    stability,
    throughput,
    toy,
    two_moons,
)


@pytest.mark.parametrize(
    "benchmark",
    [
        part.Benchmark
        for part in (
            deep,
            false_alarms,
            fixed_seed,
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
