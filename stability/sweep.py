"""A study as a grid of runs, on this machine or a Ray cluster: python -m stability.sweep study.py
--seeds 8

Each regime and seed of the study is a run of its own; `stability.runs.grid` says what becomes of
runs that die. `python -m deep.sweep` is the same for image models.
"""

import re
from dataclasses import dataclass
from pathlib import Path

import tyro

from stability.runs.command_line import command
from stability.runs.grid import MOST_RUNS, GridOptions, GridRun, run_grid
from stability.runs.option_error import OptionError
from stability.runs.study import Study
from stability.runs.study_script import load_study, one_run, rows_of

__all__ = ["StudySweep", "grid", "main"]


@dataclass(frozen=True)
class StudySweep(GridOptions):
    """Run each regime and seed of a study in a folder of its own, on this machine or on Ray.

    The file makes a Study named `study`, and runs it only below `if __name__ == "__main__":`. Its
    own `seed`, `seeds` and `out` are replaced by those of the sweep.
    """

    file: tyro.conf.Positional[Path]
    """Python file with the study, on a disk that all machines see."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.gpus_per_run > 1:
            raise OptionError(
                f"--gpus-per-run must be at most 1 for a study, got {self.gpus_per_run:g}"
            )

    @property
    def folder(self) -> Path:
        """Folder of the runs; absolute, since Ray's processes are elsewhere."""
        return (self.out or Path("runs") / f"sweep-{self.file.stem}").absolute()


def row_name(words: str) -> str:
    """Name of a row's folder: `λ = 0.5` is `lambda-0.5`.

    Args:
        words: Of the regime and labels.

    Returns:
        Letters, digits, dots and hyphens.
    """
    return re.sub(r"[^A-Za-z0-9.]+", "-", words.replace("λ", "lambda")).strip("-.") or "row"


def grid(config: StudySweep, study: Study) -> list[GridRun]:
    """List the runs, seed by seed, so that every row has something to show early.

    Args:
        config: The sweep.
        study: Of its file.

    Returns:
        One run a row and seed.

    Raises:
        OptionError: If there are too many.
        UsageError: If the study's learner cannot be made for one chain.
    """
    names: list[str] = []
    for i, (regime, labels) in enumerate(rows_of(study)):
        one_run(study, i, config.seed)  # refuses what no run could do
        name = row_name(", ".join([str(regime), *labels.values()]))
        names.append(f"{name}-{i}" if name in names else name)
    if config.seeds * len(names) > MOST_RUNS:
        raise OptionError(
            f"--seeds {config.seeds} for {len(names)} rows are {config.seeds * len(names):.4g} "
            f"runs; a sweep has at most {MOST_RUNS:,}"
        )
    runs = []
    for seed in range(config.seed, config.seed + config.seeds):
        for i, name in enumerate(names):
            folder = config.folder / name / f"seed-{seed}"
            own = ["--row", str(i), "--seed", str(seed), "--out", str(folder)]
            place = ["--threads", str(max(1, int(config.cpus_per_run)))]
            # Ray does not hide GPUs from those who asked for none
            place += [] if config.gpus_per_run else ["--device", "cpu"]
            program = ["-m", "stability.runs.study_script", str(config.file.absolute())]
            runs.append(GridRun(f"{name}/seed-{seed}", folder, [*program, *own, *place]))
    return runs


def main(config: StudySweep) -> None:
    """Run the unfinished runs, and print the results.

    Args:
        config: File of the study, and the options of the grid.

    Raises:
        SystemExit: With status 1 if a run failed, or Ray did.
    """
    run_grid(config.folder, config, grid(config, load_study(config.file)))


if __name__ == "__main__":
    command(StudySweep, main)
