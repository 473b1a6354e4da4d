"""Cost of DDPM on eight Gaussians (Figure 3), against a plain implementation: python -m
benchmarks.toy

The reference trains one torch module at a time, as ddpm-torch's script does: an embedding for every
point, one network, one optimiser. Both do the same steps on the same number of points, in turn, in
one run.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from statistics import median

import numpy as np
import torch
from torch import nn

from benchmarks.at_least_one import require_at_least_one
from stability.runs.command_line import command
from toy.densities.shapes import eight_gaussians
from toy.learners.ddpm import DDPMLearner
from toy.learners.settings import DDPMConfig
from toy.learners.training import batch_count

FIGURE_3 = {"trainings": 101, "epochs": 200, "samples": 10_000}


@dataclass(frozen=True)
class Benchmark:
    """Time optimiser steps and draws, and extrapolate to the whole of Figure 3."""

    replicas: tuple[int, ...] = (1, 2, 4, 16)
    """Networks trained side by side."""
    steps: int = 20
    """Optimiser steps a measurement."""
    samples: int = 2000
    """Points drawn a measurement."""
    rounds: int = 5
    """Times that everything is measured, in turn; medians are printed."""
    threads: int = 2
    """Processor threads, for the reference too."""

    def __post_init__(self) -> None:
        require_at_least_one(self)


class Residual(nn.Module):
    """ddpm-torch's temporal layer."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.fc1, self.fc2 = (
            nn.Linear(width, width, bias=False),
            nn.Linear(width, width, bias=False),
        )
        self.enc, self.act = nn.Linear(width, width), nn.LeakyReLU(0.02, inplace=True)

    def forward(self, h: torch.Tensor, u: torch.Tensor) -> torch.Tensor:
        """Add two linear maps of normed features, shifted by the time.

        Args:
            h: Features, (n, width).
            u: Embedding of the time of each point, (n, width).

        Returns:
            (n, width).
        """
        out = self.fc1(self.act(self.norm1(h)))
        out += self.enc(u)
        return self.fc2(self.act(self.norm2(out))) + h


class Reference(nn.Module):
    """ddpm-torch's 2-D network, evaluated as it does."""

    def __init__(self, width: int, layers: int) -> None:
        super().__init__()
        half = width // 2
        self.frequencies = torch.exp(-math.log(10_000) / (half - 1) * torch.arange(half))
        self.into, self.out = (
            nn.Linear(2, width, bias=False),
            nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 2)),
        )
        self.layers = nn.ModuleList([Residual(width)] * layers)
        self.project = nn.Sequential(nn.Linear(width, width), nn.LeakyReLU(0.02, inplace=True))

    def forward(self, x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        """Predict the noise in points.

        Args:
            x: Noisy points, (n, 2).
            t: Diffusion time of each point, (n,).

        Returns:
            (n, 2).
        """
        angle = t[:, None] * self.frequencies
        u, h = self.project(torch.cat([angle.sin(), angle.cos()], dim=1)), self.into(x)
        for layer in self.layers:
            h = layer(h, u)
        return self.out(h)


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


Case = tuple[Callable[[], object], Callable[[], object], int]
"""Training and drawing, and how many chains each of them serves."""


def main(config: Benchmark) -> None:
    """Measure and print.

    Args:
        config: The options.
    """
    torch.set_num_threads(config.threads)
    rng, settings = np.random.default_rng(), DDPMConfig()
    points = torch.from_numpy(eight_gaussians(settings.batch, rng))
    cases = {
        "reference: one network at a time": reference_case(config, settings, points, rng),
        **own_cases(config, settings, points, rng),
    }

    measured = {name: np.empty((config.rounds, 2)) for name in cases}
    for train, sample, _ in cases.values():  # compiles, and fills the caches
        train()
        sample()
    for i in range(config.rounds):
        for name, (train, sample, r) in cases.items():
            measured[name][i] = (
                seconds(train) / (r * config.steps),
                seconds(sample) / (r * config.samples),
            )
    show(config, settings, measured)


def reference_case(
    config: Benchmark, settings: DDPMConfig, points: torch.Tensor, rng: np.random.Generator
) -> Case:
    """Train and draw with one network, as ddpm-torch does.

    Args:
        config: The options.
        settings: Of the network and its training.
        points: (n, 2) a batch of data.
        rng: Source of the seeds.

    Returns:
        Training and drawing, of one chain.
    """
    network = Reference(settings.width, settings.layers)
    adam = torch.optim.Adam(network.parameters(), lr=settings.learning_rate)
    sampler = settings.make_sampler()
    scale = torch.from_numpy(np.sqrt(settings.alphas_cumprod)).float()
    spread = torch.from_numpy(np.sqrt(1 - settings.alphas_cumprod)).float()
    generator = torch.Generator().manual_seed(int(rng.integers(2**62)))

    def train() -> None:
        for _ in range(config.steps):
            t = torch.randint(settings.diffusion_steps, (settings.batch,), generator=generator)
            eps = torch.randn(points.shape, generator=generator)
            adam.zero_grad()
            xt = scale[t, None] * points + spread[t, None] * eps
            ((network(xt, t) - eps) ** 2).mean().backward()
            adam.step()

    def denoise(x: torch.Tensor, t: int) -> torch.Tensor:
        return (x - spread[t] * network(x, torch.full((len(x),), t))) / scale[t]

    def draw() -> None:
        start = torch.randn((config.samples, 2), generator=generator)
        with torch.no_grad():
            sampler.sample(denoise, start, lambda t: torch.randn(start.shape, generator=generator))

    return train, draw, 1


def own_cases(
    config: Benchmark, settings: DDPMConfig, points: torch.Tensor, rng: np.random.Generator
) -> dict[str, Case]:
    """Train and draw with all chains in one batched network.

    Args:
        config: The options.
        settings: Of the network and its training.
        points: (n, 2) a batch of data.
        rng: Source of all randomness.

    Returns:
        Training and drawing by name, one for each number of chains.
    """

    def case(r: int) -> Case:
        learner = DDPMLearner(r, replace(settings, epochs=1))
        learner.reset(rng.spawn(r))
        parts = [learner._corrupt(points.numpy()[None], rng) for _ in range(r)]
        inputs = [torch.from_numpy(np.concatenate(part)) for part in zip(*parts, strict=True)]
        inputs[2] = inputs[2].float() / settings.batch

        def train() -> None:
            for _ in range(config.steps):
                learner.trainer.step(np.arange(r), *inputs)

        return train, lambda: learner.sample([config.samples] * r, rng.spawn(r)), r

    return {f"{r} side by side": case(r) for r in config.replicas}


def show(config: Benchmark, settings: DDPMConfig, measured: dict[str, np.ndarray]) -> None:
    """Print the table.

    Args:
        config: The options.
        settings: Of the network and its training.
        measured: (rounds, 2) seconds of a step and of a draw, by name; the reference first.
    """
    steps = (
        FIGURE_3["trainings"]
        * FIGURE_3["epochs"]
        * sum(batch_count(n, settings.batch) for n in (10_000, 20_000))
    )
    draws = 2 * FIGURE_3["trainings"] * FIGURE_3["samples"]
    base = next(iter(measured.values()))

    print(
        f"batch {settings.batch}, width {settings.width}, {settings.diffusion_steps} sampler "
        f"steps, {config.threads} threads; per chain"
    )
    print(
        f"{'':36}{'ms / step':>12}{'faster':>9}"
        f"{'s / 10⁴ draws':>16}{'faster':>9}{'Figure 3, minutes':>20}"
    )
    for name, values in measured.items():
        step, draw = np.median(values, axis=0)
        faster = [median(base[:, k] / values[:, k]) for k in range(2)]
        whole = (steps * step + draws * draw) / 60
        print(
            f"{name:36}{1e3 * step:12.2f}{faster[0]:8.2f}x"
            f"{1e4 * draw:16.2f}{faster[1]:8.2f}x{whole:20.0f}"
        )


if __name__ == "__main__":
    command(Benchmark, main)
