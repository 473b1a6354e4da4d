"""Functions compiled by numba, whose machine code is kept where it can be kept."""

from collections.abc import Callable
from typing import Any

import numba

from stability.machine.cache_folder import private_folder

__all__ = ["compiled"]


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
