"""Tasks of the first of several processes for all: read and write files, and say what it found."""

import os
from collections.abc import Callable
from datetime import timedelta
from typing import Any, TypeVar

from accelerate import Accelerator
from accelerate.utils import InitProcessGroupKwargs, broadcast_object_list

from stability.runs.command_line import UsageError
from stability.runs.processors import local_processes

__all__ = ["AcceleratedProcesses", "from_first_process", "patient_accelerator"]

Result = TypeVar("Result")

# Numbers by which torchrun and the launchers of MPI tell a process that it is one of several.
_SIZES = ("WORLD_SIZE", "PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "MV2_COMM_WORLD_SIZE")
# By which `accelerate launch` asks for another way to train, which would not be the one that is
# recorded.
_OTHER_WAYS = tuple(
    f"ACCELERATE_USE_{way}"
    for way in ("DEEPSPEED", "FSDP", "MEGATRON_LM", "PARALLELISM_CONFIG", "SAGEMAKER")
)
_RANKS = ("RANK", "LOCAL_RANK")


def patient_accelerator(cpu: bool) -> Accelerator:
    """An accelerator whose processes wait for one another up to a day: while the first one measures
    or reads, the others have nothing to do. torchrun itself ends them when one of them dies.

    Args:
        cpu: Whether the network lives on the CPU.

    Returns:
        One that computes as the options of the command say, whatever accelerate's own configuration
        and the ACCELERATE_ variables in the environment ask for.

    Raises:
        UsageError: If the environment says that this is one of several processes, but not how they
            meet, or asks for a way to train that is not this project's.
    """
    _require_launcher()
    return Accelerator(
        cpu=cpu,
        mixed_precision="no",
        dynamo_backend="no",
        kwargs_handlers=[InitProcessGroupKwargs(timeout=timedelta(days=1))],
    )


def from_first_process(accelerator: Accelerator, make: Callable[[], Result]) -> Result:
    """Call `make` in the first process alone and return its result in all of them.

    Args:
        accelerator: Connects the processes.
        make: Makes the result.

    Returns:
        The result of the first process.
    """
    sent: list[Any] = [make() if accelerator.is_main_process else None]
    if accelerator.num_processes > 1:
        broadcast_object_list(sent)
    return sent[0]


class AcceleratedProcesses:
    """The processes of an accelerator, as `stability.runs.open_run.Processes`."""

    def __init__(self, accelerator: Accelerator) -> None:
        self._accelerator = accelerator

    @property
    def is_main(self) -> bool:
        """True in the first process."""
        return self._accelerator.is_main_process

    @property
    def count(self) -> int:
        """Number of them."""
        return self._accelerator.num_processes

    def from_main(self, make: Callable[[], Result]) -> Result:
        """Call `make` in the first process alone and return its result in all of them.

        Args:
            make: Makes the result.

        Returns:
            The result of the first process.
        """
        return from_first_process(self._accelerator, make)


def _require_launcher() -> None:
    """UsageError unless the environment is that of a process alone, or of one that a launcher
    started.
    """
    given = {name: os.environ[name].strip() for name in (*_SIZES, *_RANKS) if name in os.environ}
    for name, value in given.items():
        least = 0 if name in _RANKS else 1
        if not (value.isdecimal() and int(value) >= least) and (name, value) != (
            "LOCAL_RANK",
            "-1",
        ):
            raise UsageError(
                f"{name} in the environment must be a whole number >= {least}, got {value!r}; "
                "unset it, or start with torchrun, which sets it"
            )
    local_processes()  # the same for LOCAL_WORLD_SIZE
    for name in _OTHER_WAYS:
        if os.environ.get(name, "false").lower() == "true":
            raise UsageError(
                f"{name}={os.environ[name]} in the environment is not supported; unset it"
            )

    several = any(int(given.get(name, 1)) > 1 for name in _SIZES)
    if (several or int(given.get("LOCAL_RANK", -1)) >= 0) and not os.environ.get("MASTER_ADDR"):
        said = " ".join(f"{name}={value}" for name, value in given.items())
        raise UsageError(
            f"{said} in the environment without MASTER_ADDR: start with torchrun, "
            f"or unset {' '.join(given)} for a process alone"
        )
