"""The figure of a run that is not finished: when it is drawn, what it shows, and that it goes."""

import numpy as np
import pytest
from PIL import Image

from stability.gaussian.learner import GaussianLearner
from stability.loop.regimes import FullySynthetic, Mix
from stability.observers.moments import Moments
from stability.runs import study as studies
from stability.runs.figure_so_far import LARGEST_PART, SECONDS_BETWEEN, FigureSoFar
from stability.runs.study import Study


class Clock:
    """Seconds that go on by as much as a test says, at each look."""

    def __init__(self, step=0.0):
        self.now, self.step = 0.0, step

    def __call__(self):
        self.now += self.step
        return self.now


def study(folder, rng, generations=2):
    return Study(
        learner=lambda chains: GaussianLearner(chains, 2),
        real=rng.standard_normal((40, 2)),
        truth=rng.standard_normal((400, 2)),
        regimes=[Mix(0.5), FullySynthetic()],
        seeds=2,
        generations=generations,
        observers=[Moments()],
        out=folder,
    )


@pytest.fixture
def run(tmp_path, rng):
    study(tmp_path / "run", rng).run()
    return tmp_path / "run"


def test_it_is_drawn_once_a_minute(run):
    clock = Clock()
    figure, path = FigureSoFar(run, clock), run / "figures" / "so-far.png"

    clock.now = SECONDS_BETWEEN - 1
    figure.update()
    assert not path.exists()

    clock.now = SECONDS_BETWEEN
    figure.update()
    with Image.open(path) as image:
        assert np.ptp(np.asarray(image.convert("L"))) > 100  # something is drawn

    path.unlink()
    clock.now += SECONDS_BETWEEN - 1
    figure.update()
    assert not path.exists()

    figure.remove()
    figure.remove()  # where there is none


def test_drawing_that_takes_long_comes_more_rarely(run):
    clock = Clock(step=60.0)  # at each look: a drawing takes a minute
    figure, path = FigureSoFar(run, clock), run / "figures" / "so-far.png"
    figure.update()
    path.unlink()

    for _ in range(int(1 / LARGEST_PART) - 1):
        figure.update()
    assert not path.exists()
    figure.update()
    assert path.exists()


def test_a_run_draws_while_it_goes_and_removes_the_figure_at_its_end(tmp_path, rng, monkeypatch):
    monkeypatch.setattr("stability.runs.figure_so_far.SECONDS_BETWEEN", 0.0)
    seen = []

    class Watched(FigureSoFar):
        def update(self):
            super().update()
            seen.append((tmp_path / "run" / "figures" / "so-far.png").is_file())

        # drawing takes a moment, and the next figure may come at once
        def remove(self):
            super().remove()
            assert not (tmp_path / "run" / "figures" / "so-far.png").exists()

    monkeypatch.setattr(studies, "FigureSoFar", Watched)
    study(tmp_path / "run", rng).run()
    assert seen == [True] * 3
    assert list((tmp_path / "run" / "figures").iterdir()) == []
