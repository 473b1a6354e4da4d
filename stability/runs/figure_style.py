"""One look for every figure, and figures that are written whole.

The other modules have matplotlib's names from here: see `_import_matplotlib`.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from stability.runs.atomic import atomic_write


def _import_matplotlib() -> None:
    """Import matplotlib whatever backend the environment names.

    A notebook sets MPLBACKEND for its children, and importing matplotlib fails where such a backend
    is not installed. Figures are only written to files here, which takes no backend. One that can
    be used is set as matplotlib would set it, for others who draw in this process.
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
from matplotlib import colormaps, rcParams  # noqa: E402
from matplotlib.axes import Axes  # noqa: E402
from matplotlib.backends.backend_agg import FigureCanvasAgg, RendererAgg  # noqa: E402
from matplotlib.figure import Figure  # noqa: E402
from matplotlib.font_manager import FontProperties  # noqa: E402
from matplotlib.legend import Legend  # noqa: E402
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator  # noqa: E402

__all__ = [
    "FULLY_SYNTHETIC",
    "Axes",
    "Captioned",
    "Figure",
    "FigureCanvasAgg",
    "FontProperties",
    "Legend",
    "LogLocator",
    "MaxNLocator",
    "NullLocator",
    "RendererAgg",
    "colormaps",
    "figure_style",
    "log_scale",
    "rcParams",
    "regime_looks",
    "save_figure",
]

_WITHOUT_DATE = {".pdf": {"CreationDate": None}, ".svg": {"Date": None}}  # a PNG has none
FULLY_SYNTHETIC = {"color": "#D55E00", "linestyle": "--", "marker": "^"}  # as in the paper
CYCLE = 7  # colours of the style, without that of fully synthetic


class Captioned(NamedTuple):
    """A figure of a report: the function that draws it, and the words below it."""

    draw: Callable[..., Figure | None]
    caption: str


@contextmanager
def figure_style() -> Iterator[None]:
    """Within the block, new figures have the project's look."""
    with (
        as_file(files("stability.runs") / "figures.mplstyle") as path,
        matplotlib.style.context(path),
    ):
        yield


def save_figure(
    figure: Figure, path: Path, formats: tuple[str, ...] = ("png", "pdf")
) -> list[Path]:
    """Write `figure` as `path` with each suffix.

    Equal figures make equal bytes.

    Args:
        figure: Figure to write.
        path: Path of the files; its suffix is replaced.
        formats: Suffixes without the dot, formats that matplotlib knows.

    Returns:
        The paths written, one a format.
    """
    written = [path.with_suffix(f".{suffix}") for suffix in formats]
    for target in written:
        with atomic_write(target) as file:
            figure.savefig(
                file, format=target.suffix[1:], metadata=_WITHOUT_DATE.get(target.suffix)
            )
    return written


def regime_looks(regimes: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Choose colours, line styles and markers that tell the rows of a figure apart.

    Args:
        regimes: Names of the rows, in their order.

    Returns:
        Arguments of `Axes.plot` for each name: the colours of the style or, where they do not
        suffice, shades from dark to light; fully synthetic as in the paper.
    """
    mixed = [regime for regime in regimes if regime != "fully synthetic"]
    shades = colormaps["viridis"](np.linspace(0, 0.92, len(mixed)))
    colours = [f"C{i}" for i in range(len(mixed))] if len(mixed) <= CYCLE else list(shades)

    looks: dict[str, dict[str, Any]] = {
        regime: {"color": colour, "marker": "o"}
        for regime, colour in zip(mixed, colours, strict=True)
    }
    return {regime: looks.get(regime, FULLY_SYNTHETIC) for regime in regimes}


def log_scale(axes: Axes) -> bool:
    """Make the y axis logarithmic, unless nothing that is drawn has a logarithm.

    Args:
        axes: With its curves.

    Returns:
        Whether it is logarithmic now.
    """
    drawn = [np.asarray(line.get_ydata(), dtype=float) for line in axes.lines]
    possible = any((values > 0).any() for values in drawn)
    if possible:
        axes.set_yscale("log")
        low, high = axes.get_ylim()
        if high < 10 * low:
            # 0.97 rather than 9.7 × 10⁻¹
            for each in (axes.yaxis.set_major_formatter, axes.yaxis.set_minor_formatter):
                each("{x:g}")
    return possible
