import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.stats import norm, truncnorm

from stability.statements.literature import verifier
from stability.statements.literature.verifier import (
    GRID,
    accepted_mean,
    check,
    contraction,
    counterexamples,
    scatter,
    stationary_variance,
)
from stability.statements.verdict import Status
from tests.conftest import FALSE_ALARM
from tests.support.mutated import controls


@pytest.mark.parametrize("instance", GRID, ids=str)
def test_the_grid_holds(instance, rng):
    verdicts = check(**instance, rng=rng, false_alarm=FALSE_ALARM / len(GRID))
    assert all(verdict.status is Status.HOLDS for verdict in verdicts), verdicts


def test_every_mutation_is_noticed_and_the_first_order_is_refuted(rng):
    for verdict in [*controls(verifier, rng), *counterexamples()]:
        assert verdict.status is Status.VIOLATED, verdict


@given(u=st.floats(0.05, 6))
def test_the_contraction_is_the_variance_of_what_is_accepted(u):
    assert contraction(u) == pytest.approx(truncnorm(-u, u).var(), rel=1e-6, abs=1e-9)


@given(theta=st.floats(-3, 3), u=st.floats(0.1, 3), c=st.floats(-1, 1))
def test_the_accepted_mean_is_an_integral(theta, u, c):
    mass = quad(lambda x: norm.pdf(x - theta), c - u, c + u)[0]
    mean = quad(lambda x: x * norm.pdf(x - theta), c - u, c + u)[0] / mass
    assert accepted_mean(theta, u, c) == pytest.approx(mean, rel=1e-6, abs=1e-7)


def test_the_stationary_variance_is_that_of_a_simulated_loop(rng):
    """8 rounds forget the start (g^16); the variance of θ² is below 2.2 v² here."""
    u, n, chains = 1.0, 20, 16_000
    theta = np.zeros(chains)
    for _ in range(8):
        low, high = norm.cdf(-u - theta)[:, None], norm.cdf(u - theta)[:, None]
        points = norm.ppf(low + rng.random((chains, n)) * (high - low))
        theta += points.mean(axis=1)
    v = stationary_variance(u, n)
    z = 10 * math.sqrt(2.2 / chains)  # the squares have light tails: |θ| <= u
    assert float(np.square(theta).mean()) == pytest.approx(v, rel=z)


@pytest.mark.parametrize(("u", "exact", "first"), [(0.5, 0.00162, 0.00162), (1, 0.00635, 0.00636)])
def test_reference_values(u, exact, first):
    assert stationary_variance(u, 50) == pytest.approx(exact, abs=6e-6)
    assert scatter(u) / 50 == pytest.approx(first, abs=6e-6)


@pytest.mark.parametrize("u", [0.0, -1.0, math.inf, math.nan])
def test_bad_arguments(u):
    with pytest.raises(ValueError, match="u must be finite and > 0"):
        contraction(u)
