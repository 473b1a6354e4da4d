"""The page of one or more runs: one HTML file that opens from the disk and reaches nothing else."""

import base64
import html
import io
import json
import math
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from stability.runs.atomic import atomic_write
from stability.runs.figure_style import Axes, Figure, figure_style
from stability.runs.run_layout import RunDirectoryError
from stability.runs.tables import mean_sd

if TYPE_CHECKING:
    from stability.runs.result import Result

__all__ = [
    "as_text",
    "data_address",
    "environment_rows",
    "figure_address",
    "last_generation_table",
    "render_page",
    "write_page",
]

MOST_GENERATIONS = 21
"""Generations of samples on the page."""
SHOWN_POINTS = 2000
"""Points of a picture of samples."""


def write_page(result: "Result", path: Path) -> Path:
    """Write the page of a run.

    Args:
        result: The run.
        path: The file.

    Returns:
        The path.

    Raises:
        ValueError: If the run has no finished generation.
    """
    if not result.history:
        raise ValueError(f"{result.folder} has no finished generation")
    title = f"Iterative retraining: {result.folder.name}"
    about = "What became of models that were retrained on their own samples, mixed with real data"
    page = render_page(title, f"{about} or not.", [_section(result)])
    with atomic_write(path) as file:
        file.write(page.encode())
    return path


def render_page(title: str, about: str, sections: Sequence[Mapping[str, Any]]) -> str:
    """Fill the template.

    Args:
        title: Of the page.
        about: A paragraph below it.
        sections: One a run, or a setting of several runs; see page.html.

    Returns:
        The page.
    """
    import jinja2

    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    template = environment.from_string(
        (files("stability.runs") / "page.html").read_text(encoding="utf-8")
    )
    return template.render(title=title, about=about, sections=sections)


def figure_address(figure: Figure) -> str:
    """A figure as an address that holds the picture itself.

    Args:
        figure: The figure.

    Returns:
        A data: URL of an SVG.
    """
    buffer = io.BytesIO()
    with figure_style():
        figure.savefig(
            buffer, format="svg", metadata=dict.fromkeys(("Date", "Creator", "Format", "Type"))
        )
    return data_address("image/svg+xml", buffer.getvalue())


def data_address(kind: str, content: bytes) -> str:
    """Content as an address.

    Args:
        kind: Its media type.
        content: Bytes.

    Returns:
        A data: URL.
    """
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def as_text(value: Any) -> str:
    """Write an option's value as it is shown.

    Args:
        value: JSON value.

    Returns:
        A text as it is; anything else as JSON.
    """
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def environment_rows(environments: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Collect the records of where runs ran.

    Args:
        environments: One a run.

    Returns:
        All values that occur, by name.
    """
    found: dict[str, dict[str, None]] = {}
    for environment in environments:
        for name, value in environment.items():
            for key, one in value.items() if isinstance(value, Mapping) else [(name, value)]:
                found.setdefault(key, {})[as_text(one)] = None
    return {name: "; ".join(values) for name, values in found.items()}


def last_generation_table(result: "Result") -> str:
    """A table of the last generation as HTML: mean ± standard deviation over seeds, and floors.

    Args:
        result: A run with a finished generation.

    Returns:
        HTML.
    """
    table = _numbers(result)
    head = "".join(f"<th>{html.escape(cell)}</th>" for cell in table["heads"])
    rows = [*table["rows"], table["floor"]]
    body = "".join(
        "<tr>" + "".join(f"<td>{html.escape(str(cell))}</td>" for cell in row) + "</tr>"
        for row in rows
    )
    last, folder = len(result.history) - 1, html.escape(str(result.folder))
    return f"<p>{folder}: generation {last}</p><table><tr>{head}</tr>{body}</table>"


def _section(result: "Result") -> dict[str, Any]:
    """Section of the page for one run, as JSON values."""
    last = len(result.history) - 1
    pictures = []
    if result.shown():
        caption = (
            "What was measured over the retrainings: mean and standard deviation over seeds; grey "
            "is what a perfect model gets."
        )
        pictures.append(
            {"name": "quantities", "caption": caption, "source": figure_address(result.plot())}
        )

    generations = _shown_samples(result)
    tables = [_numbers(result)] if result.shown() else []
    return {
        "name": result.folder.name,
        "words": " ".join([result.answer(), _sentence(result.covers)]).strip(),
        "last": last,
        "tables": [*tables, *_trends(result)],
        "generations": generations,
        "grids": _grids(result, generations),
        "grids_words": "Samples of the first seed.",
        "pictures": pictures,
        "config": {option: as_text(value) for option, value in result.config.items()},
        "environment": environment_rows([result.environment]),
        "runs": [
            (
                result.folder,
                as_text(result.config.get("seed", "")),
                "; ".join(result.history.rows),
                f"{last} of {result.recorded.study.generations}",
            )
        ],
        "unfinished": int(not result.finished),
    }


def _sentence(words: str) -> str:
    return words[:1].upper() + words[1:] + "." if words else ""


def _numbers(result: "Result") -> dict[str, Any]:
    """The last generation: mean ± standard deviation over the seeds."""
    shown, history = result.shown(), result.history
    values = {quantity.key: history.values(quantity.key) for quantity in shown}
    last, floors = history[-1], [result.floor(quantity.key) for quantity in shown]
    rows = []
    for row, positions in history.rows.items():
        chain = last.chains[positions[0]]
        numbers = [mean_sd(values[quantity.key][row][-1], ".4g") for quantity in shown]
        rows.append([row, str(len(positions)), str(chain.n), str(chain.m), *numbers])
    unknown = ["–" if math.isnan(f.mean) else f"{f.mean:.4g} ± {f.sd:.2g}" for f in floors]
    return {
        "caption": f"Generation {last.t}: mean ± standard deviation over the seeds",
        "heads": ["regime", "seeds", "n", "m", *(quantity.title for quantity in shown)],
        "rows": rows,
        "floor": ["a perfect model", "", "", "", *unknown],
    }


def _trends(result: "Result") -> list[dict[str, Any]]:
    """The table of trends, where there are generations for slopes and seeds for tests."""
    if len(result.history) < 3 or result.history.seeds < 2 or not result.shown():
        return []
    trends = result.trends()
    heads = ["regime", "quantity", "slope", "95 % interval", "seeds that grow", "p", "it grows"]
    return [
        {
            "caption": f"Trends: {trends.caption}",
            "heads": heads,
            "rows": trends.cells(),
            "floor": [],
        }
    ]


def _shown_samples(result: "Result") -> list[int]:
    """Generations whose samples the page shows, if they can be shown."""
    stored = result.sample_generations
    if not stored:
        return []
    try:
        first = result.samples(stored[0])[0]
    except RunDirectoryError:
        return []
    if not (np.ndim(first) == 1 or (np.ndim(first) == 2 and first.shape[1] <= 2)):
        return []
    chosen = np.linspace(0, len(stored) - 1, min(MOST_GENERATIONS, len(stored))).round()
    return sorted({stored[int(i)] for i in chosen})


def _grids(result: "Result", generations: Sequence[int]) -> list[dict[str, Any]]:
    """For each row, of its first seed, pictures of the samples."""
    if not generations:
        return []
    drawn = {t: result.samples(t) for t in generations}
    firsts = {row: positions[0] for row, positions in result.history.rows.items()}
    first = [np.asarray(drawn[generations[0]][r], dtype=float) for r in firsts.values()]
    window = _window(np.concatenate([x.reshape(len(x), -1) for x in first]))
    return [
        {
            "regime": row,
            "seed": result.history[0].chains[r].seed,
            "images": {t: _picture(np.asarray(drawn[t][r]), window) for t in generations},
        }
        for row, r in firsts.items()
    ]


def _window(points: np.ndarray, margin: float = 0.3) -> tuple[np.ndarray, np.ndarray]:
    """Corners of the points' box, widened, so that spreading stays in view."""
    low, high = points.min(axis=0), points.max(axis=0)
    return low - margin * (high - low) - 1e-9, high + margin * (high - low) + 1e-9


def _picture(points: np.ndarray, window: tuple[np.ndarray, np.ndarray]) -> str:
    """Points of the plane, or a histogram of numbers."""
    (left, *bottom), (right, *top) = window
    with figure_style():
        figure = Figure(figsize=(2.4, 2.4), dpi=100)
        axes: Axes = figure.subplots()
        if bottom:
            axes.scatter(*points[:SHOWN_POINTS].T, s=2.5, color="#0072B2", lw=0)
            axes.set(ylim=(bottom[0], top[0]))
        else:
            axes.hist(points.ravel(), bins=60, range=(left, right), color="#0072B2")
        axes.set(xlim=(left, right), xticks=[], yticks=[])
        axes.grid(False)
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png")
    return data_address("image/png", buffer.getvalue())
