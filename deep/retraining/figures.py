"""Pictures of one run of deep.retrain: metrics, parameters, and the images of fixed latents, still
and in motion.
"""

import math
import warnings
from pathlib import Path

from PIL import Image

from deep.reports.figures import metrics_over_generations, parameter_distances, sample_grids
from deep.reports.found_runs import Setting, read_setting
from deep.training.figures import image_grid
from stability.runs.animation import frame_of, write_gif
from stability.runs.figure_style import Figure, figure_style, rcParams, save_figure
from stability.runs.figure_text import plain, wrapped

__all__ = ["draw_figures"]

GIF_MILLISECONDS = 700
GIF_COLUMNS = 5  # rows of the run side by side
GIF_SIDE = 3.2  # inches of a row of the run


def draw_figures(run: Path) -> list[Path]:
    """Draw the figures of a run that has a finished generation into its folder.

    Args:
        run: The run's folder.

    Returns:
        Paths of the figures.
    """
    setting = read_setting(run)
    figures = run / "figures"
    with figure_style():
        paths = save_figure(metrics_over_generations(setting), figures / "metrics")
        paths += save_figure(parameter_distances(setting), figures / "parameters")
        stored = setting.runs[0].grids
        if lost := setting.runs[0].lost_grids:
            numbers = ", ".join(map(str, lost))
            warnings.warn(
                f"{run / 'samples'} lacks the grid of t = {numbers}: the pictures leave it out",
                stacklevel=2,
            )
        if (grids := sample_grids(setting)) is not None:
            paths += save_figure(grids, figures / "samples")
            frames = [_frame(setting, t) for t in stored]
            write_gif(figures / "samples.gif", frames, GIF_MILLISECONDS)
            paths.append(figures / "samples.gif")
    return paths


def _frame(setting: Setting, t: int) -> Image.Image:
    grids = setting.runs[0].grid(t)
    columns = min(GIF_COLUMNS, len(setting.rows))
    rows = math.ceil(len(setting.rows) / columns)
    size = rcParams["axes.titlesize"]
    titles = {name: wrapped(plain(name), 0.9 * GIF_SIDE, size) for name in setting.rows}
    above = 0.15 * (1 + max(title.count("\n") for title in titles.values()))

    figure = Figure(figsize=(GIF_SIDE * columns, rows * (GIF_SIDE + above) + 0.3), dpi=100)
    places = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes in places:
        axes.set_axis_off()

    for axes, (regime, (chain, *_)) in zip(places, setting.rows.items(), strict=False):
        pictures = image_grid(grids[chain.r], math.isqrt(grids.shape[1]))
        axes.imshow(pictures, cmap="gray", vmin=0, vmax=255)
        axes.set_title(titles[regime])

    figure.suptitle(f"t = {t}")
    return frame_of(figure, colours=256)
