"""The law of a category's count under redrawing, against enumeration, bounds and simulation."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from stability.laws import wright_fisher
from stability.laws.wright_fisher import count_law, loss_probability
from stability.statements.literature.discrete_collapse import survival_bound
from tests.conftest import FALSE_ALARM


@given(n=st.integers(2, 40), share=st.floats(0, 1), t=st.integers(1, 20))
def test_loss_is_the_first_entry_of_the_law_of_the_count(n, share, t):
    k = round(share * n)
    assert loss_probability(k / n, n, t) == pytest.approx(count_law(k, n, t)[0], abs=1e-12)


def test_one_round_is_the_chance_that_no_draw_hits():
    assert loss_probability(3 / 600, 600) == pytest.approx((1 - 3 / 600) ** 600)


@given(k=st.integers(1, 30), t=st.integers(1, 30))
def test_many_draws_agree_with_the_exact_chain_and_keep_the_bound(k, t):
    n = wright_fisher.LARGEST_EXACT
    exact, limit = loss_probability(k / n, n, t), loss_probability(k / (n + 1), n + 1, t)
    assert limit == pytest.approx(exact, abs=0.05)
    assert limit <= 1 - survival_bound(k, t) + 1e-9


def test_the_chain_is_what_redrawing_does(rng):
    repeats, n, t, share = 20_000, 80, 6, 0.05
    counts = rng.binomial(n, share, repeats)
    for _ in range(t - 1):
        counts = rng.binomial(n, counts / n)
    lost, stated = int((counts == 0).sum()), loss_probability(share, n, t)
    assert binom.ppf(FALSE_ALARM / 2, repeats, stated) <= lost
    assert lost <= binom.isf(FALSE_ALARM / 2, repeats, stated)
    wrong = loss_probability(share, n, t - 1)  # negative control: one round too few
    assert not lost <= binom.isf(FALSE_ALARM / 2, repeats, wrong)


def test_shares_at_the_ends_stay_there():
    assert loss_probability(0.0, 10, 5) == 1
    assert loss_probability(1.0, 10, 5) == 0
    assert np.isfinite(loss_probability(1e-9, 10**6, 50))
