"""Pictures of a 2-D run: distance curves (Figure 8), density panels (Figure 4), and the samples
in motion.
"""

import io
import math
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from scipy.ndimage import gaussian_filter

from stability.loop.streams import Purpose, stream
from stability.runs.atomic import atomic_write
from stability.runs.figure_style import (
    Axes,
    Figure,
    FigureCanvasAgg,
    MaxNLocator,
    figure_style,
    log_scale,
    rcParams,
    regime_looks,
    save_figure,
)
from stability.runs.figure_text import legend_above, plain, wrapped
from stability.runs.run_directory import RunDirectory, RunDirectoryError
from toy.densities.shapes import Distribution
from toy.measures.metrics import DISTANCES, OF_THE_TRUTH, NoiseFloor, Quantity
from toy.measures.tables import by_regime, shown_generations

__all__ = ["draw_figures"]

GIF_MILLISECONDS = 250
GIF_FRAMES = 60  # at most: a long run shows every k-th generation
BINS = 90
PANEL_HEIGHT = 1.9  # inches for the label of a curve's axis
GIF_COLUMNS = 5  # rows of the run side by side
ROW_LABEL = 7  # points: the names beside the panels of densities
GIF_SIDE = 2.4  # inches of a row of the run


def draw_figures(
    run: RunDirectory,
    history: Sequence[Mapping[str, Any]],
    regimes: Sequence[str],
    floor: NoiseFloor,
    truth: Distribution,
    seed: int,
    quantities: Sequence[Quantity] = (),
) -> list[Path]:
    """Draw all figures of a run into its folder.

    Panels and animation show the first seed. A generation whose samples are lost is left out of
    both with a warning. A regime with λ > 1 draws more points than another; all panels show equally
    many, so that a denser one is a denser law.

    Args:
        run: Folder of the run, with the samples of each generation.
        history: Its lines.
        regimes: Names of the rows.
        floor: What a perfect model would have.
        truth: Draws the points that the samples are shown beside.
        seed: Of those points.
        quantities: To be shown in a figure of their own, beside that of the distances.

    Returns:
        The paths written.
    """
    # regime -> its first chain
    first = {name: [c["regime"] for c in history[0]["chains"]].index(name) for name in regimes}
    last = len(history) - 1
    drawn = _samples(run, {*shown_generations(last), *_frames(last)})
    shown, frames = (
        [t for t in wanted if t in drawn] for wanted in (shown_generations(last), _frames(last))
    )

    n = min(len(chains[r]) for chains in drawn.values() for r in first.values())
    samples = {t: {name: chains[r][:n] for name, r in first.items()} for t, chains in drawn.items()}
    true = truth(n, stream(seed, Purpose.TRUTH, 0))
    window = _window(true)

    with figure_style():
        paths = save_figure(_curves(history, floor, DISTANCES), run.figures / "distances")
        if quantities:
            paths += save_figure(_curves(history, floor, quantities), run.figures / "profile")
        panels = _density_panels(true, samples, shown, window)
        paths += save_figure(panels, run.figures / "densities")
        paths.append(run.figures / "samples.gif")
        _write_gif(paths[-1], [_frame(t, samples[t], true, window) for t in frames])
    return paths


def _samples(run: RunDirectory, generations: set[int]) -> dict[int, list[np.ndarray]]:
    """What these generations drew; the last one is always there, since its checkpoint has it."""
    samples = {}
    for t in sorted(generations):
        try:
            samples[t] = run.load_samples(t)
        except RunDirectoryError as error:
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


def _curves(
    history: Sequence[Mapping[str, Any]], floor: NoiseFloor, quantities: Sequence[Quantity]
) -> Figure:
    columns = min(4, len(quantities))
    rows = math.ceil(len(quantities) / columns)
    figure = Figure(figsize=(3.3 * columns, 0.4 + 2.6 * rows))
    places = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes in places[len(quantities) :]:
        axes.set_axis_off()

    for axes, quantity in zip(places, quantities, strict=False):
        _panel(axes, history, floor, quantity)

    seeds = len(next(iter(by_regime(history, "w1").values()))[0])
    spread = f"mean and standard deviation over {seeds} seeds" if seeds > 1 else None
    legend_above(figure, spread)
    return figure


def _panel(
    axes: Axes, history: Sequence[Mapping[str, Any]], floor: NoiseFloor, quantity: Quantity
) -> None:
    mean, sd = floor.of(quantity)
    if not math.isnan(mean):
        axes.axhspan(mean - sd, mean + sd, color="0.85", lw=0)
        line = ":" if quantity.floor == OF_THE_TRUTH else "-"
        axes.axhline(mean, color="0.5", lw=1, linestyle=line, label=quantity.floor)

    curves = by_regime(history, quantity.key)
    looks = regime_looks(list(curves))
    for name, values in curves.items():
        t, centre = np.arange(len(values)), values.mean(axis=1)
        every = max(1, len(t) // 10)
        (line,) = axes.plot(t, centre, label=plain(name), markevery=every, **looks[name])
        if values.shape[1] > 1:
            spread = values.std(axis=1, ddof=1)
            low, high = centre - spread, centre + spread
            axes.fill_between(t, low, high, color=line.get_color(), alpha=0.2, lw=0)

    axes.set(xlabel="retrainings t", ylabel=wrapped(quantity.label, PANEL_HEIGHT))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    if quantity.log:
        log_scale(axes)
    elif quantity.from_zero:
        axes.set_ylim(0, None)


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
    canvas = FigureCanvasAgg(figure)
    places = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes in places[len(samples) :]:
        axes.set_axis_off()

    for axes, (name, points) in zip(places, samples.items(), strict=False):
        axes.scatter(*true.T, s=1.5, color="0.8", lw=0)
        axes.scatter(*points.T, s=2.5, color="#0072B2", lw=0)
        axes.set_title(titles[name])
        _bare(axes, window)

    figure.suptitle(f"t = {t}")
    canvas.draw()
    pixels = Image.fromarray(np.asarray(canvas.buffer_rgba()))
    return pixels.convert("P", palette=Image.Palette.ADAPTIVE, colors=32)


def _write_gif(path: Path, frames: Sequence[Image.Image]) -> None:
    content = io.BytesIO()
    frames[0].save(
        content,
        format="gif",
        save_all=True,
        append_images=frames[1:],
        duration=GIF_MILLISECONDS,
        loop=0,
    )
    with atomic_write(path) as file:
        file.write(content.getvalue())
