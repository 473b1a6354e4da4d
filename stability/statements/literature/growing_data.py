"""Growing data: how fast synthetic sets must grow for a loop without real data to stay alive.

Round t fits n_t samples of the model before, n_0 = n of them real. In units of one fit's variance
the mean of a Gaussian has the error Σ n/n_s, s <= t, and the scale E σ_t = σ Π α(n_s). Both stay
away from ∞ and 0 if and only if Σ 1/n_t is finite: n(t+1)² is enough, n(t+1) is not, and neither is
n t log t, which grows faster than t: between t and t² its error rises by the same log 2 again and
again.

*Two half-lives.* At constant n the mean scale E σ_t halves in −log 2/log α(n), about 4(n−1) log 2
rounds. A typical path halves in half of that, log 2/(−E log(χ_{n−1}/√(n−1))): a few wide paths
carry the mean. Xu, He and Cheng (arXiv:2505.13947) and Bakshi and Chakraborty (arXiv:2602.10531)
study growing data; the closed forms are ours.
"""

import math
from functools import partial
from typing import Any

import numpy as np
from scipy.integrate import quad
from scipy.special import digamma, zeta
from scipy.stats import chi

from stability.gaussian.alpha import half_life, log_alpha
from stability.gaussian.mean import paths
from stability.laws.monte_carlo import mean_square_slack
from stability.loop.regimes import FullySynthetic, Scheduled
from stability.statements.claim import ERROR_RATE, Claim
from stability.statements.mutation import Mutation
from stability.statements.verdict import Verdict

__all__ = [
    "GRID",
    "MUTATIONS",
    "check",
    "log_scale",
    "mean_error",
    "mean_limit",
    "typical_half_life",
]

_claim = partial(
    Claim,
    source="Xu, He and Cheng, arXiv:2505.13947; Bakshi and Chakraborty, arXiv:2602.10531",
    no_evidence="That errors are small after a few rounds: they are at any growth.",
)

MEAN = _claim(
    id="Growing data, mean",
    words="the error of the mean over σ²/n is Σ n/n_s, s <= t",
    relation="==",
    falsified_by="A mean square over chains outside the interval that χ² allows.",
    error_rate=ERROR_RATE,
)
LIMIT = _claim(
    id="Growing data, enough",
    words="at n_t = n(t+1)^p, p > 1, the error tends to ζ(p)",
    relation="==",
    falsified_by="A sum that tends to another limit.",
)
NOT_ENOUGH = _claim(
    id="Growing data, t log t is not enough",
    words="at n_t = n t log t the error rises by log 2 between t and t², for every t",
    relation="==",
    falsified_by="A sum that levels off.",
)
SCALE = _claim(
    id="Growing data, scale",
    words="log E σ_t/σ = Σ log α(n_s) is −Σ 1/(4(n_s − 1)) up to Σ 1/(32(n_s − 1)²)",
    relation="==",
    falsified_by="A sum of logarithms further away.",
)
TYPICAL = _claim(
    id="Growing data, typical half-life",
    words="at constant n a typical path halves in log 2/½(log((n−1)/2) − ψ((n−1)/2)) rounds",
    relation="==",
    falsified_by="An integral of log χ that is another.",
)
MEAN_HALF_LIFE = _claim(
    id="Growing data, half-life of the mean scale",
    words="at constant n the mean scale halves in −log 2/log α(n) rounds",
    relation="==",
    falsified_by="An integral of χ that is another.",
)

GRID: tuple[dict[str, Any], ...] = (
    {"n": 4, "power": 1.0, "t": 6},
    {"n": 4, "power": 2.0, "t": 6},
    {"n": 100, "power": 3.0, "t": 3},
)


def mean_error(power: float, t: int) -> float:
    """Σ (s+1)^−p over s = 0 … t, the error of the mean at n_s = n(s+1)^p.

    Args:
        power: p >= 0.
        t: Retrainings, >= 0.

    Returns:
        The error over σ²/n; at p = 0 it is t + 1.
    """
    return float((np.arange(1.0, t + 2) ** -power).sum())


def mean_limit(power: float) -> float:
    """ζ(p), the limit of the error for p > 1.

    Args:
        power: p > 1.

    Returns:
        The limit.
    """
    return float(zeta(power))


def log_scale(n: int, power: float, t: int) -> float:
    """First order of log E σ_t/σ, −Σ 1/(4(n_s − 1)) over s = 0 … t.

    Args:
        n: Points of the first fit, >= 2.
        power: p, where n_s = n(s+1)^p.
        t: Retrainings, >= 0.

    Returns:
        The sum.
    """
    sizes = n * np.arange(1.0, t + 2) ** power
    return float(-(1 / (4 * (sizes - 1))).sum())


def typical_half_life(n: int) -> float:
    """Rounds in which E log σ_t falls by log 2, at constant n.

    Args:
        n: Points a round, >= 2.

    Returns:
        log 2 over minus the Lyapunov exponent.
    """
    half = (n - 1) / 2
    return math.log(2) / (0.5 * (math.log(half) - float(digamma(half))))


def doubling_rise() -> float:
    """log 2 = ∫ ds/(s log s) from t to t²: the rise of log log t."""
    return math.log(2)


def check(
    n: int,
    power: float,
    t: int,
    rng: np.random.Generator,
    chains: int = 6400,
    false_alarm: float = ERROR_RATE,
) -> list[Verdict]:
    """The mean through Algorithm 1 with `Scheduled`; sums, and both half-lives by quadrature.

    Args:
        n: Points of the first fit.
        power: p, where n_t = n(t+1)^p.
        t: Retrainings of the simulation.
        rng: For the simulation.
        chains: Simulated loops.
        false_alarm: Of the one verdict that uses randomness.

    Returns:
        The verdicts.
    """
    errors = paths(Scheduled(FullySynthetic(), power=power), n, t, chains, rng)[-1]
    law = mean_error(power, t)
    found = [
        MEAN.verdict(
            f"Gaussian mean, n = {n}, p = {power:g}, t = {t}",
            measured=n * float(np.square(errors).mean()),
            claimed=law,
            tolerance=law * mean_square_slack(chains, false_alarm / 2),
            method=f"Algorithm 1, {chains} chains; tolerance: exact, χ²",
            false_alarm=false_alarm,
        ),
        _scale(n, power),
        _t_log_t(400),
        *_half_lives(n),
    ]

    if power > 1:
        long = 100_000
        found.append(
            LIMIT.verdict(
                f"p = {power:g}, t = {long}",
                measured=mean_error(power, long),
                claimed=mean_limit(power),
                tolerance=long ** (1 - power) / (power - 1),
                method="sum; tolerance: the integral that bounds what is left out",
            )
        )

    return found


def _scale(n: int, power: float) -> Verdict:
    t = 2000
    sizes = n * np.arange(1.0, t + 2) ** power
    return SCALE.verdict(
        f"n = {n}, p = {power:g}, t = {t}",
        measured=float(log_alpha(sizes).sum()),
        claimed=log_scale(n, power, t),
        tolerance=float((1 / (32 * (sizes - 1) ** 2)).sum()),
        method="α by its series",
    )


def _t_log_t(t: int) -> Verdict:
    s = np.arange(t + 1.0, t**2 + 1)
    return NOT_ENOUGH.verdict(
        f"t = {t}",
        measured=float((1 / (s * np.log(s))).sum()),
        claimed=doubling_rise(),
        tolerance=1 / (t * math.log(t)),
        method="sum; tolerance: its first term, by which it differs from the integral at most",
    )


def _half_lives(n: int) -> list[Verdict]:
    root = math.sqrt(n - 1)
    ends = float(chi.ppf(1e-16, n - 1)), float(chi.isf(1e-16, n - 1))
    log_mean, mean = (
        quad(lambda x, f=f: f(x / root) * float(chi.pdf(x, n - 1)), *ends, limit=200)[0]
        for f in (math.log, lambda x: x)
    )
    method = "quadrature; tolerance: what it leaves out"

    return [
        TYPICAL.verdict(
            f"n = {n}",
            measured=-math.log(2) / log_mean,
            claimed=typical_half_life(n),
            tolerance=1e-5 * typical_half_life(n),
            method=method,
        ),
        MEAN_HALF_LIFE.verdict(
            f"n = {n}",
            measured=-math.log(2) / math.log(mean),
            claimed=float(half_life(n)),
            tolerance=1e-5 * float(half_life(n)),
            method=method,
        ),
    ]


_CASE = GRID[1]

MUTATIONS = (
    Mutation(MEAN, f"{__name__}.mean_error", "the error", _CASE),
    Mutation(LIMIT, f"{__name__}.mean_limit", "the limit", _CASE),
    Mutation(NOT_ENOUGH, f"{__name__}.doubling_rise", "the rise", _CASE),
    Mutation(SCALE, f"{__name__}.log_scale", "the sum", _CASE),
    Mutation(
        TYPICAL,
        f"{__name__}.typical_half_life",
        "that of the mean scale",
        _CASE,
        lambda right: lambda n: float(half_life(n)),
    ),
    Mutation(MEAN_HALF_LIFE, "stability.gaussian.alpha.half_life", "the half-life", _CASE),
)
"""Slips, and the claim that each must break."""
