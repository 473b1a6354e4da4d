"""Models that train on each other: samples of others help, since they have other real data.

K models have n private real points each and take the share W_ij of their λn samples a round from
model j. For the means of Gaussians the deviations of all models are a vector autoregression,

    μ ← (1−c) x̄ + c W μ + c ξ,    c = λ/(1+λ),

with the rate c, that of one model alone, for every W with rows of sum 1. Under uniform mixing each
model's error over σ²/n tends to

    (1−c)²(1−1/K) + 1/K + c²/(λK)·c²/(1−c²) + c²/λ,

below (1+3λ)/(1+2λ), that of a model alone, for every λ and every K >= 2, and below 1, that of no
synthetic data at all, where K is large. For the mean of a Gaussian it is exact. Vu, Reeves and
Wenger (arXiv:2505.21677) study such populations; the numbers are ours.
"""

from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve_discrete_lyapunov

from stability.gaussian.mean import paths
from stability.laws.monte_carlo import mean_square_slack
from stability.loop.regimes import Exchange, Mix
from stability.statements.claim import ERROR_RATE, Claim
from stability.statements.mutation import Mutation, instead
from stability.statements.stationary_error import mixed
from stability.statements.verdict import Verdict

__all__ = [
    "GRID",
    "MUTATIONS",
    "check",
    "errors",
    "limit_errors",
    "pooled_error",
    "rate",
    "uniform_error",
]

_claim = partial(
    Claim,
    source="Vu, Reeves and Wenger, arXiv:2505.21677; exact here",
    no_evidence="That models agree with each other: they could agree and be wrong.",
)

LAW = _claim(
    id="Populations",
    words="each model's error over σ²/n is that of the autoregression with W",
    relation="==",
    falsified_by="A mean square over chains outside the interval that χ² allows.",
    error_rate=ERROR_RATE,
)
UNIFORM = _claim(
    id="Populations, uniform mixing",
    words="the error tends to (1−c)²(1−1/K) + 1/K + c⁴/(λK(1−c²)) + c²/λ",
    relation="==",
    falsified_by="A Lyapunov equation with another solution.",
)
HELP = _claim(
    id="Populations, others help",
    words="the error is below (1+3λ)/(1+2λ), that of a model alone",
    relation="<",
    falsified_by="A W with positive entries off its diagonal and a larger error.",
)
RATE = _claim(
    id="Populations, rate",
    words="deviations from the limit decay by c = λ/(1+λ) a round, whatever W",
    relation="==",
    falsified_by="A matrix cW of another spectral radius.",
)

GRID: tuple[dict[str, Any], ...] = (
    {"mixing": ((0.2,) * 5,) * 5, "lam": 2.0},
    {"mixing": ((0.5, 0.5), (0.25, 0.75)), "lam": 1.0},
    {"mixing": ((0.0, 1.0, 0.0), (0.0, 0.0, 1.0), (1.0, 0.0, 0.0)), "lam": 1.0},
)


def errors(mixing: NDArray[np.float64], lam: float, t: int) -> NDArray[np.float64]:
    """Mean squared error of each model over σ²/n after t retrainings, (K,).

    Args:
        mixing: (K, K), rows of sum 1.
        lam: Synthetic points per real point, > 0.
        t: Retrainings, >= 0.

    Returns:
        The diagonal of the covariance of all means.
    """
    c, k = lam / (1 + lam), len(mixing)
    real, drawn = np.eye(k), np.zeros((k, k))  # μ = real @ x̄ + noise of this covariance
    for _ in range(t):
        real = (1 - c) * np.eye(k) + c * mixing @ real
        drawn = c**2 * (mixing @ drawn @ mixing.T + np.eye(k) / lam)
    return np.diag(real @ real.T + drawn)


def limit_errors(mixing: NDArray[np.float64], lam: float) -> NDArray[np.float64]:
    """Mean squared error of each model over σ²/n in the long run, (K,).

    Args:
        mixing: (K, K), rows of sum 1.
        lam: Synthetic points per real point, > 0.

    Returns:
        From (1−c)(I − cW)⁻¹ and the discrete Lyapunov equation of the noise.
    """
    c, k = lam / (1 + lam), len(mixing)
    real = (1 - c) * np.linalg.inv(np.eye(k) - c * mixing)
    drawn = solve_discrete_lyapunov(c * mixing, c**2 / lam * np.eye(k))
    return np.diag(real @ real.T + drawn)


def uniform_error(models: int, lam: float) -> float:
    """The limit under uniform mixing, in closed form.

    Args:
        models: K >= 1; 1 is a model alone.
        lam: Synthetic points per real point, > 0.

    Returns:
        Mean squared error over σ²/n.
    """
    c = lam / (1 + lam)
    between = (1 - c) ** 2 * (1 - 1 / models) + 1 / models
    return between + c**4 / (lam * models * (1 - c**2)) + c**2 / lam


def pooled_error(models: int, lam: float) -> float:
    """The limit where all models train on one and the same pool of λn samples.

    Args:
        models: K >= 1.
        lam: Synthetic points per real point, > 0.

    Returns:
        Mean squared error over σ²/n: the noise of the pool does not average out.
    """
    c = lam / (1 + lam)
    between = (1 - c) ** 2 * (1 - 1 / models) + 1 / models
    return between + c**2 / (lam * (1 - c**2))


def rate(lam: float) -> float:
    """c = λ/(1+λ): W has the spectral radius 1.

    Args:
        lam: Synthetic points per real point.

    Returns:
        The rate.
    """
    return lam / (1 + lam)


def check(
    mixing: tuple[tuple[float, ...], ...],
    lam: float,
    rng: np.random.Generator,
    t: int = 5,
    n: int = 20,
    chains: int = 20,
    false_alarm: float = ERROR_RATE,
) -> list[Verdict]:
    """The law through Algorithm 1 with `Exchange`, and the limit by a Lyapunov equation.

    Args:
        mixing: W, rows of sum 1; λnW whole.
        lam: λ > 0.
        rng: For the simulation.
        t: Retrainings.
        n: Private real points of each model.
        chains: Populations, each of 128 independent coordinates.
        false_alarm: Of the one verdict that uses randomness, over all models.

    Returns:
        The verdicts.
    """
    W = np.array(mixing)
    k = len(W)
    case = f"K = {k}, λ = {lam:g}, W = {_shown(W)}"
    limits = limit_errors(W, lam)
    uniform = bool(np.ptp(W) < 1e-12)
    found = [
        *_simulated(W, lam, t, n, chains, rng, false_alarm),
        HELP.verdict(
            case,
            measured=float(limits.max()),
            claimed=mixed(lam),
            method="Lyapunov equation; the worst model",
        ),
        RATE.verdict(
            case,
            measured=float(np.abs(np.linalg.eigvals(lam / (1 + lam) * W)).max()),
            claimed=rate(lam),
            tolerance=1e-12,
            method="eigenvalues of cW",
        ),
    ]

    if uniform:
        found.append(
            UNIFORM.verdict(
                case,
                measured=float(limits[0]),
                claimed=uniform_error(k, lam),
                tolerance=1e-12,
                method="Lyapunov equation; tolerance: rounding",
            )
        )

    return found


def _shown(W: NDArray[np.float64]) -> str:
    return "1/K" if np.ptp(W) < 1e-12 else str(W.tolist())


def _simulated(
    W: NDArray[np.float64],
    lam: float,
    t: int,
    n: int,
    chains: int,
    rng: np.random.Generator,
    false_alarm: float,
) -> list[Verdict]:
    """Each model's mean square over independent populations."""
    k = len(W)
    regime = Exchange(Mix(lam), tuple(map(tuple, W.tolist())))
    seen = paths(regime, n, t, 128 * k * chains, rng)[-1].reshape(chains, k, 128)
    laws = errors(W, lam, t)
    count = chains * 128
    return [
        LAW.verdict(
            f"Gaussian mean, K = {k}, λ = {lam:g}, W = {_shown(W)}, t = {t}, model {i + 1}",
            measured=n * float(np.square(seen[:, i]).mean()),
            claimed=float(laws[i]),
            tolerance=float(laws[i]) * mean_square_slack(count, false_alarm / (2 * k)),
            method=f"Algorithm 1, {count} populations; tolerance: exact, χ²",
            false_alarm=false_alarm / k,
        )
        for i in range(k)
    ]


_CASE = GRID[0]

MUTATIONS = (
    Mutation(LAW, f"{__name__}.errors", "the error", _CASE),
    Mutation(
        UNIFORM,
        f"{__name__}.uniform_error",
        "one pool of samples for all models",
        _CASE,
        instead(pooled_error),
    ),
    Mutation(HELP, "stability.statements.stationary_error.mixed", "a model alone", _CASE),
    Mutation(
        RATE, f"{__name__}.rate", "c² for c", _CASE, lambda right: lambda lam: right(lam) ** 2
    ),
)
"""Slips, and the claim that each must break."""
