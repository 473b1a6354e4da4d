"""S3 for a model that is not the truth: what one fit costs, and what retraining adds to it.

The fit to n real points scatters with covariance A⁻¹CA⁻¹/n about θ*, C = E_data s sᵀ, and θ_t about
the fit with V − J^t V Jᵀ^t. Both are compared with what they are made of: the sandwich with the
influence of each data point, found by moving its weight and fitting again; the scatter of θ_t with
Algorithm 1 itself.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch

from stability.analysis.likelihood_learner import LikelihoodLearner
from stability.analysis.local_analysis import LocalAnalysis
from stability.analysis.operators import maximum_likelihood
from stability.laws.capabilities import HasFisher
from stability.laws.law import Empirical, draw
from stability.laws.monte_carlo import mean_square_slack
from stability.loop.regimes import Mix
from stability.loop.retraining import retrain
from stability.statements.claim import ERROR_RATE, Claim
from stability.statements.instances import Instance, instance
from stability.statements.mutation import Mutation, scaled
from stability.statements.stationary_error import excess_covariance
from stability.statements.verdict import Verdict

__all__ = ["GRID", "MUTATIONS", "check"]

_claim = partial(
    Claim,
    source="own result S3",
    relation="==",
    no_evidence="Well-specified data: C = F = −A = −B there, and no mistake among them shows.",
)

SANDWICH = _claim(
    id="S3, sandwich",
    words="n Cov θ̂_n → A⁻¹CA⁻¹, C the covariance of the score under the data",
    falsified_by="Influences of the data points with another mean square.",
)
INFLATION = _claim(
    id="S3, inflation",
    words="the total error over Cramér–Rao is F(A⁻¹CA⁻¹ + V), F the Fisher information",
    falsified_by="A family with one parameter for which the product of its parts is another.",
)
EXCESS = _claim(
    id="S3, excess",
    words="after t retrainings θ_t scatters about the fit with V − J^t V Jᵀ^t, A ≠ B",
    falsified_by="A family with one parameter for which λμ/(1+2λμ)(1 − ρ^2t)/(−A) is another.",
)
TOTAL = _claim(
    id="S3, total error by counts",
    words="E (θ_t − θ*)² = A⁻¹CA⁻¹/n + V − J^t V Jᵀ^t",
    falsified_by="A mean over runs outside the interval that χ² allows.",
    error_rate=ERROR_RATE,
)
BY_COUNTS = _claim(
    id="S3, excess by counts",
    words="E (θ_t − θ_0)² = V − J^t V Jᵀ^t",
    falsified_by="A mean over runs outside the interval that χ² allows.",
    error_rate=ERROR_RATE,
)
SIMULATED = _claim(
    id="S3, excess through Algorithm 1",
    words="E (θ_t − θ_0)ᵀ Cov⁻¹ (θ_t − θ_0)/P = 1 with that covariance",
    falsified_by="A mean over runs outside the interval that χ² allows.",
    error_rate=ERROR_RATE,
)

GRID: tuple[dict[str, Any], ...] = (
    {"family": "linkage", "lam": 1.0, "t": 3},
    {"family": "linkage", "lam": 4.0, "t": 3},
    {"family": "binomial", "lam": 4.0, "t": 2},
    {"family": "student_t", "lam": 4.0, "t": 3},
)

_COPIES = 50
"""Repeats of the data, so that one more point is a small change of its weight."""


def check(
    family: str,
    lam: float,
    t: int,
    rng: np.random.Generator,
    n: int = 400,
    chains: int = 300,
    false_alarm: float = ERROR_RATE,
) -> list[Verdict]:
    """The three parts on counts (families with one parameter), and Algorithm 1 on a density.

    Args:
        family: "linkage" or "binomial", on misspecified counts; or a family on the line.
        lam: Synthetic points per real point, with λn whole.
        t: Retrainings, >= 1.
        rng: Source of all draws.
        n: Real points of each run.
        chains: Runs, each with real points of its own.
        false_alarm: Of the verdict that uses randomness.

    Returns:
        The verdicts.
    """
    where = instance(family, "misspecified")
    local = where.local.at(lam)
    if isinstance(where.law, Empirical):
        counted = _by_counts(where, local, t, rng, false_alarm) if family == "linkage" else []
        return [*_parts(where, local, t), *counted]
    return [_simulated(where, local, t, rng, n, chains, false_alarm)]


def influence(where: Instance) -> np.ndarray:
    """Derivative of the fit by the weight of each data point, by fitting again: (k, P), per unit.

    Each distinct point is added once to, and taken once from, `_COPIES` copies of the data. The two
    fits give the derivative at the data themselves, up to the square of the change.

    Args:
        where: Instance whose law is `Empirical`, of k distinct points.

    Returns:
        (k, P), a row for each distinct point, in the order of `torch.unique`.
    """
    assert isinstance(where.law, Empirical)
    distinct, start = torch.unique(where.law.points, dim=0), torch.from_numpy(where.local.theta)
    many = where.law.points.repeat(_COPIES, 1)
    rows = []
    for point in distinct:
        place = int((many == point).all(1).nonzero()[0])
        more = torch.cat([many, point[None]])
        less = torch.cat([many[:place], many[place + 1 :]])
        up, down = 1 / len(more), 1 / len(less)
        gain, loss = (
            (maximum_likelihood(where.family, data, start).theta - start).numpy()
            for data in (more, less)
        )
        rows.append((gain * down**2 - loss * up**2) / (up * down**2 + down * up**2))
    return np.array(rows)


def _parts(where: Instance, local: LocalAnalysis, t: int) -> list[Verdict]:
    """Sandwich, inflation and excess of a family with one parameter, each from its parts."""
    assert isinstance(where.law, Empirical)
    assert isinstance(where.family, HasFisher)
    _, counts = torch.unique(where.law.points, dim=0, return_counts=True)
    weights = counts.double().numpy() / int(counts.sum())
    scatter = float(weights @ influence(where)[:, 0] ** 2)
    fisher = float(where.family.fisher(torch.from_numpy(local.theta))[0, 0])
    A, mu, lam = -float(local.A[0, 0]), fisher / -float(local.A[0, 0]), local.lam
    V = lam * mu / (1 + 2 * lam * mu) / A
    rho = lam * mu / (1 + lam * mu)

    case = f"{where.name}, λ = {lam:g}"
    method = "influence of each count, by fitting again; tolerance: the square of the change"
    return [
        SANDWICH.verdict(
            case,
            measured=scatter,
            claimed=float(local.sandwich[0, 0]),
            tolerance=1e-4 * scatter,
            method=method,
        ),
        INFLATION.verdict(
            case,
            measured=fisher * (scatter + V),
            claimed=float(local.inflation[0]),
            tolerance=1e-4 * fisher * scatter,
            method=f"F in closed form; {method}",
        ),
        EXCESS.verdict(
            f"{case}, t = {t}",
            measured=V * (1 - rho ** (2 * t)),
            claimed=float(excess_covariance(local.A, local.B, lam, 1, t)[0, 0]),
            tolerance=1e-9 * V,
            method="closed form in μ = F/(−A); tolerance: rounding",
        ),
    ]


def linkage_fit(counts: np.ndarray) -> np.ndarray:
    """Maximum-likelihood θ of linkage counts: N θ² − (x₀ − 2x₁ − 2x₂ − x₃) θ − 2x₃ = 0.

    Args:
        counts: Counts of the four classes, (R, 4).

    Returns:
        (R,).
    """
    total = counts.sum(axis=1)
    middle = counts[:, 0] - 2 * counts[:, 1] - 2 * counts[:, 2] - counts[:, 3]
    return (middle + np.sqrt(middle**2 + 8 * total * counts[:, 3])) / (2 * total)


def _by_counts(
    where: Instance, local: LocalAnalysis, t: int, rng: np.random.Generator, false_alarm: float
) -> list[Verdict]:
    """Algorithm 1 on linkage counts, many runs at once: a multinomial draw and a root a round."""
    assert isinstance(where.law, Empirical)
    n, runs, lam = 20_000, 20_000, local.lam
    _, seen = torch.unique(where.law.points, dim=0, return_counts=True)
    real = rng.multinomial(n, seen.double().numpy() / int(seen.sum()), size=runs)  # (R, 4)
    first = theta = linkage_fit(real)
    for _ in range(t):
        probabilities = np.stack([2 + theta, 1 - theta, 1 - theta, theta], axis=1) / 4
        theta = linkage_fit(real + rng.multinomial(round(lam * n), probabilities))

    excess = excess_covariance(local.A, local.B, lam, n, t)[0, 0]
    sandwich = local.sandwich[0, 0] / n  # local is that of one point
    slack = mean_square_slack(runs, false_alarm / 4)
    common: dict[str, Any] = {
        "claimed": 1.0,
        "tolerance": slack,
        "method": f"{runs} runs of Algorithm 1 on counts, over the law; tolerance: χ², doubled as "
        "θ_t is only nearly normal",
        "false_alarm": false_alarm,
    }
    case = f"{where.name}, λ = {lam:g}, t = {t}, n = {n}"
    return [
        BY_COUNTS.verdict(case, measured=float(np.square(theta - first).mean() / excess), **common),
        TOTAL.verdict(
            case,
            measured=float(np.square(theta - local.theta[0]).mean() / (sandwich + excess)),
            **common,
        ),
    ]


def _simulated(
    where: Instance,
    local: LocalAnalysis,
    t: int,
    rng: np.random.Generator,
    n: int,
    chains: int,
    false_alarm: float,
) -> Verdict:
    """The scatter of θ_t about θ_0 through Algorithm 1, in the metric of its covariance."""
    start = torch.from_numpy(local.theta)
    learner = LikelihoodLearner(where.family, start.expand(chains, -1))
    generator = torch.Generator().manual_seed(int(rng.integers(2**63)))
    real = [draw(where.law, n, generator).numpy() for _ in range(chains)]
    seed = int(rng.integers(2**62))
    path = [
        learner.theta.numpy().copy()
        for _ in retrain(learner, real, [Mix(local.lam)] * chains, t, seed=seed)
    ]
    moved = path[-1] - path[0]
    covariance = excess_covariance(local.A, local.B, local.lam, n, t)
    squares = np.einsum("rp,pq,rq->r", moved, np.linalg.inv(covariance), moved)

    return SIMULATED.verdict(
        f"{where.name}, λ = {local.lam:g}, t = {t}, n = {n}",
        measured=float(squares.mean()) / len(start),
        claimed=1.0,
        tolerance=mean_square_slack(moved.size, false_alarm / 4),
        method=f"Algorithm 1, {chains} runs; tolerance: χ², doubled as θ_t is only nearly normal",
        false_alarm=false_alarm,
    )


_LINKAGE = GRID[0]
_EXCESS = "stability.statements.stationary_error.excess_covariance"
_LOCAL = "stability.analysis.local_analysis.LocalAnalysis"


def _with_fisher(right: Callable[..., Any]) -> Callable[..., Any]:
    """The sandwich with C averaged under the model."""
    return lambda local: np.linalg.solve(local.A, np.linalg.solve(local.A, local.fisher).T)


def _with_curvature(right: Callable[..., Any]) -> Callable[..., Any]:
    """Inflation with −A for F."""
    return lambda local: right(local) * float(local.A[0, 0] / local.B[0, 0])


MUTATIONS = (
    Mutation(SANDWICH, f"{_LOCAL}.sandwich", "C under the model", _LINKAGE, _with_fisher),
    Mutation(INFLATION, f"{_LOCAL}.inflation", "−A for F", _LINKAGE, _with_curvature),
    Mutation(
        EXCESS,
        _EXCESS,
        "half of it",
        _LINKAGE,
        scaled(0.5),
    ),
    Mutation(
        SIMULATED,
        _EXCESS,
        "0.4 of it",
        GRID[-1],
        scaled(0.4),
    ),
    Mutation(BY_COUNTS, _EXCESS, "0.8 of it", _LINKAGE, scaled(0.8)),
    Mutation(TOTAL, f"{_LOCAL}.sandwich", "0.7 of the sandwich", _LINKAGE, scaled(0.7)),
)
"""Slips, and the claim that each must break."""
