"""Figures of 2-D runs: panels that can be compared, whole names, and a floor that is called what
it is.
"""

import math

import numpy as np
import pytest
from PIL import Image

from stability import Accumulate, Curated, FullySynthetic, Mix, Subsample, Verified, Weighted
from stability.observers.distances import EXACT
from stability.observers.likelihood import Likelihood
from stability.runs import animation
from stability.runs.observer import OF_THE_TRUTH, Floor
from stability.runs.recorded_run import RecordedRun
from stability.runs.result import Result
from stability.runs.study_file import StudyFile
from tests.support.figures import clipped, overlapping
from tests.support.histories import history_of
from toy.densities.preferences import inner, right
from toy.densities.shapes import two_moons
from toy.eight_gaussians import SHOWN
from toy.measures import figures
from toy.measures.metrics import Resemblance

SHOWN_2D = (
    *EXACT,
    *Resemblance().quantities,
    *Likelihood().quantities,
)
FLOORS = {
    "w1": Floor(0.2, 0.05, 32),
    "w2": Floor(0.3, 0.05, 32),
    "memorised": Floor(0.5, 0.01, 32),
    "sliced": Floor(0.1, 0.01, 32),
}
RESEMBLANCE = SHOWN_2D[2:]
LONG = [
    Verified(Curated(Weighted(Subsample(Accumulate(lam)), 0.3), right), inner) for lam in (0.5, 2.0)
]
SHORT = [Mix(0.5), Mix(2.0), FullySynthetic()]


@pytest.fixture
def draw(tmp_path, monkeypatch):
    """Draws a run of these rows, sizes and generations; the figures by name, and the path of the
    GIF.
    """

    def run(regimes, rng, sizes=None, generations=3, seeds=1, shown=RESEMBLANCE, value=1.0):
        kept = {}

        def keep(figure, path):
            kept[path.name] = figure
            return []

        monkeypatch.setattr(figures, "save_figure", keep)
        (tmp_path / "figures").mkdir(exist_ok=True)
        measured = {q.key: math.nan if value is None else value for q in (*EXACT, *shown)}
        curves = {
            key: {regime: [[one] * seeds] * generations for regime in regimes}
            for key, one in measured.items()
        }
        points = rng.standard_normal((5000, 2))
        sizes = sizes or [50] * len(regimes)
        samples = [points[:size] for size in sizes for _ in range(seeds)]
        study = StudyFile((*EXACT, *shown), FLOORS, generations - 1)
        recorded = RecordedRun(tmp_path, {}, {}, history_of(curves), study)
        monkeypatch.setattr(Result, "samples", lambda result, t: samples)
        figures.draw_figures(Result(recorded), two_moons, 0)
        return kept, tmp_path / "figures" / "samples.gif"

    return run


def pictures(figure):
    """The image of each panel, in rows."""
    columns = sum(bool(axes.get_title()) for axes in figure.axes)
    images = [axes.images[0].get_array() for axes in figure.axes]
    return [images[start : start + columns] for start in range(0, len(images), columns)]


@pytest.mark.parametrize("sizes", [(50, 100, 50), (100, 50, 60)])
def test_the_same_model_looks_the_same_in_every_row(sizes, draw, rng):
    """A row with λ = 2 draws twice as many points of a generation."""
    kept, gif = draw(SHORT, rng, sizes)
    first, *others = pictures(kept["densities"])
    for row in others:
        for one, two in zip(first, row, strict=True):
            assert np.array_equal(one, two)

    equal = draw(SHORT, rng, (min(sizes),) * 3)[0]["densities"]
    assert [len(row) for row in pictures(equal)] == [3, 3, 3]
    with Image.open(gif) as movie:
        assert getattr(movie, "n_frames", 1) == 3


def test_more_points_would_look_denser(draw, rng):
    """The control of the test above: panels do show how many points there are."""
    few, many = (pictures(draw(SHORT, rng, (n,) * 3)[0]["densities"])[0][1] for n in (50, 100))
    assert many.sum() > few.sum()


@pytest.mark.parametrize(
    ("names", "shown"), [(SHORT, SHOWN), (LONG, RESEMBLANCE), (LONG[:1], (*SHOWN, *RESEMBLANCE))]
)
def test_every_name_and_label_is_whole(names, shown, draw, rng):
    kept, _ = draw(names, rng, seeds=2, shown=shown)
    assert set(kept) == {"distances", "profile", "densities"}
    for name, figure in kept.items():
        assert clipped(figure) == [], name
        assert overlapping(figure) == [], name


@pytest.mark.parametrize("count", [1, 5, 12])
def test_titles_of_the_animation_are_whole(count, rng, monkeypatch):
    drawn = []
    real = animation.FigureCanvasAgg

    def canvas(figure):
        drawn.append(figure)
        return real(figure)

    monkeypatch.setattr(animation, "FigureCanvasAgg", canvas)
    points = rng.standard_normal((20, 2))
    samples = {f"{LONG[0]} {k}": points for k in range(count)}
    with figures.figure_style():
        figures._frame(12, samples, points, figures._window(points))
        assert clipped(drawn[0]) == []
        assert overlapping(drawn[0]) == []


def test_only_distances_have_a_noise_floor(draw, rng):
    kept, _ = draw(SHORT, rng)
    floors = {
        axes.get_ylabel().replace("\n", " "): [
            line.get_label() for line in axes.lines if line.get_label() not in list(map(str, SHORT))
        ]
        for name in ("distances", "profile")
        for axes in kept[name].axes
    }
    assert floors == {
        "$W_1$ to the truth": ["noise floor"],
        "$W_2$ to the truth": ["noise floor"],
        "sliced $W_2$ to the truth": ["noise floor"],
        "share nearer to training data": [OF_THE_TRUTH],
        "−log p of new data, nats a point": [],  # this truth has no density
    }
    assert all(quantity.floor == OF_THE_TRUTH for quantity in SHOWN)


@pytest.mark.parametrize(
    ("generations", "seeds", "value"), [(1, 1, 1.0), (2, 2, 0.0), (1, 2, None)]
)
def test_short_runs_and_constant_values_are_drawn(generations, seeds, value, draw, rng):
    shown = (*SHOWN, *RESEMBLANCE)
    kept, gif = draw(SHORT, rng, generations=generations, seeds=seeds, value=value, shown=shown)
    for figure in kept.values():
        assert clipped(figure) == []
    with Image.open(gif) as movie:
        assert getattr(movie, "n_frames", 1) <= generations
