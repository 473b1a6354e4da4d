"""A grid of runs over λ and seeds, on this machine or on a Ray cluster: python -m deep.sweep edm --lambda 0 0.5 1

Each run is a program of its own in a folder of its own, from which it goes on after whatever killed it; Ray decides
where and when. Nothing is kept in this process: kill it, start it again, and it goes on with what is not finished.
"""

import hashlib
import json
import logging
import math
import os
import secrets
import socket
import sys
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import filelock
import tyro
from rich.box import SIMPLE_HEAD
from rich.live import Live
from rich.table import Table

from deep.attached import Outcome, run_attached
from stability.atomic import atomic_write
from stability.command_line import EXIT_FAILED, EXIT_USAGE, UsageError, command
from stability.console import make_console, print_paths

__all__ = ["Sweep", "main"]

IMAGE_MODELS = ("edm", "ddpm", "otcfm")
OF_THE_SWEEP = ("--lambda", "--fully-synthetic", "--seed", "--out", "--overwrite")  # not for the user to hand on
REFRESH_SECONDS = 1.0
ANSWER_SECONDS = 10.0
QUIET = logging.ERROR
OBJECT_STORE = 100 * 2**20  # bytes; what passes through Ray are short strings


@dataclass(frozen=True)
class Sweep:
    """Run a grid of λ and seeds, one folder a run, on this machine or on a Ray cluster.

    A run that was killed, or whose machine was lost, starts again and goes on where it was. Finished ones are skipped;
    one that fails does not stop the others. Options after -- are handed to every run:
    python -m deep.sweep edm --lambda 0 0.5 1 --fully-synthetic --seeds 3 -- --retrainings 20
    """

    command: tyro.conf.Positional[Literal["edm", "ddpm", "otcfm", "two_moons", "eight_gaussians", "run"]]
    """python -m deep.retrain of an image model (edm, ddpm, otcfm), or python -m toy.NAME."""
    lam: Annotated[tuple[float, ...], tyro.conf.arg(name="lambda", metavar="λ [λ ...]")] = ()
    """Synthetic points per real point; one or more values, each a run a seed."""
    fully_synthetic: bool = False
    """Add a run a seed without real data."""
    seeds: int = 1
    """S: runs a row, with seeds --seed, --seed + 1, ..."""
    seed: int = 0
    """The first seed."""
    gpus_per_run: float = 0
    """GPUs of a run: 0, a fraction (several runs share one), or a whole number; more than 1 are started by torchrun."""
    cpus_per_run: float = 1
    """Processor cores that Ray sets aside for a run, which uses as many threads."""
    retries: int = 3
    """Times that a run which was killed is started again without having finished a generation in between."""
    address: str | None = None
    """Of a Ray cluster, host:port, or auto for the one that this machine belongs to. None: a Ray of its own."""
    out: Path | None = None
    """Folder of the runs, on a disk that all machines see. Default: runs/sweep-COMMAND-DIGEST."""
    options: tyro.conf.Fixed[tyro.conf.Suppress[tuple[str, ...]]] = ()
    """What stands after --."""

    def __post_init__(self) -> None:
        if not self.lam and not self.fully_synthetic:
            raise ValueError("--lambda must have a value, or give --fully-synthetic: there is nothing to run")
        for lam in self.lam:
            if not (math.isfinite(lam) and lam >= 0):
                raise ValueError(f"--lambda must be finite and >= 0, got {lam:g} (no real data: --fully-synthetic)")
        if len(set(self.lam)) < len(self.lam):
            raise ValueError(f"--lambda must not repeat a value, got {' '.join(f'{lam:g}' for lam in self.lam)}")
        for option, least in {"seeds": 1, "seed": 0, "retries": 0}.items():
            if getattr(self, option) < least:
                raise ValueError(f"--{option} must be >= {least}, got {getattr(self, option)}")
        if not 0 < self.cpus_per_run < math.inf:
            raise ValueError(f"--cpus-per-run must be finite and > 0, got {self.cpus_per_run}")
        if not 0 <= self.gpus_per_run < math.inf or (self.gpus_per_run > 1 and self.gpus_per_run % 1):
            raise ValueError(f"--gpus-per-run must be in [0, 1] or a whole number, got {self.gpus_per_run}")
        if self.gpus_per_run > 1 and self.command not in IMAGE_MODELS:
            raise ValueError(f"--gpus-per-run must be at most 1 for {self.command}, got {self.gpus_per_run:g}")
        for option in self.options:
            name = option.split("=")[0].replace("_", "-")
            if name in OF_THE_SWEEP:
                raise UsageError(f"{name} must not stand after --: the sweep decides it for each run")

    @property
    def folder(self) -> Path:
        """Where the runs are; absolute, since Ray's processes are elsewhere."""
        digest = hashlib.sha256(json.dumps([self.command, *self.options]).encode()).hexdigest()[:8]
        return (self.out or Path("runs") / f"sweep-{self.command}-{digest}").absolute()

    def runs(self) -> "list[GridRun]":
        """The grid, seed by seed, so that every row has something to show early."""
        rows = [(f"lambda-{str(lam).removesuffix('.0')}", ["--lambda", str(lam)]) for lam in self.lam]
        if self.fully_synthetic:
            rows.append(("fully-synthetic", ["--fully-synthetic"]))
        runs = []
        for seed in range(self.seed, self.seed + self.seeds):
            for row, regime in rows:
                folder = self.folder / row / f"seed-{seed}"
                runs.append(GridRun(f"{row}/seed-{seed}", folder, self._arguments(regime, seed, folder)))
        return runs

    def _arguments(self, regime: Sequence[str], seed: int, folder: Path) -> list[str]:
        processes = max(1, int(self.gpus_per_run))
        program = ["deep.retrain", self.command] if self.command in IMAGE_MODELS else [f"toy.{self.command}"]
        if processes > 1:
            program = ["torch.distributed.run", "--standalone", "--nproc-per-node", str(processes), "-m", *program]
        chosen = [*regime, "--seed", str(seed), "--out", str(folder)]
        defaults = {"--threads": str(max(1, int(self.cpus_per_run) // processes))}
        if not self.gpus_per_run:
            defaults["--device"] = "cpu"  # Ray does not hide GPUs from those who asked for none
        given = {option.split("=")[0] for option in self.options}
        for name, value in defaults.items():
            chosen += [] if name in given else [name, value]
        return ["-m", *program, *chosen, *self.options]


@dataclass
class GridRun:
    """One run of the grid, and what is known of it. arguments: of the Python that runs it."""

    name: str
    folder: Path
    arguments: list[str]
    state: Literal["waiting", "running", "finished", "failed"] = "waiting"
    message: str = ""
    deaths: int = 0
    """How often it died."""
    vain: int = 0
    """How often in a row, without a new generation in between."""
    _generations: int = 0
    _log_before: int = 0

    @property
    def log(self) -> Path:
        return self.folder.with_name(f"{self.folder.name}.log")

    @property
    def _mark(self) -> Path:
        return self.folder.with_name(f"{self.folder.name}.finished.json")

    def is_finished(self) -> bool:
        """Whether this very command has finished in this folder."""
        if not (self._mark.exists() and (self.folder / "config.json").exists()):
            return False
        return json.loads(self._mark.read_text()) == {"arguments": self.arguments}

    def submitted(self) -> None:
        self.state, self._log_before = "waiting", self._log_size()

    def look(self) -> None:
        """See whether Ray has started it."""
        if self.state == "waiting" and self._log_size() > self._log_before:
            self.state = "running"

    def ended(self, outcome: Outcome, retries: int) -> bool:
        """Take note of an outcome; whether to start it again.

        A run that says itself what is wrong, a bad option or a loss that is not finite, would say it again. Everything
        else can pass, from a lost machine to a GPU without memory left, unless it happens again and again.
        """
        self.message = outcome.message
        if outcome.code == 0:
            self.state, self.message = "finished", ""
            with atomic_write(self._mark) as file:
                file.write(json.dumps({"arguments": self.arguments}).encode())
            return False
        if outcome.code == EXIT_USAGE or (outcome.code == EXIT_FAILED and outcome.message.startswith("error: ")):
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
        path = self.folder / "history.jsonl"
        return path.read_bytes().splitlines() if path.exists() else []

    def progress(self) -> str:
        """Generation t of T."""
        lines, config = self.history(), self.folder / "config.json"
        if not lines or not config.exists():
            return "–"
        return f"{len(lines) - 1} of {json.loads(config.read_text())['config']['retrainings']}"

    def _log_size(self) -> int:
        return self.log.stat().st_size if self.log.exists() else 0


def main(config: Sweep) -> None:
    """Run what is not finished, print what came out; leaves with status 1 if a run failed."""
    folder = config.folder
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with filelock.FileLock(folder / ".sweep.lock", timeout=0):
            runs = config.runs()
            for run in runs:
                if run.is_finished():
                    run.state = "finished"
            if any(run.state != "finished" for run in runs):
                with _ray(config) as ray:
                    _execute(ray, config, runs)
    except filelock.Timeout:
        raise UsageError(f"--out: {folder} is in use by another sweep") from None
    console = make_console()
    console.print(_table(runs))
    failed = [run for run in runs if run.state == "failed"]
    for run in failed:
        console.print(f"{run.name}: {run.message}", soft_wrap=True)
        console.print(f"  {run.log}", soft_wrap=True)
    print_paths(console, [folder])
    if failed:
        raise SystemExit(EXIT_FAILED)


@contextmanager
def _ray(config: Sweep) -> Iterator[Any]:
    """Ray, started on this machine or connected to `address`. UsageError if it is missing, or has no room for a run."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # reports nothing to anyone
    os.environ.setdefault(
        "RAY_DEDUP_LOGS_SKIP_REGEX", "."
    )  # nor prints between our lines; all read when it is imported
    if config.address is None:  # nobody else may run code in it; without our own token it leaves one in the home folder
        os.environ.setdefault("RAY_AUTH_MODE", "token")
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
    try:
        import ray
    except ImportError:
        raise UsageError('a sweep needs Ray: pip install "ray[default]>=2.40"') from None
    if config.address is None:
        ray.init(
            "local", include_dashboard=False, object_store_memory=OBJECT_STORE, log_to_driver=False, logging_level=QUIET
        )
    else:
        try:
            _require_answer(config.address)
            ray.init(config.address, log_to_driver=False, logging_level=QUIET)
        except (OSError, ValueError, RuntimeError) as error:
            raise UsageError(f"--address {config.address}: {error}") from None
    try:
        _require_room(ray, config)
        yield ray
    finally:
        ray.shutdown()


def _require_answer(address: str) -> None:
    """OSError unless somebody is there: Ray itself would try for more than ten minutes."""
    if address != "auto":
        host, _, port = address.rpartition(":")
        if not host or not port.isdecimal():
            raise ValueError("must be auto or host:port")
        socket.create_connection((host, int(port)), timeout=ANSWER_SECONDS).close()


def _require_room(ray: Any, config: Sweep) -> None:
    needs = {"CPU": config.cpus_per_run, "GPU": config.gpus_per_run}
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    if any(all(node.get(kind, 0) >= amount for kind, amount in needs.items()) for node in nodes):
        return
    most = {kind: max(node.get(kind, 0) for node in nodes) for kind in needs}
    message = (
        f"--cpus-per-run {needs['CPU']:g} with --gpus-per-run {needs['GPU']:g} is more than a machine has: "
        f"{most['CPU']:g} processor cores and {most['GPU']:g} GPUs at most"
    )
    if config.address is None:
        raise UsageError(message)
    warnings.warn(f"{message}; waiting for one that has more", stacklevel=2)


def _execute(ray: Any, config: Sweep, runs: Sequence[GridRun]) -> None:
    """Until every run is finished or has failed. Ray itself repeats nothing: how often is counted here."""
    remote = ray.remote(
        num_cpus=config.cpus_per_run,
        num_gpus=config.gpus_per_run,
        max_retries=0,
        max_calls=1,  # a process a run: what one leaves behind in it, another does not find
    )(run_attached)

    def submit(run: GridRun) -> Any:
        run.submitted()
        return remote.remote(run.arguments, run.folder, run.log, Path.cwd())

    at_work = {submit(run): run for run in runs if run.state != "finished"}
    with _live_table(runs) as refresh:
        while at_work:
            ended, _ = ray.wait(list(at_work), timeout=REFRESH_SECONDS)
            for task in ended:
                run = at_work.pop(task)
                if run.ended(_outcome(ray, task), config.retries):
                    at_work[submit(run)] = run
            refresh()


@contextmanager
def _live_table(runs: Sequence[GridRun]) -> Iterator[Callable[[], None]]:
    """What is running and what has failed, on a terminal, as of the last call of what this yields."""
    console = make_console(stderr=True)
    if not console.is_terminal:
        yield lambda: None
        return
    with Live(console=console, auto_refresh=False, transient=True) as live:

        def refresh() -> None:
            for run in runs:
                run.look()
            live.update(_table([run for run in runs if run.state in ("running", "failed")], runs), refresh=True)

        yield refresh


def _outcome(ray: Any, task: Any) -> Outcome:
    """What the task returned; if Ray lost its process or machine, that it was killed."""
    try:
        return ray.get(task)
    except ray.exceptions.RayTaskError as error:  # run_attached raised: OSError
        return Outcome(EXIT_FAILED, str(error.cause))
    except ray.exceptions.RayError as error:
        return Outcome(EXIT_FAILED, str(error).strip().splitlines()[0])


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


def _split(arguments: Sequence[str]) -> tuple[list[str], tuple[str, ...]]:
    """The sweep's own arguments, and those after --."""
    at = list(arguments).index("--") if "--" in arguments else len(arguments)
    return list(arguments[:at]), tuple(arguments[at + 1 :])


if __name__ == "__main__":
    own, handed_on = _split(sys.argv[1:])
    command(Sweep, lambda config: main(replace(config, options=handed_on)), own)
