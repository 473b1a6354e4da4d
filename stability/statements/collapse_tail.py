"""The probability that a Gaussian refitted to its own samples has not collapsed yet: Suresh et al.
(arXiv:2412.17646).

    P(σ_t > e) ≤ (σ_0/e)·exp(−t/(4n)),

by Markov's inequality for E σ_t = α(n)^t σ_0 (Lemma A.1) and log α(n) < −1/(4n). The same
inequality for σ_t^s with the best power s is sharper where e is small: P(σ_t > e) ≤ min over s of
(σ_0/e)^s (E (χ_{n−1}/√(n−1))^s)^t.
"""

import math
from typing import Any

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import gammaln

from stability.gaussian.alpha import log_alpha
from stability.gaussian.collapse import simulate
from stability.laws.monte_carlo import share_slack
from stability.statements.verdict import Status, Verdict, compare

__all__ = ["GRID", "best_power_bound", "check", "controls", "markov_bound"]

GRID: tuple[dict[str, Any], ...] = (
    {"n": 5, "t": 40, "level": 0.5},
    {"n": 20, "t": 200, "level": 1.0},
    {"n": 20, "t": 200, "level": 0.02},
    {"n": 100, "t": 600, "level": 0.3},
)


def markov_bound(n: int, t: int, level: float) -> float:
    """(σ_0/e)·exp(−t/(4n)) for the level e/σ_0 > 0; may exceed 1, and then says nothing."""
    return math.exp(-t / (4 * n)) / level


def best_power_bound(n: int, t: int, level: float) -> float:
    """The least over 0 <= s <= 2 of level^(−s) (E (χ_{n−1}/√(n−1))^s)^t; at most 1, and at most
    `markov_bound`.

    E Σ_t does not shrink, so that powers above 2 gain only for levels far above σ_0.
    """

    def exponent(s: float) -> float:
        half = (n - 1) / 2
        # log E (χ/√(n−1))^s
        power = s / 2 * math.log(1 / half) + gammaln(half + s / 2) - gammaln(half)
        return t * power - s * math.log(level)

    best = minimize_scalar(exponent, bounds=(0, 2), method="bounded", options={"xatol": 1e-10})
    # s = 1, without the rounding of a difference of log Γ
    markov = t * float(log_alpha(n)) - math.log(level)
    return math.exp(min(float(best.fun), markov, 0.0))  # type: ignore[attr-defined]


def check(
    n: int,
    t: int,
    level: float,
    rng: np.random.Generator,
    chains: int = 20_000,
    false_alarm: float = 1e-6,
) -> list[Verdict]:
    """Both bounds on σ_t after t retrainings by simulation (see `gaussian_collapse`), and log α(n)
    < −1/(4n).

    Args:
        n: Samples a generation, >= 2.
        t: >= 1.
        level: e/σ_0, > 0.
        false_alarm: Of each verdict that uses randomness.
    """
    return _check(n, t, level, rng, chains, false_alarm)


def controls(rng: np.random.Generator) -> list[Verdict]:
    """The same with spoiled constants: each is `violated`."""
    return _check(20, 200, 1.0, rng, spoil=0.05, pace=0.9)


def _check(
    n: int,
    t: int,
    level: float,
    rng: np.random.Generator,
    chains: int = 20_000,
    false_alarm: float = 1e-6,
    *,
    spoil: float = 1.0,
    pace: float = 1.0,
) -> list[Verdict]:
    if n != int(n) or n < 2 or t != int(t) or t < 1:
        raise ValueError(f"n must be a whole number >= 2 and t one >= 1, got n = {n} and t = {t}")
    if not (math.isfinite(level) and level > 0):
        raise ValueError(f"level must be finite and > 0, got {level}")
    if not 0 < false_alarm < 1:
        raise ValueError(f"false_alarm must be in (0, 1), got {false_alarm}")
    logs = simulate(n, [[1.0]], [t], chains, rng).last_log_eigenvalues[:, 0]
    share = float((logs > math.log(level)).mean())
    instance = f"n = {n}, t = {t}, e = {level:g} σ_0"
    verdicts = []
    for words, stated in (
        ("P(σ_t > e) ≤ (σ_0/e)·exp(−t/(4n))", spoil * markov_bound(n, t, level)),
        (
            "P(σ_t > e) ≤ min over s of (σ_0/e)^s (E (χ_{n−1}/√(n−1))^s)^t",
            spoil * best_power_bound(n, t, level),
        ),
    ):
        tolerance = share_slack(min(stated, 1.0), chains, false_alarm)
        verdicts.append(
            Verdict(
                claim="Suresh et al., Gaussian",
                words=words,
                instance=instance,
                measured=share,
                relation="<=",
                stated=stated,
                status=compare(share, "<=", stated, tolerance) if stated < 1 else Status.VACUOUS,
                method=f"simulation, share of {chains} chains; tolerance: exact, binomial",
                tolerance=tolerance,
                false_alarm=false_alarm,
            )
        )
    rate = pace * float(log_alpha(n))
    return [
        *verdicts,
        Verdict(
            claim="Suresh et al., Gaussian",
            words="log α(n) < −1/(4n)",
            instance=f"n = {n}",
            measured=rate,
            relation="<",
            stated=-1 / (4 * n),
            status=compare(rate, "<", -1 / (4 * n)),
            method="closed form",
        ),
    ]
