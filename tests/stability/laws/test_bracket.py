import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stability.laws.bracket import Bracket, Condition

numbers = st.floats(-1e6, 1e6)


@given(numbers, numbers, numbers)
def test_below_is_decided_where_every_number_of_the_interval_agrees(a, b, limit):
    bracket = Bracket(min(a, b), max(a, b))
    said = bracket.below(limit)
    if said is Condition.MET:
        assert max(a, b) < limit
    elif said is Condition.NOT_MET:
        assert min(a, b) >= limit
    else:
        assert min(a, b) < limit <= max(a, b)
    assert (bracket < limit) == (said is Condition.MET)
    assert (bracket >= limit) == (said is Condition.NOT_MET)


@pytest.mark.parametrize(
    ("bracket", "shown"),
    [
        (Bracket(0.5, 0.5), "0.5"),
        (Bracket(0.484139, 0.4841391), "0.4841"),
        (Bracket(2.008, math.inf), "≥ 2.008"),
        (Bracket(0.1, 0.25), "[0.1, 0.25]"),
        (Bracket(math.inf, math.inf), "inf"),
    ],
)
def test_it_prints_what_is_known(bracket, shown):
    assert f"{bracket:.4g}" == shown


def test_a_monotone_function_moves_both_ends():
    assert Bracket(1.0, 4.0, "why").map(math.sqrt) == Bracket(1.0, 2.0, "why")
    assert Bracket(1.0, 4.0, "why").map(lambda x: -x) == Bracket(-4.0, -1.0, "why")
    with pytest.raises(ValueError, match="low must be <= high"):
        Bracket(1.0, 4.0).map(lambda x: math.nan if x < 2 else x)
    assert Bracket(1.0, 4.0).middle == 2.5
    assert Bracket(1.0, math.inf).middle == 1.0


@pytest.mark.parametrize(("low", "high"), [(1.0, 0.0), (math.nan, 1.0), (0.0, math.nan)])
def test_bad_ends_are_refused(low, high):
    with pytest.raises(ValueError, match="low must be <= high"):
        Bracket(low, high)
