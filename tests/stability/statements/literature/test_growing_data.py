import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stability.gaussian.alpha import half_life, log_alpha
from stability.gaussian.lyapunov import lyapunov_spectrum
from stability.statements.literature import growing_data
from stability.statements.literature.growing_data import (
    GRID,
    check,
    log_scale,
    mean_error,
    mean_limit,
    typical_half_life,
)
from stability.statements.verdict import Status
from tests.conftest import FALSE_ALARM
from tests.support.mutated import controls


@pytest.mark.parametrize("instance", GRID, ids=str)
def test_the_grid_holds(instance, rng):
    verdicts = check(**instance, rng=rng, false_alarm=FALSE_ALARM / len(GRID))
    assert all(verdict.status is Status.HOLDS for verdict in verdicts), verdicts


def test_every_mutation_is_noticed(rng):
    for verdict in controls(growing_data, rng):
        assert verdict.status is Status.VIOLATED, verdict


@given(power=st.floats(1.1, 4), t=st.integers(1, 500))
def test_the_error_is_below_its_limit_and_grows_without_growth(power, t):
    assert mean_error(power, t) < mean_limit(power)
    assert mean_error(0.0, t) == pytest.approx(t + 1)


@given(n=st.integers(2, 10_000))
def test_a_typical_path_halves_in_about_half_the_time(n):
    exponent = float(lyapunov_spectrum(n, 1)[0])
    assert typical_half_life(n) == pytest.approx(-math.log(2) / exponent, rel=1e-9)
    ratio = float(half_life(n)) / typical_half_life(n)
    assert ratio == pytest.approx(2, abs=2.5 / n)


def test_reference_values():
    assert float(half_life(100)) == pytest.approx(274.49, abs=5e-3)
    assert typical_half_life(100) == pytest.approx(136.78, abs=5e-3)
    assert [mean_error(p, 1999) for p in (0, 1, 2)] == pytest.approx(
        [2000, 8.178, 1.6444], abs=5e-4
    )
    sizes = 50 * np.arange(1.0, 2002)
    scales = [math.exp(float(log_alpha(50 + 0 * sizes).sum()))]
    scales += [math.exp(float(log_alpha(each).sum())) for each in (sizes, sizes**2 / 50)]
    assert scales == pytest.approx([0.0, 0.9598, 0.9917], abs=5e-5)
    assert math.exp(log_scale(50, 2.0, 2000)) == pytest.approx(0.9917, abs=5e-5)
