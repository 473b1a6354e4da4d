"""A grid of runs on this machine or on a Ray cluster: each is a program of its own in a folder of
its own, from which it resumes after whatever killed it.

Ray decides where and when. Nothing is kept in the process that calls `run_grid`: kill it, start it
again, and it resumes the unfinished runs.
"""

import importlib.util
import json
import math
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import filelock
from rich.box import SIMPLE_HEAD
from rich.live import Live
from rich.table import Table

from stability.runs.atomic import atomic_write
from stability.runs.attached import ProcessExit
from stability.runs.command_line import EXIT_FAILED, EXIT_USAGE, UsageError
from stability.runs.console import make_console, print_paths
from stability.runs.option_error import OptionError
from stability.runs.processors import processors
from stability.runs.ranges import LARGEST_COUNT, LARGEST_SEED, MOST_SEEDS, require_range
from stability.runs.ray_session import (
    RayLostError,
    RayRefusedError,
    RaySession,
    Resources,
    Task,
    socket_folder,
)
from stability.runs.untrusted import UntrustedFileError, parse_json, read_bytes

__all__ = ["MOST_RUNS", "GridOptions", "GridRun", "run_grid", "split_arguments"]

MOST_RUNS = 10_000
REFRESH_SECONDS = 1.0
REJOIN_SECONDS = 600.0  # for a cluster that was lost to come back
REJOIN_EVERY_SECONDS = 5.0

LOCK, RAY_LOG = ".sweep.lock", ".ray.log"
LARGEST_JSON, LARGEST_HISTORY = 2**24, 2**31  # bytes


@dataclass(frozen=True, kw_only=True)
class GridOptions:
    """Options of a grid: where its runs run; a command adds what they are."""

    seeds: int = 1
    """S: runs a row, with seeds --seed, --seed + 1, ..."""
    seed: int = 0
    """The first seed."""
    gpus_per_run: float = 0
    """GPUs of a run: 0, a fraction (several runs share one), or a whole number; more than 1 are
    started by torchrun."""
    cpus_per_run: float = 1
    """Processor cores that Ray sets aside for a run, which uses as many threads."""
    retries: int = 3
    """Times that a run which was killed is started again without having finished a generation in
    between; so often is a Ray that died started or joined again."""
    address: str | None = None
    """Address of a Ray cluster, host:port, or auto for the one that this machine belongs to. None:
    a Ray of its own."""
    out: Path | None = None
    """Folder of the runs, on a disk that all machines see. Default: runs/sweep-COMMAND-DIGEST."""

    def __post_init__(self) -> None:
        require_range(
            self,
            seeds=(1, LARGEST_COUNT),
            seed=(0, LARGEST_SEED - MOST_SEEDS),
            retries=(0, LARGEST_COUNT),
        )
        if not 0 < self.cpus_per_run < math.inf:
            raise OptionError(f"--cpus-per-run must be finite and > 0, got {self.cpus_per_run}")
        if not 0 <= self.gpus_per_run < math.inf or (
            self.gpus_per_run > 1 and self.gpus_per_run % 1
        ):
            raise OptionError(
                f"--gpus-per-run must be in [0, 1] or a whole number, got {self.gpus_per_run}"
            )


@dataclass
class GridRun:
    """One run of the grid, and what is known of it. arguments: of the Python that runs it."""

    name: str
    folder: Path
    arguments: list[str]
    state: Literal["waiting", "running", "finished", "failed"] = "waiting"
    message: str = ""
    deaths: int = 0
    """Number of times that it died."""
    vain: int = 0
    """Deaths in a row, without a new generation in between."""
    _generations: int = 0
    _log_before: int = 0

    @property
    def log(self) -> Path:
        return self.folder.with_name(f"{self.folder.name}.log")

    @property
    def _mark(self) -> Path:
        return self.folder.with_name(f"{self.folder.name}.finished.json")

    def is_finished(self) -> bool:
        """Return whether this very command has finished in this folder."""
        if not (self._mark.exists() and (self.folder / "config.json").exists()):
            return False
        return _json(self._mark) == {"arguments": self.arguments}

    def submitted(self) -> None:
        self.state, self._log_before = "waiting", self._log_size()

    def look(self) -> None:
        """See whether Ray has started it."""
        if self.state == "waiting" and self._log_size() > self._log_before:
            self.state = "running"

    def ended(self, outcome: ProcessExit, retries: int) -> bool:
        """Take note of an outcome.

        A run that says itself what is wrong, a bad option or a loss that is not finite, would say
        it again. Everything else can pass, from a lost machine to a GPU without memory left, unless
        it happens again and again.

        Args:
            outcome: Exit code and message of the run.
            retries: Most deaths in a row without a new generation after which it is started again.

        Returns:
            Whether to start it again.
        """
        self.message = outcome.message
        if outcome.code == 0:
            self.state, self.message = "finished", ""
            with atomic_write(self._mark) as file:
                file.write(json.dumps({"arguments": self.arguments}).encode())
            return False
        if outcome.code == EXIT_USAGE or (
            outcome.code == EXIT_FAILED and outcome.message.startswith("error: ")
        ):
            self.state = "failed"
            return False
        done = len(self.history())
        self.deaths, self.vain = self.deaths + 1, 1 if done > self._generations else self.vain + 1
        self._generations = max(done, self._generations)
        if self.vain > retries:
            self.state = "failed"
        return self.state != "failed"

    def history(self) -> list[bytes]:
        """The lines that are there, whole or not."""
        try:
            return read_bytes(self.folder / "history.jsonl", LARGEST_HISTORY).splitlines()
        except (UntrustedFileError, OSError):
            return []

    def progress(self) -> str:
        """Generation t of T."""
        lines, found = self.history(), _json(self.folder / "config.json")
        try:
            return f"{len(lines) - 1} of {int(found['config']['retrainings'])}" if lines else "–"
        except (KeyError, TypeError, ValueError):  # nobody's, or damaged: the run itself says so
            return "–"

    def _log_size(self) -> int:
        return self.log.stat().st_size if self.log.exists() else 0


def _json(path: Path) -> Any:
    """Return the JSON value of a file; None if it is not there, or no JSON."""
    try:
        return parse_json(read_bytes(path, LARGEST_JSON))
    except (UntrustedFileError, OSError):
        return None


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """The sweep's folder, for this sweep alone; what is made for one that does not come to start a
    run is removed.

    Raises:
        UsageError: If the folder has anything in it and no sweep was there. filelock.Timeout if one
            is there now.
    """
    lock = folder / LOCK
    if folder.is_dir() and not lock.exists() and any(folder.iterdir()):
        raise UsageError(f"--out: {folder} is not empty and holds no sweep; choose another folder")

    made = [path for path in (folder, *folder.parents) if not path.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    made_lock, ray_log = not lock.exists(), folder / RAY_LOG
    made_log = not ray_log.exists()

    try:
        with filelock.FileLock(lock, timeout=0):
            yield
    except UsageError:  # an option that is refused leaves nothing
        if made_log:
            ray_log.unlink(missing_ok=True)
        raise
    finally:
        if made_lock and [entry.name for entry in folder.iterdir()] == [LOCK]:
            lock.unlink()
            with suppress(OSError):
                for path in made:
                    path.rmdir()


def run_grid(folder: Path, options: GridOptions, runs: Sequence[GridRun]) -> None:
    """Run the unfinished runs, print the results; leaves with status 1 if a run failed, or
    Ray did.

    Args:
        folder: Of the grid; absolute, since Ray's processes are elsewhere.
        options: Where the runs run.
        runs: All runs of the grid.

    Raises:
        UsageError: If the folder cannot be used, Ray is missing, or no machine has room for a run.
    """
    lost = None
    if options.address is None and not all(run.is_finished() for run in runs):
        _require_processors(options.cpus_per_run)
    try:
        with _locked(folder):
            for run in runs:
                if run.is_finished():
                    run.state = "finished"
            if any(run.state != "finished" for run in runs):
                _require_ray()
                _execute(folder, options, runs)
    except RayLostError as error:
        lost = error
    except RayRefusedError as refused:
        raise UsageError(str(refused)) from None
    except filelock.Timeout:
        raise UsageError(f"--out: {folder} is in use by another sweep") from None

    console = make_console()
    console.print(_table(runs))
    failed = [run for run in runs if run.state == "failed"]
    for run in failed:
        console.print(f"{run.name}: {run.message}", soft_wrap=True)
        console.print(f"  {run.log}", soft_wrap=True)
    print_paths(console, [folder])
    if lost:
        make_console(stderr=True).print(f"error: {lost}; the same command resumes", soft_wrap=True)
    if failed or lost:
        raise SystemExit(EXIT_FAILED)


def _require_processors(cpus: float) -> None:
    """UsageError if a Ray of our own will never have room for a run."""
    if cpus > processors():
        raise UsageError(
            f"--cpus-per-run {cpus:g} is more than this machine has for us: "
            f"{processors()} processor cores; ask for fewer, or give the --address of a cluster"
        )


def _require_ray() -> None:
    if importlib.util.find_spec("ray") is None:
        raise UsageError('a sweep needs Ray: pip install "ray[default]>=2.40"')


def _execute(folder: Path, config: GridOptions, runs: Sequence[GridRun]) -> None:
    """Until every run is finished or has failed, with as many Rays, one after another, as that
    takes.

    Raises:
        RayRefusedError: If Ray cannot be started or joined.
        UsageError: If no machine has room for a run.
        RayLostError: If Ray died more often than `--retries` allows, or cannot be joined again.
    """
    restarts, most_done, started = 0, _done(runs), False
    files = nullcontext(Path()) if config.address else socket_folder()

    with files as sockets, _live_table(runs) as refresh:
        while any(run.state in ("waiting", "running") for run in runs):
            try:
                with _session(config, sockets, folder / RAY_LOG, patient=started) as session:
                    if not started:
                        _require_room(session.machines, config)
                    started = True
                    _work_off(session, config, runs, refresh)
            except RayLostError as lost:
                done = _done(runs)
                restarts, most_done = 1 if done > most_done else restarts + 1, max(done, most_done)
                if restarts > config.retries:
                    raise RayLostError(
                        f"{lost}, {restarts} times without a generation in between"
                    ) from None
                again = "started" if config.address is None else "joined"
                warnings.warn(
                    f"Ray died ({lost}); it is {again} again, and the runs go on", stacklevel=2
                )


def _session(config: GridOptions, sockets: Path, log: Path, patient: bool) -> RaySession:
    """Ray, started or joined; a cluster that was lost is waited for if `patient`."""
    each = Resources(config.cpus_per_run, config.gpus_per_run)
    deadline = time.monotonic() + REJOIN_SECONDS
    while True:
        session = RaySession(config.address, each, processors(), sockets, log)
        try:
            session.start()
            return session
        except RayRefusedError as refused:
            if not patient:
                about = (
                    "Ray cannot be started"
                    if config.address is None
                    else f"--address {config.address}"
                )
                raise RayRefusedError(f"{about}: {refused}") from None
            if config.address is None or time.monotonic() > deadline:
                raise RayLostError(str(refused)) from None
        time.sleep(REJOIN_EVERY_SECONDS)


def _require_room(machines: Sequence[Resources], config: GridOptions) -> None:
    needs = Resources(config.cpus_per_run, config.gpus_per_run)
    if any(machine.cpus >= needs.cpus and machine.gpus >= needs.gpus for machine in machines):
        return
    cpus, gpus = (
        max(machine.cpus for machine in machines),
        max(machine.gpus for machine in machines),
    )
    message = (
        f"--cpus-per-run {needs.cpus:g} with --gpus-per-run {needs.gpus:g} is more than a machine "
        "has: "
        f"{cpus:g} processor cores and {gpus:g} GPUs at most"
    )
    if config.address is None:
        raise UsageError(message)
    warnings.warn(f"{message}; waiting for one that has more", stacklevel=2)


def _work_off(
    session: RaySession, config: GridOptions, runs: Sequence[GridRun], refresh: Callable[[], None]
) -> None:
    """Until every run is finished or has failed.

    Who was at work when a Ray was lost is not at fault.
    """
    at_work: dict[str, GridRun] = {}

    def submit(run: GridRun) -> None:
        run.submitted()
        at_work[run.name] = run
        session.submit(
            run.name, Task(run.arguments, str(run.folder), str(run.log), str(Path.cwd()))
        )

    for run in runs:
        if run.state in ("waiting", "running"):
            submit(run)
    while at_work:
        ended = session.ended(timeout=REFRESH_SECONDS)
        if ended:
            run = at_work.pop(ended[0])
            if run.ended(ended[1], config.retries):
                submit(run)
        refresh()


def _done(runs: Sequence[GridRun]) -> int:
    """Generations that all runs have, and runs that have ended."""
    return sum(len(run.history()) + (run.state in ("finished", "failed")) for run in runs)


@contextmanager
def _live_table(runs: Sequence[GridRun]) -> Iterator[Callable[[], None]]:
    """Show on a terminal what is running and what has failed, as of the last call of what this
    yields.
    """
    console = make_console(stderr=True)
    if not console.is_terminal:
        yield lambda: None
        return
    with Live(console=console, auto_refresh=False, transient=True) as live:

        def refresh() -> None:
            for run in runs:
                run.look()
            live.update(
                _table([run for run in runs if run.state in ("running", "failed")], runs),
                refresh=True,
            )

        yield refresh


def _table(shown: Sequence[GridRun], runs: Sequence[GridRun] | None = None) -> Table:
    """A row for each run shown; below, how many of all `runs` are in which state."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for column in ("run", "state", "generation", "died"):
        table.add_column(column, justify="left" if column in ("run", "state") else "right")
    for run in shown:
        table.add_row(run.name, run.state, run.progress(), str(run.deaths))
    counts = Counter(run.state for run in runs or shown)
    table.caption = ", ".join(f"{counts[state]} {state}" for state in counts)
    return table


def split_arguments(arguments: Sequence[str]) -> tuple[list[str], tuple[str, ...]]:
    """Split a command line at --.

    Args:
        arguments: Of the process.

    Returns:
        The command's own arguments, and those after --.
    """
    at = list(arguments).index("--") if "--" in arguments else len(arguments)
    return list(arguments[:at]), tuple(arguments[at + 1 :])
