"""The alarm is valid: by enumeration at the null's edge, by simulation, and against what is not."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom, binomtest

from stability.planning.e_process import (
    FRACTIONS,
    betting_upper_limit,
    binary_upper_limit,
    log_growth,
    start,
    upper_limit,
)
from tests.conftest import FALSE_ALARM


def limits_of(x, level, centre, variance):
    """Limits of the means of columns of scores (n, …)."""
    return upper_limit(x.mean(axis=0), np.square(x - centre).mean(axis=0), len(x), level, variance)


def run(scores, limits):
    """Values (T, …) of the e-process over rounds of scores (T, m, …, J) with equal shares."""
    j = np.shape(limits)[-1]
    process = start(np.full(j, 1 / j), np.shape(limits)[:-1])
    values = []
    for one in scores:
        process = process.step(log_growth(one, limits))
        values.append(process.log_value)
    return np.array(values)


@settings(max_examples=8)
@given(theta=st.floats(0.05, 0.95), slack=st.one_of(st.just(0.0), st.floats(0, 0.3)))
def test_the_expected_wealth_is_1_at_the_edge_of_the_null_and_less_inside(theta, slack):
    """All outcomes of 3 rounds of 2 yes/no points, with their probabilities."""
    limits = np.array([min(theta + slack, 0.99)])
    expected = 0.0
    for outcome in product((0.0, 1.0), repeat=6):
        points = np.array(outcome).reshape(3, 2, 1)
        chance = theta ** sum(outcome) * (1 - theta) ** (6 - sum(outcome))
        expected += chance * np.exp(run(points, limits)[-1])
    if limits[0] <= theta:
        assert expected == pytest.approx(1, rel=1e-12)
    else:
        assert expected < 1 + 1e-12


def test_the_wealth_is_the_average_of_all_gamblers(rng):
    """By its definition: a sum over starts, fractions and scores, without any recursion."""
    scores, limits = rng.random((5, 7, 2)), np.array([0.4, 0.7])
    total = 0.0
    for j, m in enumerate(limits):
        for fraction in FRACTIONS:
            for begin in range(5):
                factors = 1 - fraction + fraction * scores[begin:, :, j] / m
                total += np.prod(factors) / ((begin + 1) * (begin + 2) * 2 * len(FRACTIONS))
    total += 1 / 6  # cash of those who begin after round 5: 1 − Σ 1/(s(s + 1))
    assert run(scores, limits)[-1] == pytest.approx(np.log(total), rel=1e-10)


def test_many_points_in_one_round_neither_overflow_nor_vanish():
    ones, zeros = np.ones((100_000, 1)), np.zeros((100_000, 1))
    assert log_growth(ones, np.array([0.5])).max() == pytest.approx(1e5 * np.log(1.8))
    assert log_growth(zeros, np.array([0.5])).min() == pytest.approx(1e5 * np.log(0.2))


def test_nobody_bets_where_nothing_can_speak_against_the_null():
    assert (log_growth(np.ones((5, 1)), np.array([1.0])) == 0).all()


@pytest.mark.parametrize("law", ["uniform", "rare", "narrow"])
def test_the_upper_limit_is_too_low_as_seldom_as_it_says(law, rng):
    repeats, n, level = 4000, 60, 0.05
    draw, mean, variance = {
        "uniform": (lambda: rng.random((n, repeats)), 0.5, 1 / 12),
        "rare": (lambda: (rng.random((n, repeats)) < 0.05).astype(float), 0.05, 0.05),
        "narrow": (lambda: rng.beta(40, 40, (n, repeats)), 0.5, 0.003),
    }[law]
    limits = limits_of(draw(), level, mean, variance)
    low = int((limits < mean).sum())
    assert low <= binom.isf(FALSE_ALARM / 9, repeats, level)
    betting = betting_upper_limit(draw(), level, variance)
    assert (betting < mean).sum() <= binom.isf(FALSE_ALARM / 9, repeats, level)
    plain = int((draw().mean(axis=0) < mean).sum())  # negative control: no margin at all
    assert plain > binom.isf(FALSE_ALARM / 9, repeats, level)


def test_a_wrong_guess_of_centre_and_variance_costs_width_not_validity(rng):
    x = rng.random((200, 3000))
    right, wrong = limits_of(x, 0.05, 0.5, 1 / 12), limits_of(x, 0.05, 0.9, 0.9)
    assert wrong.mean() > right.mean()
    assert (wrong < 0.5).sum() <= binom.isf(FALSE_ALARM, 3000, 0.05)


def test_the_limit_by_betting_is_tighter_at_small_n_and_one_with_the_other_at_large_n(rng):
    small, large = rng.random((30, 500)), rng.random((4000, 50))
    tight, wide = (limits_of(x, 0.01, 0.5, 1 / 12).mean() for x in (small, large))
    assert betting_upper_limit(small, 0.01, 1 / 12).mean() < tight
    assert betting_upper_limit(large, 0.01, 1 / 12).mean() == pytest.approx(wide, abs=2e-3)


@given(n=st.integers(1, 200), share=st.floats(0, 1), level=st.floats(1e-4, 0.3))
def test_the_limit_of_a_share_is_clopper_and_pearsons(n, share, level):
    k = round(share * n)
    test = binomtest(k, n, alternative="less")
    stated = test.proportion_ci(1 - level, method="exact").high
    assert binary_upper_limit(np.array(k), n, level) == pytest.approx(stated, abs=1e-9)


def test_null_loops_that_are_watched_in_every_round_seldom_alarm(rng):
    """400 loops of 50 rounds with one reused reference set; the same without an upper limit alarms
    too often.
    """
    loops, n, m, alpha = 400, 200, 50, 0.05
    reference = rng.random((n, loops, 1))
    limits = limits_of(reference, 0.4 * alpha, 0.5, 1 / 12)
    rounds = rng.random((50, m, loops, 1))

    alarms = int((run(rounds, limits).max(axis=0) >= -np.log(0.6 * alpha)).sum())
    assert alarms <= binom.isf(FALSE_ALARM / 2, loops, alpha)
    naive = int((run(rounds, reference.mean(axis=0)).max(axis=0) >= -np.log(alpha)).sum())
    assert naive > binom.isf(FALSE_ALARM / 2, loops, alpha)


def test_a_change_is_found_also_after_many_rounds_without_one(rng):
    limits = np.array([0.55])
    before = rng.random((60, 50, 1))
    after = rng.beta(6, 1, (20, 50, 1))  # mean 6/7
    values = run(np.concatenate([before, after]), limits)[:, ...]
    assert values[-1] > np.log(1e6)
