"""Functions compiled by numba, whose machine code is kept where it can be kept."""

import sys
from collections.abc import Callable
from typing import Any

import numba

from stability.machine.cache_folder import private_folder

__all__ = ["compiled", "start_threads"]


def compiled(**options: Any) -> Callable[[Callable[..., Any]], Any]:
    """Decorate a function that numba compiles in nopython mode.

    Numba keeps machine code beside the source, or else in the user's cache folder ($NUMBA_CACHE_DIR
    names another). Where neither can be written, as in a read-only installation, numba would refuse
    to import the module: the code is then kept in a folder among the temporary files.

    Args:
        options: Of `numba.njit`, but for `cache`.

    Returns:
        The decorator.
    """

    def decorate(function: Callable[..., Any]) -> Any:
        try:
            return numba.njit(cache=True, **options)(function)
        except RuntimeError:  # no folder to keep code in
            numba.config.CACHE_DIR = str(private_folder() / "numba")  # type: ignore[attr-defined]
            return numba.njit(cache=True, **options)(function)

    return decorate


def start_threads() -> int:
    """Start the threads of parallel compiled functions, and leave those of torch as they are.

    numba sets the number of OpenMP threads of the whole process to that of the processors, also
    where a user asked torch for fewer. torch's kernels then wait for threads that share one
    processor: the derivatives of a small convolution took thirty times as long.

    Returns:
        Number of threads.
    """
    torch = sys.modules.get("torch")
    before = None if torch is None else torch.get_num_threads()
    threads = numba.get_num_threads()
    if torch is not None:
        torch.set_num_threads(before)
    return threads
