import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom, multivariate_normal, norm

from stability.families import Logistic
from stability.laws.law import Member
from stability.statements import theorem2
from stability.statements.assumption3 import Fitted, KnownVarianceGaussian
from stability.statements.theorem2 import (
    GRID,
    all_steps_succeed,
    bound,
    check,
    counterexamples,
    one_event_for_all_n,
    radius_needed,
)
from stability.statements.verdict import Status
from tests.conftest import FALSE_ALARM
from tests.support.mutated import controls

# at most so many verdicts that chance decides, in all the tests below
RANDOM = 7 * (len(GRID) + 25)
rates = st.floats(0, 0.99)


@pytest.mark.parametrize(
    "instance", GRID, ids=lambda i: f"{type(i['model']).__name__},n={i['n']},lam={i['lam']}"
)
def test_the_grid_holds(instance, rng):
    verdicts = check(**instance, rng=rng, false_alarm=FALSE_ALARM / RANDOM)
    assert [verdict.status for verdict in verdicts] == [Status.CORRECTED] + [Status.HOLDS] * (
        len(verdicts) - 1
    )
    for verdict in verdicts:
        by_chance = "closed form" not in verdict.method and verdict.claim not in (
            theorem2.RHO.id,
            theorem2.ON_U.id,
        )
        assert verdict.false_alarm == (FALSE_ALARM / RANDOM if by_chance else 0)
    by_claim = {verdict.claim: verdict for verdict in verdicts}
    coverage = by_claim.get("Theorem 2") or by_claim["Theorem 2, with S1 for Theorem 1"]
    quantile = by_claim.get("Theorem 2, quantile") or by_claim[theorem2.QUANTILE_S1.id]
    assert coverage.assumptions["radius needed"] <= coverage.assumptions["radius of U"]
    assert quantile.tightness < 1
    assert ("S1" in coverage.claim) == (coverage.assumptions["λ(1 + Lε/α)"] >= 0.5)


@pytest.mark.parametrize("d", [1, 2, 8])
@pytest.mark.parametrize("lam", [0.25, 1.0, 4.0])
@pytest.mark.parametrize("t", [1, 7])
def test_gaussian_means(d, lam, t, rng):
    verdicts = check(
        KnownVarianceGaussian(d, tau=3.0),
        4,
        lam,
        t,
        0.2,
        rng,
        chains=2000,
        false_alarm=FALSE_ALARM / RANDOM,
    )
    assert all(verdict.status in (Status.HOLDS, Status.CORRECTED) for verdict in verdicts), verdicts


def test_every_mutation_is_noticed(rng):
    for verdict in controls(theorem2, rng):
        assert verdict.status is Status.VIOLATED, verdict


def test_the_counterexamples():
    independence, pointwise, all_n, leaving = counterexamples()
    assert {verdict.status for verdict in (independence, pointwise, all_n, leaving)} == {
        Status.VIOLATED
    }
    assert [verdict.erratum for verdict in (independence, pointwise, all_n, leaving)] == [
        "E5",
        "E5",
        "E6",
        "E7",
    ]
    assert independence.measured > independence.stated  # dependence helps
    assert independence.measured == pytest.approx(0.7131, abs=5e-5)
    assert all_n.measured == pytest.approx(0.5068, abs=5e-5)
    assert (leaving.measured, leaving.stated) == pytest.approx((1000.8, 1.5))


@given(
    c=st.floats(0, 10),
    t=st.integers(0, 60),
    rho=rates,
    start=st.floats(0, 10),
    seed=st.integers(0, 2**32 - 1),
)
def test_the_bound_is_what_the_recursion_allows(c, t, rho, start, seed):
    """Reached by e_{s+1} = c + ρe_s, and above any sequence with e_{s+1} ≤ c + ρe_s; (14) as
    printed is cρ^t more.
    """
    shares = np.random.default_rng(seed).uniform(0, 1, t)
    worst, some = start, start
    for share in shares:
        worst, some = c + rho * worst, share * (c + rho * some)
    limit = float(bound(c, t, rho, start))
    assert limit == pytest.approx(worst, rel=1e-9, abs=1e-12)
    assert some <= limit + 1e-9
    assert bound(c, t, rho, start, terms=t + 1) == pytest.approx(
        limit + c * rho**t, rel=1e-9, abs=1e-12
    )


def test_without_a_contraction_no_radius_is_enough():
    assert radius_needed(1.0, 1.0) == radius_needed(1.0, 1.5) == math.inf
    assert bound(1.0, 3, 2.0, 1.0) == 1 + 2 + 4 + 8


@given(c=st.floats(0.01, 10), rho=rates, share=st.floats(0, 1), t=st.integers(1, 100))
def test_no_step_leaves_a_ball_of_the_radius_needed(c, rho, share, t):
    radius = radius_needed(c, rho)
    assert bound(c, t, rho, share * radius) <= radius * (1 + 1e-12)
    # from the edge of a smaller ball a step may leave it
    assert c + rho * 0.99 * radius > 0.99 * radius


@given(delta=st.floats(1e-4, 0.5), lam=st.floats(1e-3, 1e3), t=st.integers(1, 30))
def test_dependence_through_the_real_data_helps(delta, lam, t):
    """Jensen: at least (1 − δ)^t, in turn at least the union bound; at most 1 − δ, as one step
    alone.
    """
    together = all_steps_succeed(delta, lam, t)
    assert (1 - delta) ** t - 1e-9 <= together <= 1 - delta + 1e-9
    assert (1 - delta) ** t >= 1 - t * delta - 1e-12


@pytest.mark.parametrize(("delta", "lam", "t"), [(0.2, 0.5, 2), (0.05, 1.0, 3), (0.3, 4.0, 4)])
def test_all_steps_as_a_box_probability_of_the_joint_normal_law(delta, lam, t):
    correlation = 1 / (1 + lam)
    covariance = correlation + (1 - correlation) * np.eye(t)
    level = np.full(t, norm.isf(delta / 2))
    box = multivariate_normal(cov=covariance, seed=0).cdf(level, lower_limit=-level)
    assert all_steps_succeed(delta, lam, t) == pytest.approx(box, abs=1e-4)


@given(level=st.floats(0.3, 4))
def test_the_first_two_n_of_one_event_for_all(level):
    stayed = one_event_for_all_n(level, 1)
    assert stayed[0] == pytest.approx(1 - 2 * norm.sf(level), abs=1e-12)
    covariance = np.array([[1, math.sqrt(0.5)], [math.sqrt(0.5), 1]])
    box = multivariate_normal(cov=covariance).cdf([level] * 2, lower_limit=[-level] * 2)  # type: ignore[arg-type]
    assert stayed[1] == pytest.approx(box, abs=1e-6)


@given(delta=st.floats(1e-3, 0.9))
def test_one_event_for_all_n_fails_whatever_delta_is(delta):
    """The probability of staying falls by a factor below 1 a doubling, in the end as near to 0
    as one likes.
    """
    level = KnownVarianceGaussian().constants(0.0).step(1, delta)
    stayed = one_event_for_all_n(level, 60)
    assert (np.diff(stayed) < 0).all()
    ratios = stayed[1:] / stayed[:-1]
    assert ratios.max() < 1
    assert ratios[-1] == pytest.approx(ratios[-2], rel=1e-9)  # geometric


def test_one_event_for_all_n_by_random_walks(rng):
    """4000 walks of 2^9 steps: the share whose √n|x̄_n| stays below the level at n = 1, 2, 4 …
    512; exact binomial.
    """
    level, walks = 2.0, 4000
    sums = rng.standard_normal((walks, 512)).cumsum(axis=1)
    n = 2 ** np.arange(10)
    share = (np.abs(sums[:, n - 1]) / np.sqrt(n) <= level).all(axis=1).mean()
    expected = one_event_for_all_n(level, 9)[-1]
    low, high = binom.ppf([FALSE_ALARM / 2, 1 - FALSE_ALARM / 2], walks, expected) / walks
    assert low <= share <= high


def test_too_few_real_points_for_the_neighbourhood_leave_nothing_said(rng):
    """E7: with n = 40 the steps may lead out of U."""
    origin = torch.zeros(2, dtype=torch.float64)
    model = Fitted(Logistic(), Member(Logistic(), origin), radius=0.3)
    verdicts = check(model, 40, 0.25, 2, 0.1, rng, chains=20, false_alarm=FALSE_ALARM / RANDOM)
    silent = theorem2.COVERAGE.id, theorem2.QUANTILE.id
    theorem = [verdict for verdict in verdicts if verdict.claim in silent]
    assert len(theorem) == 2
    for verdict in theorem:
        assert verdict.status is Status.VACUOUS
        assert verdict.assumptions["radius needed"] > 0.3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n": 0}, "n and t must be whole numbers >= 1"),
        ({"t": 0}, "n and t must be whole numbers >= 1"),
        ({"lam": 0.0}, "lam must be finite and > 0, got 0"),
        ({"lam": math.inf}, "lam must be finite and > 0, got inf"),
        ({"delta": 1.0}, r"must be in \(0, 1\), got 1.0"),
        ({"false_alarm": 0.0}, r"must be in \(0, 1\)"),
        ({"n": 10, "lam": 0.25}, r"lam \* n must be whole"),
    ],
)
def test_bad_arguments(change, message, rng):
    arguments = {
        "model": KnownVarianceGaussian(),
        "n": 4,
        "lam": 1.0,
        "t": 1,
        "delta": 0.1,
        "rng": rng,
    }
    with pytest.raises(ValueError, match=message):
        check(**(arguments | change))
