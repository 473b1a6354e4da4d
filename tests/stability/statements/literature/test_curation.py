from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from stability.statements.literature import curation
from stability.statements.literature.curation import (
    GRID,
    check,
    compromise_threshold,
    counterexamples,
    gain_bound,
    kept_share,
    picked,
    ratio_bound,
    two_rewards,
)
from stability.statements.verdict import Status
from tests.conftest import FALSE_ALARM
from tests.support.mutated import controls

points = st.integers(2, 6)
laws = points.flatmap(lambda k: arrays(float, k, elements=st.floats(0.01, 1)))
SILENT = (Status.HOLDS, Status.VACUOUS)


@pytest.mark.parametrize("case", GRID, ids=str)
def test_the_grid_holds(case, rng):
    verdicts = check(**case, rng=rng, false_alarm=FALSE_ALARM / len(GRID))
    assert all(verdict.status in SILENT for verdict in verdicts), verdicts
    vacuous = case["lam"] * (case["choices"] - 1) >= 1
    assert any(verdict.status is Status.VACUOUS for verdict in verdicts) == vacuous


def test_every_mutation_is_noticed_and_counterexamples_refute(rng):
    for verdict in [*controls(curation, rng), *counterexamples()]:
        assert verdict.status is Status.VIOLATED, verdict


@given(law=laws, choices=st.integers(1, 4), scale=st.floats(0, 3))
def test_what_is_picked_is_the_sum_over_all_draws(law, choices, scale):
    p, reward = law / law.sum(), scale * np.sin(7 * np.arange(len(law)))
    expected = np.zeros(len(p))
    for draws in product(range(len(p)), repeat=choices):
        chance = np.prod(p[list(draws)])
        strength = np.exp(reward[list(draws)])
        for i, share in zip(draws, strength / strength.sum(), strict=True):
            expected[i] += chance * share
    np.testing.assert_allclose(picked(p, reward, choices), expected, rtol=1e-10)
    assert (picked(p, reward, choices) <= choices * p * (1 + 1e-12)).all()


@given(law=laws, choices=st.integers(2, 4), scale=st.floats(0.1, 4))
def test_the_mean_reward_grows_by_at_least_the_bound(law, choices, scale):
    p, reward = law / law.sum(), scale * np.cos(5 * np.arange(len(law)))
    gain = (picked(p, reward, choices) - p) @ np.exp(reward)
    assert gain >= gain_bound(p, reward, choices) - 1e-9 * np.exp(scale)


@given(law=laws, choices=st.integers(2, 4), part=st.floats(0.01, 0.95), scale=st.floats(0.1, 6))
def test_no_point_of_a_mix_becomes_more_likely_than_the_bound(law, choices, part, scale):
    p_data, reward = law / law.sum(), scale * np.cos(3 * np.arange(len(law)))
    lam, p = part / (choices - 1), law / law.sum()
    for _ in range(40):
        p = (p_data + lam * picked(p, reward, choices)) / (1 + lam)
        assert (p / p_data).max() <= ratio_bound(lam, choices) * (1 + 1e-9)


def test_numbers_of_three_mixes():
    p, reward = curation._problem(1.5, peaked=False)
    for choices, lam, divergence in ((2, 0.5, 0.016), (2, 0.9, 0.052), (3, 0.4, 0.021)):
        mixed = curation._mixed(p, reward, choices, lam)
        assert mixed @ np.log(mixed / p) == pytest.approx(divergence, abs=6e-4)
    gain = (picked(p, reward, 2) - p) @ np.exp(reward)
    assert gain == pytest.approx(0.43, abs=2e-3)
    assert gain_bound(p, reward, 2) == pytest.approx(0.178, abs=1e-3)


@given(q=st.floats(0.2, 0.8), cross=st.floats(2, 8))
def test_the_kept_share_is_a_fixed_point(q, cross):
    rewards = np.array([[0, -cross], [-cross, 0]])
    share = kept_share(q, cross)
    p = np.array([share, 1 - share])
    np.testing.assert_allclose(two_rewards(p, rewards, np.array([q, 1 - q])), p, atol=1e-12)
    assert kept_share(q, 50.0) == pytest.approx(q)


@given(cross=st.floats(0.5, 6), side=st.sampled_from([-0.01, 0.01]))
def test_a_rare_compromise_grows_below_the_threshold_alone(cross, side):
    loss = compromise_threshold(cross) + side
    rewards = np.array([[0, -cross, -loss], [-cross, 0, -loss]])
    p = np.array([0.5 - 5e-7, 0.5 - 5e-7, 1e-6])
    assert (two_rewards(p, rewards, np.array([0.5, 0.5]))[2] > 1e-6) == (side < 0)
