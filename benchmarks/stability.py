"""The fully synthetic Gaussian loop, by Bartlett and by drawing n normals: python -m
benchmarks.stability

Both refit N(μ, Σ) to n of its own samples, generation after generation, in many chains. The direct
simulation draws the samples and fits them, in batches over chains, and takes a Cholesky factor as
root of Σ_t; its time per chain and generation grows with n, so it may run for fewer of them, and
times are given per chain and generation.
"""

import resource
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from benchmarks.at_least_one import require_at_least_one
from stability.gaussian.alpha import alpha
from stability.gaussian.collapse import simulate
from stability.runs.command_line import command


@dataclass(frozen=True)
class Benchmark:
    """Time many chains of the fully synthetic Gaussian loop."""

    n: int = 100
    """Samples a generation."""
    dimension: int = 4
    """d."""
    chains: int = 10_000
    """Independent runs."""
    generations: int = 1000
    """Retrainings of each."""
    direct_generations: int = 10
    """Retrainings of each in the direct simulation."""
    huge: int = 1_000_000_000
    """Another n, for Bartlett alone."""

    def __post_init__(self) -> None:
        require_at_least_one(self)


def direct(
    n: int, dimension: int, chains: int, generations: int, rng: np.random.Generator
) -> np.ndarray:
    """Simulate the loop by drawing its points: from Σ_0 = I by eqs. (4) and (5).

    Args:
        n: Samples a generation.
        dimension: Dimension d.
        chains: Number of independent runs.
        generations: Retrainings of each.
        rng: Source of every draw.

    Returns:
        Σ_t of each chain after the last generation, (chains, d, d).
    """
    mean, covariance = np.zeros((chains, 1, dimension)), np.tile(np.eye(dimension), (chains, 1, 1))
    batch = max(1, 2_000_000 // (n * dimension))  # about 16 MB of normals
    for _ in range(generations):
        for start in range(0, chains, batch):
            part = slice(start, start + batch)
            root = np.linalg.cholesky(covariance[part])
            z = rng.standard_normal((len(root), n, dimension))
            x = mean[part] + z @ root.swapaxes(1, 2)
            mean[part] = x.mean(axis=1, keepdims=True)
            x -= mean[part]
            covariance[part] = x.swapaxes(1, 2) @ x / (n - 1)
    return covariance


def seconds(work: Callable[[], object]) -> float:
    """Time some work.

    Args:
        work: Called once.

    Returns:
        Wall time in seconds.
    """
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def main(config: Benchmark) -> None:
    """Measure and print.

    Args:
        config: The options.
    """
    rng = np.random.default_rng()
    identity = np.eye(config.dimension)

    def bartlett(n: int) -> float:
        return seconds(lambda: simulate(n, identity, [config.generations], config.chains, rng))

    ours, huge = bartlett(config.n), bartlett(config.huge)
    megabytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (
        2**20 if sys.platform == "darwin" else 2**10
    )
    drawn = seconds(
        lambda: direct(config.n, config.dimension, config.chains, config.direct_generations, rng)
    )
    rows = [
        (f"direct, n = {config.n}", drawn, config.direct_generations),
        (f"Bartlett, n = {config.n}", ours, config.generations),
        (f"Bartlett, n = {config.huge}", huge, config.generations),
    ]
    base = drawn / config.direct_generations
    print(
        f"{config.chains} chains, d = {config.dimension}; Bartlett's peak memory: {megabytes:.0f} "
        "MB"
    )
    print(
        f"{'':28}{'generations':>12}{'seconds':>10}"
        f"{'µs / (chain x generation)':>28}{'direct / this':>16}"
    )
    for name, took, generations in rows:
        each = took / generations
        print(
            f"{name:28}{generations:12}{took:10.2f}"
            f"{1e6 * each / config.chains:28.3f}{base / each:15.1f}x"
        )
    million = np.arange(2, 1_000_002)
    print(f"alpha(n) for a million n: {seconds(lambda: alpha(million)):.3f} s")


if __name__ == "__main__":
    command(Benchmark, main)
