"""A seed that is fixed inside a library makes another process: the docs' figure, at any seed."""

import pytest
from scipy.stats import chi2

from benchmarks.fixed_seed import Benchmark, Copula, Mixture, excess
from tests.conftest import FALSE_ALARM

SMALL = Benchmark(loops=400, rounds=4, n=200, dimension=1)
"""One column: the axes of more turn from fit to fit, which no theory here describes."""


@pytest.mark.parametrize("make", [Mixture, Copula])
@pytest.mark.parametrize("fresh", [True, False])
def test_the_excess_is_the_one_of_its_theory_and_not_of_the_other(make, fresh, rng):
    """Each mean is Gaussian: the sum of 400 squares is χ². The margin of 15 % is for what the
    theory of a mean leaves out: a copula's quantiles, and a spread that changes.
    """
    c, t, count = 0.5, SMALL.rounds, SMALL.loops
    stated = {False: (1 - c**t) ** 2, True: (1 - c ** (2 * t)) / 3}
    found = excess(make, fresh, SMALL, rng).mean
    low, high = (chi2.ppf(q, count) / count for q in (FALSE_ALARM / 8, 1 - FALSE_ALARM / 8))
    assert 0.85 * low * stated[fresh] < found < 1.15 * high * stated[fresh]
    other = stated[not fresh]
    assert not 0.85 * low * other < found < 1.15 * high * other
