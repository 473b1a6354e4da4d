import numpy as np
import pytest

from stability.report import figures
from stability.runs.figure_style import figure_style
from tests.support.figures import clipped, overlapping


@pytest.mark.parametrize("name", ["collapse", "dimensions", "coverage"])
def test_a_figure_draws_data_and_says_what_it_shows(name, rng):
    draw, caption = figures.FIGURES[name]
    with figure_style():
        figure = draw(rng)
    assert figure is not None
    assert caption.endswith(".")
    assert clipped(figure) == []
    assert overlapping(figure) == []
    for axes in figure.axes:
        assert axes.get_xlabel()
        assert axes.get_ylabel()
        assert all(np.isfinite(np.asarray(line.get_ydata(), float)).all() for line in axes.lines)
        assert axes.lines


def test_the_corrected_rate_goes_through_what_was_simulated_and_the_printed_one_does_not(rng):
    _, right = figures.collapse_rate(rng).axes
    by_label = {
        str(line.get_label()).partition(":")[0]: np.asarray(line.get_ydata(), float)
        for line in right.lines
    }
    # the dots of the error bars, drawn first
    simulated = np.asarray(right.lines[0].get_ydata(), float)
    assert simulated[:5] == pytest.approx(by_label["corrected"][:5], rel=0.05)
    assert (simulated[1:] > 1.03 * by_label["printed"][1:]).all()
