import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stability.laws.wright_fisher import count_law
from stability.statements.literature import absorption
from stability.statements.literature.absorption import (
    GRID,
    accumulated_diversity,
    check,
    diversity_decay,
    mean_time,
    transition,
)
from stability.statements.verdict import Status
from tests.conftest import FALSE_ALARM
from tests.support.mutated import controls


@pytest.mark.parametrize("instance", GRID, ids=str)
def test_the_grid_holds(instance, rng):
    verdicts = check(**instance, rng=rng, false_alarm=FALSE_ALARM / (2 * len(GRID)))
    assert all(verdict.status is Status.HOLDS for verdict in verdicts), verdicts


def test_every_mutation_is_noticed(rng):
    for verdict in controls(absorption, rng):
        assert verdict.status is Status.VIOLATED, verdict


@given(size=st.integers(2, 12), data=st.data())
def test_the_diversity_decays_by_its_factor_from_every_state(size, data):
    replaced = data.draw(st.integers(1, size))
    p = np.arange(size + 1) / size
    matrix, diversity = transition(size, replaced), 2 * p * (1 - p)
    np.testing.assert_allclose(matrix.sum(axis=1), 1, rtol=1e-12)
    np.testing.assert_allclose(
        matrix @ diversity, diversity_decay(size, replaced) * diversity, atol=1e-12
    )


def test_replacing_all_is_wrights_and_fishers_chain():
    matrix = transition(7, 7)
    for k in range(8):
        np.testing.assert_allclose(matrix[k], count_law(k, 7, 1), atol=1e-13)
    assert diversity_decay(7, 7) == pytest.approx(1 - 1 / 7)


def test_replacing_one_is_morans_chain():
    """A step up: one of the other kind is lost, one of this kind is copied."""
    size = 6
    matrix = transition(size, 1)
    for i in range(size + 1):
        up = i * (size - i) / size**2
        assert matrix[i, min(i + 1, size)] >= up - 1e-15
        assert matrix[i, i] == pytest.approx(1 - 2 * up)
    assert diversity_decay(size, 1) == pytest.approx(1 - 2 / size**2)


@given(size=st.integers(2, 15), data=st.data())
def test_the_mean_time_solves_its_equation_in_rational_numbers(size, data):
    """T_i = 1 + u T_{i+1} + u T_{i−1} + (1 − 2u) T_i."""
    i = data.draw(st.integers(1, size - 1))

    def time(k: int) -> Fraction:
        below = sum(Fraction(size - k, size - j) for j in range(1, k + 1)) if k < size else 0
        above = sum(Fraction(k, j) for j in range(k + 1, size))
        return size * Fraction(below + above)

    up = Fraction(i * (size - i), size**2)
    assert 2 * up * time(i) == 1 + up * (time(i + 1) + time(i - 1))
    assert mean_time(i, size) == pytest.approx(float(time(i)))


def test_polyas_urn_keeps_n_of_n_plus_1_parts_of_the_diversity():
    """One text is added at a time: Π (1 − 1/(n+k)²) = n/(n+1)."""
    n = 9
    limit = accumulated_diversity(1.0, n, 1 / n, 200_000)
    assert limit == pytest.approx(n / (n + 1), rel=1e-4)
    exact = math.prod(1 - Fraction(1, (n + k) ** 2) for k in range(1, 30))
    assert accumulated_diversity(1.0, n, 1 / n, 29) == pytest.approx(float(exact))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"counts": (3,), "replaced": 1, "t": 1}, "counts must be two"),
        ({"counts": (3, 2), "replaced": 6, "t": 1}, "replaced must be 1 to 5, got 6"),
    ],
)
def test_bad_arguments(arguments, words, rng):
    with pytest.raises(ValueError, match=words):
        check(**arguments, rng=rng)
