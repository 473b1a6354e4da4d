"""The folder of a run on one or several processes, of which the first one has it."""

import dataclasses
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from accelerate import Accelerator

from deep.training.first_process import from_first_process
from stability.runs.processors import default_threads, use_threads
from stability.runs.run_directory import RunDirectory, environment
from stability.runs.run_layout import config_digest

__all__ = ["ImageRunOptions", "OpenRun", "open_run", "recorded"]

_NOT_RECORDED = (
    "out",
    "overwrite",
    "device",
    "threads",
    "checkpoint_seconds",
    "sample_batch",
    "cache",
)


class ImageRunOptions(Protocol):
    """The options that say where a run lives and on what it runs; see
    `deep.training.presets.Run`.
    """

    @property
    def out(self) -> Path | None: ...
    @property
    def overwrite(self) -> bool: ...
    @property
    def threads(self) -> int: ...


@dataclass(frozen=True)
class OpenRun:
    """Attributes:
    path: The run's folder.
    directory: It in the first process, None in the others.
    threads: Of each process.
    digest: Of the configuration, by which the run's files are told from those of others.
    """

    path: Path
    directory: RunDirectory | None
    threads: int
    digest: str


def recorded(model: str, *parts: Any) -> dict[str, Any]:
    """The configuration as config.json holds it: all that decides the result, flat, not where it
    goes.

    Args:
        parts: Dataclasses without a field name in common.
    """
    flat: dict[str, Any] = {"model": model}
    for part in parts:
        flat |= json.loads(json.dumps(dataclasses.asdict(part), default=str), parse_constant=str)
    return {key: value for key, value in flat.items() if key not in _NOT_RECORDED}


@contextmanager
def open_run(
    name: str, asked: Mapping[str, Any], where: ImageRunOptions, accelerator: Accelerator
) -> Iterator[OpenRun]:
    """The folder of the run that `asked` describes, new or found: `where.out`, or runs/NAME-DIGEST.

    In the block torch has the threads that the run began with, so that it goes on bit for bit.

    Raises:
        RunDirectoryError: As of `RunDirectory`, and if it was started on a GPU and there is none.
    """
    digest = config_digest(asked)
    path = where.out or Path("runs") / f"{name}-{digest[:8]}"
    resources = {
        "threads": where.threads or default_threads(),
        "device": accelerator.device.type,
        "processes": accelerator.num_processes,
    }
    if not accelerator.is_main_process:
        yield OpenRun(path, None, _use_threads(0, accelerator), digest)
        return
    with RunDirectory(path, asked, environment() | resources, overwrite=where.overwrite) as run:
        yield OpenRun(
            path, run, _use_threads(run.threads(resources["device"]), accelerator), digest
        )


def _use_threads(threads: int, accelerator: Accelerator) -> int:
    """As many as the first process says."""
    threads = from_first_process(accelerator, lambda: threads)
    use_threads(threads)
    return threads
