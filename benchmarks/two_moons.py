"""Cost of one retraining of OT-CFM on two moons, against a plain implementation: python -m
benchmarks.two_moons

The reference trains one torch module at a time and, as the common public implementation does,
solves each plan with POT and draws the pairs from it with replacement. Both do the same steps on
the same number of points, in turn, in one run.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from statistics import median

import numpy as np
import ot
import torch
from scipy.spatial.distance import cdist

from benchmarks.at_least_one import require_at_least_one
from stability import TrainingSet
from stability.runs.command_line import command
from toy.densities.shapes import SOURCES, two_moons
from toy.learners.coupling import Coupling, blocks
from toy.learners.ot_cfm import OTCFMLearner
from toy.learners.settings import OTCFMConfig
from toy.learners.training import batch_count

ODE_STEPS = 99  # Euler steps, as this project takes by default


@dataclass(frozen=True)
class Benchmark:
    """Time one retraining of several replicas. The work of a real one is that of 150 epochs."""

    replicas: int = 8
    """Networks trained side by side."""
    points: int = 1500
    """Points of the training set, n + m."""
    samples: int = 1000
    """Drawn after training."""
    epochs: int = 150
    """Passes over the training set."""
    rounds: int = 3
    """Times that everything is measured, in turn; medians are printed."""
    threads: int = 2
    """Processor threads, for the reference too."""

    def __post_init__(self) -> None:
        require_at_least_one(self)


def reference_retraining(
    data: np.ndarray, settings: OTCFMConfig, samples: int, rng: np.random.Generator
) -> None:
    """Train one network from its present parameters, and sample from it, without our fast paths.

    Args:
        data: Training set, (n, 2).
        settings: Settings of the network, its training and its plans.
        samples: Number of points to draw.
        rng: Source of all randomness.
    """
    widths = [3, *[settings.width] * 3, 2]
    layers = [torch.nn.Linear(a, b) for a, b in pairwise(widths)]
    network = torch.nn.Sequential(
        *(module for layer in layers for module in (layer, torch.nn.SELU()))
    )[:-1]
    adam = torch.optim.Adam(network.parameters(), lr=settings.learning_rate)
    source = SOURCES[settings.source]

    for _ in range(settings.epochs):
        order = rng.permutation(len(data))
        for start in range(0, len(data), settings.batch):
            x1 = data[order[start : start + settings.batch]]
            size = len(x1)
            x0 = source(size, rng)
            weights = np.full(size, 1 / size)
            plan = np.asarray(ot.emd(weights, weights, cdist(x0, x1, "sqeuclidean"))).ravel()
            rows, columns = np.divmod(rng.choice(size * size, p=plan / plan.sum(), size=size), size)
            x0, x1 = torch.from_numpy(x0[rows]), torch.from_numpy(x1[columns])
            t = torch.from_numpy(rng.random((size, 1), dtype=np.float32))
            adam.zero_grad()
            velocity = network(torch.cat([t * x1 + (1 - t) * x0, t], dim=1))
            ((velocity - (x1 - x0)) ** 2).mean().backward()
            adam.step()

    with torch.no_grad():
        x = torch.from_numpy(source(samples, rng))
        for i in range(ODE_STEPS):
            t = torch.full((samples, 1), i / ODE_STEPS)
            x = x + network(torch.cat([x, t], dim=1)) / ODE_STEPS


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
    settings = OTCFMConfig(epochs=config.epochs)
    data = [two_moons(config.points, rng) for _ in range(config.replicas)]
    steps = config.epochs * batch_count(config.points, settings.batch)

    def reference() -> None:
        reference_retraining(data[0], settings, config.samples, rng)

    def ours(solver: str) -> None:
        learner.settings = replace(settings, solver=solver)
        learner.fit([TrainingSet(x, real=len(x)) for x in data], rng.spawn(config.replicas))
        sample()

    def plans(solver: str) -> None:
        source, batch = SOURCES[settings.source], settings.batch
        coupling = Coupling(source, batch, batch, settings.sigma, settings.pairs, solver)  # type: ignore[arg-type]
        for _ in blocks(data, rng.spawn(config.replicas), config.epochs, coupling, config.threads):
            pass

    def network() -> None:
        inputs = torch.from_numpy(
            rng.random((config.replicas, settings.batch, 3), dtype=np.float32)
        )
        weights = torch.full((config.replicas, settings.batch), 1 / settings.batch)
        for _ in range(steps):
            learner.trainer.step(np.arange(config.replicas), inputs, inputs[..., :2], weights)

    def sample() -> Sequence[np.ndarray]:
        return learner.sample([config.samples] * config.replicas, rng.spawn(config.replicas))

    torch.set_num_threads(config.threads)
    learner = OTCFMLearner(config.replicas, settings, workers=config.threads)
    learner.reset(rng.spawn(config.replicas))
    plans("assignment")  # compiles the solver
    cases: dict[str, tuple[Callable[[], object], int]] = {  # what to run, for how many replicas
        "reference: one network at a time, POT": (reference, 1),
        "all replicas at once, --solver pot": (lambda: ours("pot"), config.replicas),
        "all replicas at once, --solver assignment": (lambda: ours("assignment"), config.replicas),
        "  its plans alone, pot": (lambda: plans("pot"), config.replicas),
        "  its plans alone, assignment": (lambda: plans("assignment"), config.replicas),
        "  its network steps alone": (network, config.replicas),
        "  its sampling alone": (sample, config.replicas),
    }
    measured: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(config.rounds):
        for name, (work, replicas) in cases.items():
            measured[name].append(seconds(work) / replicas)
    base = measured[next(iter(cases))]
    print(
        f"{config.replicas} replicas, {config.points} points, {steps} steps a retraining, "
        f"{config.threads} threads"
    )
    print(f"{'':44}{'s / (replica x retraining)':>28}{'ms / step':>12}{'reference / this':>18}")
    for name, values in measured.items():
        ratio = median(one / two for one, two in zip(base, values, strict=True))
        print(f"{name:44}{median(values):28.3f}{1e3 * median(values) / steps:12.3f}{ratio:17.2f}x")


if __name__ == "__main__":
    command(Benchmark, main)
