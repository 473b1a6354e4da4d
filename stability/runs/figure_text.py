"""Names that fit into a figure: whole, inside it, and drawn as they are."""

import textwrap
from collections.abc import Sequence
from functools import cache
from itertools import accumulate, pairwise

from stability.runs.figure_style import Figure, FontProperties, Legend, RendererAgg, rcParams
from stability.runs.untrusted import printable

__all__ = ["legend_above", "plain", "text_width", "wrapped"]

LEGEND_COLUMNS = 5  # at most
LEGEND_HANDLE = 0.55  # inches: the line before an entry of a legend, and the gap behind it
LEGEND_LINE = 0.16  # inches: height of a line of a legend
MEASURING_DPI = 720


def plain(text: str) -> str:
    """Make a name that may come from a file safe to draw: one line, no mathematics, not too long.

    Args:
        text: The name.

    Returns:
        The text to hand to matplotlib, which would read `$` as mathematics and leave out of a
        legend what begins with `_`.
    """
    shown = printable(text).replace("$", r"\$")
    return f" {shown}" if shown.startswith("_") else shown


def wrapped(text: str, width: float, size: float | str | None = None) -> str:
    """Break a text into lines that are no wider than the place for it.

    Args:
        text: The text; its own line breaks stay.
        width: Inches.
        size: Of the font, in points. Default: that of the axes' labels.

    Returns:
        The text with line breaks. `λ = 0.5` is not broken.
    """
    return "\n".join(_broken(line, width, size) for line in text.split("\n"))


def text_width(text: str, size: float | str | None = None) -> float:
    """Measure a text as it would be drawn.

    Args:
        text: The text, of one or more lines.
        size: Of the font, in points. Default: that of the axes' labels.

    Returns:
        The width of its longest line, in inches.
    """
    font = FontProperties(size=rcParams["axes.labelsize"] if size is None else size)
    renderer = _renderer()
    pixels = [
        renderer.get_text_width_height_descent(line, font, ismath=False)[0]
        for line in text.split("\n")
    ]
    return max(pixels) / MEASURING_DPI


@cache
def _renderer() -> RendererAgg:
    return RendererAgg(1, 1, MEASURING_DPI)


def _broken(line: str, width: float, size: float | str | None) -> str:
    whole = text_width(line, size)
    if whole <= width:
        return line

    # an average line holds so many characters; fewer, until the widest line fits
    together = line.replace(" = ", "\N{NO-BREAK SPACE}=\N{NO-BREAK SPACE}")
    characters = 1 + int(len(line) * width / whole)
    lines = textwrap.wrap(together, characters, break_on_hyphens=False)
    while characters > 1 and text_width("\n".join(lines), size) > width:
        characters -= 1
        lines = textwrap.wrap(together, characters, break_on_hyphens=False)
    return "\n".join(lines).replace("\N{NO-BREAK SPACE}", " ")


def legend_above(figure: Figure, title: str | None = None) -> Legend:
    """Draw one legend of all axes above them, in as many columns as fit side by side.

    Args:
        figure: Grows by the height of what the legend takes beyond its first line.
        title: What the curves are.

    Returns:
        The legend; each label is in it once.
    """
    entries = {
        label: handle
        for axes in figure.axes
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)
    }
    size, room = rcParams["legend.fontsize"], figure.get_figwidth() - 2 * LEGEND_HANDLE
    labels = [wrapped(label, room, size) for label in entries]

    columns = next(
        k
        for k in range(min(LEGEND_COLUMNS, len(labels)), 0, -1)
        if k == 1 or sum(_column_widths(labels, k, size)) <= figure.get_figwidth()
    )
    lines = max(sum(1 + label.count("\n") for label in part) for part in _columns(labels, columns))
    figure.set_figheight(figure.get_figheight() + (lines - 1) * LEGEND_LINE)
    handles = list(entries.values())
    return figure.legend(handles, labels, loc="outside upper center", ncols=columns, title=title)


def _columns(labels: Sequence[str], columns: int) -> list[Sequence[str]]:
    """The labels as matplotlib fills the columns of a legend, one after the other."""
    least, longer = divmod(len(labels), columns)
    ends = [0, *accumulate(least + (k < longer) for k in range(columns))]
    return [labels[start:end] for start, end in pairwise(ends)]


def _column_widths(labels: Sequence[str], columns: int, size: float | str) -> list[float]:
    """Inches of each column of a legend."""
    parts = _columns(labels, columns)
    return [LEGEND_HANDLE + max(text_width(label, size) for label in part) for part in parts]
