import numpy as np
import pytest
from scipy.stats import chi

from stability.statements import lemma_a1
from stability.statements.lemma_a1 import GRID, check, require_chains
from stability.statements.verdict import Status
from tests.conftest import FALSE_ALARM
from tests.support.mutated import controls

RANDOM = 2 * (len(GRID) + 1)  # verdicts that chance decides, in all the tests below


@pytest.mark.parametrize("instance", GRID, ids=str)
def test_the_grid_holds(instance, rng):
    for verdict in check(**instance, rng=rng, chains=80_000, false_alarm=FALSE_ALARM / RANDOM):
        assert verdict.status is Status.HOLDS, verdict


def test_the_start_does_not_matter(rng):
    """For all μ_0 and σ_0: far from the origin, and tiny."""
    for verdict in check(
        6, 3, rng, mu0=1e3, sigma0=1e-3, chains=80_000, false_alarm=FALSE_ALARM / RANDOM
    ):
        assert verdict.status is Status.HOLDS, verdict


def test_every_mutation_is_noticed(rng):
    for verdict in controls(lemma_a1, rng):
        assert verdict.status is Status.VIOLATED, verdict


@pytest.mark.parametrize("n", [2, 3, 10, 200])
def test_the_quadrature_is_scipys_mean_of_chi(n, rng):
    integral = check(n, 1, rng)[3].measured
    assert integral * np.sqrt(n - 1) == pytest.approx(chi.mean(n - 1), rel=1e-9)


@pytest.mark.parametrize(("n", "t", "power"), [(3, 2, 1), (8, 2, 2), (30, 10, 1), (60, 10, 2)])
def test_the_skewness_that_limits_the_tail_is_that_of_a_simulation(n, t, power, rng):
    """`require_chains` refuses below (skewness z³/(6 log 2))² chains.

    A sample's skewness is known to some per cent.
    """
    product = np.prod(rng.chisquare(n - 1, (t, 1_000_000)) / (n - 1), axis=0) ** (power / 2)
    gap = product - product.mean()
    skewness = np.mean(gap**3) / np.mean(gap**2) ** 1.5
    z = 6.0
    needed = (skewness * z**3 / (6 * np.log(2))) ** 2
    require_chains(n, t, int(1.5 * needed), z, power)
    with pytest.raises(ValueError, match="for a normal tail"):
        require_chains(n, t, int(needed / 1.5), z, power)


def test_the_tail_is_normal_at_any_number_of_chains_when_n_is_large():
    require_chains(1e15, 10, 2, 6.0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n": 1}, "n must be a whole number >= 2"),
        ({"n": 2.5}, "n must be a whole number >= 2"),
        ({"t": 0}, "t one >= 1"),
        ({"sigma0": 0.0}, "sigma0 must be finite and > 0, got 0"),
        ({"sigma0": np.nan}, "sigma0 must be finite and > 0, got nan"),
        ({"false_alarm": 0.0}, r"false_alarm must be in \(0, 1\), got 0"),
        (
            {"n": 2, "t": 20},
            "chains must be >= [0-9]+ for a normal tail at n = 2, t = 20, got 50000",
        ),
    ],
)
def test_bad_arguments(change, message, rng):
    with pytest.raises(ValueError, match=message):
        check(**({"n": 5, "t": 1, "rng": rng} | change))
