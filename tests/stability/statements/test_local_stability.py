import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from stability.analysis.local_analysis import analyse
from stability.analysis.operators import NoMaximum, infinite_map
from stability.families import FAMILIES
from stability.laws.law import NormalMixture
from stability.statements import local_stability
from stability.statements.instances import instance
from stability.statements.local_stability import GRID, check, counterexamples
from stability.statements.verdict import Status
from tests.support.mutated import controls
from tests.support.problems import few, instances
from tests.support.small_families import vector

EXPONENTIAL = {"gaussian", "gaussian_natural", "gaussian_mean", "gamma", "gamma_log", "binomial"}


@pytest.mark.parametrize("where", GRID, ids=lambda where: f"{where['family']}-{where['lam']:g}")
def test_the_grid_holds(where):
    verdicts = {verdict.claim: verdict for verdict in check(**where)}
    finite = verdicts["S1"].assumptions["L"] < math.inf
    for claim, verdict in verdicts.items():
        unbounded = claim == "S1, from α, L and ε" and not finite
        assert verdict.status is (Status.NOT_APPLICABLE if unbounded else Status.HOLDS), verdict
        assert verdict.measured < 1 or claim == local_stability.INFORMATION.id
    assert ("S2" in verdicts) == (where["family"] in EXPONENTIAL)


def test_the_grid_is_where_theorem_1_says_nothing():
    for where in GRID:
        local = instance(where["family"], where["data"]).local.at(where["lam"])
        assert local.theorem1_condition == "not met"


@few(5)
@given(where=instances(), lam=st.floats(0.01, 1e3))
def test_any_instance(where, lam):
    for verdict in check(where.family, where.law, lam):
        assert verdict.status in (Status.HOLDS, Status.NOT_APPLICABLE), verdict


def test_s2_is_claimed_of_exponential_families_alone():
    claimed = {name for name in FAMILIES if local_stability._is_exponential(FAMILIES[name]())}
    assert claimed == EXPONENTIAL | {"gaussian_2d", "gaussian_full", "ppca"}


class Squared:
    """N(θ², 1): Fisher information 4θ², singular at 0."""

    def log_prob(self, theta, x):
        return -((x[:, 0] - theta[0] ** 2) ** 2) / 2 - math.log(2 * math.pi) / 2

    def sample(self, theta, n, generator):
        return theta[0] ** 2 + torch.randn(n, 1, generator=generator, dtype=torch.float64)


def test_a_singular_fisher_information_forgets_at_once():
    """Data of mean −1: θ* = 0, A = −2 and B = 0. One retraining, and the perturbation is gone."""
    data = NormalMixture((1.0,), (-1.0,), (1.0,))
    verdicts = {verdict.claim: verdict for verdict in check(Squared(), data, 1.0, vector(0.3))}
    assert verdicts["S1, rate"].status is verdicts["S1, decay"].status is Status.HOLDS
    assert verdicts["S1, rate"].measured == pytest.approx(0, abs=1e-12)
    assert verdicts["S1, decay"].measured < 0.01


def test_every_mutation_is_noticed(rng):
    for verdict in controls(local_stability, rng):
        assert verdict.status is Status.VIOLATED, verdict


def test_each_assumption_has_a_witness():
    sign, sampler, concavity, norm = counterexamples()
    for verdict in (sign, sampler, concavity, norm):
        assert verdict.status is Status.VIOLATED, verdict
    assert sign.measured == pytest.approx(9)
    assert sampler.measured == pytest.approx(4 * 1.25**2 / 5, rel=1e-9)
    assert concavity.measured == pytest.approx(1, abs=1e-9)
    # J = ((2/3, 19t/33), (0, 1/11))
    assert norm.measured == pytest.approx(math.hypot(19 * 20 / 33, 2 / 3), rel=0.01)


def test_below_the_critical_lambda_a_tempered_sampler_is_stable():
    """The change of the variance is multiplied by λτ²/(1 + λ), below 1 for λ < 1/(τ² − 1) =
    16/9.
    """
    assert local_stability._tempered(1.25, 1.7) == pytest.approx(1.7 * 1.5625 / 2.7, rel=1e-9)


def test_without_strong_concavity_iterates_come_closer_like_one_over_root_t():
    """H₁ = const − cθ⁴: θ' = θ − (4c/λF) θ³ + …, so 1/θ² grows by 8c/(λF) a retraining.

    And analyse refuses it.
    """
    nu, family = 5.0, local_stability._Location(5.0)
    data = math.sqrt(nu) * np.array([-1.0, 1.0])
    with pytest.raises(NoMaximum, match="not strongly concave"):
        analyse(family, data, 1.0, vector(0.0))
    # the fourth derivative at 0, by differences of the likelihood
    x = torch.from_numpy(data)[:, None]
    fourth = (
        sum(
            weight * float(family.log_prob(vector(0.05 * k), x).mean())
            for k, weight in zip((-2, -1, 0, 1, 2), (1, -4, 6, -4, 1), strict=True)
        )
        / 0.05**4
    )
    fisher = (nu + 1) / (nu + 3)
    G, theta, inverse_squares = infinite_map(family, data, 1.0), vector(0.1), []
    for _ in range(6):
        theta = G(theta).theta
        inverse_squares.append(float(theta) ** -2)
    assert np.diff(inverse_squares) == pytest.approx(8 * (-fourth / 24) / fisher, rel=0.05)


def test_lambda_must_be_finite():
    with pytest.raises(ValueError, match="lam must be finite and >= 0, got inf"):
        check("linkage", "misspecified", math.inf)
