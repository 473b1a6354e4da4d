"""One look for every figure, and figures that are written whole.

The other modules have matplotlib's names from here: see `_import_matplotlib`.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.resources import as_file, files
from pathlib import Path

from stability.atomic import atomic_write


def _import_matplotlib() -> None:
    """Import matplotlib whatever backend the environment names.

    A notebook sets MPLBACKEND for its children, and importing matplotlib fails where such a backend is
    not installed. Figures are only written to files here, which takes no backend. One that can be used
    is set as matplotlib would set it, for others who draw in this process.
    """
    backend = os.environ.pop("MPLBACKEND", None)
    try:
        import matplotlib
    finally:
        if backend is not None:
            os.environ["MPLBACKEND"] = backend

    if backend:
        with suppress(ValueError):
            matplotlib.rcParams["backend"] = backend


_import_matplotlib()

import matplotlib.style  # noqa: E402
from matplotlib import colormaps  # noqa: E402
from matplotlib.axes import Axes  # noqa: E402
from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: E402
from matplotlib.figure import Figure  # noqa: E402
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator  # noqa: E402

__all__ = [
    "Axes",
    "Figure",
    "FigureCanvasAgg",
    "LogLocator",
    "MaxNLocator",
    "NullLocator",
    "colormaps",
    "figure_style",
    "save_figure",
]


@contextmanager
def figure_style() -> Iterator[None]:
    """Within the block, new figures have the project's look."""
    with as_file(files("stability") / "figures.mplstyle") as path, matplotlib.style.context(path):
        yield


def save_figure(figure: Figure, path: Path, formats: tuple[str, ...] = ("png", "pdf")) -> list[Path]:
    """Write `figure` as `path` with each suffix; the paths written."""
    written = [path.with_suffix(f".{suffix}") for suffix in formats]
    for target in written:
        with atomic_write(target) as file:
            figure.savefig(file, format=target.suffix[1:])
    return written
