import pytest
import sympy as sp
from hypothesis import given
from hypothesis import strategies as st

from stability.proofs.symbolic import theorem2


@pytest.mark.parametrize("name", theorem2.__all__)
def test_it_is_proved(name):
    assert getattr(theorem2, name)().proved


@pytest.mark.parametrize("terms", [1, -1, 2])
def test_another_number_of_terms_is_rejected(terms):  # E7: (14) has one too many
    assert "start" in [step.words for step in theorem2.recursion(terms=terms).left]


@pytest.mark.parametrize("share", [sp.S.Half, sp.Rational(99, 100)])
def test_failures_that_add_up_to_less_are_rejected(share):  # E5
    assert not theorem2.union_bound(share=share).proved


@pytest.mark.parametrize("share", [sp.S.Zero, sp.Rational(51, 100)])
def test_events_that_do_not_contradict_independence_are_rejected(share):  # E5
    assert not theorem2.independence_fails(share=share).proved


@given(
    c=st.floats(0.01, 10), rho=st.floats(0.01, 0.99), start=st.floats(0, 10), t=st.integers(1, 50)
)
def test_the_recursion_iterated(c, rho, start, t):
    error = start
    for _ in range(t):
        error = c + rho * error
    solution = c * sum(rho**k for k in range(t)) + rho**t * start
    assert error == pytest.approx(solution, rel=1e-12)
    assert error <= max(start, c / (1 - rho)) * (1 + 1e-12)  # it never leaves that radius
