"""Dependent rows and repeated noise are found; independent rows and fresh noise are not."""

import numpy as np
import pytest

from stability.planning.row_order import dependence, same_noise, thinned, twin_correlation
from stability.runs.table_files import raw_table
from stability.runs.table_schema import code_reference
from tests.conftest import FALSE_ALARM


def table(x):
    return code_reference(raw_table({"x": x}), "real")


def wandering(rng, n=2000, rho=0.95):
    x = np.empty(n)
    x[0] = rng.standard_normal()
    for i in range(1, n):
        x[i] = rho * x[i - 1] + np.sqrt(1 - rho**2) * rng.standard_normal()
    return x


def test_a_wandering_column_is_found_and_thinned(rng):
    rows = table(wandering(rng))
    found = dependence(rows)
    assert found is not None
    column, lag = found
    assert column == "x"
    assert lag == pytest.approx(0.95, abs=0.15)  # its standard error is .007
    assert thinned(rows, 0.95).rows == int(np.ceil(2000 / 59))  # .95^59 < .05 < .95^58


def test_independent_rows_and_sorted_ones_are_not(rng):
    x = rng.standard_normal(2000)  # lag-1 correlation has a standard error of .022
    assert dependence(table(x)) is None
    assert dependence(table(np.sort(x))) is None


def loop(rng, generations, shared, dimensions=8, m=200):
    """Means of a loop Mix(1) of a Gaussian mean; the noise of a round is fresh, or the first."""
    noise = rng.standard_normal((generations, dimensions)) / np.sqrt(m)
    model, real = np.zeros(dimensions), rng.standard_normal(dimensions) / np.sqrt(m)
    means = []
    for t in range(generations):
        model = (model if t else real) / 1
        drawn = model + noise[0 if shared else t]
        means.append(drawn)
        model = (real + drawn) / 2
    return np.array(means)


def test_shared_latents_have_a_constant_ratio_and_fresh_noise_has_none(rng):
    """With fresh noise the probability that is returned is stochastically larger than uniform."""
    eye = np.eye(8)
    assert same_noise(loop(rng, 6, shared=True), eye, 200) < 1e-6
    fresh = [same_noise(loop(rng, 6, shared=False), eye, 200) for _ in range(100)]
    assert min(fresh) > FALSE_ALARM / 1000


def test_a_drift_with_fresh_noise_is_no_shared_noise(rng):
    """A bias moves in one direction in a constant ratio; its noise does not."""
    drift = np.outer(np.arange(6.0), np.ones(8)) + rng.standard_normal((6, 8)) / np.sqrt(200)
    assert same_noise(drift, np.eye(8), 200) > FALSE_ALARM


def test_rows_of_a_repeated_seed_correspond(rng):
    z = rng.standard_normal((300, 3))
    assert twin_correlation(z, 0.5 + 0.9 * z) == pytest.approx(1)
    fresh = twin_correlation(z, rng.standard_normal((300, 3)))
    assert fresh == pytest.approx(0, abs=0.5)  # standard error .06
    assert twin_correlation(z, z[:200]) is None
