"""Images a second of EDM in training and sampling, against a plain implementation: python -m
benchmarks.deep

Both work in turn in one run on the same machine; the plain one is benchmarks/plain_edm.py. Before
anything is timed, the two networks are given the same weights and compared. The default is a
network of 1.03 million parameters for 8 × 8; `--configuration cifar10` is the official one, for a
GPU (or a patient CPU: --batch 32 --steps 1 --rounds 1). For the official training in fp16 on a GPU:
--batch 256 --precision bf16 --plain-precision fp16, and --compile.
"""

import copy
import json
import multiprocessing
import resource
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial
from statistics import median
from typing import Literal

import numpy as np
import torch
from accelerate import Accelerator
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.at_least_one import require_at_least_one
from benchmarks.plain_edm import PlainEDM, sample_plainly, train_plainly
from deep.data import load_images
from deep.models.edm import EDM
from deep.networks.unet_edm import CIFAR10, FFHQ64, EDMNetwork
from deep.training.precision import FORMATS, Precision, autocast
from deep.training.sampling import draw_images
from deep.training.trainer import TrainConfig, Trainer
from stability.runs.command_line import command
from stability.runs.devices import Device, chosen_device, require_device
from stability.runs.option_error import OptionError

Case = Literal["train, plain", "train, ours", "sample, plain", "sample, ours"]
CASES: tuple[Case, ...] = ("train, plain", "train, ours", "sample, plain", "sample, ours")
CONFIGURATIONS = {
    "digits": (
        EDMNetwork(
            resolution=8,
            channels=1,
            model_channels=32,
            channel_mult=(1, 2),
            num_blocks=2,
            attn_resolutions=(4,),
            augment_dim=0,
        ),
        EDM(augment=0.0),
    ),
    "cifar10": (CIFAR10, EDM()),
    "ffhq64": (FFHQ64, EDM(augment=0.15, steps=40)),
}


@dataclass(frozen=True)
class Benchmark:
    """Time training steps and the drawing of a batch."""

    configuration: Literal["digits", "cifar10", "ffhq64"] = "digits"
    """Network, augmentation and number of sampling steps."""
    batch: int = 128
    """Images a training step, and drawn at once."""
    steps: int = 20
    """Training steps timed at once."""
    rounds: int = 5
    """Times that everything is measured, in turn; medians are printed."""
    precision: Precision = "fp32"
    """Precision of this project's convolutions and matrix products."""
    plain_precision: Precision = "fp32"
    """Precision of the plain implementation in training; it samples in float32. On a GPU the
    official one trains in fp16."""
    compile: bool = False
    """Compile this project's network."""
    threads: int = 2
    """Processor threads, for both."""
    processor_time: bool = False
    """Count the seconds of all processors instead of wall time: for a machine that others use,
    too. Without a GPU alone."""
    device: Device = "auto"
    """auto: a GPU if there is one."""

    def __post_init__(self) -> None:
        require_at_least_one(self)
        require_device(self.device)
        if self.processor_time and chosen_device(self.device) != "cpu":
            raise OptionError("--processor-time needs --device cpu: a GPU's work is not counted")


class Bench:
    """Both implementations, ready to work."""

    def __init__(self, config: Benchmark) -> None:
        torch.set_num_threads(config.threads)
        self.config = config
        self.accelerator = Accelerator(cpu=chosen_device(config.device) == "cpu")
        self.device = self.accelerator.device
        self.network, self.model = CONFIGURATIONS[config.configuration]
        rng = np.random.default_rng(0)
        shape = (self.network.channels, self.network.resolution, self.network.resolution)
        self.images = (
            load_images("digits").images
            if config.configuration == "digits"
            else rng.integers(0, 256, (1024, *shape), dtype=np.uint8)
        )

        settings = TrainConfig(
            batch=config.batch,
            learning_rate=1e-3,
            ramp_images=10_000_000,
            precision=config.precision,
            compile=config.compile,
        )
        built = self.network.build(torch.Generator().manual_seed(0))
        self.plain = PlainEDM(self.network).to(self.device)
        self.plain.load_state_dict(
            {k: v for k, v in built.state_dict().items() if not k.endswith("resample_filter")}
        )
        self.average = copy.deepcopy(self.plain).eval().requires_grad_(False)
        self.trainer = Trainer(self.model, built, settings, self.accelerator)
        self.rng = rng

    def compare(self) -> float:
        """Compare the outputs of the two networks at weights that are not special.

        Returns:
            Largest difference over the largest output.
        """
        generator = torch.Generator().manual_seed(1)
        ours = copy.deepcopy(self.trainer.ema)
        with torch.no_grad():
            for parameter in ours.parameters():
                parameter += 0.05 * torch.randn(parameter.shape, generator=generator).to(
                    self.device
                )
            plain = PlainEDM(self.network).to(self.device).eval()
            weights = {
                k: v for k, v in ours.state_dict().items() if not k.endswith("resample_filter")
            }
            plain.load_state_dict(weights)
            x = torch.randn(
                4, self.network.channels, self.network.resolution, self.network.resolution
            )
            sigma = torch.tensor([0.01, 0.3, 2.0, 50.0], device=self.device)
            one, two = (net(x.to(self.device), sigma) for net in (ours, plain))
            return float((one - two).abs().max() / two.abs().max())

    def work(self, case: Case, steps: int) -> int:
        """Do some of a case.

        Args:
            case: Training or sampling, and whose.
            steps: Training steps; sampling draws one batch whatever this is.

        Returns:
            Number of images trained on or drawn.
        """
        config = self.config
        if case == "train, plain":
            context = partial(autocast, self.device, config.plain_precision)
            images = torch.from_numpy(self.images).to(self.device)
            augmentation = self.model.augment
            train_plainly(
                self.plain,
                self.average,
                images,
                steps,
                config.batch,
                augmentation,
                context,
                self.rng,
            )
        elif case == "train, ours":
            for _ in self.trainer.fit(
                self.images, steps * config.batch, self.rng, report_steps=steps
            ):
                pass
        elif case == "sample, plain":
            shape = self.images.shape[1:]
            sample_plainly(
                self.average, shape, self.model.steps, config.batch, config.batch, self.device
            )
        else:
            channels, height, width = self.images.shape[1:]
            draw_images(
                self.model,
                self.trainer.drawn_from,
                (channels, height, width),
                range(config.batch),
                0,
                accelerator=self.accelerator,
                batch=config.batch,
                precision=config.precision,
            )

        return config.batch * (steps if case.startswith("train") else 1)

    def flops_an_image(self, case: Case) -> float:
        """Count operations of convolutions and matrix products, forward and backward in training.

        Args:
            case: Training or sampling, and whose.

        Returns:
            Operations for one image.
        """
        net = self.trainer.network.train() if case.startswith("train") else self.trainer.ema
        x = torch.randn(2, *self.images.shape[1:], device=self.device)
        counter = FlopCounterMode(display=False)
        with counter, nullcontext() if case.startswith("train") else torch.no_grad():
            out = net(x, torch.ones(2, device=self.device), None)
            if case.startswith("train"):
                out.sum().backward()
        self.trainer.network.zero_grad()
        calls = 1 if case.startswith("train") else 2 * self.model.steps - 1
        return calls * counter.get_total_flops() / 2

    def peak(self, precision: Precision) -> float:
        """Time a large matrix product, to say what share of its speed is reached.

        Args:
            precision: Format of the matrices.

        Returns:
            Operations a second, of the fastest of five.
        """
        n = 8192 if self.device.type == "cuda" else 2048
        a = torch.randn(n, n, device=self.device).to(FORMATS[precision])
        return max(2 * n**3 / self.seconds(lambda: a @ a) for _ in range(5))

    def seconds(self, work: Callable[[], object]) -> float:
        """Time some work, to its end on the device.

        Args:
            work: Called once.

        Returns:
            Wall time in seconds, or that of the processors.
        """
        clock = time.process_time if self.config.processor_time else time.perf_counter
        if self.device.type != "cpu":
            torch.accelerator.synchronize()
        start = clock()
        work()
        if self.device.type != "cpu":
            torch.accelerator.synchronize()
        return clock() - start


def peak_memory(config: Benchmark, case: Case) -> float:
    """Measure the memory that a process needs at most which does nothing but this case.

    Args:
        config: The options.
        case: Training or sampling, and whose.

    Returns:
        Bytes: on a GPU those there, else those of the whole process.
    """
    bench = Bench(replace(config, compile=False))
    bench.work(case, 2)
    if bench.device.type == "cuda":
        return float(torch.cuda.max_memory_allocated())
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024.0


def main(config: Benchmark) -> None:
    """Measure and print.

    Args:
        config: The options.
    """
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        memory = {case: pool.apply(peak_memory, (config, case)) for case in CASES}
    bench = Bench(config)
    name = (
        torch.cuda.get_device_name()
        if bench.device.type == "cuda"
        else f"{bench.device.type.upper()}, {config.threads} threads"
    )
    parameters = sum(p.numel() for p in bench.plain.parameters())
    print(
        f"{name}; {config.configuration}: {parameters:,} parameters, batch {config.batch}, Heun "
        f"{bench.model.steps}"
    )
    print(f"largest relative difference of the two networks: {bench.compare():.1e}")
    rates: dict[Case, list[float]] = {case: [] for case in CASES}

    for case in CASES:
        bench.work(case, 2)  # compiles, and finds the fastest kernels
    for _ in range(config.rounds):
        for case in CASES:
            images = config.batch * (config.steps if case.startswith("train") else 1)
            rates[case].append(images / bench.seconds(partial(bench.work, case, config.steps)))

    print(f"{'':16}{'images/s':>10}{'TFLOP/s':>10}{'of peak':>9}{'memory':>10}{'ours / plain':>14}")
    for case in CASES:
        precision = config.precision if case.endswith("ours") else config.plain_precision
        precision = "fp32" if case == "sample, plain" else precision
        rate, reference = median(rates[case]), rates[CASES[CASES.index(case) // 2 * 2]]
        done = rate * bench.flops_an_image(case)
        ratio = median(one / two for one, two in zip(rates[case], reference, strict=True))
        print(
            f"{case:16}{rate:10,.1f}{done / 1e12:10.4f}{done / bench.peak(precision):9.1%}"
            f"{memory[case] / 2**30:7.2f} GB{ratio:13.2f}x"
        )

    print(json.dumps({"torch": torch.__version__, **vars(config)}))


if __name__ == "__main__":
    command(Benchmark, main)
