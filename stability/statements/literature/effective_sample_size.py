"""Gain of synthetic data: new real data in each round, a bias of each fit, and the best λ.

Each fit misses its training set's mean by δ, C is the variance of one observation and B = n δ²/C.
With n new real points and λn synthetic ones a round the mean squared error over C/n tends to

    (1+λ)/(1+2λ) + (1+λ)² B.

Some λ > 0 does better than none if and only if B < ½; the best one solves (1+λ)(1+2λ)² = 1/(2B).
An unbiased fit to n_eff = n/error new points would be as good, and n_eff < 2n. With *fixed* real
data the error 1 + λ/(1+2λ) + (1+λ)² B only grows with λ. Alemohammad et al. (arXiv:2307.01850)
define and simulate n_eff; for the mean of a Gaussian all of this is exact.
"""

import math
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
from scipy.optimize import minimize_scalar, root_scalar

from stability.gaussian.learner import GaussianLearner
from stability.gaussian.mean import paths
from stability.laws.monte_carlo import shifted_square_slack
from stability.loop.regimes import FreshReal, Mix, Regime, TrainingSet
from stability.statements.claim import ERROR_RATE, Claim
from stability.statements.mutation import Mutation, instead
from stability.statements.stationary_error import fresh_real, mixed
from stability.statements.verdict import Verdict

__all__ = [
    "GRID",
    "MUTATIONS",
    "best_lambda",
    "bias_price",
    "check",
    "critical_bias",
    "largest_gain",
    "risk_fixed_real",
    "risk_fresh_real",
]

_claim = partial(
    Claim,
    source="Alemohammad et al., arXiv:2307.01850; in closed form here",
    no_evidence="That an error stays bounded: with real data it does at every λ.",
)

FRESH = _claim(
    id="Effective sample size, new real data",
    words="new real data: error over C/n is 1 − λ/(1+2λ)·(1 − c^2t) + B (1+λ)²(1 − c^(t+1))², "
    "c = λ/(1+λ)",
    relation="==",
    falsified_by="A mean square over chains outside the interval that normal errors allow.",
    error_rate=ERROR_RATE,
)
FIXED = _claim(
    id="Effective sample size, fixed real data",
    words="fixed real data: error over C/n is 1 + λ/(1+2λ)·(1 − c^2t) + B (1+λ)²(1 − c^(t+1))², "
    "c = λ/(1+λ)",
    relation="==",
    falsified_by="A mean square over chains outside the interval that normal errors allow.",
    error_rate=ERROR_RATE,
)
BEST = _claim(
    id="Effective sample size, best λ",
    words="the error is least where (1+λ)(1+2λ)² = 1/(2B), and at λ = 0 if B >= ½",
    relation="==",
    falsified_by="A numerical minimum elsewhere.",
)
THRESHOLD = _claim(
    id="Effective sample size, threshold",
    words="some λ > 0 does better than none if and only if B < ½",
    relation="==",
    falsified_by="Another B at which the gain of a small λ changes its sign.",
)
CEILING = _claim(
    id="Effective sample size, ceiling",
    words="synthetic data are never worth more than n further real points: n_eff <= 2n",
    relation="<=",
    falsified_by="A B and a λ whose error is below C/(2n).",
)
NEVER = _claim(
    id="Effective sample size, never with fixed real data",
    words="with fixed real data no λ > 0 does better than none: the error is at least 1 + B",
    relation=">=",
    falsified_by="A λ > 0 with a smaller error.",
)

GRID: tuple[dict[str, Any], ...] = (
    {"B": 0.02, "lam": 1.0},
    {"B": 0.45, "lam": 0.5},
    {"B": 0.6, "lam": 2.0},
    {"B": 1e-6, "lam": 4.0},
)

_LAMBDAS = np.geomspace(1e-3, 1e3, 301)


def bias_price(lam: float, t: float = math.inf) -> float:
    """Bias after t retrainings over that of one fit, (1+λ)(1 − c^{t+1}), c = λ/(1+λ).

    Args:
        lam: Synthetic points per real point, >= 0.
        t: Retrainings, >= 0.

    Returns:
        Σ c^k over k <= t.
    """
    c = lam / (1 + lam)
    return (1 + lam) * (1 - c ** (t + 1))


def risk_fresh_real(lam: float, B: float, t: float = math.inf) -> float:
    """Mean squared error over C/n with n new real points in each round.

    Args:
        lam: Synthetic points per real point, >= 0.
        B: n δ²/C, the squared bias of one fit over its variance, >= 0.
        t: Retrainings, >= 0.

    Returns:
        The error.
    """
    return fresh_real(lam, t) + B * bias_price(lam, t) ** 2


def risk_fixed_real(lam: float, B: float, t: float = math.inf) -> float:
    """Mean squared error over C/n with the same n real points in each round.

    Args:
        lam: Synthetic points per real point, >= 0.
        B: n δ²/C, the squared bias of one fit over its variance, >= 0.
        t: Retrainings, >= 0.

    Returns:
        The error.
    """
    return mixed(lam, t) + B * bias_price(lam, t) ** 2


def critical_bias() -> float:
    """Largest B = n δ²/C at which synthetic data can help: the slope of the error at λ = 0 is
    2B − 1.
    """
    return 0.5


def largest_gain() -> float:
    """Supremum of n_eff/n: the variance (1+λ)/(1+2λ) tends to ½."""
    return 2.0


def best_lambda(B: float) -> float:
    """The λ of the least error with new real data.

    Args:
        B: n δ²/C, > 0.

    Returns:
        The root of (1+λ)(1+2λ)² = 1/(2B); 0 where B >= ½.

    Raises:
        ValueError: If B is not finite and > 0.
    """
    if not (math.isfinite(B) and B > 0):
        raise ValueError(f"B must be finite and > 0, got {B}")
    if critical_bias() <= B:
        return 0.0
    end = (1 / (2 * B)) ** (1 / 3)  # there (1+λ)(1+2λ)² > λ³ = 1/(2B)
    root = root_scalar(lambda x: (1 + x) * (1 + 2 * x) ** 2 - 1 / (2 * B), bracket=(0, end))
    return float(root.root)


class _MissedMean(GaussianLearner):
    """Learns the mean of N(μ, I) and misses it by δ in each fit."""

    def __init__(self, chains: int, dimension: int, delta: float) -> None:
        super().__init__(chains, dimension, covariance=np.eye(dimension))
        self._delta = delta

    def fit(self, datasets: Sequence[TrainingSet], rngs: Sequence[np.random.Generator]) -> None:
        super().fit(datasets, rngs)
        self.mean += self._delta


def check(
    B: float,
    lam: float,
    rng: np.random.Generator,
    t: int = 4,
    n: int = 4,
    chains: int = 12_800,
    false_alarm: float = ERROR_RATE,
) -> list[Verdict]:
    """Both laws through Algorithm 1, and the best λ by numerical minimisation.

    Args:
        B: n δ²/C, > 0.
        lam: λn whole, > 0.
        rng: For the simulations.
        t: Retrainings, >= 1.
        n: Real points.
        chains: Simulated loops.
        false_alarm: Of each verdict that uses randomness.

    Returns:
        The verdicts.
    """
    size = {"B": B, "lam": lam, "t": t, "n": n, "chains": chains, "false_alarm": false_alarm}
    return [
        _simulated(FRESH, FreshReal(lam), fresh_real(lam, t), rng=rng, **size),
        _simulated(FIXED, Mix(lam), mixed(lam, t), rng=rng, **size),
        *_minimised(B),
    ]


def _simulated(
    claim: Claim,
    regime: Regime,
    variance: float,
    *,
    B: float,
    lam: float,
    t: int,
    n: int,
    chains: int,
    rng: np.random.Generator,
    false_alarm: float,
) -> Verdict:
    """The mean square error after t retrainings against its law."""
    delta = math.sqrt(B / n)
    errors = paths(
        regime,
        n,
        t,
        chains,
        rng,
        learner=lambda chains, d: _MissedMean(chains, d, delta),
    )[-1]
    law = risk_fresh_real if claim is FRESH else risk_fixed_real
    bias = math.sqrt(B) * bias_price(lam, t)
    return claim.verdict(
        f"Gaussian mean, B = {B:g}, λ = {lam:g}, t = {t}",
        measured=n * float(np.square(errors).mean()),
        claimed=law(lam, B, t),
        tolerance=shifted_square_slack(variance, bias, chains, false_alarm / 2),
        method=f"Algorithm 1, {chains} chains; tolerance: exact, noncentral χ² (Birgé)",
        false_alarm=false_alarm,
    )


def _minimised(B: float) -> list[Verdict]:
    """The claims on the shape of the error over λ."""
    # in log(1 + λ), so that large λ are found as well as small ones
    least = minimize_scalar(
        lambda u: risk_fresh_real(math.expm1(u), B),
        bounds=(0, 12),
        method="bounded",
        options={"xatol": 1e-10},
    )
    lam = math.expm1(float(least.x))  # type: ignore[attr-defined]
    small = 1e-4
    # the error is affine in B, and 1 + B without synthetic data
    variance = risk_fresh_real(small, 0.0)
    threshold = (1 - variance) / (risk_fresh_real(small, 1.0) - variance - 1)
    return [
        BEST.verdict(
            f"B = {B:g}",
            measured=lam,
            claimed=best_lambda(B),
            tolerance=1e-5 * (1 + lam),
            method="numerical minimisation; tolerance: where a minimum is flat to rounding",
        ),
        THRESHOLD.verdict(
            f"λ = {small:g}",
            measured=threshold,
            claimed=critical_bias(),
            tolerance=3 * small,
            method="B at which a small λ gains nothing; tolerance: its second order in λ",
        ),
        CEILING.verdict(
            f"B = {B:g}",
            measured=1 / float(least.fun),  # type: ignore[attr-defined]
            claimed=largest_gain(),
            method="numerical minimisation",
        ),
        NEVER.verdict(
            f"B = {B:g}",
            measured=min(risk_fixed_real(float(each), B) for each in _LAMBDAS),
            claimed=1 + B,
            method=f"{len(_LAMBDAS)} values of λ from {_LAMBDAS[0]:g} to {_LAMBDAS[-1]:g}",
        ),
    ]


_CASE = {"B": 0.02, "lam": 1.0}

MUTATIONS = (
    Mutation(FRESH, f"{__name__}.risk_fresh_real", "the error", _CASE),
    Mutation(FIXED, f"{__name__}.risk_fixed_real", "the error", _CASE),
    Mutation(
        BEST,
        f"{__name__}.best_lambda",
        "(1+λ)(1+2λ) for (1+λ)(1+2λ)²",
        _CASE,
        lambda right: lambda B: (math.sqrt(1 + 4 / B) - 3) / 4,
    ),
    Mutation(THRESHOLD, f"{__name__}.critical_bias", "1 for ½", _CASE, instead(lambda: 1.0)),
    Mutation(CEILING, f"{__name__}.largest_gain", "the bound", {"B": 1e-6, "lam": 1.0}),
    Mutation(
        NEVER,
        f"{__name__}.risk_fixed_real",
        "that of new real data",
        _CASE,
        lambda right: risk_fresh_real,
    ),
)
"""Slips, and the claim that each must break."""
