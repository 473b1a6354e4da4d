import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom, gamma, ncx2

from stability.laws.monte_carlo import (
    bounded_mean_slack,
    law_mean_slack,
    mean_square_slack,
    share_slack,
    shifted_square_slack,
)

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


@given(
    variance=st.floats(1e-3, 1e3),
    ratio=st.floats(-4, 4),
    count=st.integers(1, 1000),
    tail=tails,
)
def test_a_shifted_mean_square_is_off_by_more_with_at_most_that_probability(
    variance, ratio, count, tail
):
    bias = ratio * variance**0.5
    slack, mean = shifted_square_slack(variance, bias, count, tail), variance + bias**2
    law = ncx2(count, count * bias**2 / variance + 1e-12, scale=variance / count)
    assert law.sf(mean + slack) <= tail * (1 + 1e-6)
    assert mean <= slack or law.cdf(mean - slack) <= tail * (1 + 1e-6)


@given(
    p=st.sampled_from([0.0, 1.0]) | st.floats(1e-6, 1 - 1e-6),
    largest=st.floats(0.1, 10),
    count=st.integers(1, 2000),
    tail=tails,
)
def test_a_bounded_mean_is_off_by_more_with_at_most_that_probability(p, largest, count, tail):
    """For the law that is worst of all: Bernoulli's."""
    slack = bounded_mean_slack(p * largest, largest, count, tail) / largest
    k = np.arange(count + 1)
    for beyond in (k / count - p > slack + 1e-9, p - k / count > slack + 1e-9):
        assert binom.pmf(k[beyond], count, p).sum() <= tail * (1 + 1e-9)


@given(
    p=st.floats(1e-3, 1 - 1e-3),
    trials=st.integers(1, 30),
    count=st.integers(1, 200),
    tail=tails,
)
def test_a_mean_of_a_law_is_off_by_more_with_at_most_that_probability(p, trials, count, tail):
    """For binomial draws, whose sum is binomial again."""
    k = np.arange(trials + 1)
    slack = law_mean_slack(k.astype(float), binom.pmf(k, trials, p), count, tail)
    mean, sums = trials * p, np.arange(trials * count + 1)
    law = binom.pmf(sums, trials * count, p)
    for beyond in (sums / count - mean > slack + 1e-9, mean - sums / count > slack + 1e-9):
        assert law[beyond].sum() <= tail * (1 + 1e-9)


def test_a_mean_of_a_law_without_spread_is_not_off():
    assert law_mean_slack(np.array([2.0, 3.0]), np.array([1.0, 0.0]), 5, 0.01) == 0
