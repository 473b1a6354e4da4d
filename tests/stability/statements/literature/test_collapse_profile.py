"""The profile of a loop, against direct simulation, other laws, and its own thresholds."""

from dataclasses import replace

import numpy as np
import pytest

from stability import Accumulate, FreshReal, FullySynthetic, Mix
from stability.laws.monte_carlo import bounded_mean_slack
from stability.laws.wright_fisher import loss_probability
from stability.loop.regimes import TrainingSet
from stability.statements.literature import collapse_profile
from stability.statements.literature.collapse_profile import (
    DEFINITIONS,
    GRID,
    LAW,
    LEAK,
    LeakyRecords,
    check,
    counterexamples,
    lost_probability,
    profile,
)
from stability.statements.verdict import Status
from tests.conftest import FALSE_ALARM
from tests.support.mutated import controls


@pytest.mark.parametrize("case", GRID, ids=lambda case: f"{case['regime']}")
def test_the_grid_holds(case, rng):
    verdicts = check(**case, rng=rng, false_alarm=FALSE_ALARM / (len(GRID) + 1))
    assert all(verdict.status is Status.HOLDS for verdict in verdicts), verdicts


def test_every_mutation_is_noticed_and_agreement_refuted(rng):
    for verdict in [*controls(collapse_profile, rng), *counterexamples()]:
        assert verdict.status is Status.VIOLATED, verdict


def test_which_definitions_are_met():
    met = {
        str(case["regime"]): [
            name for name, yes in zip(DEFINITIONS, profile(case["regime"]).met, strict=True) if yes
        ]
        for case in GRID
    }
    assert met == {
        "fully synthetic": list(DEFINITIONS),
        "accumulate, λ = 1": ["any increase of risk", "another scaling law", "invented mass"],
        "λ = 1": ["any increase of risk"],
        "fresh real data, λ = 1": [],
    }


@pytest.mark.parametrize(
    ("name", "changed"),
    [
        ("catastrophic risk", {"risk": (0.1, 1.1, 2.1), "single": 1.0}),
        ("any increase of risk", {"risk": (0.1, 0.1001, 0.1001)}),
        ("diverging risk", {"risk": (0.1, 0.1, 0.21)}),
        ("vanishing variance", {"diversity": (0.5, 0.24)}),
        ("another scaling law", {"exponents": (1.0, 0.85)}),
        ("lost tails", {"tail": (0.1, 0.7)}),
        ("lost modes", {"mode": (0.0, 0.6)}),
        ("invented mass", {"invented": (0.01, 0.021)}),
    ],
)
def test_each_definition_looks_at_its_own_number(name, changed):
    calm = replace(profile(FreshReal(1.0)), risk=(0.1, 0.1, 0.1))
    met = {each for each, yes in zip(DEFINITIONS, replace(calm, **changed).met, strict=True) if yes}
    assert name in met
    assert met <= {name, "any increase of risk"}


def test_invented_mass_without_real_data_and_in_a_mix():
    """1 − (1−ε)^(t+1), and ε times a geometric sum."""
    t, kept = np.arange(41), (1 - LEAK) / 2
    alone, mixed = (
        collapse_profile._laws(regime, 4, 40)[-1] for regime in (FullySynthetic(), Mix(1.0))
    )
    np.testing.assert_allclose(alone, 1 - (1 - LEAK) ** (t + 1), rtol=1e-6)
    np.testing.assert_allclose(mixed, LEAK * np.cumsum(kept**t), rtol=1e-6)
    assert profile(FullySynthetic(), 4, 7).invented == pytest.approx((alone[0], alone[7]))


def test_without_a_leak_symbols_are_lost_as_by_genetic_drift(monkeypatch):
    monkeypatch.setattr(collapse_profile, "LEAK", 0.0)
    lost = lost_probability(FullySynthetic(), 0.2, 10, 6)
    assert lost == pytest.approx([loss_probability(0.2, 10, t + 1) for t in range(7)])


def test_a_symbol_that_real_data_lack_stays_lost_where_they_are_kept():
    for regime in (Mix(1.0), Accumulate(1.0)):
        assert lost_probability(regime, 0.1, 10, 3) == pytest.approx([0.9**10] * 4)


@pytest.mark.parametrize("regime", [FullySynthetic(), FreshReal(1.0)], ids=str)
def test_lost_symbols_are_those_of_a_direct_simulation(regime, rng):
    runs, n, t, q = 20_000, 6, 3, 0.2
    share = rng.binomial(n, q, runs) / n
    for _ in range(t):
        counts, size = rng.binomial(n, (1 - LEAK) * share), n
        if isinstance(regime, FreshReal):
            counts, size = counts + rng.binomial(n, q, runs), 2 * n
        share = counts / size
    stated = float(lost_probability(regime, q, n, t)[-1])
    slack = bounded_mean_slack(stated, 1.0, runs, FALSE_ALARM / 4)
    assert abs(float((share == 0).mean()) - stated) < slack


def test_records_are_drawn_with_the_leak(rng):
    learner, width = LeakyRecords(50_000), 50_000
    points = np.stack([np.zeros((3, width)), np.ones((3, width))], axis=1)
    learner.fit([TrainingSet(points, 3)], [rng])
    assert learner.frequencies[0] == pytest.approx([1 - LEAK, 0, 0, LEAK])
    (drawn,) = learner.sample([2], [rng])
    assert drawn.shape == (2, 2, width)
    leaked = float((drawn[:, 0] == len(LAW)).mean())
    assert abs(leaked - LEAK) < bounded_mean_slack(LEAK, 1.0, 2 * width, FALSE_ALARM / 4)
    again = LeakyRecords(width)
    again.load_state_dict(learner.state_dict())
    assert np.array_equal(again.frequencies, learner.frequencies)
    assert np.array_equal(again.mean, learner.mean)
