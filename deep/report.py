"""Figures and one page of whatever runs of deep.retrain there are: python -m deep.report DIR

The page opens from the disk and reaches nothing else; a slider goes through the generations of the
samples.
"""

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tyro
from PIL import Image
from rich.box import SIMPLE_HEAD
from rich.table import Table

from deep.reports.figures import (
    FIGURES,
    grid_generations,
    last_generation,
    shown_series,
    tiled,
)
from deep.reports.found_runs import FoundRun, FoundRunError, Series, Setting, find_settings
from stability.runs.atomic import atomic_write
from stability.runs.command_line import UsageError, command
from stability.runs.console import make_console, print_paths
from stability.runs.figure_style import figure_style, save_figure
from stability.runs.output_folder import claim_output_folder
from stability.runs.page import (
    as_text,
    data_address,
    environment_rows,
    figure_address,
    render_page,
)

__all__ = ["Report", "main"]

TITLE = "Iterative retraining of image models"
ABOUT = (
    "What became of generative models that were retrained on their own samples, mixed with real "
    "data or not: as in Figures 1, 2, 5 to 7 and 9 of Bertrand, Bose, Duplessis, Jiralerspong and "
    "Gidel, On the Stability of Iterative Retraining of Generative Models on their own Data (ICLR "
    "2024)."
)
SIDE = 5  # images along the side of a grid on the page


@dataclass(frozen=True)
class Report:
    """Draw and tabulate all runs of deep.retrain below a folder, such as those of deep.sweep, and
    make one page of it.

    Runs that differ in the seed alone are repeats: their mean and standard deviation are shown.
    Runs that differ in more than seed and regime are shown apart.
    """

    folder: tyro.conf.Positional[Path]
    """Folder that holds the runs, in any depth."""
    out: Path | None = None
    """Folder to write to. Default: DIR/report."""


def main(config: Report) -> None:
    """Write the figures and the page, print the last generation of each regime and the paths.

    Args:
        config: Options of the command.

    Raises:
        UsageError: If the folder has no run that can be read.
    """
    console = make_console()
    out = config.out or config.folder / "report"
    try:
        settings = find_settings(config.folder)
        sections = [_section(setting) for setting in settings]
    except FoundRunError as error:
        raise UsageError(str(error)) from None
    claim_output_folder(out, "deep.report")
    written = []
    for setting, section in zip(settings, sections, strict=True):
        section["pictures"], paths = _draw(setting, out)
        written += paths
    page = out / "report.html"
    with atomic_write(page) as file:
        file.write(render_page(TITLE, ABOUT, sections).encode())
    for section in sections:
        for table in _terminal_tables(section):
            console.print(table)
    print_paths(console, (page, *written))


def _draw(setting: Setting, out: Path) -> tuple[list[dict[str, str]], list[Path]]:
    """Save the figures of a setting; return what the page needs of each, and the files written."""
    pictures, written = [], []
    with figure_style():
        for name, (draw, caption) in FIGURES.items():
            figure = draw(setting)
            if figure is not None:
                written += save_figure(figure, out / f"{setting.name}-{name}")
                pictures.append(
                    {"name": name, "caption": caption, "source": figure_address(figure)}
                )
    return pictures, written


def _section(setting: Setting) -> dict[str, Any]:
    """Collect the page's words and numbers on a setting, and its samples; without figures."""
    return {
        "name": setting.name,
        "words": f"Features: {_features(setting)}.",
        "last": last_generation(setting),
        "tables": _numbers(setting),
        "generations": grid_generations(setting),
        "grids": (grids := _grids(setting)),
        "grids_words": _grids_words(grids),
        "config": {option: as_text(value) for option, value in setting.config.items()},
        "environment": environment_rows([run.environment for run in setting.runs]),
        "runs": [
            (
                run.folder,
                run.config["seed"],
                _regimes(run),
                f"{run.generations - 1} of {run.config['retrainings']}",
            )
            for run in setting.runs
        ],
        "unfinished": sum(run.generations <= run.config["retrainings"] for run in setting.runs),
    }


def _numbers(setting: Setting) -> list[dict[str, Any]]:
    """A table for each reference: mean ± standard deviation over the seeds at the last
    generation that all have.
    """
    t = last_generation(setting)
    tables: dict[str, list[Series]] = {}
    for several in shown_series(setting).values():
        for series in several:
            tables.setdefault(f"{series.reference} ({series.reference_images:,})", []).append(
                series
            )

    return [
        {
            "reference": reference,
            "caption": f"Generation {t} against {reference}: mean ± standard deviation over the "
            "seeds",
            "heads": ["regime", "seeds", *(f"{one.label}_{one.images}" for one in several)],
            "rows": [
                [
                    regime,
                    len(chains),
                    *(_mean_sd(setting.values(regime, one)[t]) for one in several),
                ]
                for regime, chains in setting.rows.items()
            ],
            "floor": ["real images", "", *(_mean_sd(setting.floor(one)) for one in several)],
        }
        for reference, several in tables.items()
    ]


def _mean_sd(values: np.ndarray) -> str:
    if not len(values):
        return "–"
    return f"{values.mean():.4g}" + (f" ± {values.std(ddof=1):.2g}" if np.ptp(values) else "")


def _features(setting: Setting) -> str:
    """Names of the feature spaces that its runs used."""
    return ", ".join(dict.fromkeys(run.features for run in setting.runs))


def _grids_words(grids: Sequence[dict[str, Any]]) -> str:
    """Words below the samples."""
    seeds = {grid["seed"] for grid in grids}
    return "The same latents in every generation" + (
        f"; seed {seeds.pop()}." if len(seeds) == 1 else "."
    )


def _grids(setting: Setting) -> list[dict[str, Any]]:
    """For each regime, of its first seed, the samples of each generation that all have stored."""
    return [
        {
            "regime": regime,
            "seed": chains[0].run.config["seed"],
            "images": {
                t: _picture(tiled(chains[0].run.grid(t)[chains[0].r], SIDE))
                for t in grid_generations(setting)
            },
        }
        for regime, chains in setting.rows.items()
    ]


def _picture(pixels: np.ndarray) -> str:
    """Grey ones exactly; colours as JPEG, since a page may hold hundreds of these."""
    buffer, kind = io.BytesIO(), "png" if pixels.ndim == 2 else "jpeg"
    Image.fromarray(pixels).save(
        buffer, format=kind, **({} if kind == "png" else {"quality": 92, "subsampling": 0})
    )
    return data_address(f"image/{kind}", buffer.getvalue())


def _regimes(run: FoundRun) -> str:
    return "; ".join(run.recorded.history.rows)


def _terminal_tables(section: dict[str, Any]) -> Iterator[Table]:
    for one in section["tables"]:
        title = f"{section['name']}, t = {section['last']}, against {one['reference']}"
        table = Table(title=title, box=SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
        for i, head in enumerate(one["heads"]):
            table.add_column(head, justify="left" if i == 0 else "right")
        for row in (*one["rows"], one["floor"]):
            table.add_row(*map(str, row))
        yield table


if __name__ == "__main__":
    command(Report, main)
