"""The picture of a prediction: drift, Fréchet distance, and the sampler's width map."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deep.response.claims import Measured
from stability.runs.figure_style import Axes, Figure, regime_looks
from stability.runs.trends import student_interval

__all__ = ["contraction_figure"]


def contraction_figure(
    measured: Measured,
    pair_rounds: int,
    frechet: tuple[str, Mapping[str, NDArray], float],
    width: tuple[NDArray, NDArray, NDArray],
) -> Figure:
    """Draw what was predicted and measured.

    Args:
        measured: Numbers of the pairs and of the run.
        pair_rounds: Retrainings that the prediction knows.
        frechet: Name, values (T + 1, S) by row, and that for real images.
        width: Standard deviations of real pixels along principal components (K,), a grid of
            standard deviations, and the width map's relative change of the variance on it.

    Returns:
        The figure: drift with intervals and predictions; Fréchet distance; width.
    """
    figure = Figure(figsize=(9.6, 3.2))
    drift, distance, widths = figure.subplots(1, 3)
    _drift(drift, measured, pair_rounds)

    name, values, floor = frechet
    for row, look in regime_looks(list(values)).items():
        _points(distance, values[row], look, row)
    if np.isfinite(floor):
        distance.axhline(floor, color="0.5", lw=0.8, ls=":", label="real images")
    distance.set(xlabel="retrainings t", ylabel=name)
    distance.set_ylim(bottom=0, top=1.35 * distance.get_ylim()[1])  # room for the legend
    distance.legend(loc="upper left")

    for axes in (drift, distance):
        axes.locator_params(axis="x", integer=True)
    _width(widths, measured, width)
    return figure


def _points(axes: Axes, values: NDArray, look: Mapping[str, Any], label: str) -> None:
    """Means over seeds with 95 % intervals."""
    intervals = [student_interval(at) for at in values]
    mean = np.array([one.mean for one in intervals])
    half = np.array([one.half_width if values.shape[1] > 1 else 0.0 for one in intervals])
    style = {"color": look["color"], "marker": look.get("marker", "o")}
    axes.errorbar(range(len(mean)), mean, half, ls="", ms=3, lw=0.7, label=label, **style)


def _drift(axes: Axes, measured: Measured, pair_rounds: int) -> None:
    rows = list(measured.drift)
    # estimates of what is not negative may be so: they end below the axis, which is logarithmic
    means = np.concatenate([values.mean(axis=1) for values in measured.drift.values()])
    lowest = 0.3 * means[means > 0].min(initial=1.0)

    for row, look in regime_looks(rows).items():
        prediction = measured.predictions[row]
        t = np.arange(len(prediction.mean))
        axes.plot(t, np.maximum(prediction.mean, lowest / 10), color=look["color"], lw=1)
        own = np.maximum(measured.by_own_errors[row].mean, lowest / 10)
        axes.plot(t, own, color=look["color"], lw=1, ls="--")
        if measured.seeds > 1:
            low, high = (
                np.maximum(end, lowest / 10) for end in prediction.interval(measured.seeds)
            )
            axes.fill_between(t, low, high, color=look["color"], alpha=0.15, lw=0)
        _points(axes, measured.drift[row], look, row)
    axes.axvspan(-0.5, pair_rounds + 0.5, color="0.93", zorder=0, lw=0)
    axes.set(xlabel="retrainings t", ylabel="drift, variances of an image")
    axes.set_xlim(-0.5, None)
    axes.set_yscale("log")
    top = max(p.mean.max() for p in measured.predictions.values())
    axes.set_ylim(lowest, 10 * max(top, means.max(), lowest))  # room for the legend
    axes.set_title("lines predicted from the grey part")
    axes.legend(loc="upper left")


def _width(axes: Axes, measured: Measured, width: tuple[NDArray, NDArray, NDArray]) -> None:
    at, grid, change = width
    ratio = measured.own_variance / measured.fine_variance - 1  # (S, K)
    axes.plot(grid, 100 * change, color="0.3", lw=1, label="width map, one Gaussian")
    clustered = 100 * (measured.clustered - 1)
    axes.plot(at, clustered, "x", color="0.3", ms=4, label="ten Gaussians, in bytes")
    _errors(axes, at, 100 * ratio)
    axes.axhline(0, color="0.7", lw=0.8, zorder=0)
    axes.set(
        xlabel="sd along a component of pixels",
        ylabel="variance beyond a fine sampler's, %",
    )
    axes.legend()


def _errors(axes: Axes, at: NDArray, values: NDArray) -> None:
    intervals = [student_interval(values[:, k]) for k in range(len(at))]
    half: Sequence[float] = [i.half_width if len(values) > 1 else 0.0 for i in intervals]
    axes.errorbar(
        at, [i.mean for i in intervals], half, fmt="o", ms=3, lw=0.7, label="trained network"
    )
