"""Intervals of ordered eigenvalues hold the truth where some are equal, which noise parts."""

import numpy as np
import pytest
from scipy.stats import binom
from scipy.stats import t as student

from stability.analysis.ordered_eigenvalues import _by_extremes, ordered_errors
from tests.conftest import FALSE_ALARM

BATCHES = 20


def batches(true, n, rng):
    """The second moment of n normal draws with covariance diag(true), and without each batch."""
    x = rng.standard_normal((BATCHES, n // BATCHES, len(true))) * np.sqrt(true)
    each = np.einsum("rnp,rnq->rpq", x, x) / (n // BATCHES)
    whole = each.mean(0)
    return whole, (BATCHES * whole - each) / (BATCHES - 1)


def covered(true, n, repeats, rng, errors=ordered_errors):
    """Share of repeats in which each interval holds the eigenvalue, (P,)."""
    hits = []
    for _ in range(repeats):
        whole, left_out = batches(true, n, rng)
        seen = np.linalg.eigvalsh(whole)[::-1]
        hits.append(np.abs(seen - np.sort(true)[::-1]) <= errors(whole, left_out))
    return np.mean(hits, axis=0)


def least(share, repeats, entries):
    """A share below this has probability 1e-6 over all entries if the true one is `share`."""
    return binom.ppf(FALSE_ALARM / entries, repeats, share) / repeats


def by_jackknife(whole, left_out):
    """The interval of a smooth number: Student's t times the jackknife's standard error."""
    values = np.linalg.eigvalsh(left_out)[:, ::-1]
    scatter = np.square(values - values.mean(0)).sum(0) * (BATCHES - 1) / BATCHES
    return student.isf(0.025, BATCHES - 1) * np.sqrt(scatter)


@pytest.mark.parametrize("true", [(1.0,) * 3, (1.3, 1.0, 0.7), (1.02, 1.0, 0.98)], ids=str)
def test_intervals_hold_eigenvalues_equal_or_not(true, rng):
    """95 % intervals, of which 88 % are asked, measured 93 to 97 % in 300 repeats."""
    shares = covered(np.array(true), 2000, 120, rng)
    assert (shares >= least(0.88, 120, 3)).all(), shares


def test_the_jackknife_alone_does_not(rng):
    """Negative control: of 12 equal eigenvalues the outer ones are pushed beyond its intervals."""
    shares = covered(np.ones(12), 2000, 60, rng, by_jackknife)
    assert shares[[0, -1]].max() < 0.5


def test_many_parameters_have_intervals_at_both_ends_and_weyl_s_bound_between(rng):
    """The largest of 60 equal eigenvalues is 24 % too large, and its interval holds 1."""
    whole, left_out = batches(np.ones(60), 6000, rng)
    errors = _by_extremes(whole, left_out)
    seen = np.linalg.eigvalsh(whole)[::-1]
    assert seen[0] > 1.15
    assert (np.abs(seen - 1) <= 2 * errors).all()  # at most 1.3 times in 40 repeats
    assert np.ptp(errors[8:-8]) == 0
    assert errors.max() < 0.6


def test_what_does_not_move_has_no_error():
    matrix = np.diag([2.0, 1.0])
    assert ordered_errors(matrix, np.stack([matrix] * BATCHES)).tolist() == [0, 0]
