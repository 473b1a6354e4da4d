"""Opening the folder of a run, on one or several processes, of which the first one has it."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

from stability.runs.devices import chosen_device
from stability.runs.keep import KEEP_ALL, KEEP_LAST, Keep
from stability.runs.processors import default_threads, use_threads
from stability.runs.run_directory import RunDirectory, environment
from stability.runs.run_layout import config_digest

__all__ = ["ALONE", "OpenRun", "Processes", "RunPlace", "open_run", "run_folder"]

T = TypeVar("T")


class Processes(Protocol):
    """The processes that work on one run together."""

    @property
    def is_main(self) -> bool:
        """Return whether this process is the first one, which writes."""
        ...

    @property
    def count(self) -> int:
        """Number of them."""
        ...

    def from_main(self, make: Callable[[], T]) -> T:
        """Hand what `make` returns in the first process to all of them.

        Args:
            make: Makes the value; called in the first process alone.

        Returns:
            The value, in every process.
        """
        ...


class _Alone:
    """One process."""

    is_main = True
    count = 1

    def from_main(self, make: Callable[[], T]) -> T:
        return make()


ALONE = _Alone()


class RunPlace(Protocol):
    """The options that say where a run lives and on what it runs; see
    `stability.runs.loop_options.LoopOptions`.
    """

    @property
    def out(self) -> Path | str | None: ...
    @property
    def overwrite(self) -> bool: ...
    @property
    def device(self) -> str: ...
    @property
    def threads(self) -> int: ...


@dataclass(frozen=True)
class OpenRun:
    """An open run.

    Attributes:
        path: Its folder.
        directory: It in the first process, None in the others.
        threads: Of each process.
        device: Where its networks live, `cpu`, `cuda` or `mps`.
        digest: Of the configuration, by which the run's files are told from those of others.
    """

    path: Path
    directory: RunDirectory | None
    threads: int
    device: str
    digest: str


def run_folder(name: str, asked: Mapping[str, Any], out: Path | str | None) -> Path:
    """Say where a run is.

    Args:
        name: Of the command.
        asked: The whole configuration.
        out: The folder that the user names.

    Returns:
        `out`, or runs/NAME-DIGEST.
    """
    return Path(out) if out else Path("runs") / f"{name}-{config_digest(asked)[:8]}"


@contextmanager
def open_run(
    name: str,
    asked: Mapping[str, Any],
    where: RunPlace,
    processes: Processes = ALONE,
    keep: Keep = KEEP_LAST,
    keep_samples: Keep = KEEP_ALL,
) -> Iterator[OpenRun]:
    """Open the folder of the run that `asked` describes, new or found.

    In the block torch has the threads that the run began with, so that it goes on bit for bit.

    Args:
        name: Of the command, in the default folder's name.
        asked: The whole configuration, JSON values.
        where: Options of the run.
        processes: Those that work on it.
        keep: Checkpoints that stay.
        keep_samples: Samples that stay.

    Yields:
        The run.

    Raises:
        RunDirectoryError: As of `RunDirectory`, and if it was started on a GPU that is not
            used now.
    """
    path, digest = run_folder(name, asked, where.out), config_digest(asked)
    device = chosen_device(where.device)
    resources = {
        "threads": where.threads or default_threads(),
        "device": device,
        "processes": processes.count,
    }
    if not processes.is_main:
        threads, device = processes.from_main(lambda: (0, device))
        use_threads(threads)
        yield OpenRun(path, None, threads, device, digest)
        return

    with RunDirectory(
        path,
        asked,
        environment() | resources,
        overwrite=where.overwrite,
        keep=keep,
        keep_samples=keep_samples,
    ) as run:
        found = run.threads(device), str(run.environment.get("device", device))
        threads, device = processes.from_main(lambda: found)
        use_threads(threads)
        yield OpenRun(path, run, threads, device, digest)
