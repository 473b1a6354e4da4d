"""A user's Python file that makes a study, and one of its rows as a program of its own.

    study = Study(learner=…, real=…, regimes=[…], …)

    if __name__ == "__main__":
        study.run()

`python study.py` runs all of it. A sweep runs each row and seed as
`python -m stability.runs.study_script study.py --row 0 --seed 3 --out FOLDER`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import tyro

from stability.loop.regimes import Regime
from stability.runs.command_line import UsageError, command
from stability.runs.console import make_console, print_paths
from stability.runs.devices import Device, require_device
from stability.runs.option_error import OptionError
from stability.runs.ranges import LARGEST_SEED, MOST_THREADS, require_range
from stability.runs.study import Study
from stability.runs.user_code import run_file

__all__ = ["StudyPart", "load_study", "main", "one_run"]

NAME = "study"
"""Name of the study in the file."""


@dataclass(frozen=True)
class StudyPart:
    """Run one row of a study with one seed."""

    file: tyro.conf.Positional[Path]
    """Python file that makes a Study named `study`."""
    row: int
    """Place of its regime, counted from 0."""
    seed: int
    """Determines every random draw of the run, in place of the study's own seed."""
    out: Path
    """Folder of the run."""
    threads: int = 1
    """Processor threads to use."""
    device: Device = "auto"
    """Device of the networks; auto: a CUDA GPU if there is one. mps: the GPU of a Mac."""

    def __post_init__(self) -> None:
        require_range(self, seed=(0, LARGEST_SEED), threads=(0, MOST_THREADS))
        require_device(self.device)
        if self.row < 0:
            raise OptionError(f"--row must be >= 0, got {self.row}")


def load_study(file: Path) -> Study:
    """Run a user's file, as `import` does, and take its study.

    Args:
        file: Python file with a `Study` named `study`.

    Returns:
        The study.

    Raises:
        UserCodeError: If there is no such file, or it fails.
        UsageError: If it makes no study of that name.
    """
    study = getattr(run_file(file, f"{NAME}_script"), NAME, None)
    if not isinstance(study, Study):
        found = "nothing of that name" if study is None else type(study).__name__
        raise UsageError(
            f"{file} must make a Study named `{NAME}` (and run it below "
            f'`if __name__ == "__main__":`), got {found}'
        )
    return study


def rows_of(study: Study) -> list[tuple[Regime, Mapping[str, str]]]:
    """List the rows of a study.

    Args:
        study: The study.

    Returns:
        Regime and labels of each.
    """
    labels = study.labels or [{} for _ in study.regimes]
    return list(zip(study.regimes, labels, strict=True))


def one_run(study: Study, row: int, seed: int, **place: Any) -> Study:
    """Take one row of a study, with one seed.

    Args:
        study: The study.
        row: Which of its regimes.
        seed: In place of the study's own.
        place: Other fields to replace, such as `out`.

    Returns:
        A study of one chain.

    Raises:
        UsageError: If there is no such row, or the learner is made for the chains of the whole
            study.
    """
    rows = rows_of(study)
    if not 0 <= row < len(rows):
        raise UsageError(f"--row must be in [0, {len(rows)}), got {row}")
    if hasattr(study.learner, "fit") and not isinstance(study.learner, type):
        raise UsageError(
            "learner must be a function of the number of chains, as of from_estimator, to run rows "
            f"one by one; got one of {getattr(study.learner, 'chains', '?')} chains"
        )
    regime, labels = rows[row]
    return replace(study, regimes=[regime], labels=[labels], seeds=1, seed=seed, **place)


def main(config: StudyPart) -> None:
    """Run one part of a study, or finish it.

    Args:
        config: File of the study, row and seed of the part, and its place.
    """
    study = load_study(config.file)
    part = one_run(
        study,
        config.row,
        config.seed,
        out=config.out,
        threads=config.threads,
        device=config.device,
        progress=False,
    )
    print_paths(make_console(), [part.run().folder])


if __name__ == "__main__":
    command(StudyPart, main)
