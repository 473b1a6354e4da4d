"""A user's Python file: run it, and say in one line where it failed."""

import importlib.util
import sys
import sysconfig
from pathlib import Path
from types import ModuleType

from stability.runs.untrusted import printable

__all__ = ["UserCodeError", "failure_in_user_code", "run_file"]

_PACKAGES = Path(__file__).parents[2]
_NOT_USERS = (
    *(_PACKAGES / name for name in ("stability", "toy", "deep", "benchmarks", "tests")),
    *(Path(sysconfig.get_path(name)) for name in ("stdlib", "purelib", "platlib")),
)
"""Folders of this project, of Python, and of installed packages."""


class UserCodeError(ValueError):
    """A user's file that cannot be run; the message names file and line."""


def run_file(file: Path, name: str) -> ModuleType:
    """Run a user's file, as `import` does; modules beside it can be imported.

    Args:
        file: Python file.
        name: Name of the module.

    Returns:
        The module.

    Raises:
        UserCodeError: If there is no such file, or it fails.
    """
    if not file.is_file():
        raise UserCodeError(f"{printable(file)}: there is no such file")
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise UserCodeError(f"{printable(file)} must be a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    sys.path.insert(0, str(file.parent.absolute()))
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise UserCodeError(failure_in_user_code(error) or f"{printable(file)}: {error}") from error
    return module


def failure_in_user_code(error: Exception) -> str | None:
    """Describe an error that a user's own code raised, or a call from it.

    Args:
        error: As it was caught.

    Returns:
        File, line, type and message; None if no line of the traceback is a user's.
    """
    if isinstance(error, SyntaxError) and error.filename and _is_users(error.filename):
        return f"{_near(error.filename)}, line {error.lineno}: {type(error).__name__}: {error.msg}"
    step, place = error.__traceback__, None
    while step is not None:
        file = step.tb_frame.f_code.co_filename
        place = f"{_near(file)}, line {step.tb_lineno}" if _is_users(file) else place
        step = step.tb_next
    return place and f"{place}: {type(error).__name__}: {error}"


def _is_users(file: str) -> bool:
    path = Path(file)
    return path.suffix == ".py" and not any(path.is_relative_to(folder) for folder in _NOT_USERS)


def _near(file: str) -> str:
    """The path as the user would type it."""
    path = Path(file)
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)
