"""Figures 1, 2, 5 to 7 and 9 of the paper, of whatever runs there are."""

import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np

from deep.reports.found_runs import Series, Setting
from stability.runs.curves import draw_curve, draw_floor
from stability.runs.figure_style import (
    Axes,
    Captioned,
    Figure,
    LogLocator,
    NullLocator,
    log_scale,
    regime_looks,
)
from stability.runs.figure_text import legend_above, plain, text_width, wrapped
from stability.runs.observer import Floor
from stability.runs.untrusted import printable

__all__ = [
    "FIGURES",
    "effect_of_lambda",
    "grid_generations",
    "last_generation",
    "metrics_over_generations",
    "most_changed",
    "parameter_distances",
    "sample_grids",
    "shown_series",
    "tiled",
]

REAL_IMAGES = "as many real images"
"""Words for the floor of what is no distance: it may lie above what a model gets, or below."""
SCORES = ("precision", "recall", "density", "coverage")
PANEL_HEIGHT = 2.3  # inches for the label of a panel's axis
TICKS_WIDTH = 2.0  # inches below a panel for names that stand side by side
TICK_CHARACTERS = 40  # of a name below a panel
ROW_HEIGHT = 1.5  # inches of a row of images
SHOWN_GENERATIONS = 5  # columns of sample grids, as in Figures 1 and 7
SIDE = 4  # images along the side of a sample grid


def metrics_over_generations(setting: Setting) -> Figure:
    """Draw each metric over the generations (Figures 2, 5 and 6): means and bands of one sd over
    seeds.

    Args:
        setting: The runs.

    Returns:
        A panel for each metric and reference.
    """
    figure, panels = _metric_panels(setting)
    for axes, series in panels:
        for regime, look in regime_looks(list(setting.rows)).items():
            draw_curve(axes, setting.values(regime, series), label=plain(regime), **look)
        axes.set_xlabel("retrainings t")
        _scale(axes, series)
    legend_above(figure, _over_seeds(setting))
    return figure


def parameter_distances(setting: Setting) -> Figure:
    """Draw how far the average weights went from those of generation 0, per parameter (Figure 9).

    Args:
        setting: The runs.

    Returns:
        One panel, with the distance of a network with new random weights.
    """
    figure = Figure(figsize=(6.2, 3.4))
    axes = figure.subplots()
    random = setting.random_parameter_distances()
    axes.axhline(random.mean(), color="k", linestyle=":", label="random initialisation")
    for regime, look in regime_looks(list(setting.rows)).items():
        distances = setting.parameter_distances(regime)
        # a logarithm has no place for the 0 at t = 0
        draw_curve(axes, distances[1:], first=1, label=plain(regime), **look)
    axes.set(xlabel="retrainings t", ylabel="‖θₜ − θ₀‖ / p")
    log_scale(axes)
    legend_above(figure, _over_seeds(setting))
    return figure


def effect_of_lambda(setting: Setting) -> Figure:
    """Draw the last generation that all runs have against the amount of synthetic data.

    Args:
        setting: The runs.

    Returns:
        A panel for each metric and reference: mean and standard deviation over the seeds, which are
        the small dots.
    """
    figure, panels = _metric_panels(setting)
    t, places = last_generation(setting), np.arange(len(setting.rows))
    names = [_short(regime) for regime in setting.rows]
    upright = sum(map(text_width, names)) > TICKS_WIDTH
    if upright:  # so that long names do not take the panels' height
        longest = max(map(text_width, names))
        rows = max(map(len, shown_series(setting).values()))
        figure.set_figheight(figure.get_figheight() + rows * longest)

    for axes, series in panels:
        for place, (regime, look) in zip(
            places, regime_looks(list(setting.rows)).items(), strict=True
        ):
            values = setting.values(regime, series)[t]
            axes.plot(np.full(len(values), place), values, ".", color=look["color"], alpha=0.5)
            spread = values.std(ddof=1) if len(values) > 1 else 0.0
            axes.errorbar(
                place, values.mean(), spread, color=look["color"], marker=look["marker"], capsize=3
            )
        axes.set(title=f"t = {t}", xlabel="λ (∞: fully synthetic)")
        axes.set_xticks(places, names, rotation=90 if upright else 0)
        axes.margins(x=0.1)
        _scale(axes, series)

    return figure


def sample_grids(setting: Setting) -> Figure | None:
    """Draw the images of fixed latents, generation after generation (Figures 1 and 7), of the first
    seed: those of the latents whose image changes most from the first generation to the last.

    Args:
        setting: The runs.

    Returns:
        A row for each regime; None where no generation of all regimes has stored a grid.
    """
    generations = grid_generations(setting)
    if not generations:
        return None
    chosen = sorted(
        {
            generations[int(i)]
            for i in np.linspace(0, len(generations) - 1, SHOWN_GENERATIONS).round()
        }
    )
    labels = {regime: wrapped(plain(regime), 0.9 * ROW_HEIGHT) for regime in setting.rows}
    beside = 0.15 * max(label.count("\n") for label in labels.values())

    width, height = 0.5 + beside + ROW_HEIGHT * len(chosen), 0.2 + ROW_HEIGHT * len(setting.rows)
    figure = Figure(figsize=(width, height))
    grid = figure.subplots(len(setting.rows), len(chosen), squeeze=False)

    grids = {
        regime: {t: chains[0].run.grid(t)[chains[0].r] for t in chosen}
        for regime, chains in setting.rows.items()
    }
    shown = most_changed([(of[chosen[0]], of[chosen[-1]]) for of in grids.values()], SIDE)
    for row, (regime, of) in zip(grid, grids.items(), strict=True):
        row[0].set_ylabel(labels[regime])
        for axes, t in zip(row, chosen, strict=True):
            axes.imshow(tiled(of[t][shown], SIDE), cmap="gray", vmin=0, vmax=255)
            axes.set(xticks=[], yticks=[])
            axes.grid(False)
            axes.spines[:].set_visible(False)
    for axes, t in zip(grid[0], chosen, strict=True):
        axes.set_title(f"t = {t}")
    return figure


def shown_series(setting: Setting) -> dict[str, list[Series]]:
    """Choose the series that are shown, by metric, one a reference.

    Of the series with a floor it is the one of most images. Metrics are Fréchet distance, precision
    and recall; if none was measured, everything.

    Args:
        setting: Runs of one setting.

    Returns:
        Series by metric.
    """
    metrics = list(dict.fromkeys(series.metric for series in setting.series))
    paper = {
        series.metric
        for series in setting.series
        if series.is_frechet or series.metric in ("precision", "recall")
    }
    shown: dict[str, list[Series]] = {}
    for metric in [metric for metric in metrics if metric in paper] or metrics:
        best: dict[str, Series] = {}
        for series in sorted(
            (series for series in setting.series if series.metric == metric),
            key=lambda series: (len(setting.floor(series)) > 0, series.images),
        ):
            best[series.reference] = series
        shown[metric] = [
            best[reference] for reference in sorted(best, key=lambda name: (name != "train", name))
        ]
    return shown


def last_generation(setting: Setting) -> int:
    """The last generation that all runs of the setting have.

    Args:
        setting: Runs of one setting.

    Returns:
        Its number.
    """
    return min(run.generations for run in setting.runs) - 1


def grid_generations(setting: Setting) -> list[int]:
    """Generations of which the first seed of every regime has stored a grid.

    Args:
        setting: Runs of one setting.

    Returns:
        Their numbers, ascending.
    """
    firsts = [chains[0].run for chains in setting.rows.values()]
    return sorted(set.intersection(*(set(run.grids) for run in firsts)))


def most_changed(pairs: Sequence[tuple[np.ndarray, np.ndarray]], side: int) -> np.ndarray:
    """Find the images of a square that changed most in any row.

    Args:
        pairs: First and last images of each row, (k, c, h, w) uint8.
        side: Most images a side.

    Returns:
        Their indices, the most changed first.
    """
    changes = [np.square(last.astype(float) - first).mean(axis=(1, 2, 3)) for first, last in pairs]
    change = np.max(changes, axis=0)
    side = min(side, math.isqrt(len(change)))
    return np.argsort(-change, kind="stable")[: side * side]


def tiled(images: np.ndarray, side: int) -> np.ndarray:
    """Tile the first images in a square with grey gaps.

    Args:
        images: Images, (k, c, h, w) uint8.
        side: Most images a side.

    Returns:
        The picture, (height, width) uint8 if grey, (height, width, 3) if coloured.
    """
    side = min(side, math.isqrt(len(images)))
    images = np.pad(images[: side * side], ((0, 0), (0, 0), (0, 1), (0, 1)), constant_values=128)
    _, c, h, w = images.shape
    # (rows, h, columns, w, c)
    square = images.reshape(side, side, c, h, w).transpose(0, 3, 1, 4, 2)
    square = square.reshape(side * h, side * w, c)[:-1, :-1]
    return square[..., 0] if c == 1 else square


def _metric_panels(setting: Setting) -> tuple[Figure, list[tuple[Axes, Series]]]:
    """A column for each metric shown, a row for each reference, with floors and labels."""
    shown = shown_series(setting)
    rows, columns = max(map(len, shown.values())), len(shown)
    figure = Figure(figsize=(3.1 * columns, 0.5 + 2.5 * rows))
    panels = []
    for column, several in zip(
        figure.subplots(rows, columns, squeeze=False).T, shown.values(), strict=True
    ):
        for axes in column[len(several) :]:
            axes.set_axis_off()
        for axes, series in zip(column, several, strict=False):
            _floor(
                axes,
                setting.floor(series),
                REAL_IMAGES if series.metric in SCORES else "noise floor",
            )
            compared = f"{series.images:,} images, {series.reference} ({series.reference_images:,})"
            axes.set_ylabel(wrapped(plain(series.label) + "\n" + plain(compared), PANEL_HEIGHT))
            panels.append((axes, series))
    return figure, panels


def _scale(axes: Axes, series: Series) -> None:
    """Make the axis of a Fréchet distance logarithmic, once its values are drawn."""
    if series.is_frechet and log_scale(axes):
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_minor_locator(NullLocator())


def _floor(axes: Axes, floors: np.ndarray, words: str) -> None:
    """floors: (S,), the values for as many real images, one a run."""
    if len(floors):
        spread = floors.std(ddof=1) if len(floors) > 1 else 0.0
        floor = Floor(float(floors.mean()), float(spread))
        draw_floor(axes, floor, words, least=words != REAL_IMAGES)


def _short(regime: str) -> str:
    """The name of a regime below an axis of λ."""
    short = regime.replace("λ = ", "").replace("fully synthetic", "∞")
    return wrapped(plain(printable(short, TICK_CHARACTERS)), 1.2)


def _over_seeds(setting: Setting) -> str | None:
    seeds = sorted({len(chains) for chains in setting.rows.values()})
    return (
        f"mean and standard deviation over {'–'.join(map(str, seeds))} seeds"
        if seeds[-1] > 1
        else None
    )


FIGURES: Mapping[str, Captioned] = MappingProxyType(
    {
        "metrics": Captioned(
            metrics_over_generations,
            "The metrics of the generated images over the retrainings, against each reference "
            "(Figures "
            "2, 5 and 6). Bands are one standard deviation over the seeds; grey is what as many "
            "real "
            "images get.",
        ),
        "lambda": Captioned(
            effect_of_lambda,
            "The last generation that all runs have, against the amount of synthetic data: mean "
            "and "
            "standard deviation over the seeds, which are the small dots. Grey is what as many "
            "real "
            "images get.",
        ),
        "parameters": Captioned(
            parameter_distances,
            "How far the average weights went from those of generation 0, in units of the number "
            "of "
            "parameters p, beside the distance of a network with new random weights (Figure 9).",
        ),
        "samples": Captioned(
            sample_grids,
            "What the same latents become, generation after generation; of the first seed "
            "(Figures 1 and 7).",
        ),
    }
)
"""The figures of a report by name."""
