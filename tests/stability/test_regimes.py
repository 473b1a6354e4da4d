import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stability.regimes import Accumulate, FreshReal, FullySynthetic, Mix, RoundInputs, TrainingSet, synthetic_count

REAL, SYNTHETIC, FRESH = 0.0, 1.0, 2.0  # marks, so that a test can tell where a point came from


def next_set(regime, n, previous=None):
    real = np.full((n, 2), REAL)
    return regime.next(
        RoundInputs(
            real=real,
            previous=previous or TrainingSet(real, real=n),
            synthetic=np.full((regime.synthetic(n), 2), SYNTHETIC),
            fresh=lambda k: np.full((k, 2), FRESH),
        )
    )


def marks(data):
    return {mark: int((data.points == mark).all(axis=1).sum()) for mark in (REAL, SYNTHETIC, FRESH)}


@given(n=st.integers(1, 200), hundredths=st.integers(100, 400))
def test_what_each_regime_trains_on(n, hundredths):
    lam = hundredths / 100
    m = hundredths * n // 100
    assert marks(next_set(Mix(lam), n)) == {REAL: n, SYNTHETIC: m, FRESH: 0}
    assert marks(next_set(FullySynthetic(), n)) == {REAL: 0, SYNTHETIC: n, FRESH: 0}
    assert marks(next_set(FreshReal(lam), n)) == {REAL: 0, SYNTHETIC: m, FRESH: n}
    once = next_set(Accumulate(lam), n)
    twice = next_set(Accumulate(lam), n, previous=once)
    assert marks(once) == {REAL: n, SYNTHETIC: m, FRESH: 0}
    assert marks(twice) == {REAL: n, SYNTHETIC: 2 * m, FRESH: 0}


@given(n=st.integers(1, 200), lam=st.sampled_from([1.0, 0.5, 2.0]))
def test_both_measures_of_the_synthetic_data(n, lam):
    data = next_set(Mix(lam), 2 * n)
    assert data.lam == lam
    assert data.share == pytest.approx(lam / (1 + lam))
    assert (data.real, data.synthetic) == (2 * n, 2 * n * lam)


def test_fully_synthetic_data_have_infinite_lambda():
    data = next_set(FullySynthetic(), 7)
    assert (data.real, data.synthetic, data.lam, data.share) == (0, 7, math.inf, 1.0)


@given(digits=st.integers(0, 6), value=st.integers(0, 10**7), n=st.integers(1, 10**6))
def test_the_floor_is_of_the_written_decimal(digits, value, n):
    written = f"{value / 10**digits:.{digits}f}"
    exact = Fraction(written) * n
    if exact >= 1 or exact == 0:
        assert synthetic_count(float(written), n) == math.floor(exact)


def test_the_floor_of_a_decimal_below_its_double():
    assert math.floor(0.29 * 100) == 28  # what rounding would make of it
    assert Mix(0.29).synthetic(100) == 29


def test_too_little_synthetic_data_is_pointed_out():
    with pytest.warns(UserWarning, match=r"floor\(lam \* n\) is 0 for lam=0.001, n=999"):
        assert Mix(0.001).synthetic(999) == 0
    assert Mix(0.0).synthetic(999) == 0  # asked for, so no warning


@pytest.mark.parametrize("regime", [Mix, Accumulate, FreshReal])
@pytest.mark.parametrize("lam", [-1, -1e-9, math.nan, math.inf])
def test_a_bad_lambda_is_refused(regime, lam):
    with pytest.raises(ValueError, match=f"lam must be finite and >= 0, got {lam}"):
        regime(lam)


def test_names_tell_regimes_apart():
    regimes = [Mix(0.5), Mix(1.0), FullySynthetic(), Accumulate(0.5), FreshReal(0.5)]
    assert len({str(regime) for regime in regimes}) == len(regimes)
