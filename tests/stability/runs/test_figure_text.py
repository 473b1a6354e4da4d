"""Names in figures: whole, inside, told apart, and never read as mathematics."""

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from stability.runs.figure_style import figure_style
from stability.runs.figure_text import legend_above, plain, wrapped
from tests.support.figures import clipped, overlapping

LONGEST = "accumulate, λ = 0.5, n of them, weight 0.3, best of 2 by right, verified by inner"
HOSTILE = ("$\\frac{$", "_hidden", "two\nlines", "\x1b[31mred", "x" * 100_000, "a$b$c", "\\$", "")


def drawn(names, width=6.6, wrap=True):
    """A figure with a curve for each name."""
    with figure_style():
        figure = Figure(figsize=(width, 3.0))
        FigureCanvasAgg(figure)
        axes = figure.subplots()
        for name in names:
            axes.plot([0, 1], label=name)
        if wrap:
            legend_above(figure, "mean over seeds")
        else:
            figure.legend(loc="outside upper center", ncols=5)
    return figure


@pytest.mark.parametrize("count", [1, 4, 12])
@pytest.mark.parametrize("width", [3.0, 6.6])
def test_long_names_are_whole_in_the_legend_and_inside_the_figure(count, width):
    names = [f"{LONGEST} {k}" for k in range(count)]
    figure = drawn(names, width)
    assert clipped(figure) == []
    assert overlapping(figure) == []
    texts = [text.get_text().replace("\n", " ") for text in figure.legends[0].get_texts()]
    assert texts == names


def test_a_legend_that_is_not_wrapped_is_found_clipped():
    assert clipped(drawn([LONGEST, LONGEST + "s"], wrap=False))


def test_short_names_stay_in_one_line():
    figure = drawn(["noise floor", "λ = 0", "λ = 0.5", "λ = 1", "fully synthetic"])
    assert figure.get_figheight() == 3.0
    assert not any("\n" in text.get_text() for text in figure.legends[0].get_texts())


def test_a_legend_has_each_label_once():
    with figure_style():
        figure = Figure()
        for axes in figure.subplots(1, 2):
            axes.plot([0, 1], label="same")
        legend = legend_above(figure)
    assert [text.get_text() for text in legend.get_texts()] == ["same"]


@pytest.mark.parametrize("name", HOSTILE)
def test_names_from_files_are_drawn_as_they_are(name):
    shown = plain(name)
    assert len(shown) < 500
    figure = drawn([shown, "other"])
    assert clipped(figure) == []
    figure.canvas.draw()
    assert len(figure.legends[0].get_texts()) == (2 if name else 1)


def test_mathematics_in_a_name_that_is_not_made_plain_would_stop_the_drawing():
    with pytest.raises(ValueError, match="frac"):
        drawn(["$\\frac{$"]).canvas.draw()


def test_lines_break_at_words_and_never_inside_lambda():
    lines = wrapped(LONGEST, 0.8, 7).split("\n")
    assert " ".join(lines) == LONGEST
    assert any("λ = 0.5" in line for line in lines)
    assert wrapped("one\ntwo", 5.0) == "one\ntwo"
