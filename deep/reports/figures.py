"""Figures 1, 2, 5 to 7 and 9 of the paper, of whatever runs there are."""

import math
from typing import Any

import numpy as np

from deep.reports.found_runs import Series, Setting
from stability.figure_style import Axes, Figure, LogLocator, MaxNLocator, NullLocator, colormaps

__all__ = [
    "effect_of_lambda",
    "grid_generations",
    "last_generation",
    "metrics_over_generations",
    "parameter_distances",
    "sample_grids",
    "shown_series",
    "tiled",
]

FULLY_SYNTHETIC = {"color": "#D55E00", "linestyle": "--", "marker": "^"}  # dashed with triangles, as in the paper
CYCLE = 7  # colours of the style, without that of fully synthetic
SHOWN_GENERATIONS = 5  # columns of sample grids, as in Figures 1 and 7
SIDE = 4  # images along the side of a sample grid


def metrics_over_generations(setting: Setting) -> Figure:
    """Figures 2, 5 and 6: Fréchet distance, precision and recall of the generated images over the retrainings, against
    each reference. Bands are one standard deviation over the seeds; grey is what as many real images get."""
    figure, panels = _metric_panels(setting)
    for axes, series in panels:
        for regime, look in _looks(setting).items():
            _curve(axes, setting.values(regime, series), label=regime, **look)
        axes.set_xlabel("retrainings t")
    _legend(figure, panels[0][0], setting)
    return figure


def parameter_distances(setting: Setting) -> Figure:
    """Figure 9: how far the average weights went from those of generation 0, in units of the number of parameters p,
    beside the distance of a network with new random weights."""
    figure = Figure(figsize=(6.2, 3.4))
    axes = figure.subplots()
    random = setting.random_parameter_distances()
    axes.axhline(random.mean(), color="k", linestyle=":", label="random initialisation")
    for regime, look in _looks(setting).items():
        distances = setting.parameter_distances(regime)
        _curve(axes, distances[1:], first=1, label=regime, **look)  # a logarithm has no place for the 0 at t = 0
    axes.set(xlabel="retrainings t", ylabel="‖θₜ − θ₀‖ / p", yscale="log")
    _legend(figure, axes, setting, loc="outside right upper", ncols=1)
    return figure


def effect_of_lambda(setting: Setting) -> Figure:
    """The last generation that all runs have, against the amount of synthetic data: mean and standard deviation over
    the seeds, which are the small dots. Grey is what as many real images get."""
    figure, panels = _metric_panels(setting)
    t, places = last_generation(setting), np.arange(len(setting.rows))
    for axes, series in panels:
        for place, (regime, look) in zip(places, _looks(setting).items(), strict=True):
            values = setting.values(regime, series)[t]
            axes.plot(np.full(len(values), place), values, ".", color=look["color"], alpha=0.5)
            spread = values.std(ddof=1) if len(values) > 1 else 0.0
            axes.errorbar(place, values.mean(), spread, color=look["color"], marker=look["marker"], capsize=3)
        axes.set(title=f"t = {t}", xlabel="λ (∞: fully synthetic)")
        axes.set_xticks(places, [_short(regime) for regime in setting.rows], rotation=90 if len(places) > 6 else 0)
        axes.margins(x=0.1)
    return figure


def sample_grids(setting: Setting) -> Figure | None:
    """Figures 1 and 7: what the same latents become, generation after generation; of the first seed. None without
    stored grids."""
    generations = grid_generations(setting)
    if not generations:
        return None
    chosen = sorted({generations[int(i)] for i in np.linspace(0, len(generations) - 1, SHOWN_GENERATIONS).round()})
    figure = Figure(figsize=(0.5 + 1.5 * len(chosen), 0.2 + 1.5 * len(setting.rows)))
    grid = figure.subplots(len(setting.rows), len(chosen), squeeze=False)
    for row, (regime, chains) in zip(grid, setting.rows.items(), strict=True):
        row[0].set_ylabel(regime)
        for axes, t in zip(row, chosen, strict=True):
            axes.imshow(tiled(chains[0].run.grid(t)[chains[0].r], SIDE), cmap="gray", vmin=0, vmax=255)
            axes.set(xticks=[], yticks=[])
            axes.grid(False)
            axes.spines[:].set_visible(False)
    for axes, t in zip(grid[0], chosen, strict=True):
        axes.set_title(f"t = {t}")
    return figure


def shown_series(setting: Setting) -> dict[str, list[Series]]:
    """By metric, what is shown of it, one a reference: of those with a floor the one of most images.

    Fréchet distance, precision and recall; if none was measured, everything.
    """
    metrics = list(dict.fromkeys(series.metric for series in setting.series))
    paper = {
        series.metric for series in setting.series if series.is_frechet or series.metric in ("precision", "recall")
    }
    shown: dict[str, list[Series]] = {}
    for metric in [metric for metric in metrics if metric in paper] or metrics:
        best: dict[str, Series] = {}
        for series in sorted(
            (series for series in setting.series if series.metric == metric),
            key=lambda series: (len(setting.floor(series)) > 0, series.images),
        ):
            best[series.reference] = series
        shown[metric] = [best[reference] for reference in sorted(best, key=lambda name: (name != "train", name))]
    return shown


def last_generation(setting: Setting) -> int:
    """The last that all runs of the setting have."""
    return min(len(run.history) for run in setting.runs) - 1


def grid_generations(setting: Setting) -> list[int]:
    """Those of which the first seed of every regime has stored a grid."""
    firsts = [chains[0].run for chains in setting.rows.values()]
    return sorted(set.intersection(*(set(run.grids) for run in firsts)))


def tiled(images: np.ndarray, side: int) -> np.ndarray:
    """The first of (k, c, h, w) uint8 in a square of at most side × side with grey gaps: (height, width), or (…, 3)."""
    side = min(side, math.isqrt(len(images)))
    images = np.pad(images[: side * side], ((0, 0), (0, 0), (0, 1), (0, 1)), constant_values=128)
    _, c, h, w = images.shape
    square = images.reshape(side, side, c, h, w).transpose(0, 3, 1, 4, 2)  # (rows, h, columns, w, c)
    square = square.reshape(side * h, side * w, c)[:-1, :-1]
    return square[..., 0] if c == 1 else square


def _metric_panels(setting: Setting) -> tuple[Figure, list[tuple[Axes, Series]]]:
    """A column for each metric shown, a row for each reference, with floors and labels."""
    shown = shown_series(setting)
    rows, columns = max(map(len, shown.values())), len(shown)
    figure = Figure(figsize=(3.1 * columns, 0.5 + 2.5 * rows))
    panels = []
    for column, several in zip(figure.subplots(rows, columns, squeeze=False).T, shown.values(), strict=True):
        for axes in column[len(several) :]:
            axes.set_axis_off()
        for axes, series in zip(column, several, strict=False):
            _floor(axes, setting.floor(series))
            axes.set_ylabel(
                f"{series.label}\n{series.images:,} images, {series.reference} ({series.reference_images:,})"
            )
            if series.is_frechet:
                axes.set_yscale("log")
                axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
                axes.yaxis.set_major_formatter("{x:g}")
                axes.yaxis.set_minor_locator(NullLocator())
            panels.append((axes, series))
    return figure, panels


def _looks(setting: Setting) -> dict[str, dict[str, Any]]:
    """How each regime is drawn: by λ in the colours of the style or, if they do not suffice, from dark to light."""
    mixed = [regime for regime in setting.rows if regime != "fully synthetic"]
    shades = colormaps["viridis"](np.linspace(0, 0.92, len(mixed)))
    colours = [f"C{i}" for i in range(len(mixed))] if len(mixed) <= CYCLE else list(shades)
    looks: dict[str, dict[str, Any]] = {
        regime: {"color": colour, "marker": "o"} for regime, colour in zip(mixed, colours, strict=True)
    }
    return {regime: looks.get(regime, FULLY_SYNTHETIC) for regime in setting.rows}


def _curve(axes: Axes, values: np.ndarray, first: int = 0, **look: Any) -> None:
    """values: (generations, seeds)."""
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    t, centre = first + np.arange(len(values)), values.mean(axis=1)
    (line,) = axes.plot(t, centre, markevery=max(1, len(t) // 10), **look)
    if values.shape[1] > 1:
        spread = values.std(axis=1, ddof=1)
        axes.fill_between(t, centre - spread, centre + spread, color=line.get_color(), alpha=0.2, lw=0)


def _floor(axes: Axes, floors: np.ndarray) -> None:
    if len(floors):
        spread = floors.std(ddof=1) if len(floors) > 1 else 0.0
        axes.axhspan(floors.mean() - spread, floors.mean() + spread, color="0.85", lw=0)
        axes.axhline(floors.mean(), color="0.5", lw=1, label="noise floor")


def _short(regime: str) -> str:
    return regime.replace("λ = ", "").replace("fully synthetic", "∞")


def _legend(figure: Figure, axes: Axes, setting: Setting, loc: Any = "outside upper center", ncols: int = 5) -> None:
    seeds = sorted({len(chains) for chains in setting.rows.values()})
    title = f"mean and standard deviation over {'–'.join(map(str, seeds))} seeds" if seeds[-1] > 1 else None
    figure.legend(*axes.get_legend_handles_labels(), loc=loc, ncols=ncols, title=title)
