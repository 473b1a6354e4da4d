"""A grid of runs over λ and seeds, on this machine or on a Ray cluster: python -m deep.sweep edm
--lambda 0 0.5 1

See `stability.runs.grid` for what becomes of runs that die; `python -m stability.sweep` is the same
for studies.
"""

import hashlib
import json
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Literal

import tyro

from stability.runs.command_line import UsageError, command
from stability.runs.grid import MOST_RUNS, GridOptions, GridRun, run_grid, split_arguments
from stability.runs.option_error import OptionError

__all__ = ["Sweep", "main"]

IMAGE_MODELS = ("edm", "ddpm", "otcfm")
# not for the user to hand on
OF_THE_SWEEP = ("--lambda", "--fully-synthetic", "--seed", "--out", "--overwrite")


@dataclass(frozen=True)
class Sweep(GridOptions):
    """Run a grid of λ and seeds, one folder a run, on this machine or on a Ray cluster.

    A run that was killed, or whose machine was lost, starts again and resumes where it was.
    Finished ones are skipped; one that fails does not stop the others. Options after -- are handed
    to every run: python -m deep.sweep edm --lambda 0 0.5 1 --fully-synthetic --seeds 3 --
    --retrainings 20
    """

    command: tyro.conf.Positional[
        Literal["edm", "ddpm", "otcfm", "two_moons", "eight_gaussians", "run"]
    ]
    """python -m deep.retrain of an image model (edm, ddpm, otcfm), or python -m toy.NAME."""
    lam: Annotated[tuple[float, ...], tyro.conf.arg(name="lambda", metavar="λ [λ ...]")] = ()
    """Synthetic points per real point; one or more values, each a run a seed."""
    fully_synthetic: bool = False
    """Add a run a seed without real data."""
    options: tyro.conf.Fixed[tyro.conf.Suppress[tuple[str, ...]]] = ()
    """The words after --."""

    def __post_init__(self) -> None:
        if not self.lam and not self.fully_synthetic:
            raise OptionError(
                "--lambda must have a value, or give --fully-synthetic: there is nothing to run"
            )

        for lam in self.lam:
            if not (math.isfinite(lam) and lam >= 0):
                raise OptionError(
                    f"--lambda must be finite and >= 0, got {lam:g} (no real data: "
                    "--fully-synthetic)"
                )

        if len(set(self.lam)) < len(self.lam):
            raise OptionError(
                f"--lambda must not repeat a value, got {' '.join(f'{lam:g}' for lam in self.lam)}"
            )

        super().__post_init__()
        rows = len(self.lam) + self.fully_synthetic
        if self.seeds * rows > MOST_RUNS:
            raise OptionError(
                f"--seeds {self.seeds} for {rows} rows are {self.seeds * rows:.4g} runs; "
                f"a sweep has at most {MOST_RUNS:,}"
            )
        if self.gpus_per_run > 1 and self.command not in IMAGE_MODELS:
            raise OptionError(
                f"--gpus-per-run must be at most 1 for {self.command}, got {self.gpus_per_run:g}"
            )

        for option in self.options:
            name = option.split("=")[0].replace("_", "-")
            if name in OF_THE_SWEEP:
                raise UsageError(
                    f"{name} must not stand after --: the sweep decides it for each run"
                )

    @property
    def folder(self) -> Path:
        """Folder of the runs; absolute, since Ray's processes are elsewhere."""
        digest = hashlib.sha256(json.dumps([self.command, *self.options]).encode()).hexdigest()[:8]
        return (self.out or Path("runs") / f"sweep-{self.command}-{digest}").absolute()

    def runs(self) -> "list[GridRun]":
        """The grid, seed by seed, so that every row has something to show early."""
        rows = [
            (f"lambda-{str(lam).removesuffix('.0')}", ["--lambda", str(lam)]) for lam in self.lam
        ]
        if self.fully_synthetic:
            rows.append(("fully-synthetic", ["--fully-synthetic"]))
        runs = []
        for seed in range(self.seed, self.seed + self.seeds):
            for row, regime in rows:
                folder = self.folder / row / f"seed-{seed}"
                runs.append(
                    GridRun(f"{row}/seed-{seed}", folder, self._arguments(regime, seed, folder))
                )
        return runs

    def _arguments(self, regime: Sequence[str], seed: int, folder: Path) -> list[str]:
        processes = max(1, int(self.gpus_per_run))
        program = (
            ["deep.retrain", self.command]
            if self.command in IMAGE_MODELS
            else [f"toy.{self.command}"]
        )
        if processes > 1:
            program = [
                "torch.distributed.run",
                "--standalone",
                "--nproc-per-node",
                str(processes),
                "-m",
                *program,
            ]

        chosen = [*regime, "--seed", str(seed), "--out", str(folder)]
        defaults = {"--threads": str(max(1, int(self.cpus_per_run) // processes))}
        if not self.gpus_per_run:
            defaults["--device"] = "cpu"  # Ray does not hide GPUs from those who asked for none

        given = {option.split("=")[0] for option in self.options}
        for name, value in defaults.items():
            chosen += [] if name in given else [name, value]

        return ["-m", *program, *chosen, *self.options]


def main(config: Sweep) -> None:
    """Run the unfinished runs, and print the results.

    Leaves with status 1 if a run failed, or Ray did.

    Args:
        config: Options of the command.
    """
    run_grid(config.folder, config, config.runs())


if __name__ == "__main__":
    own, handed_on = split_arguments(sys.argv[1:])
    command(Sweep, lambda config: main(replace(config, options=handed_on)), own)
