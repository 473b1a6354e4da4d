from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stability.laws.wright_fisher import count_law
from stability.statements.literature import frequencies_with_real_data
from stability.statements.literature.frequencies_with_real_data import (
    GRID,
    check,
    draws_law,
    squared_distance,
)
from stability.statements.verdict import Status
from tests.conftest import FALSE_ALARM
from tests.support.mutated import controls


@pytest.mark.parametrize("instance", GRID, ids=str)
def test_the_grid_holds(instance, rng):
    verdicts = check(**instance, rng=rng, false_alarm=FALSE_ALARM / len(GRID))
    assert all(verdict.status is Status.HOLDS for verdict in verdicts), verdicts


def test_every_mutation_is_noticed(rng):
    for verdict in controls(frequencies_with_real_data, rng):
        assert verdict.status is Status.VIOLATED, verdict


@given(
    counts=st.lists(st.integers(1, 9), min_size=2, max_size=5),
    m=st.integers(1, 40),
    t=st.integers(0, 20),
)
def test_the_distance_is_its_recursion_in_rational_numbers(counts, m, t):
    n = sum(counts)
    c = Fraction(m, n + m)
    concentration = sum(Fraction(k, n) ** 2 for k in counts)
    distance = Fraction(0)
    for _ in range(t):
        distance = c**2 * ((1 - Fraction(1, m)) * distance + (1 - concentration) / m)
    law = squared_distance(float(concentration), m / n, m, t)
    assert law == pytest.approx(float(distance), rel=1e-9, abs=1e-15)


def test_reference_values():
    S = 0.5**2 + 0.3**2 + 0.15**2 + 0.05**2
    assert squared_distance(S, 2.0, 80, 8) == pytest.approx(0.006278, abs=5e-7)
    assert squared_distance(S, 2.0, 80) == pytest.approx(0.006287, abs=5e-7)


@given(count=st.integers(1, 20), rest=st.integers(0, 20), m=st.integers(1, 30))
def test_a_category_comes_back_with_real_data_and_not_without(count, rest, m):
    """From no draw at all the next round draws it with probability 1 − (1 − count/(n+m))^m > 0."""
    n = count + rest
    j = np.arange(m + 1)
    assert draws_law(count, n, m, 3).sum() == pytest.approx(1)
    assert draws_law(count, n, m, 400) @ j == pytest.approx(m * count / n)
    assert draws_law(count, n, m, 400)[0] < 1 - 1e-15 or rest > 0
    assert count_law(0, n, 5)[0] == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"counts": (3,), "lam": 1.0, "t": 1}, "counts must be at least two"),
        ({"counts": (3, 0), "lam": 1.0, "t": 1}, "counts must be at least two"),
        ({"counts": (3, 1), "lam": 1.0, "t": 0}, "t must be a whole number"),
        ({"counts": (3, 1), "lam": 0.3, "t": 1}, r"lam \* n must be whole"),
    ],
)
def test_bad_arguments(arguments, words, rng):
    with pytest.raises(ValueError, match=words):
        check(**arguments, rng=rng)
