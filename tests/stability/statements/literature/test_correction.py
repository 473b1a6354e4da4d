import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

from stability.analysis.bounds import contraction_bound
from stability.analysis.jacobian import jacobian, spectral_radius
from stability.laws.law import Blend, NormalMixture
from stability.laws.monte_carlo import share_slack
from stability.statements.literature import correction
from stability.statements.literature.correction import GRID, check, correction_bound
from stability.statements.verdict import Status
from tests.conftest import FALSE_ALARM
from tests.support.mutated import controls


@pytest.mark.parametrize("instance", GRID, ids=lambda i: f"lam={i['lam']},gamma={i['gamma']}")
def test_the_grid_holds(instance, rng):
    jacobian_, radius, norm = check(**instance, rng=rng)
    assert jacobian_.status is Status.HOLDS, jacobian_
    assert radius.status is Status.HOLDS, radius
    assert norm.status is (
        Status.HOLDS if norm.assumptions["λ(1 + Lε/α)"] < 1 else Status.VACUOUS
    ), norm


def test_every_mutation_is_noticed(rng):
    for verdict in controls(correction, rng):
        assert verdict.status is Status.VIOLATED, verdict


@given(
    lam=st.floats(0, 3),
    gamma=st.floats(0, 50),
    alpha=st.floats(0.1, 5),
    eps=st.floats(0, 2),
    lipschitz=st.floats(0, 3),
)
def test_the_bound_is_below_one_exactly_where_their_condition_holds(
    lam, gamma, alpha, eps, lipschitz
):
    condition = lam * (1 + lipschitz * eps / alpha)
    value = correction_bound(lam, gamma, alpha, eps, lipschitz)
    limit = (1 + gamma) / (2 + gamma)
    if abs(condition - limit) > 1e-9:
        assert (value < 1) == (condition < limit)
    if condition < 0.99:
        assert value == pytest.approx(contraction_bound(lam, alpha, eps, lipschitz) / (1 + gamma))


@given(
    P=st.integers(1, 4),
    lam=st.floats(0.01, 50),
    gamma=st.floats(0, 20),
    seed=st.integers(0, 2**32 - 1),
)
def test_true_points_in_place_of_a_corrector(P, lam, gamma, seed):
    """J of ordinary retraining on data enriched with λγ/(1+γ) points of p_θ*, and λ/(1+γ) of the
    model's own.
    """
    generator = np.random.default_rng(seed)
    roots = generator.standard_normal((2, P, P + 1))
    A, B = -(roots @ roots.swapaxes(1, 2)) - 0.1 * np.eye(P)
    true, own = lam * gamma / (1 + gamma), lam / (1 + gamma)
    enriched = jacobian((A + true * B) / (1 + true), B, own / (1 + true))
    np.testing.assert_allclose(enriched, jacobian(A, B, lam) / (1 + gamma), atol=1e-9)
    assert spectral_radius(enriched) < 1 / (1 + gamma)


def test_a_blend_is_the_mixture_with_that_weight(rng):
    one, two = NormalMixture((1.0,), (0.0,), (1.0,)), NormalMixture((1.0,), (3.0,), (0.5,))
    blend = Blend(one, two, 0.25)
    known = NormalMixture((0.8, 0.2), (0.0, 3.0), (1.0, 0.5))
    x = torch.linspace(-5, 6, 50, dtype=torch.float64)[:, None]
    torch.testing.assert_close(blend.log_prob(x), known.log_prob(x))
    seen = blend.sample(10_000, torch.Generator().manual_seed(int(rng.integers(2**63))))
    assert seen.shape == (10_000, 1)
    above = float(0.8 * norm.sf(1.5) + 0.2 * norm.sf(1.5, 3.0, 0.5))
    assert abs(float((seen > 1.5).double().mean()) - above) <= share_slack(
        above, 10_000, FALSE_ALARM / 2
    )


@pytest.mark.parametrize(
    "change", [{"gamma": 0.0}, {"gamma": math.inf}, {"lam": -1.0}, {"lam": math.nan}]
)
def test_bad_arguments(change, rng):
    with pytest.raises(ValueError, match="lam and gamma must be finite and > 0"):
        check(**(GRID[0] | change), rng=rng)
