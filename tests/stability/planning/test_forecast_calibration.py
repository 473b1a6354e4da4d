"""The calibration of forecasts, in small: intervals of a pilot hold the loops of other seeds."""

import numpy as np
import pytest
from scipy.stats import binom, norm

from benchmarks import forecast_calibration
from benchmarks.forecast_calibration import Benchmark, Case, cases
from stability.gaussian.learner import GaussianLearner
from tests.conftest import FALSE_ALARM

LOOPS = 40
LEAST = 0.75
"""Coverage of the 90 % intervals that is claimed here."""


class Biased(GaussianLearner):
    """Draws about 0.9 times the mean of what it was fitted to, plus 2."""

    def sample(self, counts, rngs):
        drawn = super().sample(counts, rngs)
        return [x - self.mean[r] + 0.9 * self.mean[r] + 2.0 for r, x in enumerate(drawn)]


def normal(n, rng):
    return rng.standard_normal((n, 1))


@pytest.fixture
def held(monkeypatch, rng):
    """The mean of each loop after five rounds of Mix(1)."""
    monkeypatch.setitem(forecast_calibration.LEARNERS, "biased", lambda r: Biased(r, 1))
    monkeypatch.setitem(forecast_calibration.DATA, "normal", normal)
    monkeypatch.setattr(
        forecast_calibration,
        "rules",
        lambda lams, names: (("mix", 1.0, forecast_calibration.Mix(1.0)),),
    )
    benchmark = Benchmark(points=60, seeds=1, repeats=2, lam=(1.0,))
    seeds = rng.integers(2**31, size=LOOPS)
    return [next(iter(cases(benchmark, "biased", "normal", int(s), (5,)))) for s in seeds]


def test_intervals_of_a_pilot_hold_what_the_loop_does(held):
    """Fails with probability FALSE_ALARM if the coverage is LEAST, and less if it is more."""
    covered = sum(case.holds for case in held)
    assert covered >= binom.ppf(FALSE_ALARM, LOOPS, LEAST)

    # the mean goes from 2 to 2 / 0.55: an interval of the same width about "nothing changes"
    # misses it
    half = np.median([case.high - case.low for case in held]) / 2
    still = sum(abs(case.seen - case.still) <= half for case in held)
    assert still < covered
    assert all(case.moves and case.foreseen for case in held)


def test_of_what_noise_moved_less_is_due_than_of_what_the_forecast_moves():
    """Paths s_0 = 0 and s_t normal: an interval about 0 holds less of those beyond ±1 sd."""

    def case(middle, moves, holds):
        seen = {"seen": middle, "start": 0.0, "still": 0.0, "described": True}
        ends = {"low": middle - 1.645, "middle": middle, "high": middle + 1.645}
        return Case("", "", "", 2, **ends, **seen, likely_moves=moves, likely_holds=holds)

    moves, misses = 2 * norm.sf(1), 0.1
    still = case(0.0, moves, moves - misses)
    shifted = case(5.0, 1.0, 0.9)
    heads = ("cases", "refused", "held", "width", "foreseen", "held", "moved", "held", "due")
    numbers = forecast_calibration._numbers([still, shifted])
    found = dict(zip(heads[4:], numbers[4:], strict=False))
    assert found == {
        "foreseen": "1",
        "held": "1.00",
        "moved": "1",
        "due": f"{(moves - misses + 0.9) / (moves + 1):.2f}",
    }
