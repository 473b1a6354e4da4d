"""Pictures of a 2-D run: distance curves (Figure 8), density panels (Figure 4), and the samples
in motion.
"""

import math
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.ndimage import gaussian_filter

from stability.loop.streams import Purpose, stream
from stability.observers.distances import EXACT
from stability.runs.animation import frame_of, write_gif
from stability.runs.curves import quantity_curves
from stability.runs.figure_style import Axes, Figure, figure_style, rcParams, save_figure
from stability.runs.figure_text import plain, wrapped
from stability.runs.keep import Keep
from stability.runs.result import Result
from stability.runs.run_layout import RunDirectoryError
from stability.runs.tables import shown_generations
from toy.densities.shapes import Distribution

__all__ = ["draw_figures"]

GIF_MILLISECONDS = 250
GIF_FRAMES = 60  # at most: a long run shows every k-th generation
BINS = 90
GIF_COLUMNS = 5  # rows of the run side by side
ROW_LABEL = 7  # points: the names beside the panels of densities
GIF_SIDE = 2.4  # inches of a row of the run


def draw_figures(result: Result, truth: Distribution, seed: int) -> list[Path]:
    """Draw all figures of a run into its folder.

    Panels and animation show the first seed. A generation whose samples are lost is left out of
    both with a warning. A regime with λ > 1 draws more points than another; all panels show equally
    many, so that a denser one is a denser law.

    Args:
        result: The run.
        truth: Draws the points that the samples are shown beside.
        seed: Of those points.

    Returns:
        The paths written.
    """
    history, folder = result.history, result.folder / "figures"
    first = {name: positions[0] for name, positions in history.rows.items()}
    last = len(history) - 1
    drawn = _samples(result, {*shown_generations(last), *_frames(last)})
    shown, frames = (
        [t for t in wanted if t in drawn] for wanted in (shown_generations(last), _frames(last))
    )

    n = min(len(chains[r]) for chains in drawn.values() for r in first.values())
    samples = {t: {name: chains[r][:n] for name, r in first.items()} for t, chains in drawn.items()}
    true = truth(n, stream(seed, Purpose.TRUTH, 0))
    window = _window(true)

    others = [quantity for quantity in result.shown() if quantity not in EXACT]
    with figure_style():
        curves = quantity_curves(history, result.recorded.study, EXACT)
        paths = save_figure(curves, folder / "distances")
        if others:
            profile = quantity_curves(history, result.recorded.study, others)
            paths += save_figure(profile, folder / "profile")
        panels = _density_panels(true, samples, shown, window)
        paths += save_figure(panels, folder / "densities")
        paths.append(folder / "samples.gif")
        pictures = [_frame(t, samples[t], true, window) for t in frames]
        write_gif(paths[-1], pictures, GIF_MILLISECONDS)
    return paths


def _samples(result: Result, generations: set[int]) -> dict[int, list[np.ndarray]]:
    """Samples of these generations; the last one is always there, since its checkpoint has it."""
    samples = {}
    keep = Keep.parse(result.recorded.study.keep_samples)
    for t in sorted(generations):
        try:
            samples[t] = list(result.samples(t))
        except RunDirectoryError as error:
            if keep.keeps(t, len(result.history) - 1):
                warnings.warn(f"{error}: densities and samples.gif leave out t = {t}", stacklevel=2)
    return samples


def _frames(last: int) -> list[int]:
    return [*range(0, last, 1 + last // GIF_FRAMES), last]


def _window(points: np.ndarray, margin: float = 0.35) -> tuple[np.ndarray, np.ndarray]:
    """Lower and upper corner of the points' box, widened by `margin` of its sides, so that
    spreading stays in view.
    """
    low, high = points.min(axis=0), points.max(axis=0)
    return low - margin * (high - low), high + margin * (high - low)


def _density_panels(
    true: np.ndarray,
    samples: Mapping[int, Mapping[str, np.ndarray]],
    shown: Sequence[int],
    window: tuple[np.ndarray, np.ndarray],
) -> Figure:
    """A row for each regime: the truth, and the samples of the generations `shown`."""
    names = list(samples[shown[0]])
    height = 1.6 * _aspect(window)
    labels = {name: wrapped(plain(name), 0.9 * height, ROW_LABEL) for name in names}
    beside = 0.12 * max(label.count("\n") for label in labels.values())

    columns = 1 + len(shown)
    figure = Figure(figsize=(1.6 * columns + beside, height * len(names) + 0.3))
    grid = figure.subplots(len(names), columns, squeeze=False)
    for row, name in zip(grid, names, strict=True):
        row[0].set_ylabel(labels[name], fontsize=ROW_LABEL)
        _density(row[0], true, window)
        for axes, t in zip(row[1:], shown, strict=True):
            _density(axes, samples[t][name], window)

    titles = "truth", *(f"t = {t}" for t in shown)
    for axes, title in zip(grid[0], titles, strict=True):
        axes.set_title(title)
    return figure


def _aspect(window: tuple[np.ndarray, np.ndarray]) -> float:
    """Height of the window over its width."""
    width, height = window[1] - window[0]
    return height / width


def _bare(axes: Axes, window: tuple[np.ndarray, np.ndarray]) -> None:
    (left, bottom), (right, top) = window
    axes.set(xlim=(left, right), ylim=(bottom, top), xticks=[], yticks=[], aspect="equal")
    axes.grid(False)
    axes.spines[:].set_visible(False)


def _density(axes: Axes, points: np.ndarray, window: tuple[np.ndarray, np.ndarray]) -> None:
    """A smoothed histogram of the points in the window."""
    (left, bottom), (right, top) = window
    counts, *_ = np.histogram2d(*points.T, bins=BINS, range=((left, right), (bottom, top)))
    image = np.sqrt(gaussian_filter(counts.T, 1.2))  # the root shows thin tails beside dense ridges
    axes.imshow(
        image,
        origin="lower",
        extent=(left, right, bottom, top),
        cmap="magma",
        interpolation="bilinear",
    )
    _bare(axes, window)


def _frame(
    t: int,
    samples: Mapping[str, np.ndarray],
    true: np.ndarray,
    window: tuple[np.ndarray, np.ndarray],
) -> Image.Image:
    columns = min(GIF_COLUMNS, len(samples))
    rows = math.ceil(len(samples) / columns)
    size = rcParams["axes.titlesize"]
    titles = {name: wrapped(plain(name), 0.9 * GIF_SIDE, size) for name in samples}
    above = 0.15 * (1 + max(title.count("\n") for title in titles.values()))

    height = rows * (GIF_SIDE * _aspect(window) + above) + 0.3
    figure = Figure(figsize=(GIF_SIDE * columns, height), dpi=100)
    places = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes in places[len(samples) :]:
        axes.set_axis_off()

    for axes, (name, points) in zip(places, samples.items(), strict=False):
        axes.scatter(*true.T, s=1.5, color="0.8", lw=0)
        axes.scatter(*points.T, s=2.5, color="#0072B2", lw=0)
        axes.set_title(titles[name])
        _bare(axes, window)

    figure.suptitle(f"t = {t}")
    return frame_of(figure, colours=32)
