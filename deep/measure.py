"""Measure a set of generated images against real ones: python -m deep.measure samples.npz
--reference digits
"""

import hashlib
import json
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import tyro
from rich.box import SIMPLE_HEAD
from rich.table import Table

from deep.data import ImageSet
from deep.metrics.feature_choice import chosen_space, require_one_network
from deep.metrics.features import FeatureSpace
from deep.metrics.image_metrics import METRICS, ImageMetrics, Measurement, Metric, least_images
from deep.metrics.inception import Resize
from deep.retraining.real_images import load_held_out, load_real, load_samples
from stability.machine.cache_folder import cache_folder
from stability.runs.atomic import atomic_write
from stability.runs.command_line import UsageError, command
from stability.runs.console import make_console, print_paths
from stability.runs.devices import Device, chosen_device, require_device
from stability.runs.option_error import OptionError
from stability.runs.processors import default_threads, use_threads
from stability.runs.progress import progress_bar
from stability.runs.ranges import (
    LARGEST_COUNT,
    LARGEST_SEED,
    MOST_SUBSETS,
    MOST_THREADS,
    require_range,
)
from stability.runs.run_directory import environment
from stability.runs.untrusted import printable

__all__ = ["Measure", "main"]


@dataclass(frozen=True)
class Measure:
    """Measure a set of generated images against real ones: Fréchet and kernel distance (FID and KID
    with --inception), precision, recall, density, coverage, and W2 for small sets, each beside
    the value that real images get.

    Without --inception or --trust-torchscript, features come from a small encoder that is trained
    on the reference's labels (without any: on telling how images are turned) and kept; its
    distances are no FID and are named accordingly.
    """

    samples: tyro.conf.Positional[Path]
    """Generated images: .npz or .npy of uint8 (n, c, h, w), a zip or a folder of PNGs. Of a run,
    samples/generation-0003.npz: each of its chains is measured."""
    reference: str
    """The training set: digits, a CIFAR-10 archive, a zip or folder of PNGs or JPEGs, .npz or
    .npy."""
    held_out: str | None = None
    """Real images that were not trained on, of the same formats; a CIFAR-10 archive stands for
    its test batch."""
    inception: Path | None = None
    """File of the FID Inception's weights: pt_inception-2015-12-05-6726825d.pth."""
    resize: Resize = "half-pixel"
    """Resizing of that network's images: as pytorch-fid does (and the paper), or as
    torch-fidelity."""
    trust_torchscript: Path | None = None
    """File of a TorchScript network from uint8 images to features. It is code and will be run:
    only if you trust it."""
    k: int = 3
    """Neighbours of precision, recall, density and coverage, the point itself not counted: the k
    of fls is 1 more."""
    kid_subsets: int = 0
    """0: kernel distance of all pairs. Otherwise the mean over so many random subsets, as
    torch-fidelity (100) does."""
    metrics: Annotated[tuple[Metric, ...], tyro.conf.arg(metavar="{fd,kd,pr,w2} [...]")] = METRICS
    """Metrics to compute: Fréchet distance, kernel distance, precision to coverage, W2 (for at most
    2000 images)."""
    batch: int = 64
    """Images that pass through the network at once."""
    seed: int = 0
    """Determines random choices of images, and the training of the encoder."""
    device: Device = "auto"
    """Device of features and metrics; auto: a CUDA GPU if there is one. mps: the GPU of a Mac."""
    threads: int = 0
    """Processor threads to use; 0: one for each processor that is ours."""
    cache: Path | None = None
    """Folder for features of real images and for the encoder. Default: iterative-retraining in
    the user's caches."""
    out: Path | None = None
    """File to write everything to as JSON."""

    def __post_init__(self) -> None:
        require_range(
            self,
            k=(1, LARGEST_COUNT),
            kid_subsets=(0, MOST_SUBSETS),
            batch=(1, LARGEST_COUNT),
            seed=(0, LARGEST_SEED),
            threads=(0, MOST_THREADS),
        )
        if not self.metrics:
            raise OptionError(f"--metrics must name at least one of {', '.join(METRICS)}")
        require_one_network(self)
        require_device(self.device)


def main(config: Measure) -> None:
    """Measure, print the table and write the JSON file that `config` asks for.

    Args:
        config: Options of the command.

    Raises:
        UsageError: If the sets of images do not fit together.
    """
    use_threads(config.threads or default_threads())
    device = torch.device(chosen_device(config.device))
    samples = load_samples("SAMPLES", config.samples)
    train = load_real("--reference", config.reference)
    held_out = (
        None if config.held_out is None else load_held_out("--held-out", config.held_out).images
    )
    _require_fit(config, samples, train.images, held_out)
    cache = config.cache or cache_folder()
    space = chosen_space(config, config.reference, train, cache)

    measured: dict[str, list[Measurement]] = {}
    measures: dict[int, ImageMetrics] = {}  # by the number of generated images
    with progress_bar() as progress:
        images = sum(len(one.images) for one in samples.values())
        images += len(train.images) + (0 if held_out is None else len(held_out))
        task = progress.add_task(f"features: {space.name}", total=images)
        try:
            for chain, one in samples.items():
                n = len(one.images)
                measures[n] = measures.get(n) or ImageMetrics(
                    space,
                    train.images,
                    held_out,
                    n,
                    cache=cache,
                    device=device,
                    k=config.k,
                    kid_subsets=config.kid_subsets,
                    metrics=config.metrics,
                    seed=config.seed,
                    batch=config.batch,
                    on_batch=lambda done: progress.advance(task, done),
                )
                measured[chain] = measures[n](one.images)
        except ValueError as error:  # the sets do not fit together
            raise UsageError(str(error)) from error

    console = make_console()
    console.print(_table(space, measured, config.k))
    if config.out:
        _write(config, space, measured)
        print_paths(console, [config.out])


def _require_fit(
    config: Measure, samples: Mapping[str, ImageSet], train: np.ndarray, held_out: np.ndarray | None
) -> None:
    """UsageError, naming the option, if a set is too small or of other images; a warning if it
    is no other set.
    """

    def shown(source: object) -> str:
        return printable(source, 1000)

    sets = {
        f"SAMPLES {shown(config.samples)}{chain and f', {chain},'}": one.images
        for chain, one in samples.items()
    }
    if held_out is not None:
        sets[f"--held-out {shown(config.held_out)}"] = held_out
    reference, least = (
        f"--reference {shown(config.reference)}",
        least_images(config.k, config.kid_subsets),
    )

    for name, images in {**sets, reference: train}.items():
        of = least * (2 if held_out is None and name == reference else 1)
        if len(images) < of:
            raise UsageError(f"{name} has {len(images)} images; it must have {of} or more")
    for name, images in sets.items():
        if images.shape[1:] != train.shape[1:]:
            raise UsageError(
                f"{name} has images of {_size(images)}, and {reference} of {_size(train)}"
            )

    known = {_fingerprint(image) for image in train}
    for name, images in sets.items():
        if all(_fingerprint(image) in known for image in images):
            warnings.warn(
                f"all images of {name} are images of {reference}: no other set is compared",
                stacklevel=2,
            )


def _size(images: np.ndarray) -> str:
    channels, height, width = images.shape[1:]
    return f"{height} × {width} pixels and {channels} {'channel' if channels == 1 else 'channels'}"


def _fingerprint(image: np.ndarray) -> bytes:
    return hashlib.blake2b(image.tobytes(), digest_size=16).digest()


def _table(space: FeatureSpace, measured: Mapping[str, Sequence[Measurement]], k: int) -> Table:
    table = Table(
        title=f"{space.frechet}, k = {k}", box=SIMPLE_HEAD, pad_edge=False, collapse_padding=True
    )
    words = ("chain", "metric_n", "against") if len(measured) > 1 else ("metric_n", "against")
    for column in (*words, "value", "± s.e.", "real images"):
        # names stay whole in a narrow terminal: the errors of floors go below them
        named = column in words
        table.add_column(column, justify="left" if named else "right", no_wrap=named)
    for chain, lines in measured.items():
        for (_, against, count), group in groupby(
            lines, lambda one: (one.images, one.reference, one.reference_images)
        ):
            for one in group:
                error = "–" if one.standard_error is None else f"{one.standard_error:.4g}"
                floor = "–" if one.floor is None else f"{one.floor:.4g}"
                floor += "" if one.floor_error is None else f" ± {one.floor_error:.2g}"
                cells = f"{one.value:.4g}", error, floor
                table.add_row(
                    *([chain] if len(measured) > 1 else []),
                    one.metric,
                    f"{against} ({count})",
                    *cells,
                )
            table.add_section()
    table.caption = (
        "real images: as many others against the same reference ± s.e.; the floor of a distance, "
        "not of precision, recall, density and coverage"
    )
    return table


def _write(
    config: Measure, space: FeatureSpace, measured: Mapping[str, Sequence[Measurement]]
) -> None:
    assert config.out is not None
    content = {
        "config": {
            key: str(value) if isinstance(value, Path) else value
            for key, value in asdict(config).items()
        },
        "features": space.name,
        "published_inception": space.published_inception,
        "measurements": [
            {**({"chain": chain} if len(measured) > 1 else {}), **asdict(one)}
            for chain, lines in measured.items()
            for one in lines
        ],
        "environment": environment(),
    }
    with atomic_write(config.out) as file:
        file.write(
            json.dumps(content, indent=2, allow_nan=False, ensure_ascii=False).encode() + b"\n"
        )


if __name__ == "__main__":
    command(Measure, main)
