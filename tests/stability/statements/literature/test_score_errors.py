import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.polynomial import hermite_e
from scipy.integrate import quad
from scipy.stats import norm

from stability.statements.literature import score_errors
from stability.statements.literature.score_errors import (
    DATA,
    GRID,
    amplitude,
    check,
    counterexamples,
    discounted,
    drift,
    energy,
    rounds,
)
from stability.statements.verdict import Status
from tests.support.mutated import controls

shifts = st.lists(st.floats(-0.4, 0.4), min_size=1, max_size=6)
shares = st.floats(0.05, 0.95)


@pytest.mark.parametrize("case", GRID, ids=lambda case: f"α={case['alpha']}")
def test_the_grid_holds(case):
    verdicts = check(**case)
    assert all(verdict.status is Status.HOLDS for verdict in verdicts), verdicts


def test_every_mutation_is_noticed_and_both_printed_forms_are_false(rng):
    for verdict in [*controls(score_errors, rng), *counterexamples()]:
        assert verdict.status is Status.VIOLATED, verdict


@given(alpha=shares, deltas=shifts)
def test_the_drift_is_the_sum_of_squared_hermite_coefficients(alpha, deltas):
    """χ² against N(0, 1) is Σ (E He_j)²/j!, and E He_j of N(s, 1) is s^j."""
    model = rounds(alpha, deltas)[-1][1]
    moments = [float(model.weights @ model.means**j) for j in range(1, 40)]
    series = sum(each**2 / math.factorial(j) for j, each in enumerate(moments, 1))
    assert drift(model) == pytest.approx(series, rel=1e-9, abs=1e-14)
    assert moments[0] == pytest.approx(amplitude(alpha, deltas), abs=1e-12)
    assert sum(model.weights) == pytest.approx(1)


@given(delta=st.floats(-2, 2), time=st.floats(0.1, 20))
def test_the_energy_that_moves_a_gaussian(delta, time):
    """The least energy that does it, by Cauchy and Schwarz: δ² over ∫ e^{−τ} dτ."""
    assert energy(DATA, delta, time) == pytest.approx(delta**2 / -math.expm1(-time), rel=1e-6)


@settings(max_examples=12)
@given(alpha=shares, deltas=shifts, delta=st.floats(-0.3, 0.3))
def test_the_energy_of_a_mixture_is_that_of_the_difference_of_two_scores(alpha, deltas, delta):
    """The drift's error from densities: derivatives of log p at y and at y moved, not μ(y)."""
    q, time, h = rounds(alpha, deltas)[-1][0], 2.0, 1e-4

    def score(y, left):
        up, down = (norm.pdf(y + s - left * q.means) @ q.weights for s in (h, -h))
        return float(np.log(up / down)) / (2 * h)

    def move(tau):
        part = math.exp(-tau / 2) * -math.expm1(tau - time)
        return delta * part / -math.expm1(-time)

    def error(y, tau):
        # reverse time runs against τ; the drift is y/2 + score
        m, speed = move(tau), (move(tau - h) - move(tau + h)) / (2 * h)
        left = math.exp(-tau / 2)
        return speed - m / 2 + score(y - m, left) - score(y, left)

    x, weights = hermite_e.hermegauss(8)
    weights = weights / math.sqrt(2 * math.pi)

    def at(tau):
        points = [(w, math.exp(-tau / 2) * s) for w, s in zip(q.weights, q.means, strict=True)]
        return sum(
            w * v * error(s + each, tau) ** 2
            for w, s in points
            for each, v in zip(x, weights, strict=True)
        )

    u, u_weights = np.polynomial.legendre.leggauss(6)
    whole = sum(v * at(time * (each + 1) / 2) for each, v in zip(u, u_weights, strict=True))
    assert energy(q, delta, time) == pytest.approx(whole * time / 2, rel=1e-3, abs=1e-7)


@given(factor=st.floats(0, 1), values=st.lists(st.floats(-5, 5), max_size=8))
def test_the_discounted_sum_is_that_of_its_recursion(factor, values):
    total = 0.0
    for value in values:
        total = factor * total + value
    assert discounted(factor, values) == pytest.approx(total, abs=1e-12)


def test_squares_grow_apart_by_the_number_of_rounds():
    """With δ_i = 0.1·2^{−i} and α = ½ every term of the sum is the same, to first order."""
    for count in (5, 10, 20):
        deltas = [0.1 * 0.5**i for i in range(count)]
        run = rounds(0.5, deltas)
        squares = discounted(
            0.25, [energy(q, d, 8.0) for (q, _), d in zip(run, deltas, strict=True)]
        )
        assert drift(run[-1][1]) / squares == pytest.approx(count, rel=0.02)


def test_the_density_of_one_round():
    """χ² of N(δ, 1) against N(0, 1), from densities."""
    delta = 0.7
    seen, _ = quad(lambda y: norm.pdf(y, delta) ** 2 / norm.pdf(y), -12, 14)
    assert score_errors.one_round(delta**2) == pytest.approx(seen - 1, rel=1e-8)
    assert drift(DATA.moved(delta)) == pytest.approx(seen - 1, rel=1e-8)
