"""Faults of the texts of a figure, as it is drawn."""

from itertools import combinations

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text

SLACK = 1.0  # pixels: glyphs are hinted to whole ones


def texts(figure: Figure) -> dict[Text, tuple[float, float, float, float]]:
    """The texts that are drawn, with left, bottom, right and top in pixels."""
    FigureCanvasAgg(figure).draw()
    outside = _outside_the_axes(figure)
    found = {}
    for text in figure.findobj(Text):
        if text.get_visible() and text.get_text().strip() and text not in outside:
            box = text.get_window_extent()
            found[text] = (box.x0, box.y0, box.x1, box.y1)
    return found


def _outside_the_axes(figure: Figure) -> set[Text]:
    """Labels of ticks beyond the limits of their axis: matplotlib keeps them, and does not draw
    them.
    """
    found = set()
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            low, high = sorted(axis.get_view_interval())
            for tick in (*axis.get_major_ticks(), *axis.get_minor_ticks()):
                if not (axes.axison and low <= tick.get_loc() <= high):
                    found |= {tick.label1, tick.label2}
    return found


def clipped(figure: Figure) -> list[str]:
    """The texts that leave the figure."""
    width, height = figure.bbox.width, figure.bbox.height
    return [
        text.get_text()
        for text, (left, bottom, right, top) in texts(figure).items()
        if min(left, bottom) < -SLACK or right > width + SLACK or top > height + SLACK
    ]


def overlapping(figure: Figure) -> list[tuple[str, str]]:
    """The pairs of texts that lie upon each other."""
    pairs = combinations(texts(figure).items(), 2)
    return [
        (one.get_text(), two.get_text())
        for (one, (l1, b1, r1, t1)), (two, (l2, b2, r2, t2)) in pairs
        if min(r1, r2) - max(l1, l2) > SLACK and min(t1, t2) - max(b1, b2) > SLACK
    ]


def leave_out_figures(monkeypatch):
    """Let runs of `toy` leave out their pictures and their page.

    Args:
        monkeypatch: What puts them back.
    """
    monkeypatch.setattr("toy.measures.figures.draw_figures", lambda *arguments: [])
    leave_out_page(monkeypatch)


def leave_out_page(monkeypatch):
    """Let runs leave out their page, which takes longer than the rest of a tiny one.

    Args:
        monkeypatch: What puts it back.
    """
    monkeypatch.setattr("stability.runs.result.Result.report", lambda result: result.folder)
