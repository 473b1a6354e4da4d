"""Variance is conserved: what a maximum-likelihood Gaussian loses within, it wins between the runs.

A Gaussian fitted with 1/N for its covariance has the second moments of its training set. So in
every regime that keeps or redraws points without selecting, with real data of covariance Σ,

    E Σ_t + Var μ_t = Σ    for every t and n:

the law of total variance for one point. "Collapse" moves variance from within a model to between
models. With n points a round of which a part α is new real data and the rest synthetic,

    Var μ_∞ = Σ/D,    D = 1 − α + αn(2 − α),

so that one new real point a round (αn = 1) among many keeps E Σ_∞ = 2Σ/3. Both lines are found in
public code (Bhavya-Dhoot); the proofs are one line each. They fail for the unbiased 1/(N − 1).
"""

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stability.gaussian.learner import GaussianLearner
from stability.laws.monte_carlo import bounded_mean_slack, shifted_square_slack
from stability.loop.regimes import (
    Accumulate,
    FreshReal,
    FullySynthetic,
    Mix,
    Regime,
    ReplaceFraction,
    Subsample,
    TrainingSet,
)
from stability.loop.retraining import retrain
from stability.statements.claim import ERROR_RATE, Claim
from stability.statements.mutation import Mutation
from stability.statements.verdict import Verdict

__all__ = [
    "GRID",
    "MUTATIONS",
    "between_models",
    "check",
    "counterexamples",
    "limit_between_models",
    "one_round",
    "total",
]

_claim = partial(
    Claim,
    source="Bhavya-Dhoot's public code; the law of total variance",
    no_evidence="That models agree or differ: only the sum is claimed.",
)

TOTAL = _claim(
    id="Conservation of variance",
    words="E Σ_t + Var μ_t = Σ with 1/N, in every regime that does not select points",
    relation="==",
    falsified_by="A mean over chains further off than exact laws allow.",
    error_rate=ERROR_RATE,
)
UNBIASED = _claim(
    id="Conservation of variance, unbiased estimator",
    words="E Σ_t + Var μ_t = Σ with 1/(N − 1), too",
    source="conservation, with the other estimator",
    relation="==",
    falsified_by="One fit: E Σ_0 + Var μ_0 = Σ(1 + 1/n).",
    refuted_because="With 1/(N − 1) the model has N/(N − 1) of the spread of its training set.",
)
BETWEEN = _claim(
    id="Conservation of variance, with new real data",
    words="Var μ_t obeys V ← α/n + (1−α)²V + (1−α)(1−V)/n",
    relation="==",
    falsified_by="A mean square over chains further off than exact laws allow.",
    error_rate=ERROR_RATE,
)
LIMIT = _claim(
    id="Conservation of variance, limit",
    words="Var μ_∞ = Σ/(1 − α + αn(2 − α))",
    relation="==",
    falsified_by="A recursion that settles elsewhere.",
)

GRID: tuple[dict[str, Any], ...] = (
    {"regime": Mix(1.0)},
    {"regime": FullySynthetic()},
    {"regime": Accumulate(1.0)},
    {"regime": FreshReal(1.0)},
    {"regime": ReplaceFraction(1.0)},
    {"regime": Subsample(Accumulate(1.0))},
)


REAL = np.array([1.4, -0.2])
"""Real data of every check: mean 0.6, variance 0.64, second moment 1."""


def total() -> float:
    """E Σ_t + Var μ_t over Σ."""
    return 1.0


def one_round(alpha: float, n: int, v: float) -> float:
    """E μ² after a round: V ← α/n + (1−α)²V + (1−α)(1−V)/n.

    Args:
        alpha: Real fraction of a training set, in (0, 1].
        n: Points of a training set.
        v: E μ² before, over Σ.

    Returns:
        E μ² over Σ.
    """
    return alpha / n + (1 - alpha) ** 2 * v + (1 - alpha) * (1 - v) / n


def between_models(alpha: float, n: int, t: int) -> float:
    """Var μ_t over Σ with αn new real points and n − αn synthetic ones a round.

    Args:
        alpha: Real fraction of a training set, in (0, 1].
        n: Points of a training set; the first has αn.
        t: Retrainings, >= 0.

    Returns:
        V_t.
    """
    v = 1 / (alpha * n)
    for _ in range(t):
        v = one_round(alpha, n, v)
    return v


def limit_between_models(alpha: float, n: int) -> float:
    """1/(1 − α + αn(2 − α)).

    Args:
        alpha: Real fraction of a training set, in (0, 1].
        n: Points of a training set.

    Returns:
        Var μ_∞ over Σ.
    """
    return 1 / (1 - alpha + alpha * n * (2 - alpha))


def check(
    regime: Regime,
    rng: np.random.Generator,
    chains: int = 800,
    false_alarm: float = ERROR_RATE,
) -> list[Verdict]:
    """One round through Algorithm 1 from a model of second moment 1; the limit by its recursion.

    One round is enough: what it conserves for a model, it conserves in expectation for all t.

    Args:
        regime: One that does not select points.
        rng: For the simulation.
        chains: Simulated rounds.
        false_alarm: Of each verdict that uses randomness.

    Returns:
        The verdicts.
    """
    n = len(REAL)
    rounds, means, second = _simulated(regime, rng, chains)
    simulated = {
        "method": f"one round of Algorithm 1, {chains} chains; tolerance: exact, "
        "noncentral χ² (Birgé) and Hoeffding",
        "false_alarm": false_alarm,
    }
    found = [
        TOTAL.verdict(
            f"{regime}, n = {n}",
            measured=second,
            claimed=total(),
            tolerance=_slack(regime, rounds, false_alarm),
            **simulated,
        )
    ]

    if isinstance(regime, FreshReal):
        alpha, size = 1 / (1 + regime.lam), n + regime.synthetic(n)
        variance = alpha / size + (1 - alpha) * REAL.var() / size
        bias = (1 - alpha) * REAL.mean()
        found += [
            BETWEEN.verdict(
                f"{regime}, n = {n}",
                measured=float(np.square(means).mean()),
                claimed=one_round(alpha, size, float(REAL.mean() ** 2)),
                tolerance=shifted_square_slack(variance, bias, chains, false_alarm / 2),
                **simulated,
            ),
            LIMIT.verdict(
                f"{regime}, n = {n}",
                measured=between_models(alpha, size, 2000),
                claimed=limit_between_models(alpha, size),
                tolerance=1e-12,
                method="2000 rounds of the recursion; tolerance: rounding",
            ),
        ]

    return found


def counterexamples() -> list[Verdict]:
    """One fit with 1/(n − 1): E Σ_0 = Σ and Var μ_0 = Σ/n."""
    n = 4
    return [
        UNBIASED.verdict(
            f"t = 0, n = {n}",
            measured=1 + 1 / n,
            claimed=total(),
            tolerance=1e-12,
            method="closed form",
        )
    ]


def _simulated(
    regime: Regime, rng: np.random.Generator, chains: int
) -> tuple[tuple[TrainingSet, ...], NDArray[np.float64], float]:
    """Training sets and means of the second fits to `REAL`, and the mean of σ² + μ²."""
    learner = GaussianLearner(chains, 1, ddof=0)
    *_, last = retrain(
        learner,
        [REAL[:, None]] * chains,
        [regime] * chains,
        1,
        seed=int(rng.integers(2**62)),
        fresh=lambda n, rng: rng.standard_normal((n, 1)),
    )
    means = learner.mean[:, 0]
    return last.training, means, float((learner.covariance[:, 0, 0] + means**2).mean())


def _slack(regime: Regime, rounds: Sequence[TrainingSet], false_alarm: float) -> float:
    """The mean square of all training points is off by more than this with that probability.

    It is a sum of the squares of samples, of new real points, and of the old ones that are picked,
    whose squares are 1 ± a.
    """
    size, tail = len(rounds[0].points), false_alarm / 4
    points = size * len(rounds)
    synthetic = sum(each.synthetic for each in rounds)
    slack = (
        synthetic
        / points
        * shifted_square_slack(float(REAL.var()), float(REAL.mean()), synthetic, tail)
    )
    if regime.needs_fresh_real:
        real = points - synthetic
        return slack + real / points * shifted_square_slack(1.0, 0.0, real, tail)
    if isinstance(regime, ReplaceFraction | Subsample):
        most = float(np.abs(REAL**2 - 1).max()) * len(REAL) / size
        slack += bounded_mean_slack(most, 2 * most, len(rounds), tail)
    return slack


_CASE = {"regime": FreshReal(1.0)}

MUTATIONS = (
    Mutation(TOTAL, f"{__name__}.total", "the sum", _CASE),
    Mutation(BETWEEN, f"{__name__}.one_round", "the variance", _CASE),
    Mutation(
        LIMIT,
        f"{__name__}.limit_between_models",
        "1 for 2 − α",
        _CASE,
        lambda right: lambda alpha, n: 1 / (1 - alpha + alpha * n),
    ),
)
"""Slips, and the claim that each must break."""
