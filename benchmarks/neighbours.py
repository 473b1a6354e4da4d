"""Cost of a neighbour: runs beside busy processes, against their fair share: python -m
benchmarks.neighbours

Each command runs alone, beside processes that never wait (one a processor), beside a second run
like itself, and in a control group that is limited to 1.5 processors; in turn, in one run. The fair
share of two processors, one of which has a neighbour, is 1.5 of them: 1.33 times the time alone.
Threads that spin while they wait for one another keep their processor from the thread that they
wait for, and can take ten times as long.

With --apart all of it is in a control group of its own with a large weight (root, Linux), so that
what else the machine does hardly counts. It then has to wait.
"""

import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Literal

from benchmarks.at_least_one import require_at_least_one
from stability.runs.command_line import command
from stability.runs.processors import processors

Waiting = Literal["ours", "spinning", "passive"]
WAITING: dict[Waiting, dict[str, str]] = {  # what the environment says before the run starts
    "ours": {},
    "spinning": {"GOMP_SPINCOUNT": "300000"},  # GNU OpenMP's own default
    "passive": {"OMP_WAIT_POLICY": "PASSIVE"},
}
HEAVY = 2**18  # shares of a control group of version 1, where 1024 are usual
HEAVY_2 = 10_000  # weight in version 2, where 100 is usual
PERIOD = 100_000  # microseconds


@dataclass(frozen=True)
class Benchmark:
    """Time commands beside neighbours."""

    commands: tuple[Literal["two_moons", "edm"], ...] = ("two_moons", "edm")
    """A 2-D run, a small image round."""
    waiting: tuple[Waiting, ...] = ("ours", "spinning", "passive")
    """Waiting of threads: as this project sets it, as GNU OpenMP does by itself, not spinning at
    all."""
    rounds: int = 3
    """Times that everything is measured, in turn; medians are printed."""
    size: int = 4
    """Multiple of the smallest amount of work."""
    threads: int = 2
    """Processor threads of a run."""
    apart: bool = False
    """In a control group with a large weight."""

    def __post_init__(self) -> None:
        require_at_least_one(self)


@dataclass(frozen=True)
class Scenario:
    """Company that a run has.

    Attributes:
        name: Row of the table.
        neighbours: Busy processes, each on a processor of its own.
        runs: Runs like ours, ours included.
        limit: Processors of the control group; None: no limit.
    """

    name: str
    neighbours: int = 0
    runs: int = 1
    limit: float | None = None

    def fair(self, ours: int) -> float:
        """Time of a run over its time alone, at the fair share of the processors.

        Args:
            ours: Number of processors.

        Returns:
            The ratio, >= 1.
        """
        if self.limit is not None:
            return max(1.0, ours / self.limit)
        return ours / (ours - self.neighbours / 2) * self.runs


SCENARIOS = (
    Scenario("alone"),
    Scenario("one neighbour", neighbours=1),
    Scenario("two neighbours", neighbours=2),
    Scenario("a second run", runs=2),
    Scenario("a limit of 1.5", limit=1.5),
)


class ControlGroup:
    """A control group of processor time, of version 1 or 2, until the end of a block.

    Raises:
        OSError: If it cannot be made.
    """

    def __init__(
        self, within: "ControlGroup | None" = None, limit: float | None = None, heavy: bool = False
    ) -> None:
        first = Path("/sys/fs/cgroup/cpu")
        root = first if first.is_dir() else Path("/sys/fs/cgroup")
        self.path = (within.path if within else root) / f"neighbours-{os.getpid()}-{limit or 'all'}"
        self._limit, self._heavy, self._version = limit, heavy, 1 if root == first else 2

    def __enter__(self) -> "ControlGroup":
        self.path.mkdir()
        try:
            self._set()
        except OSError:
            self.path.rmdir()
            raise
        return self

    def _set(self) -> None:
        quota = int((self._limit or 0) * PERIOD)
        if self._version == 1:
            if self._heavy:
                (self.path / "cpu.shares").write_text(str(HEAVY), encoding="utf-8")
            if self._limit:
                (self.path / "cpu.cfs_period_us").write_text(str(PERIOD), encoding="utf-8")
                (self.path / "cpu.cfs_quota_us").write_text(str(quota), encoding="utf-8")
        else:
            if self._heavy:
                (self.path / "cpu.weight").write_text(str(HEAVY_2), encoding="utf-8")
            if self._limit:
                (self.path / "cpu.max").write_text(f"{quota} {PERIOD}", encoding="utf-8")

    def __exit__(self, *exception: object) -> None:
        for _ in range(100):  # until those that ended have left it
            with suppress(OSError):
                self.path.rmdir()
                return
            time.sleep(0.05)

    def program(self, words: Sequence[str]) -> list[str]:
        """Wrap a program, so that it starts in the group.

        Args:
            words: Its command line.

        Returns:
            The command line that starts it there.
        """
        return ["sh", "-c", f'echo $$ > "{self.path}/cgroup.procs" && exec "$@"', "sh", *words]


def program(name: str, config: Benchmark, out: Path) -> list[str]:
    """Command line of a run, most of whose work is in steps that all threads take part in.

    Args:
        name: `two_moons` or `edm`.
        config: Amount of work, and threads.
        out: Folder of the run.

    Returns:
        Its words.
    """
    threads = ["--threads", str(config.threads), "--device", "cpu", "--out", str(out)]
    if name == "two_moons":
        work = [
            "--lambda",
            "0.5",
            "--retrainings",
            "1",
            "--samples",
            "300",
            "--epochs",
            str(25 * config.size),
        ]
        return [sys.executable, "-m", "toy.two_moons", *work, *threads]
    work = ["--batch", "16", "--images", str(400 * config.size), "--samples", "4", "--steps", "2"]
    return [sys.executable, "-m", "deep.train", "edm", *work, *threads]


@contextmanager
def neighbours(count: int, group: ControlGroup | None) -> Iterator[None]:
    """Keep processors busy within the block, the i-th process on our i-th processor.

    Args:
        count: Number of processes.
        group: Control group that they start in; None: ours.

    Yields:
        Nothing, once they have started.
    """
    ours = sorted(os.sched_getaffinity(0))
    code = "import os, sys; os.sched_setaffinity(0, [int(sys.argv[1])])\nwhile True: pass"
    started = []
    for i in range(count):
        words = [sys.executable, "-c", code, str(ours[i % len(ours)])]
        started.append(subprocess.Popen(group.program(words) if group else words))
    try:
        yield
    finally:
        for one in started:
            one.kill()
            one.wait()


def measure(
    name: str, scenario: Scenario, waiting: Waiting, config: Benchmark, apart: ControlGroup | None
) -> "Cost":
    """Time a run in company.

    Args:
        name: `two_moons` or `edm`.
        scenario: The company.
        waiting: How threads wait for one another.
        config: The options.
        apart: Control group of all of it; None: ours.

    Returns:
        Seconds until all runs end, and processor seconds of each.

    Raises:
        SystemExit: If a run fails.
    """
    unset = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "OMP_NUM_THREADS")
    environment = {key: value for key, value in os.environ.items() if key not in unset} | WAITING[
        waiting
    ]
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        group = apart
        if scenario.limit is not None:
            group = stack.enter_context(ControlGroup(apart, scenario.limit))
        stack.enter_context(neighbours(scenario.neighbours, apart))

        before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        runs = []
        for i in range(scenario.runs):
            words = program(name, config, folder / str(i))
            runs.append(
                subprocess.Popen(
                    group.program(words) if group else words,
                    env=environment,
                    stdout=subprocess.DEVNULL,
                )
            )
        if max(run.wait() for run in runs):
            raise SystemExit(f"{name} failed")
        seconds, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    return Cost(
        seconds,
        (after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime) / scenario.runs,
    )


@dataclass(frozen=True)
class Cost:
    """Cost of a run.

    Attributes:
        seconds: Wall time in seconds.
        cpu: Processor time in seconds, user and system.
    """

    seconds: float
    cpu: float


def main(config: Benchmark) -> None:
    """Measure and print.

    Args:
        config: The options.
    """
    ours = processors()
    print(
        f"{ours} processors, {config.threads} threads, {config.rounds} rounds, load "
        f"{os.getloadavg()[0]:.1f}"
    )

    with ExitStack() as stack:
        apart = stack.enter_context(ControlGroup(heavy=True)) if config.apart else None
        for name in config.commands:
            numbers = f"{'s':>8}{'cpu s':>8}{'/ alone':>9}{'fair':>7}{'/ fair':>8}{'range':>14}"
            print(f"{name:28}{'waiting':>10}{numbers}")
            measure(name, SCENARIOS[0], "ours", config, apart)  # compiles
            costs: dict[tuple[Waiting, Scenario], list[Cost]] = {}
            for _ in range(config.rounds):
                for scenario in SCENARIOS:
                    for waiting in config.waiting:
                        try:
                            cost = measure(name, scenario, waiting, config, apart)
                        except OSError as error:
                            print(
                                f"{name}, {scenario.name}: skipped, no control group can be made "
                                f"({error})"
                            )
                            break
                        costs.setdefault((waiting, scenario), []).append(cost)
            report(costs, ours)


def report(costs: dict[tuple[Waiting, Scenario], list[Cost]], ours: int) -> None:
    """Print a line a scenario and way of waiting.

    Ratios are to the same way of waiting alone, in the same round.

    Args:
        costs: Costs of each round, by way of waiting and scenario.
        ours: Number of processors.
    """
    for (waiting, scenario), found in costs.items():
        alone = costs[waiting, SCENARIOS[0]]
        ratios = [one.seconds / two.seconds for one, two in zip(found, alone, strict=False)]
        fair = scenario.fair(ours)
        seconds, cpu = median(one.seconds for one in found), median(one.cpu for one in found)
        low, high = min(ratios) / fair, max(ratios) / fair
        print(
            f"{'':11}{scenario.name:17}{waiting:>10}{seconds:8.1f}{cpu:8.1f}{median(ratios):9.2f}{fair:7.2f}"
            f"{median(ratios) / fair:8.2f}{f'{low:.2f} … {high:.2f}':>14}"
        )


if __name__ == "__main__":
    command(Benchmark, main)
