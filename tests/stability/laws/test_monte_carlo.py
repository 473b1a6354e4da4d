import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom, gamma

from stability.laws.monte_carlo import mean_square_slack, share_slack

tails = st.floats(-9, -1).map(lambda u: 10.0**u)


@given(
    p=st.sampled_from([0.0, 1.0]) | st.floats(1e-9, 1 - 1e-9),
    count=st.integers(1, 2000),
    tail=tails,
)
def test_a_share_is_off_by_more_with_at_most_that_probability(p, count, tail):
    slack = share_slack(p, count, tail)
    k = np.arange(count + 1)
    for beyond in (k / count - p > slack + 1e-12, p - k / count > slack + 1e-12):
        assert binom.pmf(k[beyond], count, p).sum() <= tail * (1 + 1e-9)


@given(p=st.floats(0.05, 0.95), count=st.integers(10, 2000), tail=tails)
def test_a_share_slack_is_no_larger_than_it_need_be(p, count, tail):
    """One outcome less, and one of the two tails is too heavy."""
    inside = share_slack(p, count, tail) - 1 / count
    k = np.arange(count + 1)
    shares = [
        binom.pmf(k[side * (k / count - p) > inside + 1e-12], count, p).sum() for side in (1, -1)
    ]
    assert max(shares) > tail


@given(freedom=st.integers(1, 10**6), tail=tails)
def test_a_mean_square_is_off_by_more_with_that_probability(freedom, tail):
    slack = mean_square_slack(freedom, tail)
    law = gamma(freedom / 2, scale=2 / freedom)
    assert law.sf(1 + slack) == pytest.approx(tail, rel=1e-6)
    assert law.cdf(1 - slack) <= tail
