"""Curves of quantities over generations, with bands over seeds and noise floors."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stability.runs.figure_style import Axes, Figure, MaxNLocator, log_scale, regime_looks
from stability.runs.figure_text import legend_above, plain, wrapped
from stability.runs.history import History
from stability.runs.observer import OF_THE_TRUTH, Floor, Quantity
from stability.runs.study_file import StudyFile

__all__ = ["draw_curve", "draw_floor", "quantity_curves"]

PANEL_HEIGHT = 1.9  # inches for the label of a curve's axis
MOST_COLUMNS = 4


def quantity_curves(history: History, study: StudyFile, quantities: Sequence[Quantity]) -> Figure:
    """Draw a panel for each quantity: mean and standard deviation over seeds of each row.

    Args:
        history: Of a run.
        study: Its floors.
        quantities: To be shown.

    Returns:
        The figure.
    """
    columns = min(MOST_COLUMNS, len(quantities))
    rows = math.ceil(len(quantities) / columns)
    figure = Figure(figsize=(3.3 * columns, 0.4 + 2.6 * rows))
    places = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes in places[len(quantities) :]:
        axes.set_axis_off()

    for axes, quantity in zip(places, quantities, strict=False):
        _panel(axes, history, quantity, study.floor(quantity.key))

    seeds = history.seeds
    legend_above(figure, f"mean and standard deviation over {seeds} seeds" if seeds > 1 else None)
    return figure


def draw_curve(axes: Axes, values: NDArray[np.float64], first: int = 0, **look: Any) -> None:
    """Draw a mean over seeds, and a band of one standard deviation.

    Args:
        axes: Axes to draw in.
        values: Quantity by generation and seed, (T, S).
        first: Generation of the first row, >= 0.
        look: Arguments of `Axes.plot`.
    """
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    t, centre = first + np.arange(len(values)), values.mean(axis=1)
    (line,) = axes.plot(t, centre, markevery=max(1, len(t) // 10), **look)
    if values.shape[1] > 1:
        spread = values.std(axis=1, ddof=1)
        low, high = centre - spread, centre + spread
        axes.fill_between(t, low, high, color=line.get_color(), alpha=0.2, lw=0)


def draw_floor(axes: Axes, floor: Floor, words: str, least: bool) -> None:
    """Draw a floor as a line and a band of one standard deviation.

    Args:
        axes: Where.
        floor: What a perfect model gets; nothing is drawn where it is unknown.
        words: For the legend.
        least: Whether it is the least to be expected, as of a distance.
    """
    if math.isnan(floor.mean):
        return
    axes.axhspan(floor.mean - floor.sd, floor.mean + floor.sd, color="0.85", lw=0)
    axes.axhline(floor.mean, color="0.5", lw=1, linestyle="-" if least else ":", label=words)


def _panel(axes: Axes, history: History, quantity: Quantity, floor: Floor) -> None:
    draw_floor(axes, floor, quantity.floor, least=quantity.floor != OF_THE_TRUTH)
    curves = history.values(quantity.key)
    looks = regime_looks(list(curves))
    for name, values in curves.items():
        draw_curve(axes, values, label=plain(name), **looks[name])

    axes.set(xlabel="retrainings t", ylabel=wrapped(quantity.label, PANEL_HEIGHT))
    if quantity.log:
        log_scale(axes)
    elif quantity.from_zero:
        axes.set_ylim(0, None)
