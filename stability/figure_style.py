"""One look for every figure, and figures that are written whole."""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import as_file, files
from pathlib import Path

import matplotlib.style
from matplotlib.figure import Figure

from stability.atomic import atomic_write

__all__ = ["figure_style", "save_figure"]


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
