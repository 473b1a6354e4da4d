import numpy as np
import pytest
from scipy.stats import norm

from stability import Accumulate, FreshReal, FullySynthetic, Mix
from stability.gaussian.mean import paths
from tests.conftest import FALSE_ALARM


@pytest.mark.parametrize("chains", [1, 127, 129, 300])
def test_one_path_a_replica(chains, rng):
    seen = paths(Mix(1.0), 2, 3, chains, rng)
    assert seen.shape == (4, chains)
    assert len(np.unique(seen)) == seen.size


def test_without_synthetic_data_nothing_moves(rng):
    seen = paths(Mix(0.0), 3, 4, 50, rng)
    np.testing.assert_array_equal(seen, seen[[0]].repeat(5, axis=0))


def test_a_fraction_of_a_point_is_refused(rng):
    with pytest.raises(ValueError, match=r"lam \* n must be whole, .* got lam = 0.3 and n = 4"):
        paths(Mix(0.3), 4, 1, 2, rng)


@pytest.mark.parametrize(
    "regime", [Mix(1.0), FreshReal(1.0), Accumulate(1.0), FullySynthetic()], ids=str
)
def test_replicas_are_independent(regime, rng):
    """Neighbouring columns and columns of neighbouring chains: correlations of 20,000 pairs,
    nearly normal.
    """
    last = paths(regime, 2, 3, 40_000, rng)[-1]
    last = last / last.std()
    for shift in (1, 128):
        correlation = np.mean(last[:-shift] * last[shift:])
        # the products of lag `shift` are uncorrelated, of variance 1; a skewness of 0 but a
        # kurtosis: tail doubled
        assert abs(correlation) < norm.isf(FALSE_ALARM / (4 * 8)) / np.sqrt(len(last) - shift)
