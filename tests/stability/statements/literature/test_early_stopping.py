import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stability.statements.literature import early_stopping
from stability.statements.literature.early_stopping import GRID, check, kept_mode, kept_wave
from stability.statements.verdict import Status
from tests.conftest import FALSE_ALARM
from tests.support.mutated import controls


@pytest.mark.parametrize("case", GRID, ids=lambda case: f"α={case['alpha']}")
def test_the_grid_holds(case, rng):
    verdicts = check(**case, rng=rng, false_alarm=FALSE_ALARM / len(GRID))
    assert all(verdict.status is Status.HOLDS for verdict in verdicts), verdicts


def test_every_mutation_is_noticed(rng):
    for verdict in controls(early_stopping, rng):
        assert verdict.status is Status.VIOLATED, verdict


def test_numbers_of_four_modes():
    kept = [kept_mode(j, 0.3, 0.05) for j in (2, 4, 6, 8)]
    assert kept == pytest.approx([0.854041, 0.740428, 0.649584, 0.575371], abs=1e-6)


@given(j=st.integers(1, 12), alpha=st.floats(0.01, 1), stop=st.floats(0, 2))
def test_a_mode_is_the_fixed_point_of_its_round(j, alpha, stop):
    kept = kept_mode(j, alpha, stop)
    after = math.exp(-j * stop / 2) * (alpha + (1 - alpha) * kept)
    assert after == pytest.approx(kept, rel=1e-9)
    assert kept <= 1 + 1e-12
    assert kept_mode(j + 1, alpha, stop) <= kept * (1 + 1e-12)  # a low-pass filter


@given(alpha=st.floats(0.05, 0.95), stop=st.floats(0.01, 0.5), t=st.integers(0, 8))
def test_a_wave_follows_its_round_on_many_points(alpha, stop, t):
    """Characteristic functions: a time s of the forward process maps ω to ω e^{−s/2}."""

    def data(omega):
        return math.cos(omega * 0.9) * math.exp(-(omega**2) * 0.09 / 2)

    def after(omega, rounds):
        left = math.exp(-stop / 2)
        noise = math.exp(-(omega**2) * -math.expm1(-stop) / 2)
        own = data(omega * left)
        if rounds:
            own = alpha * own + (1 - alpha) * after(omega * left, rounds - 1)
        return own * noise

    assert kept_wave(3.0, alpha, stop, t) == pytest.approx(after(3.0, t), abs=1e-12)


def test_a_time_of_zero_changes_nothing(rng):
    assert kept_mode(5, 0.2, 0.0) == pytest.approx(1, abs=1e-12)
    data = early_stopping._data(200_000, rng)
    # the mean of 200,000 bounded values: 7 standard errors of at most 1/√200,000
    assert np.cos(2 * data).mean() == pytest.approx(kept_wave(2.0, 0.3, 0.0, 4), abs=7 / 447)
