"""A study in a user's file, run whole: retraining run study.py"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import tyro

from stability.runs.closing import closing
from stability.runs.console import make_console
from stability.runs.option_error import OptionError
from stability.runs.ranges import MOST_THREADS, require_range
from stability.runs.study_script import load_study
from stability.runs.tables import print_result

__all__ = ["RunStudy", "main"]


@dataclass(frozen=True)
class RunStudy:
    """Run the study that a Python file makes, or finish it; prints tables and writes its page.

    The file makes a Study named `study`, and runs it only below `if __name__ == "__main__":`.
    """

    file: tyro.conf.Positional[Path]
    """Python file with the study."""
    out: Path | None = None
    """Folder of the run, in place of the study's own."""
    seeds: int | None = None
    """Repeats of each row, in place of the study's own."""
    generations: int | None = None
    """Retrainings, in place of the study's own."""
    overwrite: bool = False
    """Remove the run found in the folder and start again."""
    threads: int = 0
    """Processor threads to use; 0: one for each processor that is ours."""

    quiet: bool = False
    """Print the paths of the written files and nothing else."""

    def __post_init__(self) -> None:
        require_range(self, threads=(0, MOST_THREADS))
        for name, least in (("seeds", 1), ("generations", 0)):
            value = getattr(self, name)
            if value is not None and value < least:
                raise OptionError(f"--{name} must be >= {least}, got {value}")


def main(config: RunStudy) -> None:
    """Run the study, print the results, and write the page.

    Args:
        config: File of the study, and the options that replace its own.
    """
    chosen: dict[str, Any] = {
        "out": config.out,
        "seeds": config.seeds,
        "generations": config.generations,
    }
    given = {name: value for name, value in chosen.items() if value is not None}
    console = make_console(quiet=config.quiet)
    study = load_study(config.file)
    place = {
        "overwrite": config.overwrite,
        "threads": config.threads,
        "say": lambda words: console.print(words, soft_wrap=True),
        "lines": not console.is_terminal,
        "progress": not config.quiet,
        "finish": closing(study.name, config.quiet, print_result, lambda result: ()),
    }
    replace(study, **given, **place).run()
