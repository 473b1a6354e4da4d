"""What the first of several processes does for all of them: reading and writing files, and saying what it found."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any, TypeVar

from accelerate import Accelerator
from accelerate.utils import InitProcessGroupKwargs, broadcast_object_list

__all__ = ["from_first_process", "patient_accelerator"]

Result = TypeVar("Result")


def patient_accelerator(cpu: bool) -> Accelerator:
    """An accelerator whose processes wait for one another up to a day: while the first one measures or reads, the
    others have nothing to do. torchrun itself ends them when one of them dies."""
    return Accelerator(cpu=cpu, kwargs_handlers=[InitProcessGroupKwargs(timeout=timedelta(days=1))])


def from_first_process(accelerator: Accelerator, make: Callable[[], Result]) -> Result:
    """What `make` returns in the first process, in all of them; the others do not call it."""
    told: list[Any] = [make() if accelerator.is_main_process else None]
    if accelerator.num_processes > 1:
        broadcast_object_list(told)
    return told[0]
