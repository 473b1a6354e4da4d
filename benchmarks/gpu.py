"""One table of the image models' speed on an NVIDIA GPU: python -m benchmarks.gpu

EDM on CIFAR-10 and FFHQ-64, DDPM and OT-CFM on CIFAR-10, with random weights and images, in
training and sampling: plain implementations in fp16 (benchmarks/plain_edm.py and plain_others.py)
against this project in fp32, bf16, compiled, in CUDA graphs and in the usual memory layout. Without
a GPU it says so and ends; `--small` runs the same on the processor with tiny networks, in a minute.
What fails, as for lack of memory, is one line, and the others go on; the file is written after each
row.
"""

import gc
import json
import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any, Literal

import numpy as np
import torch
from accelerate import Accelerator
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.at_least_one import require_at_least_one
from benchmarks.plain_edm import PlainEDM, sample_plainly, train_plainly
from benchmarks.plain_others import (
    plain_copy,
    sample_ddpm_plainly,
    sample_otcfm_plainly,
    train_others_plainly,
)
from deep.models.ot_cfm import OTCFM
from deep.networks.unet_cfm import CFMNetwork
from deep.networks.unet_edm import EDMNetwork
from deep.retraining.presets import PRESETS, Preset
from deep.training.precision import FORMATS, Precision, autocast
from deep.training.sampling import draw_images
from deep.training.trainer import Trainer
from stability.runs.atomic import atomic_write
from stability.runs.command_line import command

Model = Literal["edm-cifar10", "edm-ffhq64", "ddpm-cifar10", "otcfm-cifar10"]
MODELS: tuple[Model, ...] = ("edm-cifar10", "edm-ffhq64", "ddpm-cifar10", "otcfm-cifar10")
EULER_STEPS = 100
"""OT-CFM is drawn by equal steps: those that dopri5 chooses depend on what was learnt."""


@dataclass(frozen=True)
class Way:
    """A way of running this project's networks.

    Attributes:
        name: In the table.
        precision: Of convolutions and matrix products.
        compile: How torch.compile is called; None: not at all. "graphs" replays CUDA graphs.
        channels_last: Memory layout of images and weights.
    """

    name: str
    precision: Precision = "bf16"
    compile: Literal["code", "graphs"] | None = None
    channels_last: bool = True


WAYS = (
    Way("eager fp32", "fp32"),
    Way("eager bf16, usual layout", channels_last=False),
    Way("eager bf16"),
    Way("compiled bf16", compile="code"),
    Way("CUDA graphs bf16", compile="graphs"),
)


@dataclass(frozen=True)
class Benchmark:
    """Time training and sampling of every model in every way, against plain code in fp16."""

    models: tuple[Model, ...] = MODELS
    """Models and data sets."""
    batch: int = 256
    """Images a training step."""
    sample_batch: int = 256
    """Images drawn at once."""
    steps: int = 10
    """Training steps timed at once."""
    rounds: int = 3
    """Times that everything is measured; medians are printed."""
    small: bool = False
    """Tiny networks and batches on the processor, to see that all of it runs: its numbers mean
    nothing."""
    out: Path | None = None
    """Also write the rows to this JSON file."""

    def __post_init__(self) -> None:
        require_at_least_one(self)


@dataclass(frozen=True)
class Row:
    """Measurement of one way: images a second, share of the peak, memory that it reserved on the
    GPU in units of 10⁹ bytes (0: no GPU).
    """

    model: str
    work: Literal["training", "sampling"]
    way: str
    rate: float
    of_peak: float
    memory: float
    ratio: float


def smaller(preset: Any) -> Any:
    """Shrink a preset to a network of one level of 8 × 8, and few steps of its sampler.

    Args:
        preset: Model, network and training settings.

    Returns:
        The small preset.
    """
    changes: dict[str, Any] = {"resolution": 8, "model_channels": 32, "channel_mult": (1,)}
    changes |= {"num_blocks": 1, "attn_resolutions": (8,)}
    if not isinstance(preset.network, EDMNetwork):
        changes["norm_groups"] = 8
    if isinstance(preset.network, CFMNetwork):
        changes["head_channels"] = 32
    network = replace(preset.network, **changes)
    few: dict[str, Any] = {"edm": {"steps": 3}, "ddpm": {"ddim_steps": 3}, "otcfm": {}}[preset.name]
    return replace(preset, network=network, model=replace(preset.model, **few))


class Bench:
    """One model, its plain implementation, and the device."""

    def __init__(self, name: Model, config: Benchmark, accelerator: Accelerator) -> None:
        kind, data = name.split("-")
        preset: Any = PRESETS[kind, data_of(data)]
        if config.small:
            preset = smaller(preset)
        self.name, self.config, self.accelerator = name, config, accelerator
        self.device = accelerator.device
        self.network: Any = preset.network
        self.model: Any = preset.model
        self.euler = 3 if config.small else EULER_STEPS
        if isinstance(self.model, OTCFM):
            self.model = replace(self.model, integrator="euler", euler_steps=self.euler)
        self.training = replace(preset.training, batch=config.batch)
        self.shape = (self.network.channels, self.network.resolution, self.network.resolution)
        rng = np.random.default_rng(0)
        self.images = rng.integers(0, 256, (4 * config.batch, *self.shape), dtype=np.uint8)

    def built(self) -> torch.nn.Module:
        """Build the network, with the same weights on every call.

        Returns:
            The network.
        """
        return self.network.build(torch.Generator().manual_seed(0))

    def ours(self, way: Way) -> dict[str, Callable[[], object]]:
        """Work of this project.

        Args:
            way: How its networks are run.

        Returns:
            Name -> function that does it once.
        """
        settings = replace(
            self.training,
            precision=way.precision,
            compile=way.compile is not None,
            channels_last=way.channels_last,
        )
        with compiling(way):
            trainer = Trainer(self.model, self.built(), settings, self.accelerator)
        duration = self.config.steps * self.config.batch

        def train() -> None:
            rng = np.random.default_rng(1)
            for _ in trainer.fit(self.images, duration, rng, report_steps=self.config.steps):
                pass

        def sample() -> None:
            draw_images(
                self.model,
                trainer.drawn_from,
                self.shape,
                range(self.config.sample_batch),
                0,
                accelerator=self.accelerator,
                batch=self.config.sample_batch,
                precision=way.precision,
            )

        return {"training": train, "sampling": sample}

    def plain(self) -> dict[str, Callable[[], object]]:
        """Work of the plain implementation, in fp16 on a GPU.

        Returns:
            Name -> function that does it once.
        """
        config, device = self.config, self.device
        half: Precision = "fp16" if device.type == "cuda" else "fp32"

        def context() -> Any:
            return autocast(device, half)

        images, rng = torch.from_numpy(self.images).to(device), np.random.default_rng(1)
        batch, steps = config.batch, config.steps
        count = config.sample_batch
        if isinstance(self.network, EDMNetwork):
            network, average = (PlainEDM(self.network).to(device) for _ in range(2))
            average.eval().requires_grad_(False)
            augmentation = self.model.augment

            def sample_edm() -> None:
                with context():
                    sample_plainly(average, self.shape, self.model.steps, count, count, device)

            return {
                "training": lambda: train_plainly(
                    network, average, images, steps, batch, augmentation, context, rng
                ),
                "sampling": sample_edm,
            }

        network, average = plain_copy(self.built(), device), plain_copy(self.built(), device)
        average.eval().requires_grad_(False)

        def sample_other() -> None:
            with context():
                if isinstance(self.model, OTCFM):
                    sample_otcfm_plainly(average, self.shape, self.euler, count, device)
                else:
                    sample_ddpm_plainly(average, self.model, self.shape, count, device)

        return {
            "training": lambda: train_others_plainly(
                network, average, self.model, images, steps, batch, context, rng
            ),
            "sampling": sample_other,
        }

    def images_of(self, work: str) -> int:
        """Count the images that some work handles once.

        Args:
            work: `training` or `sampling`.

        Returns:
            Their number.
        """
        return (
            self.config.sample_batch
            if work == "sampling"
            else self.config.steps * self.config.batch
        )

    def flops(self, work: str) -> float:
        """Count operations of convolutions and matrix products.

        Args:
            work: `training`, forward and backward, or `sampling`.

        Returns:
            Operations for one image.
        """
        net, calls = self.built().to(self.device), 1
        x = torch.randn(2, *self.shape, device=self.device)
        t = torch.ones(2, device=self.device)
        counter = FlopCounterMode(display=False)
        with counter, torch.set_grad_enabled(work == "training"):
            out = net(t, x) if isinstance(self.network, CFMNetwork) else net(x, t)
            if work == "training":
                out.sum().backward()
        if work == "sampling":
            calls = self._calls()
        return calls * counter.get_total_flops() / 2

    def _calls(self) -> int:
        """Calls of the network for one image."""
        if isinstance(self.network, EDMNetwork):
            return 2 * self.model.steps - 1
        return (
            self.euler if isinstance(self.model, OTCFM) else self.model.make_sampler().evaluations
        )


def data_of(data: str) -> Preset:
    """Name the preset of a data set.

    Args:
        data: `cifar10` or `ffhq64`.

    Returns:
        The name.
    """
    return "ffhq64" if data == "ffhq64" else "cifar10"


@contextmanager
def compiling(way: Way) -> Iterator[None]:
    """Let networks that are compiled within the block replay CUDA graphs, if the way says so.

    Args:
        way: How the networks are run.

    Yields:
        Nothing.
    """
    plain = torch.compile

    def with_graphs(network: Any, **options: Any) -> Any:
        return plain(network, **options, mode="reduce-overhead")

    torch.compiler.reset()
    torch.compile = with_graphs if way.compile == "graphs" else plain  # type: ignore[assignment]
    try:
        yield
    finally:
        torch.compile = plain  # type: ignore[assignment]


def seconds(work: Callable[[], object], device: torch.device) -> float:
    """Time some work, to its end on the device.

    Args:
        work: Called once.
        device: Device that it uses.

    Returns:
        Wall time in seconds.
    """
    if device.type == "cuda":
        torch.cuda.synchronize()
    start = time.perf_counter()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


def peak(device: torch.device, precision: Precision) -> float:
    """Time a large matrix product.

    In float32 on a GPU it is in TF32, as the convolutions are that take most of the time.

    Args:
        device: Device that computes it.
        precision: Format of the matrices.

    Returns:
        Operations a second, of the fastest of five.
    """
    n = 8192 if device.type == "cuda" else 512
    a = torch.randn(n, n, device=device).to(FORMATS[precision])
    before = torch.get_float32_matmul_precision()
    try:
        if device.type == "cuda":
            torch.set_float32_matmul_precision("high")
        return max(2 * n**3 / seconds(lambda: a @ a, device) for _ in range(5))
    finally:
        torch.set_float32_matmul_precision(before)


def measured(
    work: Callable[[], object], config: Benchmark, device: torch.device
) -> tuple[float, float]:
    """Measure some work, which is done twice before: it compiles then, and records CUDA graphs.

    Args:
        work: Called once and then in every round.
        config: Number of rounds.
        device: Device that it uses.

    Returns:
        Median seconds, and memory that was reserved at most, in units of 10⁹ bytes (0: no GPU).
    """
    on_gpu = device.type == "cuda"
    if on_gpu:
        release(device)
        torch.cuda.reset_peak_memory_stats()
    for _ in range(2 if on_gpu else 1):
        work()
    took = median(seconds(work, device) for _ in range(config.rounds))
    # not what is allocated: the memory of a CUDA graph counts only while it is recorded
    return took, torch.cuda.max_memory_reserved() / 1e9 if on_gpu else 0.0


def release(device: torch.device) -> None:
    """Give back memory that nothing refers to any more, so that the next way has all of it.

    Args:
        device: Device whose memory it is.
    """
    gc.collect()
    if device.type == "cuda":
        torch.cuda.synchronize()
        torch.cuda.empty_cache()


@dataclass(frozen=True)
class Failure:
    """Work that could not be measured, and why."""

    model: str
    work: str
    way: str
    reason: str

    @classmethod
    def of(cls, error: Exception, model: str, work: str, way: str) -> "Failure":
        """Describe an error by its type and its first line.

        Args:
            error: The error.
            model: Model and data set.
            work: What was being done.
            way: How the networks were run.

        Returns:
            The description, without the error, whose traceback holds memory.
        """
        first = (str(error).strip().splitlines() or [""])[0]
        return cls(model, work, way, f"{type(error).__name__}: {first}"[:200])


WORKS: tuple[Literal["training", "sampling"], ...] = ("training", "sampling")


def rows_of(name: Model, config: Benchmark, accelerator: Accelerator) -> Iterator[Row | Failure]:
    """Measure one model in every way; the plain implementation first.

    Args:
        name: Model and data set.
        config: The options.
        accelerator: Device of all work.

    Yields:
        A row for each way and work, or what failed.
    """
    device = accelerator.device
    on_gpu = device.type == "cuda"
    half: Precision = "fp16" if on_gpu else "fp32"
    try:
        bench = Bench(name, config, accelerator)
        ways = [way for way in WAYS if on_gpu or way.compile is None]
        flops = {work: bench.flops(work) for work in WORKS}
        formats: set[Precision] = {half, *(way.precision for way in ways)}
        peaks = {precision: peak(device, precision) for precision in formats}
    except Exception as error:
        yield Failure.of(error, name, "start", "")
        return

    plain_rates: dict[str, float] = {}
    for way in (None, *ways):
        label, precision = ("plain " + half, half) if way is None else (way.name, way.precision)
        for work, found in _timed(bench, way, name, label):
            if isinstance(found, Failure):
                yield found
                continue
            took, memory = found
            rate = bench.images_of(work) / took
            if way is None:
                plain_rates[work] = rate
            share = rate * flops[work] / peaks[precision]
            ratio = rate / plain_rates.get(work, math.nan)
            yield Row(name, work, label, rate, share, memory, ratio)


def _timed(
    bench: Bench, way: Way | None, name: Model, label: str
) -> Iterator[tuple[Literal["training", "sampling"], tuple[float, float] | Failure]]:
    """Seconds and memory of training and sampling in one way, or what failed; when it ends, nothing
    refers to the networks any more.
    """
    work: Literal["training", "sampling"] = "training"
    try:
        runs = bench.plain() if way is None else bench.ours(way)
    except Exception as error:
        yield work, Failure.of(error, name, "start", label)
        return
    for work in WORKS:
        try:
            found = measured(runs[work], bench.config, bench.device)
        except Exception as error:
            found = Failure.of(error, name, work, label)
        yield work, found
    runs.clear()
    release(bench.device)


def main(config: Benchmark) -> None:
    """Measure, print the table, and write it where asked.

    Args:
        config: The options.
    """
    on_gpu = torch.cuda.is_available() and not config.small
    if not on_gpu and not config.small:
        print("no NVIDIA GPU here, so nothing was measured; --small runs tiny networks on the CPU")
        return
    if config.small:
        config = replace(config, batch=min(config.batch, 4), sample_batch=2, steps=1, rounds=1)
    accelerator = Accelerator(cpu=not on_gpu)

    device = torch.cuda.get_device_name() if on_gpu else "CPU (--small: not the speed of anything)"
    print(f"{device}, torch {torch.__version__}")
    print(f"{'':15}{'':10}{'':26}{'images/s':>10}{'of peak':>9}{'memory':>10}{'/ plain':>9}")
    rows: list[Row] = []
    failed: list[Failure] = []
    for name in config.models:
        for found in rows_of(name, config, accelerator):
            _print(found)
            if isinstance(found, Row):
                rows.append(found)
            else:
                failed.append(found)
            if config.out is not None:
                _write(config.out, device, rows, failed)
    if config.out is not None:
        print(f"wrote {config.out}")


def _print(found: Row | Failure) -> None:
    if isinstance(found, Failure):
        print(f"{found.model:15}{found.work:10}{found.way:26}{found.reason}", flush=True)
        return
    print(
        f"{found.model:15}{found.work:10}{found.way:26}{found.rate:10,.1f}{found.of_peak:9.1%}"
        f"{found.memory:7.1f} GB{found.ratio:8.2f}x",
        flush=True,
    )


def _write(path: Path, device: str, rows: Sequence[Row], failed: Sequence[Failure]) -> None:
    """Write what is known so far; a ratio to plain code that failed is null."""
    plain = [asdict(row) | {"ratio": None if math.isnan(row.ratio) else row.ratio} for row in rows]
    content = {"device": device, "torch": torch.__version__, "rows": plain}
    content["failed"] = [asdict(failure) for failure in failed]
    with atomic_write(path) as file:
        file.write(json.dumps(content, indent=2).encode() + b"\n")


if __name__ == "__main__":
    command(Benchmark, main)
