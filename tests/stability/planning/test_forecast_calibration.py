"""The calibration of forecasts, in small: intervals of a pilot hold the loops of other seeds."""

import numpy as np
import pytest
from scipy.stats import binom

from benchmarks import forecast_calibration
from benchmarks.forecast_calibration import Benchmark, cases
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
    """Of each loop, the mean after five rounds of Mix(1)."""
    monkeypatch.setitem(forecast_calibration.LEARNERS, "biased", lambda r: Biased(r, 1))
    monkeypatch.setitem(forecast_calibration.DATA, "normal", normal)
    monkeypatch.setattr(
        forecast_calibration,
        "rules",
        lambda lams: (("mix", 1.0, forecast_calibration.Mix(1.0)),),
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
    assert all(case.moves for case in held)
