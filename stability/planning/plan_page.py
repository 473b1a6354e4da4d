"""A plan as files: JSON, figure, one self-contained page, and the options that `check` reads."""

import io
import json
import re
from importlib.resources import files
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from stability.planning.plan_record import EXPLAINED, TITLES, Plan, columns_of, shown
from stability.runs.atomic import atomic_write
from stability.runs.figure_style import Figure, figure_style, regime_looks, save_figure
from stability.runs.figure_text import legend_above, plain
from stability.runs.output_folder import claim_output_folder

__all__ = ["COMMAND", "draw", "write_plan"]

COMMAND = "stability.planning plan"


def draw(plan: Plan) -> Figure:
    """Draw a plan's curves.

    Args:
        plan: The plan.

    Returns:
        The figure.
    """
    with figure_style():
        figure = Figure(figsize=(6.4, 3.6))
        axes = figure.subplots()
        looks = regime_looks([curve.label for curve in plan.curves])
        for curve in plan.curves:
            rounds = range(len(curve.values))
            look: dict[str, Any] = looks[curve.label] | {"marker": ""}
            axes.plot(rounds, curve.values, label=plain(curve.label), **look)
            if curve.low:
                colour = looks[curve.label]["color"]
                axes.fill_between(rounds, curve.low, curve.high, color=colour, alpha=0.15, lw=0)
        axes.set_xlabel("retrainings")
        axes.set_ylabel(plan.axis)
        if plan.curves:
            legend_above(figure)
    return figure


def write_plan(plan: Plan, folder: Path) -> list[Path]:
    """Write a plan into a folder: plan.json, plan.html, figure (PNG, PDF) and gate.yaml.

    Args:
        plan: The plan.
        folder: Made if missing; one that another plan was written to is used again.

    Returns:
        Paths of the files.

    Raises:
        RunDirectoryError: If the folder holds other files.
        OSError: If it cannot be written.
    """
    claim_output_folder(folder, COMMAND)
    figure = draw(plan)
    with figure_style():
        pictures = save_figure(figure, folder / "plan")
        svg = _svg(figure)
    contents = {
        "plan.json": json.dumps(plan.to_dict(), indent=1, ensure_ascii=False, allow_nan=False),
        "plan.html": _page(plan, svg),
        "gate.yaml": gate_text(plan),
    }
    for name, text in contents.items():
        with atomic_write(folder / name) as file:
            file.write(text.encode())
    return [folder / name for name in contents] + pictures


def gate_text(plan: Plan) -> str:
    """Options of `check` as YAML, with the plan's sentence as a comment.

    Args:
        plan: The plan.

    Returns:
        The text: one option a line.
    """
    lines = [f"# {' '.join(plan.verdict.split())}"]
    lines += [f"{name}: {json.dumps(value)}" for name, value in plan.gate.items()]
    return "\n".join(lines) + "\n"


def _page(plan: Plan, svg: str) -> str:
    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    text = (files("stability.planning") / "plan.html").read_text(encoding="utf-8")
    tables: list[tuple[str, Any]] = [
        ("Regimes", plan.rows),
        ("What the pilot measured", plan.functionals),
        ("Rare categories", plan.categories),
    ]
    return environment.from_string(text).render(
        plan=plan,
        svg=Markup(svg),
        tables=[(title, rows, columns_of(rows)) for title, rows in tables if rows],
        titles=TITLES,
        shown=shown,
        explained=EXPLAINED,
    )


def _svg(figure: Figure) -> str:
    """The figure as an element for a page."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None})
    svg = buffer.getvalue()[buffer.getvalue().index("<svg") :]
    return re.sub(r'<svg width="[^"]*" height="[^"]*"', "<svg", svg, count=1)
