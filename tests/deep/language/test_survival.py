"""The law of counts against a chain of Poisson numbers multiplied out, and binomial ones."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import poisson

from deep.language.survival import loss_rate
from stability.laws.wright_fisher import count_law

MOST = 150  # copies of an n-gram: a Poisson number of mean <= 20 has more with probability 1e-60


def lost(k, lam, t):
    """P(no copy in generation t), from the whole law of the copies in each training set."""
    copies = np.arange(MOST)
    if t == 0:
        return math.exp(-k)
    law = poisson.pmf(copies, lam * k)
    for _ in range(t - 1):
        law = law @ poisson.pmf(copies, lam * (k + copies[:, None]) / (1 + lam))
    return float(law @ np.exp(-(k + copies) / (1 + lam)))


@given(k=st.integers(1, 4), lam=st.floats(0.01, 3), t=st.integers(0, 4))
def test_beside_real_text_it_is_the_chain_multiplied_out(k, lam, t):
    assert math.exp(-k * loss_rate(lam, t)) == pytest.approx(lost(k, lam, t), rel=1e-6)


@pytest.mark.parametrize("t", [0, 1, 3, 8])
def test_without_real_text_it_is_the_limit_of_wright_and_fisher(t):
    """The chain of binomial counts differs from the Poisson one by O(1/N)."""
    exact = count_law(3, 400, t + 1)[0]
    assert math.exp(-3 * loss_rate(math.inf, t)) == pytest.approx(exact, abs=3 / 400)
    wrong = math.exp(-3 * loss_rate(math.inf, t + 1))  # negative control: a round more
    assert abs(wrong - exact) > 3 / 400


def test_all_is_lost_without_real_text_and_not_beside_it():
    assert loss_rate(math.inf, 2000) == pytest.approx(2 / 2000, rel=0.01)
    rates = [loss_rate(2.0, t) for t in range(40)]
    assert min(rates) > 1 / 3
    assert rates[-1] == pytest.approx(rates[-2], abs=1e-9)
    assert [loss_rate(0.0, t) for t in range(3)] == [1, 1, 1]


@pytest.mark.parametrize(("lam", "t"), [(-0.1, 1), (math.nan, 1), (1.0, -1)])
def test_what_has_no_law_is_refused(lam, t):
    with pytest.raises(ValueError, match="lam and t must be >= 0"):
        loss_rate(lam, t)
