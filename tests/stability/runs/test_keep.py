"""Rules for what stays on the disk."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stability.runs.keep import Keep


@pytest.mark.parametrize("text", ["", "some", "1", "every:0", "every:", "-2", "2.5", "all "])
def test_rules_that_are_none(text):
    with pytest.raises(ValueError, match=r"^keep must be all, a number >= 2"):
        Keep.parse(text)


def test_what_a_rule_keeps():
    def kept(text):
        return [t for t in range(8) if Keep.parse(text).keeps(t, 7)]

    assert kept("2") == [6, 7]
    assert kept("3") == [5, 6, 7]
    assert kept("every:3") == [0, 3, 6, 7]
    assert kept("all") == list(range(8))
    assert Keep.parse("every:3").count(8) == 4


@given(st.integers(2, 20), st.integers(0, 9), st.integers(0, 60))
def test_the_last_ones_always_stay_and_what_went_does_not_come_back(last, every, newest):
    """A run deletes as it goes: what a later generation keeps, each earlier one must have kept."""
    rule = Keep(last, every)
    assert all(rule.keeps(t, newest) for t in range(max(0, newest - last + 1), newest + 1))
    for t in range(newest + 1):
        if rule.keeps(t, newest):
            assert all(rule.keeps(t, earlier) for earlier in range(t, newest))
    assert rule.count(newest + 1) == len([t for t in range(newest + 1) if rule.keeps(t, newest)])
