"""Pictures of a 2-D run: distance curves (Figure 8), density panels (Figure 4), and the samples in motion."""

import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from scipy.ndimage import gaussian_filter

from stability.atomic import atomic_write
from stability.figure_style import Axes, Figure, FigureCanvasAgg, MaxNLocator, figure_style, save_figure
from stability.run_directory import RunDirectory
from stability.streams import Purpose, stream
from toy.densities import Density
from toy.metrics import DISTANCES, NoiseFloor, Quantity
from toy.tables import by_regime, shown_generations

__all__ = ["draw_figures"]

FULLY_SYNTHETIC = {"color": "#D55E00", "linestyle": "--", "marker": "^"}  # dashed with triangles, as in the paper
GIF_MILLISECONDS = 250
GIF_FRAMES = 60  # at most: a long run shows every k-th generation
BINS = 90


def draw_figures(
    run: RunDirectory,
    history: Sequence[Mapping[str, Any]],
    regimes: Sequence[str],
    floor: NoiseFloor,
    truth: Density,
    seed: int,
    quantities: Sequence[Quantity] = (),
) -> list[Path]:
    """Draw all of a run's figures into its folder; the paths written. Panels and animation show the first seed.

    quantities: shown in a figure of their own, beside the distances'.
    """
    first = {name: [c["regime"] for c in history[0]["chains"]].index(name) for name in regimes}  # regime -> chain
    last = len(history) - 1
    samples = {t: run.load_samples(t) for t in {*shown_generations(last), *_frames(last)}}
    n = len(samples[0][0])
    true = truth(n, stream(seed, Purpose.TRUTH, 0))
    window = _window(true)
    with figure_style():
        paths = save_figure(_curves(history, floor, DISTANCES), run.figures / "distances")
        if quantities:
            paths += save_figure(_curves(history, floor, quantities), run.figures / "profile")
        panels = _density_panels(true, first, samples, shown_generations(last), window)
        paths += save_figure(panels, run.figures / "densities")
        paths.append(run.figures / "samples.gif")
        _write_gif(paths[-1], [_frame(t, first, samples[t], true, window) for t in _frames(last)])
    return paths


def _frames(last: int) -> list[int]:
    return [*range(0, last, 1 + last // GIF_FRAMES), last]


def _window(points: np.ndarray, margin: float = 0.35) -> tuple[np.ndarray, np.ndarray]:
    """Lower and upper corner of the points' box, widened by `margin` of its sides, so that spreading stays in view."""
    low, high = points.min(axis=0), points.max(axis=0)
    return low - margin * (high - low), high + margin * (high - low)


def _curves(history: Sequence[Mapping[str, Any]], floor: NoiseFloor, quantities: Sequence[Quantity]) -> Figure:
    columns = min(4, len(quantities))
    rows = math.ceil(len(quantities) / columns)
    figure = Figure(figsize=(3.3 * columns, 0.4 + 2.6 * rows))
    places = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes in places[len(quantities) :]:
        axes.set_axis_off()
    for axes, quantity in zip(places, quantities, strict=False):
        mean, sd = floor.of(quantity)
        axes.axhspan(mean - sd, mean + sd, color="0.85", lw=0)
        axes.axhline(mean, color="0.5", lw=1, label="noise floor")
        for name, values in by_regime(history, quantity.key).items():
            look = FULLY_SYNTHETIC if name == "fully synthetic" else {"marker": "o"}
            t, centre = np.arange(len(values)), values.mean(axis=1)
            (line,) = axes.plot(t, centre, label=name, markevery=max(1, len(t) // 10), **look)
            if values.shape[1] > 1:
                spread = values.std(axis=1, ddof=1)
                axes.fill_between(t, centre - spread, centre + spread, color=line.get_color(), alpha=0.2, lw=0)
        axes.set(xlabel="retrainings t", ylabel=quantity.label)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        if quantity.log:
            axes.set_yscale("log")
        elif quantity.from_zero:
            axes.set_ylim(0, None)
    seeds = len(next(iter(by_regime(history, "w1").values()))[0])
    spread = f"mean and standard deviation over {seeds} seeds" if seeds > 1 else None
    figure.legend(*figure.axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=5, title=spread)
    return figure


def _density_panels(
    true: np.ndarray,
    first: Mapping[str, int],
    samples: Mapping[int, Sequence[np.ndarray]],
    shown: Sequence[int],
    window: tuple[np.ndarray, np.ndarray],
) -> Figure:
    columns = 1 + len(shown)
    figure = Figure(figsize=(1.6 * columns, 1.6 * len(first) * _aspect(window) + 0.3))
    grid = figure.subplots(len(first), columns, squeeze=False)
    for row, (name, chain) in zip(grid, first.items(), strict=True):
        row[0].set_ylabel(name, fontsize=7)
        _density(row[0], true, window)
        for axes, t in zip(row[1:], shown, strict=True):
            _density(axes, samples[t][chain], window)
    for axes, title in zip(grid[0], ("truth", *(f"t = {t}" for t in shown)), strict=True):
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
    axes.imshow(image, origin="lower", extent=(left, right, bottom, top), cmap="magma", interpolation="bilinear")
    _bare(axes, window)


def _frame(
    t: int,
    first: Mapping[str, int],
    samples: Sequence[np.ndarray],
    true: np.ndarray,
    window: tuple[np.ndarray, np.ndarray],
) -> Image.Image:
    figure = Figure(figsize=(2.4 * len(first), 2.4 * _aspect(window) + 0.3), dpi=100)
    canvas = FigureCanvasAgg(figure)
    for axes, (name, chain) in zip(figure.subplots(1, len(first), squeeze=False)[0], first.items(), strict=True):
        axes.scatter(*true.T, s=1.5, color="0.8", lw=0)
        axes.scatter(*samples[chain].T, s=2.5, color="#0072B2", lw=0)
        axes.set_title(f"{name}, t = {t}")
        _bare(axes, window)
    canvas.draw()
    return Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("P", palette=Image.Palette.ADAPTIVE, colors=32)


def _write_gif(path: Path, frames: Sequence[Image.Image]) -> None:
    content = io.BytesIO()
    frames[0].save(content, format="gif", save_all=True, append_images=frames[1:], duration=GIF_MILLISECONDS, loop=0)
    with atomic_write(path) as file:
        file.write(content.getvalue())
