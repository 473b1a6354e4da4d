"""Speed of the image models at their full size, and the hours of the paper's runs: python -m benchmarks.throughput

For a GPU. The networks are new and the images random: neither changes the speed. OT-CFM is drawn by 100 Euler steps, as
the steps that dopri5 chooses depend on what has been learnt. What a plain implementation does: benchmarks/deep.py.
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
from stability.command_line import command

Name = Literal[
    "edm-cifar10", "edm-ffhq64", "ddpm-cifar10", "otcfm-cifar10", "edm-digits", "ddpm-digits", "otcfm-digits"
]
REAL_IMAGES = {"cifar10": 50_000, "ffhq64": 70_000, "digits": 898}  # n of the runs


@dataclass(frozen=True)
class Benchmark:
    """Time training and sampling of every preset, and work out how long the paper's run of it takes."""

    presets: tuple[Name, ...] = ("edm-cifar10", "edm-ffhq64", "ddpm-cifar10", "otcfm-cifar10")
    """Model and preset of python -m deep.retrain."""
    steps: int = 20
    """Training steps timed at once; at their first run everything is compiled and the fastest kernels are found."""
    sample_batch: int = 500
    """Images drawn at once."""
    rounds: int = 3
    """Times that everything is measured; medians are printed."""
    precision: Precision = "bf16"
    """Of convolutions and matrix products in training."""
    sample_precision: Precision = "fp32"
    """The same in sampling."""
    compile: bool = False
    """Compile the networks."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """auto: a GPU if there is one."""

    def __post_init__(self) -> None:
        require_at_least_one(self)


def measured(work: Callable[[], object], images: int, rounds: int, device: torch.device) -> tuple[float, float]:
    """Images a second, and peak memory in GB on a GPU (elsewhere 0)."""
    work()
    if device.type == "cuda":
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
    rates = []
    for _ in range(rounds):
        start = time.perf_counter()
        work()  # ends with numbers that are read
        rates.append(images / (time.perf_counter() - start))
    return median(rates), torch.cuda.max_memory_allocated() / 1e9 if device.type == "cuda" else 0.0


def main(config: Benchmark) -> None:
    """Measure and print."""
    accelerator = Accelerator(cpu=config.device == "cpu" or not torch.cuda.is_available())
    device = accelerator.device
    print(torch.cuda.get_device_name() if device.type == "cuda" else "CPU", json.dumps(vars(config)), torch.__version__)
    print(f"{'':16}{'training':>20}{'sampling':>36}{'a run':>12}")
    for name in config.presets:
        kind, of = name.split("-")
        preset = cast(Any, PRESETS[kind, cast(Preset, of)])
        model = preset.model
        if isinstance(model, OTCFM):
            model = replace(model, integrator="euler", euler_steps=100)
        settings = replace(preset.training, precision=config.precision, compile=config.compile)
        shape = (preset.network.channels, preset.network.resolution, preset.network.resolution)
        images = np.random.default_rng(0).integers(0, 256, (4 * settings.batch, *shape), dtype=np.uint8)
        torch.compiler.reset()
        trainer = Trainer(model, preset.network.build(torch.Generator().manual_seed(0)), settings, accelerator)
        duration = config.steps * settings.batch

        def train(trainer=trainer, images=images, duration=duration) -> None:
            for _ in trainer.fit(images, duration, np.random.default_rng(1), report_steps=config.steps):
                pass

        def sample(count=config.sample_batch, network=trainer.drawn_from, model=model, shape=shape) -> None:
            precision = config.sample_precision
            draw_images(
                model, network, shape, range(count), 0, accelerator=accelerator, batch=count, precision=precision
            )

        calls = []
        with trainer.ema.register_forward_hook(lambda *arguments, calls=calls: calls.append(1)):
            sample(1, trainer.ema)
        trained, memory = measured(train, duration, config.rounds, device)
        drawn, more = measured(sample, config.sample_batch, config.rounds, device)
        run, n = preset.run, REAL_IMAGES[of]
        hours = (run.retrainings * run.images_per_retraining / trained + (run.retrainings + 1) * n / drawn) / 3600
        print(
            f"{name:16}{trained:9,.0f}/s{memory:6.1f} GB{drawn:12,.1f}/s ({len(calls):4} calls, {more:5.1f} GB)"
            f"{hours:9.1f} h",
            flush=True,
        )


if __name__ == "__main__":
    command(Benchmark, main)
