"""Wall times of commands in an earlier checkout and in this one: python -m benchmarks.checkouts
../earlier

Both run in turn, on the same machine, alone and beside a process that keeps one processor busy.
Each command runs once in each checkout before anything is timed, so that compiled code is there.
Folders and caches of results are new for every run.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Annotated, Literal, get_args

import tyro

from benchmarks.at_least_one import require_at_least_one
from benchmarks.neighbours import neighbours
from stability.runs.command_line import command
from stability.runs.processors import processors

__all__ = ["Benchmark", "commands", "main"]

Work = Literal["edm", "two_moons", "eight_gaussians", "start of deep.retrain", "start of toy.run"]
COMPANY = {"alone": 0, "one neighbour": 1}
"""Busy processes beside the run."""


@dataclass(frozen=True)
class Benchmark:
    """Time commands of two checkouts."""

    before: Annotated[Path, tyro.conf.Positional]
    """Folder of the earlier checkout."""
    work: tuple[Work, ...] = get_args(Work)
    """Commands, shorter than by default: an image loop, two moons, eight Gaussians, and the start
    of two commands up to their help."""
    rounds: int = 3
    """Times that everything is measured, in turn; medians are printed."""

    def __post_init__(self) -> None:
        require_at_least_one(self)
        if not (self.before / "pyproject.toml").is_file():
            raise ValueError(f"{self.before} is no checkout of this project")


def commands(folder: Path) -> dict[Work, list[str]]:
    """List the commands; both checkouts know all of their options.

    Args:
        folder: New folder for what they write.

    Returns:
        Words after `python -m`, by name.
    """
    out = ["--out", str(folder / "run")]
    images = ["--first-images", "8000", "--images-per-retraining", "4000", "--lambda", "1"]
    return {
        "edm": [
            *("deep.retrain", "edm", "--retrainings", "1", *images),
            *("--cache", str(folder / "cache"), *out),
        ],
        "two_moons": ["toy.two_moons", "--lambda", "0.5", "--retrainings", "5", *out],
        "eight_gaussians": ["toy.eight_gaussians", "--quick", "--retrainings", "2", *out],
        "start of deep.retrain": ["deep.retrain", "edm", "--help"],
        "start of toy.run": ["toy.run", "--help"],
    }


def measure(work: Work, checkout: Path, busy: int) -> float:
    """Time one run.

    Args:
        work: Command.
        checkout: Folder whose code runs.
        busy: Busy processes beside it.

    Returns:
        Wall time in seconds.

    Raises:
        SystemExit: If the command fails.
    """
    environment = os.environ | {"PYTHONPATH": str(checkout)}
    with tempfile.TemporaryDirectory() as folder, neighbours(busy, None):
        words = [sys.executable, "-m", *commands(Path(folder))[work]]
        start = time.perf_counter()
        done = subprocess.run(
            words, cwd=checkout, env=environment, capture_output=True, check=False
        )
        seconds = time.perf_counter() - start
    if done.returncode:
        raise SystemExit(f"{work} fails in {checkout}: {done.stderr.decode()[-300:]}")
    return seconds


def main(config: Benchmark) -> None:
    """Measure and print.

    Args:
        config: The options.
    """
    print(f"{processors()} processors, {config.rounds} rounds, load {os.getloadavg()[0]:.1f}")
    print(f"{'wall time, s':24}{'':15}{'before':>8}{'now':>8}{'now / before':>14}{'range':>14}")
    for work in config.work:
        for company, pairs in _in_turn(work, config):
            before, now = zip(*pairs, strict=True)
            ratios = [new / old for old, new in pairs]
            spread = f"{min(ratios):.2f} … {max(ratios):.2f}"
            print(
                f"{work:24}{company:15}{median(before):8.1f}{median(now):8.1f}"
                f"{median(ratios):14.2f}{spread:>14}",
                flush=True,
            )


def _in_turn(work: Work, config: Benchmark) -> Iterator[tuple[str, list[tuple[float, float]]]]:
    """Company, and seconds before and now of each round."""
    checkouts = config.before.resolve(), Path(__file__).resolve().parents[1]
    for checkout in checkouts:
        measure(work, checkout, 0)  # compiles

    for company, busy in COMPANY.items():
        pairs = []
        for _ in range(config.rounds):
            old, new = (measure(work, checkout, busy) for checkout in checkouts)
            pairs.append((old, new))
        yield company, pairs


if __name__ == "__main__":
    command(Benchmark, main)
