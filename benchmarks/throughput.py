"""Speed of the image models at their full size, and the hours of the paper's runs: python -m
benchmarks.throughput

For a GPU. The networks are new and the images random: neither changes the speed. OT-CFM is drawn by
100 Euler steps, as the steps that dopri5 chooses depend on what has been learnt. What a plain
implementation does: benchmarks/deep.py.
"""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from statistics import median
from typing import Any, Literal, cast

import numpy as np
import torch
from accelerate import Accelerator

from benchmarks.at_least_one import require_at_least_one
from deep.models.ot_cfm import OTCFM
from deep.retraining.presets import PRESETS, Preset
from deep.training.precision import Precision
from deep.training.sampling import draw_images
from deep.training.trainer import Trainer
from stability.runs.command_line import command
from stability.runs.devices import Device, chosen_device, require_device

Name = Literal[
    "edm-cifar10",
    "edm-ffhq64",
    "ddpm-cifar10",
    "otcfm-cifar10",
    "edm-digits",
    "ddpm-digits",
    "otcfm-digits",
]
REAL_IMAGES = {"cifar10": 50_000, "ffhq64": 70_000, "digits": 898}  # n of the runs


@dataclass(frozen=True)
class Benchmark:
    """Time training and sampling of every preset, and work out how long the paper's run of it
    takes.
    """

    presets: tuple[Name, ...] = ("edm-cifar10", "edm-ffhq64", "ddpm-cifar10", "otcfm-cifar10")
    """Model and preset of python -m deep.retrain."""
    steps: int = 20
    """Training steps timed at once; at their first run everything is compiled and the fastest
    kernels are found."""
    sample_batch: int = 500
    """Images drawn at once."""
    rounds: int = 3
    """Times that everything is measured; medians are printed."""
    precision: Precision = "bf16"
    """Precision of convolutions and matrix products in training."""
    sample_precision: Precision = "fp32"
    """The same in sampling."""
    compile: bool = False
    """Compile the networks."""
    device: Device = "auto"
    """auto: a GPU if there is one."""

    def __post_init__(self) -> None:
        require_at_least_one(self)
        require_device(self.device)


@dataclass(frozen=True)
class Speed:
    """Images a second, and peak memory in GB on a GPU (elsewhere 0)."""

    rate: float
    memory: float

    @classmethod
    def of(cls, work: Callable[[], object], images: int, config: Benchmark) -> "Speed":
        """Time some work, which is done once before.

        Args:
            work: Handles `images` images and ends by reading numbers.
            images: Images that a call of the work handles.
            config: Number of rounds, and the device.

        Returns:
            Median speed and peak memory.
        """
        work()
        on_gpu = chosen_device(config.device) == "cuda"
        if on_gpu:
            torch.cuda.synchronize()
            torch.cuda.reset_peak_memory_stats()
        rates = []
        for _ in range(config.rounds):
            start = time.perf_counter()
            work()
            rates.append(images / (time.perf_counter() - start))
        return cls(median(rates), torch.cuda.max_memory_allocated() / 1e9 if on_gpu else 0.0)


def speeds(preset: Any, config: Benchmark, accelerator: Accelerator) -> tuple[Speed, Speed, int]:
    """Measure training and sampling of a preset.

    Args:
        preset: Model, network and training settings.
        config: The options.
        accelerator: Device that both use.

    Returns:
        Speeds of training and of sampling, and calls of the network to draw an image.
    """
    model, network = preset.model, preset.network
    if isinstance(model, OTCFM):
        model = replace(model, integrator="euler", euler_steps=100)
    settings = replace(preset.training, precision=config.precision, compile=config.compile)
    shape = (network.channels, network.resolution, network.resolution)
    images = np.random.default_rng(0).integers(0, 256, (4 * settings.batch, *shape), dtype=np.uint8)
    trainer = Trainer(model, network.build(torch.Generator().manual_seed(0)), settings, accelerator)
    duration = config.steps * settings.batch

    def draw(count: int, drawn_from: Any) -> None:
        precision = config.sample_precision
        draw_images(
            model,
            drawn_from,
            shape,
            range(count),
            0,
            accelerator=accelerator,
            batch=count,
            precision=precision,
        )

    calls = []
    with trainer.ema.register_forward_hook(lambda *arguments: calls.append(1)):
        draw(1, trainer.ema)
    training = Speed.of(
        lambda: list(trainer.fit(images, duration, np.random.default_rng(1))), duration, config
    )
    sampling = Speed.of(
        lambda: draw(config.sample_batch, trainer.drawn_from), config.sample_batch, config
    )
    return training, sampling, len(calls)


def main(config: Benchmark) -> None:
    """Measure and print.

    Args:
        config: The options.
    """
    accelerator = Accelerator(cpu=chosen_device(config.device) == "cpu")
    device = (
        torch.cuda.get_device_name()
        if accelerator.device.type == "cuda"
        else accelerator.device.type.upper()
    )
    print(device, json.dumps(vars(config)), torch.__version__)
    print(f"{'':16}{'training':>20}{'sampling':>36}{'a run':>12}")

    for name in config.presets:
        kind, of = name.split("-")
        preset = PRESETS[kind, cast(Preset, of)]
        torch.compiler.reset()
        training, sampling, calls = speeds(preset, config, accelerator)
        run, n = preset.run, REAL_IMAGES[of]
        trained, drawn = run.retrainings * run.images_per_retraining, (run.retrainings + 1) * n
        print(
            f"{name:16}{training.rate:9,.0f}/s{training.memory:6.1f} GB"
            f"{sampling.rate:12,.1f}/s ({calls:4} calls, {sampling.memory:5.1f} GB)"
            f"{(trained / training.rate + drawn / sampling.rate) / 3600:9.1f} h",
            flush=True,
        )


if __name__ == "__main__":
    command(Benchmark, main)
