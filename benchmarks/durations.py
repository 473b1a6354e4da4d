"""Durations of the documentation's main commands, measured: python -m benchmarks.durations

It runs each command in a folder of its own, with one thread, and writes docs/durations.md, the one
table of durations. The same numbers are filled in where a page has a mark:

    <!-- takes: python -m stability -->…<!-- end -->

Processor time is what other work on the machine hardly changes; it is the wall time of one core
that is free. With `--only` other rows stay as they are.
"""

import os
import re
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from stability.runs.atomic import atomic_write
from stability.runs.command_line import UsageError, command
from stability.runs.console import make_console

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "durations.md"
COMMANDS = (
    "python -m stability.planning plan --real 1000 --regime mix --tolerate 10%",
    "python -m stability theorem1 --family student_t --lambda 0.05 0.2 1",
    "python -m toy.two_moons --lambda 0.5",
    "python -m toy.two_moons --regime fresh --lambda 1",
    "python -m deep.train edm",
    "python -m stability",
)
MARK = re.compile(r"<!-- takes: ([^>]*?) -->(.*?)<!-- end -->")
ROW = re.compile(r"^\| `([^`]+)` \| ([\d.]+) \| ([\d.]+) \|$", re.MULTILINE)
HEAD = """# How long commands take

The one place where durations of the documentation's main commands stand; other pages repeat them by
machine. Written by `python -m benchmarks.durations`, on {machine},
with one thread (`OMP_NUM_THREADS=1`) and machine code compiled before.

*Processor time* adds up all processes of a command. It is the time that one free core takes; two
cores take down to half of it. *Wall time* was measured beside other work on the machine where it is
longer than the processor time.

| command | processor time, s | wall time, s |
|---|---|---|
"""


@dataclass(frozen=True)
class Benchmark:
    """Measure how long the commands of the documentation take, and write it into its pages."""

    only: tuple[str, ...] = ()
    """Measure the commands that contain one of these words alone; other rows stay. A word that ends
    with = is a whole command."""
    fill_in: bool = False
    """Measure nothing: repeat the table's numbers where pages have a mark."""


@dataclass(frozen=True)
class Duration:
    """Time that a command took.

    Attributes:
        processor: Seconds of all its processes together.
        wall: Seconds from start to end.
    """

    processor: float
    wall: float

    @property
    def words(self) -> str:
        """The processor time for a reader: two digits."""
        seconds = self.processor
        if seconds < 100:
            return f"{float(f'{seconds:.2g}'):g} s of one core"
        return f"{float(f'{seconds / 60:.2g}'):g} min of one core"


def main(config: Benchmark) -> None:
    """Measure, write the table, and fill in the pages.

    Args:
        config: Options of the command.

    Raises:
        UsageError: If no command contains a word of `--only`.
    """
    chosen = [
        each
        for each in COMMANDS
        if not config.fill_in
        and (not config.only or any(word in f"{each}=" for word in config.only))
    ]
    if not (chosen or config.fill_in):
        raise UsageError(f"--only must be in one of the commands: {'; '.join(COMMANDS)}")

    console = make_console()
    for each in chosen:
        found = measured(each)
        console.print(f"{each}: {found.words}, {found.wall:.0f} s of wall time")
        known = read_table(PAGE.read_text(encoding="utf-8")) if PAGE.exists() else {}
        _write(PAGE, table({**known, each: found}))

    known = read_table(PAGE.read_text(encoding="utf-8"))
    _write(PAGE, table(known))
    for page in pages():
        text = page.read_text(encoding="utf-8")
        if (new := filled_in(text, known)) != text:
            _write(page, new)


def measured(line: str) -> Duration:
    """Run a command in a new folder.

    Args:
        line: The command, which begins with "python".

    Returns:
        How long it took.

    Raises:
        UsageError: If it fails.
    """
    import resource  # POSIX alone

    with tempfile.TemporaryDirectory() as folder:
        before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
        done = subprocess.run(
            [sys.executable, *shlex.split(line)[1:]],
            cwd=folder,
            env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)},
            stdout=subprocess.DEVNULL,
            check=False,
        )
        wall, after = time.monotonic() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise UsageError(f"{line} ended with status {done.returncode}")
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Duration(used, wall)


def table(known: Mapping[str, Duration]) -> str:
    """Write the page.

    Args:
        known: Duration of each command.

    Returns:
        Markdown; commands that are not in `COMMANDS` are left out.
    """
    rows = (
        f"| `{each}` | {known[each].processor:.1f} | {known[each].wall:.1f} |\n"
        for each in COMMANDS
        if each in known
    )
    return HEAD.format(machine=_machine()) + "".join(rows)


def read_table(text: str) -> dict[str, Duration]:
    """Read the page.

    Args:
        text: As `table` writes it.

    Returns:
        Duration of each command.
    """
    return {
        line: Duration(float(processor), float(wall)) for line, processor, wall in ROW.findall(text)
    }


def filled_in(text: str, known: Mapping[str, Duration]) -> str:
    """Repeat durations where a page has a mark.

    Args:
        text: Of the page.
        known: Duration of each command.

    Returns:
        The page; marks of commands that are not known stay as they are.
    """

    def words(found: re.Match[str]) -> str:
        line = found[1]
        return (
            f"<!-- takes: {line} -->{known[line].words}<!-- end -->" if line in known else found[0]
        )

    return MARK.sub(words, text)


def pages() -> Sequence[Path]:
    """README and the pages of the documentation, without the table itself."""
    found = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    return [page for page in found if page != PAGE]


def _machine() -> str:
    info = Path("/proc/cpuinfo")
    text = info.read_text(encoding="utf-8") if info.exists() else ""
    names = re.findall(r"model name\s*: (.*)", text)
    return f"{names[0] if names else 'a processor'} with {os.cpu_count()} cores"


def _write(page: Path, text: str) -> None:
    with atomic_write(page) as file:
        file.write(text.encode())


if __name__ == "__main__":
    command(Benchmark, main)
