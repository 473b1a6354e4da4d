import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from stability.analysis.operators import maximum_likelihood
from stability.statements import maximisers
from stability.statements.maximisers import GRID, check, copies, counterexamples
from stability.statements.verdict import Status
from tests.support.mutated import controls
from tests.support.problems import few
from tests.support.small_families import TwoPeaks, vector
from tests.support.strategies import mixtures


@given(mixtures(), st.floats(-5, 5))
def test_copies_are_one_law(member, point):
    family, theta = member
    x = torch.tensor([[point], [0.3]], dtype=torch.float64)
    same = copies(theta)
    assert len(same) == {2: 2, 3: 6}[family.components]
    assert torch.equal(same[0], theta)
    for other in same:
        assert family.log_prob(other, x).tolist() == pytest.approx(
            family.log_prob(theta, x).tolist(), rel=1e-9
        )
    distinct = torch.cdist(torch.stack(same), torch.stack(same)) + torch.eye(len(same))
    assert distinct.min() > 0.1


@pytest.mark.parametrize("where", GRID, ids=lambda where: f"K={(len(where['theta']) + 1) // 2}")
def test_the_grid_holds(where, rng):
    *held, saddle = check(**where, rng=rng)
    for verdict in held:
        assert verdict.status is Status.HOLDS, verdict
    assert saddle.status is Status.VACUOUS
    assert saddle.measured > 0  # no local maximum


def test_the_fall_around_a_maximum_is_its_curvature():
    """f = −½(θ² − θ − 2)² − ½ up to a constant at θ = −1, where f'' = −9."""
    real = torch.tensor([[1.0], [3.0]], dtype=torch.float64)
    verdict = maximisers._falls_around("two peaks", TwoPeaks(), real, vector(-1.0))
    assert verdict.status is Status.HOLDS
    assert verdict.measured == pytest.approx(-9, rel=0.02)
    assert verdict.assumptions["λmax(∇²f)"] == pytest.approx(-9, rel=1e-9)


@few(4)
@given(
    logit=st.floats(-1, 1),
    low=st.floats(-5, 0),
    gap=st.floats(4.5, 8),
    lam=st.floats(0.01, 50),
    seed=st.integers(0, 2**32),
)
def test_any_mixture_of_two(logit, low, gap, lam, seed):
    *held, saddle = check((logit, low, low + gap), lam, np.random.default_rng(seed))
    for verdict in held:
        assert verdict.status is Status.HOLDS, verdict
    assert saddle.status is Status.VACUOUS


def test_where_norms_differ_the_canonical_maximum_is_unique():
    x = np.array([1.0, 3.0])
    starts = torch.tensor([[3.0], [-2.0]], dtype=torch.float64)  # θ² − θ = 2
    assert maximum_likelihood(TwoPeaks(), x, starts).theta.item() == pytest.approx(-1)


def test_every_mutation_is_noticed(rng):
    for verdict in controls(maximisers, rng):
        assert verdict.status is Status.VIOLATED, verdict


def test_both_maximisers_of_a_mixture_of_two_are_canonical():
    (verdict,) = counterexamples()
    assert verdict.status is Status.VIOLATED
    assert (verdict.measured, verdict.stated) == (2, 1)
    assert vector(0.3, -1.0, 2.0).norm() == copies(vector(0.3, -1.0, 2.0))[1].norm()


@pytest.mark.parametrize("theta", [(0.0, 1.0), (0.0, 0.0, 1.0), (0.0, 5.0), (1.0, 2.0, 3.0, 4.0)])
def test_bad_arguments(theta, rng):
    with pytest.raises(ValueError, match="K − 1 logits and K means at least 4 apart"):
        check(theta, 1.0, rng)
