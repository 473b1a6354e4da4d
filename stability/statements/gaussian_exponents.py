"""S5: how a Gaussian that is refitted to its own samples collapses, dimension by dimension.

(1/t) log of the i-th largest eigenvalue of √Σ_t tends to γ_i = ½[ψ((n−i)/2) + log(2/(n−1))] < 0,
almost surely; log det Σ_t drifts by 2 Σ γ_i a retraining, exactly; and E √Σ_t halves every
−log 2/log α(n) retrainings. The proofs are in docs/theory/gaussian-collapse.md.
"""

import math
from functools import partial
from typing import Any

import numpy as np
from scipy.stats import norm

from stability.gaussian.alpha import alpha, half_life
from stability.gaussian.collapse import simulate
from stability.gaussian.lyapunov import log_det_drift, lyapunov_spectrum
from stability.statements.claim import ERROR_RATE, Claim
from stability.statements.mutation import Mutation, scaled
from stability.statements.verdict import Verdict

__all__ = ["GRID", "MUTATIONS", "check"]

_claim = partial(
    Claim,
    source="own result S5",
    relation="==",
    no_evidence="E Σ_t, which does not change, and E √Σ_t, which a few rare chains carry.",
    error_rate=ERROR_RATE,
)

EXPONENT = _claim(
    id="S5, exponents",
    words="log of the i-th largest eigenvalue of √Σ_t falls by γ_i a retraining",
    falsified_by="A mean over chains outside its confidence interval, in one dimension i.",
)
DRIFT = _claim(
    id="S5, determinant",
    words="E log det Σ_t − log det Σ_0 = 2t Σ γ_i, for every t",
    falsified_by="A mean over chains outside its confidence interval.",
)
HALF_LIFE = _claim(
    id="S5, half-life",
    words="after −log 2/log α(n) retrainings E √Σ_t has halved: α(n)^t = ½",
    falsified_by="One n with another power.",
    error_rate=0.0,
)

GRID: tuple[dict[str, Any], ...] = (
    {"n": 2, "d": 1, "t": 20},
    {"n": 5, "d": 3, "t": 40},
    {"n": 30, "d": 2, "t": 60},
)

_APART = 1e-10
"""Ratio of neighbouring eigenvalues of √Σ_0: so far apart they do not meet, and the logarithms fall
by γ_i from the start, up to about the square of this."""


def check(
    n: int,
    d: int,
    t: int,
    rng: np.random.Generator,
    chains: int = 4000,
    false_alarm: float = ERROR_RATE,
) -> list[Verdict]:
    """The exponents on chains whose dimensions are far apart, the drift of the determinant on
    chains that start from I, and the half-life.

    Args:
        n: Samples a generation, whole, >= d + 1.
        d: Dimensions.
        t: Retrainings, >= 1; t · chains must be large enough for a normal mean of log χ².
        rng: Source of all draws.
        chains: Independent chains.
        false_alarm: Of each verdict on simulated chains.

    Returns:
        The verdicts.

    Raises:
        ValueError: If out of range.
    """
    if t != int(t) or t < 1:
        raise ValueError(f"t must be a whole number >= 1, got {t}")
    apart = np.diag(_APART ** (2.0 * np.arange(d)))
    fall = simulate(n, apart, [t], chains, rng).last_log_eigenvalues - np.log(np.diag(apart)) / 2
    volume = 2 * simulate(n, np.eye(d), [t], chains, rng).last_log_eigenvalues.sum(axis=1)

    case = f"n = {n}, d = {d}, t = {t}"
    method = f"simulation, {chains} chains; tolerance: normal tail"
    limit = float(norm.isf(false_alarm / 4)) / math.sqrt(chains)
    exponents = lyapunov_spectrum(n, d)
    return [
        *(
            EXPONENT.verdict(
                f"{case}, i = {i + 1}",
                measured=float(fall[:, i].mean()) / t,
                claimed=float(exponents[i]),
                tolerance=limit * float(fall[:, i].std(ddof=1)) / t,
                method=method,
                false_alarm=false_alarm,
            )
            for i in range(d)
        ),
        DRIFT.verdict(
            case,
            measured=float(volume.mean()) / t,
            claimed=log_det_drift(n, d),
            tolerance=limit * float(volume.std(ddof=1)) / t,
            method=method,
            false_alarm=false_alarm,
        ),
        HALF_LIFE.verdict(
            f"n = {n}",
            measured=float(alpha(n)) ** float(half_life(n)),
            claimed=0.5,
            tolerance=1e-12,
            method="closed form; tolerance: rounding",
        ),
    ]


_CASE = {"n": 5, "d": 3, "t": 40}
_LYAPUNOV = "stability.gaussian.lyapunov"

MUTATIONS = (
    Mutation(
        EXPONENT,
        f"{_LYAPUNOV}.lyapunov_spectrum",
        "i + 1 for i",
        {**_CASE, "n": 6},
        lambda right: lambda n, d: right(n, d + 1)[1:],
    ),
    Mutation(DRIFT, f"{_LYAPUNOV}.log_det_drift", "Σ γ_i for 2 Σ γ_i", _CASE, scaled(0.5)),
    Mutation(
        HALF_LIFE, "stability.gaussian.alpha.half_life", "no log 2", _CASE, scaled(1 / math.log(2))
    ),
)
"""Slips, and the claim that each must break."""
