import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stability import Accumulate, FreshReal, FullySynthetic, GaussianLearner, Mix, retrain
from stability.analysis.jacobian import jacobian, stationary_covariance
from stability.gaussian.mixed import exact_errors
from stability.laws.monte_carlo import mean_square_slack
from stability.statements import stationary_error
from stability.statements.stationary_error import (
    GRID,
    accumulate,
    check,
    excess_covariance,
    fresh_real,
    mixed,
    predicted,
    replace,
    shared_latents,
)
from stability.statements.verdict import Status
from tests.conftest import FALSE_ALARM
from tests.support.mutated import controls

# at most so many verdicts that chance decides, in all the tests below
RANDOM = 3 * (len(GRID) + 15)
lams = st.floats(0, 1e3)
rounds = st.integers(0, 40)


@pytest.mark.parametrize(
    "instance", GRID, ids=lambda i: ",".join(str(value) for name, value in i.items() if name != "t")
)
def test_the_grid_holds(instance, rng):
    verdicts = check(**instance, rng=rng, false_alarm=FALSE_ALARM / RANDOM)
    assert all(verdict.status is Status.HOLDS for verdict in verdicts), verdicts
    for verdict in verdicts:
        assert verdict.false_alarm == (0 if verdict.tolerance <= 1e-3 else FALSE_ALARM / RANDOM)


@pytest.mark.parametrize(
    "regime", [Mix(2.0), FreshReal(2.0), Accumulate(2.0), FullySynthetic()], ids=str
)
@pytest.mark.parametrize("n", [1, 7])
def test_the_law_does_not_depend_on_n(regime, n, rng):
    """The first generations too, where a shift by one would show."""
    for t in (1, 2):
        verdicts = check(regime, t, rng, n=n, chains=6000, false_alarm=FALSE_ALARM / RANDOM)
        assert all(verdict.status is Status.HOLDS for verdict in verdicts), verdicts


def test_every_mutation_is_noticed(rng):
    for verdict in controls(stationary_error, rng):
        assert verdict.status is Status.VIOLATED, verdict


def test_numbers_of_the_theory():
    assert [mixed(lam) for lam in (0.5, 1, 4)] == pytest.approx([1.25, 4 / 3, 13 / 9])
    assert [shared_latents(lam) for lam in (0.5, 1, 4)] == [1.5, 2, 5]
    assert [fresh_real(lam) for lam in (0.5, 1, 4)] == pytest.approx([0.75, 2 / 3, 5 / 9])
    assert accumulate(1.0) == pytest.approx(math.pi**2 / 6)
    assert accumulate(1.0, 6) == pytest.approx(sum(1 / k**2 for k in range(1, 8)))


@pytest.mark.parametrize(("lam", "t"), [(0.5, 6), (1.0, 8), (4.0, 12)])
def test_both_parameters_of_a_gaussian_with_2000_points(lam, t, rng):
    """1.25, 1.333, 1.442 through Algorithm 1, in each parameter; χ² of 400 chains, doubled for
    what σ² lacks.
    """
    chains, n = 400, 2000
    learner = GaussianLearner(chains, 1)
    real = list(rng.standard_normal((chains, n, 1)))
    for _ in retrain(learner, real, [Mix(lam)] * chains, t, seed=int(rng.integers(2**62))):
        pass
    seen = [n * np.mean(learner.mean**2), n / 2 * np.mean((learner.covariance - 1) ** 2)]
    exact = exact_errors(n, lam, t)
    assert exact == pytest.approx([mixed(lam, t)] * 2, abs=2 / n)
    assert np.abs(seen / exact - 1).max() < mean_square_slack(chains, FALSE_ALARM / (2 * 12))


@given(lam=lams, t=rounds)
def test_each_law_is_the_fixed_point_of_its_recursion(lam, t):
    """Var μ over σ²/n: what one more refit makes of it, term by term.

    `excess` is about x̄, shared by all rounds.
    """
    c = lam / (1 + lam)
    excess, fresh, kick = 0.0, 1.0, 0.0
    for _ in range(t):
        excess = c**2 * excess + lam / (1 + lam) ** 2
        fresh = 1 / (1 + lam) ** 2 + c**2 * fresh + lam / (1 + lam) ** 2
        kick = c * (kick + 1)  # of z̄, whose variance is 1/λ
    assert mixed(lam, t) == pytest.approx(1 + excess)
    assert fresh_real(lam, t) == pytest.approx(fresh)
    assert shared_latents(lam, t) == pytest.approx(
        1 + (kick**2 / lam if lam > 1e-9 else 0), abs=1e-6
    )
    assert accumulate(lam, t) == pytest.approx(
        1 + sum(lam / (1 + lam * k) ** 2 for k in range(1, t + 1))
    )
    assert replace(t) == t + 1


@given(lam=st.floats(1e-3, 1e3), t=rounds)
def test_ceilings_and_order(lam, t):
    """3/2, 1, 2 at every λ; the laws move monotonically from 1 to their limits; shared latents
    are worse than fresh.
    """
    assert mixed(lam, t) <= mixed(lam) < 1.5
    assert 0.5 < fresh_real(lam) <= fresh_real(lam, t) <= 1
    assert accumulate(lam, t) <= accumulate(lam) < 2
    assert shared_latents(lam, t) <= shared_latents(lam) * (1 + 1e-12)
    assert mixed(lam, t) <= shared_latents(lam, t) + 1e-12
    assert mixed(lam, t) - 1 == pytest.approx(1 - fresh_real(lam, t), abs=1e-12)


def test_the_ceilings_are_approached():
    assert mixed(1e9) == pytest.approx(1.5)
    assert fresh_real(1e9) == pytest.approx(0.5)
    assert accumulate(1e-6) == pytest.approx(2, abs=1e-5)
    assert accumulate(0.0) == 1  # no synthetic data at all


@given(
    P=st.integers(1, 4), lam=st.floats(0, 50), t=st.integers(0, 25), seed=st.integers(0, 2**32 - 1)
)
def test_the_excess_covariance_is_what_the_noise_adds_up_to(P, lam, t, seed):
    """Σ_{j<t} J^j (λ/n) K F K J^j ᵀ, term by term; it grows with t, up to V."""
    generator = np.random.default_rng(seed)
    roots = generator.standard_normal((2, P, P + 1))
    A, B = -(roots @ roots.swapaxes(1, 2)) - 0.1 * np.eye(P)
    J, K, n = jacobian(A, B, lam), np.linalg.inv(A + lam * B), 7
    total = np.zeros((P, P))
    for _ in range(t):
        total = J @ total @ J.T - lam / n * K @ B @ K
    scale = np.abs(stationary_covariance(A, B, lam, n)).max() + 1e-300
    np.testing.assert_allclose(excess_covariance(A, B, lam, n, t), total, atol=1e-8 * scale)
    growth = excess_covariance(A, B, lam, n, t + 1) - total
    assert np.linalg.eigvalsh((growth + growth.T) / 2).min() >= -1e-8 * scale
    np.testing.assert_allclose(excess_covariance(A, B, lam, n), stationary_covariance(A, B, lam, n))


@given(lam=st.floats(0, 50), t=st.integers(0, 25))
def test_one_factor_for_all_directions_only_if_a_is_b(lam, t):
    """1 − ρ^{2t} with ρ = ρ(J) where A = B; each direction has its own otherwise."""
    F = np.array([[2.0, 0.3], [0.3, 1.0]])
    np.testing.assert_allclose(
        excess_covariance(-F, -F, lam, 1, t), (mixed(lam, t) - 1) * np.linalg.inv(F), atol=1e-12
    )
    slow, fast = excess_covariance(-np.eye(2), -np.diag([3.0, 0.2]), 1.0, 1, 1).diagonal() / (
        stationary_covariance(-np.eye(2), -np.diag([3.0, 0.2]), 1.0).diagonal()
    )
    assert (slow, fast) == pytest.approx((1 - (3 / 4) ** 2, 1 - (0.2 / 1.2) ** 2))


def test_with_shared_latents_each_chain_explodes_or_vanishes(rng):
    """S7 without a formula: the steps of log σ are all the same, and of both signs among 40 chains.

    The sign is + with probability P(χ²_19 > 19) = 0.457; that 60 chains agree has probability
    2e-16.
    """
    learner = GaussianLearner(60, 1)
    real = list(rng.standard_normal((60, 20, 1)))
    generations = retrain(
        learner, real, [FullySynthetic()] * 60, 4, seed=int(rng.integers(2**62)), latents="shared"
    )
    logs = [np.log(learner.covariance[:, 0, 0]) for _ in generations]
    steps = np.array([after - before for before, after in pairwise(logs)])
    np.testing.assert_allclose(steps, steps[[0]].repeat(4, axis=0), atol=1e-12)
    assert (steps > 0).any()
    assert (steps < 0).any()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda rng: predicted(Accumulate(1.0), 3, "shared"),
            "no error is stated for regime 'accumulate, λ = 1' with",
        ),
        (lambda rng: mixed(-1.0), "lam must be finite and >= 0, got -1"),
        (lambda rng: fresh_real(math.inf), "lam must be finite and >= 0, got inf"),
        (lambda rng: accumulate(1.0, -1), "t must be >= 0, got -1"),
        (lambda rng: check(Mix(1.0), 0, rng), "t must be a whole number >= 1, got 0"),
        (lambda rng: check(Mix(1.0), 1, rng, false_alarm=2.0), r"false_alarm must be in \(0, 1\)"),
        (
            lambda rng: check(Accumulate(1.0), 1, rng, variance="learned"),
            "no law is stated for regime 'accumulate",
        ),
        (lambda rng: check(Mix(0.3), 1, rng), r"lam \* n must be whole"),
        (lambda rng: check(Mix(0.3333), 1, rng, variance="learned"), r"lam \* n must be whole"),
        (lambda rng: check(Mix(1.0), 1, rng, n=0), "n must be >= 1, got 0"),
        (lambda rng: check(Mix(1.0), 1, rng, chains=0), "chains must be >= 1, got 0"),
        (
            lambda rng: check(Mix(1.0), 1, rng, variance="learned", n=100),
            "n must be >= 1000, for σ_t² to be near",
        ),
    ],
)
def test_bad_arguments(call, message, rng):
    with pytest.raises(ValueError, match=message):
        call(rng)
