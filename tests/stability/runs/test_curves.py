"""Curves show the numbers of a history: means, one standard deviation, floors."""

import math

import numpy as np

from stability import FullySynthetic, Mix
from stability.runs.curves import quantity_curves
from stability.runs.observer import OF_THE_TRUTH, Floor, Quantity
from stability.runs.study_file import StudyFile
from tests.support.histories import history_of

VALUES = {
    Mix(0.5): [[1.0, 3.0], [2.0, 6.0], [4.0, 4.0]],
    FullySynthetic(): [[1.0, 1.0], [10.0, 20.0], [100.0, 300.0]],
}
HISTORY = history_of({"w1": VALUES, "share": VALUES})
W1 = Quantity("w1", "W1", "$W_1$", log=True)
SHARE = Quantity("share", "Share", "share", floor=OF_THE_TRUTH)


def drawn(**floors):
    study = StudyFile((W1, SHARE), floors)
    return [a for a in quantity_curves(HISTORY, study, [W1, SHARE]).axes if a.lines]


def test_lines_are_means_and_bands_one_standard_deviation():
    axes, _ = drawn()
    lines = {line.get_label(): line for line in axes.lines}
    for regime, values in VALUES.items():
        line = lines[str(regime)]
        assert np.asarray(line.get_xdata()).tolist() == [0, 1, 2]
        assert np.asarray(line.get_ydata()).tolist() == [np.mean(v) for v in values]
    bands = [np.asarray(band.get_paths()[0].vertices)[:, 1] for band in axes.collections]
    for band, values in zip(bands, VALUES.values(), strict=True):
        mean, sd = np.mean(values, axis=1), np.std(values, axis=1, ddof=1)
        ends = [*(mean - sd), *(mean + sd)]
        assert {*np.round(ends, 6)} <= {*np.round(band, 6)}


def test_a_floor_is_a_line_of_its_kind_and_none_where_it_is_unknown():
    without = [len(axes.lines) for axes in drawn()]
    first, second = drawn(w1=Floor(0.5, 0.1, 32), share=Floor(0.2, 0.1, 32))
    assert [len(first.lines), len(second.lines)] == [n + 1 for n in without]
    floors = [axes.lines[0] for axes in (first, second)]
    assert [np.asarray(line.get_ydata())[0] for line in floors] == [0.5, 0.2]
    assert [line.get_linestyle() for line in floors] == ["-", ":"]
    assert [len(axes.lines) for axes in drawn(w1=Floor(math.nan, math.nan))] == without


def test_scales():
    log, linear = drawn()
    assert log.get_yscale() == "log"
    assert linear.get_yscale() == "linear"
    assert linear.get_ylim()[0] == 0
