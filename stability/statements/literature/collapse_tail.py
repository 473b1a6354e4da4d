"""The probability that a Gaussian refitted to its own samples has not collapsed yet: Suresh et al.
(arXiv:2412.17646).

    P(σ_t > e) ≤ (σ_0/e)·exp(−t/(4n)),

by Markov's inequality for E σ_t = α(n)^t σ_0 (Lemma A.1) and log α(n) < −1/(4n). The same
inequality for σ_t^s with the best power s is sharper where e is small: P(σ_t > e) ≤ min over s of
(σ_0/e)^s (E (χ_{n−1}/√(n−1))^s)^t.
"""

import math
from functools import partial
from typing import Any

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import gammaln

from stability.gaussian.alpha import log_alpha
from stability.gaussian.collapse import simulate
from stability.laws.monte_carlo import share_slack
from stability.statements.claim import ERROR_RATE, Claim
from stability.statements.mutation import Mutation
from stability.statements.verdict import Verdict

__all__ = ["GRID", "MUTATIONS", "best_power_bound", "check", "markov_bound"]

_claim = partial(
    Claim,
    source="Suresh et al., arXiv:2412.17646",
    no_evidence="A share of chains at a level where the bound is 1 or more.",
)

MARKOV = _claim(
    id="Suresh et al., Gaussian",
    words="P(σ_t > e) ≤ (σ_0/e)·exp(−t/(4n))",
    relation="<=",
    falsified_by="A share of chains above the bound by more than a binomial law allows.",
    error_rate=ERROR_RATE,
    values=(0.0, 1.0),
)
BEST_POWER = _claim(
    id="Suresh et al., Gaussian, best power",
    words="P(σ_t > e) ≤ min over s of (σ_0/e)^s (E (χ_{n−1}/√(n−1))^s)^t",
    relation="<=",
    falsified_by="A share of chains above the bound by more than a binomial law allows.",
    error_rate=ERROR_RATE,
    values=(0.0, 1.0),
)
PACE = _claim(
    id="Suresh et al., Gaussian, log α(n)",
    words="log α(n) < −1/(4n)",
    relation="<",
    falsified_by="One n for which the bound of one step at e = σ_0 is below α(n).",
)
MOMENT = _claim(
    id="Suresh et al., Gaussian, one step",
    words="at s = 1 and s = 2 the powers' bound is α(n)^t σ_0/e and (σ_0/e)²",
    relation="==",
    falsified_by="An n for which E χ or E χ² by the Γ function is another.",
)

GRID: tuple[dict[str, Any], ...] = (
    {"n": 5, "t": 40, "level": 0.5},
    {"n": 20, "t": 200, "level": 1.0},
    {"n": 20, "t": 200, "level": 0.02},
    {"n": 100, "t": 600, "level": 0.3},
)


def markov_bound(n: int, t: int, level: float) -> float:
    """(σ_0/e)·exp(−t/(4n)), Markov's bound; may exceed 1, and then says nothing.

    Args:
        n: Samples a generation, >= 2.
        t: Retrainings, >= 1.
        level: e/σ_0, > 0.

    Returns:
        The bound on the probability, > 0.
    """
    return math.exp(-t / (4 * n)) / level


def best_power_bound(n: int, t: int, level: float) -> float:
    """The least over 0 <= s <= 2 of level^(−s) (E (χ_{n−1}/√(n−1))^s)^t; at most 1, and at most
    `markov_bound`.

    E Σ_t does not shrink, so that powers above 2 gain only for levels far above σ_0.

    Args:
        n: Samples a generation, >= 2.
        t: Retrainings, >= 1.
        level: e/σ_0, > 0.

    Returns:
        The bound on the probability, in [0, 1].
    """

    best = minimize_scalar(
        lambda s: log_power_bound(s, n, t, level),
        bounds=(0, 2),
        method="bounded",
        options={"xatol": 1e-10},
    )
    # s = 1, without the rounding of a difference of log Γ
    markov = t * float(log_alpha(n)) - math.log(level)
    return math.exp(min(float(best.fun), markov, 0.0))  # type: ignore[attr-defined]


def log_power_bound(s: float, n: int, t: int, level: float) -> float:
    """Logarithm of level^(−s) (E (χ_{n−1}/√(n−1))^s)^t, Markov's bound for the power s.

    Args:
        s: Power, > 0.
        n: Samples a generation, >= 2.
        t: Retrainings, >= 1.
        level: e/σ_0, > 0.

    Returns:
        The logarithm of the bound.
    """
    half = (n - 1) / 2
    power = s / 2 * math.log(1 / half) + gammaln(half + s / 2) - gammaln(half)
    return float(t * power - s * math.log(level))


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
        rng: Source of all draws.
        chains: Independent runs.
        false_alarm: Of each verdict that uses randomness.

    Returns:
        The verdicts.

    Raises:
        ValueError: If out of range.
    """
    if n != int(n) or n < 2 or t != int(t) or t < 1:
        raise ValueError(f"n must be a whole number >= 2 and t one >= 1, got n = {n} and t = {t}")
    if not (math.isfinite(level) and level > 0):
        raise ValueError(f"level must be finite and > 0, got {level}")
    if not 0 < false_alarm < 1:
        raise ValueError(f"false_alarm must be in (0, 1), got {false_alarm}")

    logs = simulate(n, [[1.0]], [t], chains, rng).last_log_eigenvalues[:, 0]
    share = float((logs > math.log(level)).mean())
    bounds = (
        (MARKOV, markov_bound(n, t, level)),
        (BEST_POWER, best_power_bound(n, t, level)),
    )
    powers = ((1.0, t * float(log_alpha(n)) - math.log(level)), (2.0, -2 * math.log(level)))
    return [
        *(
            claim.verdict(
                f"n = {n}, t = {t}, e = {level:g} σ_0",
                measured=share,
                claimed=bound,
                tolerance=share_slack(min(bound, 1.0), chains, false_alarm),
                method=f"simulation, share of {chains} chains; tolerance: exact, binomial",
                false_alarm=false_alarm,
            )
            for claim, bound in bounds
        ),
        PACE.verdict(
            f"n = {n}",
            measured=float(log_alpha(n)),
            claimed=math.log(markov_bound(n, 1, 1.0)),
            method="closed form",
        ),
        *(
            MOMENT.verdict(
                f"n = {n}, t = {t}, e = {level:g} σ_0, s = {s:g}",
                measured=log_power_bound(s, n, t, level),
                claimed=claimed,
                tolerance=1e-9 * t,
                method="logarithms; tolerance: a difference of log Γ",
            )
            for s, claimed in powers
        ),
    ]


_CASE = {"n": 20, "t": 20, "level": 1.0}
_HERE = "stability.statements.literature.collapse_tail"

MUTATIONS = (
    Mutation(MARKOV, f"{_HERE}.markov_bound", "the bound", _CASE),
    Mutation(BEST_POWER, f"{_HERE}.best_power_bound", "the bound", _CASE),
    Mutation(
        PACE,
        f"{_HERE}.markov_bound",
        "n − 1 for n",
        _CASE,
        lambda right: lambda n, t, level: right(n - 1, t, level),
    ),
    Mutation(
        MOMENT,
        f"{_HERE}.log_power_bound",
        "χ_n for χ_{n−1}",
        _CASE,
        lambda right: lambda s, n, t, level: right(s, n + 1, t, level),
    ),
)
"""Slips, and the claim that each must break."""
