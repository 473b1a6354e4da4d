"""S3, S4, S6 and S7 for any model family: how θ_t scatters in each regime, to first order in 1/n.

With A, B, C and F as in `LocalAnalysis`, e_t = θ_t − θ_0 and ζ_t the mean score of the λn synthetic
points of round t, of covariance F/(λn), a round is (A + λB) e_{t+1} = λB e_t − λζ_t. So the scatter
about the fit θ_0 to the real points is

- mixed, fresh latents (S3): V − J^t V Jᵀ^t;
- mixed, shared latents (S7), one ζ for all rounds: (λ/n) D A⁻¹FA⁻¹ Dᵀ, D = I − J^t;
- accumulated (S4): e_{t+1} = e_t − λ(A + λ(t+1)B)⁻¹ζ_t, so (λ/n) Σ_k (A + λkB)⁻¹F(A + λkB)⁻¹;
- synthetic alone, n points a round (S4): t B⁻¹FB⁻¹/n;

and about θ* with new real points each round (S4): V_{t+1} = J V_t Jᵀ + K(C + λF)K/n from
V_0 = A⁻¹CA⁻¹/n, K = (A + λB)⁻¹. A learner that goes a part 1 − c of the way has the
Jacobian cI + (1 − c)J (S6).
"""

from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from stability.analysis.basin import axes, linear_rate
from stability.analysis.likelihood_learner import LikelihoodLearner
from stability.analysis.local_analysis import LocalAnalysis
from stability.analysis.operators import infinite_map
from stability.laws.family import Family
from stability.laws.law import Data, Law, draw
from stability.laws.monte_carlo import mean_square_slack
from stability.loop.regimes import Accumulate, FreshReal, FullySynthetic, Mix, Regime
from stability.loop.retraining import Latents, retrain
from stability.loop.whole_counts import require_whole
from stability.statements.claim import ERROR_RATE, Claim
from stability.statements.instances import DataName, Instance, instance
from stability.statements.mutation import Mutation, scaled
from stability.statements.stationary_error import excess_covariance
from stability.statements.verdict import Verdict

__all__ = ["GRID", "MUTATIONS", "check", "regime_covariance"]

_claim = partial(
    Claim,
    relation="==",
    no_evidence="Families with A = B = −C = −F, where one number stands for all of them.",
    falsified_by="A mean over runs outside the interval that χ² allows.",
    error_rate=ERROR_RATE,
)
_CLAIMS: dict[tuple[type, Latents], Claim] = {
    (Mix, "fresh"): _claim(
        id="S3, any family",
        source="own result S3",
        words="E (θ_t − θ_0)ᵀ Cov⁻¹ (θ_t − θ_0)/P = 1, Cov = V − J^t V Jᵀ^t",
    ),
    (Mix, "shared"): _claim(
        id="S7, any family",
        source="own result S7",
        words="the same with shared latents, Cov = (λ/n) D A⁻¹FA⁻¹ Dᵀ, D = I − J^t",
    ),
    (FreshReal, "fresh"): _claim(
        id="S4, fresh real data, any family",
        source="own result S4",
        words="E (θ_t − θ*)ᵀ Cov⁻¹ (θ_t − θ*)/P = 1, Cov ← J Cov Jᵀ + K(C + λF)K/n each round",
    ),
    (Accumulate, "fresh"): _claim(
        id="S4, accumulate, any family",
        source="own result S4",
        words="the same about θ_0, Cov = (λ/n) Σ (A + λkB)⁻¹F(A + λkB)⁻¹, k = 1 … t",
    ),
    (FullySynthetic, "fresh"): _claim(
        id="S4, replace, any family",
        source="own result S4",
        words="the same about θ_0, Cov = t B⁻¹FB⁻¹/n",
    ),
}
PART = _claim(
    id="S6, any family",
    source="own result S6",
    words="going a part 1 − c of the way, G∞ comes nearer by c + (1 − c)ρ(J) a round",
    falsified_by="A rate of two orbits beside θ* that is another.",
    error_rate=0.0,
)
MIXED = _CLAIMS[Mix, "fresh"]
SHARED = _CLAIMS[Mix, "shared"]
FRESH = _CLAIMS[FreshReal, "fresh"]
ACCUMULATED = _CLAIMS[Accumulate, "fresh"]
REPLACED = _CLAIMS[FullySynthetic, "fresh"]

_T = {"family": "student_t", "data": "misspecified"}
GRID: tuple[dict[str, Any], ...] = (
    {**_T, "regime": Mix(1.0), "t": 3},
    {**_T, "regime": Mix(1.0), "t": 3, "latents": "shared"},
    {**_T, "regime": FreshReal(1.0), "t": 3},
    {**_T, "regime": Accumulate(1.0), "t": 3},
    {**_T, "regime": FullySynthetic(), "t": 3},
)

_KEPT = 0.5
"""The part c of the old parameters that a learner keeps in S6."""
_SECOND_ORDER = 1e-3
"""Error of a rate by the curvature of G∞, 0.01 standard errors beside θ*."""


def regime_covariance(
    local: LocalAnalysis, regime: Regime, t: int, latents: Latents = "fresh"
) -> np.ndarray:
    """Covariance of θ_t after t rounds, to first order (see the module).

    Args:
        local: The analysis at the regime's λ, with its n.
        regime: `Mix`, `FreshReal`, `Accumulate` or `FullySynthetic`.
        t: Retrainings, >= 1.
        latents: Whether the latents of all rounds are one; "shared" for `Mix` alone.

    Returns:
        (P, P), about θ* for `FreshReal` and about θ_0 else.

    Raises:
        ValueError: Where no covariance is stated.
    """
    A, B, F, lam, n = local.A, local.B, local.fisher, local.lam, local.n
    match regime, latents:
        case Mix(), "fresh":
            return excess_covariance(A, B, lam, n, t)
        case Mix(), "shared":
            gain = (np.eye(len(A)) - np.linalg.matrix_power(local.J, t)) @ np.linalg.inv(A)
            return lam / n * gain @ F @ gain.T
        case FreshReal(), "fresh":
            K = np.linalg.inv(A + lam * B)
            V = local.sandwich
            for _ in range(t):
                V = local.J @ V @ local.J.T + K @ (local.C + lam * F) @ K / n
            return V
        case Accumulate(), "fresh":
            inverses = [np.linalg.inv(A + lam * k * B) for k in range(1, t + 1)]
            return lam / n * np.sum([K @ F @ K for K in inverses], axis=0)
        case FullySynthetic(), "fresh":
            K = np.linalg.inv(B)
            return t / n * K @ F @ K

    raise ValueError(f"no covariance is stated for regime '{regime}' with {latents} latents")


def check(
    family: str | Family,
    data: DataName | Data,
    regime: Regime,
    t: int,
    rng: np.random.Generator,
    latents: Latents = "fresh",
    n: int = 1000,
    chains: int = 120,
    start: Tensor | None = None,
    false_alarm: float = ERROR_RATE,
) -> list[Verdict]:
    """The scatter of θ_t through Algorithm 1 against that covariance; with `Mix` S6 too.

    Args:
        family: As for `instance`.
        data: As for `instance`.
        regime: As for `regime_covariance`.
        t: Retrainings, >= 1.
        rng: Source of all draws.
        latents: As for `regime_covariance`.
        n: Real points of each run, drawn from the data's law, with λn whole.
        chains: Runs.
        start: Initial θ of fits, (P,); as for `instance`.
        false_alarm: Of the verdict that uses randomness.

    Returns:
        The verdicts.

    Raises:
        ValueError: For bad arguments.
    """
    lam = regime.lam if isinstance(regime, Mix | FreshReal | Accumulate) else 0.0
    require_whole(lam, n)
    where = instance(family, data, start)
    local = where.local.at(lam).of(n)
    covariance = regime_covariance(local, regime, t, latents)
    path = _paths(where, local, regime, t, rng, latents, chains)
    centre = local.theta if isinstance(regime, FreshReal) else path[0]
    moved = path[-1] - centre
    squares = np.einsum("rp,pq,rq->r", moved, np.linalg.pinv(covariance), moved)
    words = "" if latents == "fresh" else f", {latents} latents"
    verdict = _CLAIMS[type(regime), latents].verdict(
        f"{where.name}, {regime}{words}, t = {t}, n = {n}",
        measured=float(squares.mean()) / moved.shape[1],
        claimed=1.0,
        tolerance=mean_square_slack(moved.size, false_alarm / 4),
        method=f"Algorithm 1, {chains} runs; tolerance: χ², doubled as θ_t is only nearly normal",
        false_alarm=false_alarm,
    )
    partly = [_part(where, local)] if isinstance(regime, Mix) and latents == "fresh" else []

    return [verdict, *partly]


def _paths(
    where: Instance,
    local: LocalAnalysis,
    regime: Regime,
    t: int,
    rng: np.random.Generator,
    latents: Latents,
    chains: int,
) -> np.ndarray:
    """θ_s of each run, s = 0 … t, (t + 1, chains, P)."""

    def points(n: int, rng: np.random.Generator) -> np.ndarray:
        return _drawn(where.law, n, rng)

    learner = LikelihoodLearner(where.family, torch.from_numpy(local.theta).expand(chains, -1))
    real = [points(local.n, rng) for _ in range(chains)]
    seed = int(rng.integers(2**62))
    rounds = retrain(learner, real, [regime] * chains, t, seed=seed, fresh=points, latents=latents)
    return np.array([learner.theta.numpy().copy() for _ in rounds])


def _drawn(law: Law, count: int, source: np.random.Generator) -> np.ndarray:
    return draw(law, count, torch.Generator().manual_seed(int(source.integers(2**63)))).numpy()


def part_rate(rho: float) -> float:
    """c + (1 − c)ρ, the rate of a learner that keeps a part c.

    Args:
        rho: Rate of the learner that keeps nothing.

    Returns:
        The rate, per retraining.
    """
    return _KEPT + (1 - _KEPT) * rho


def _part(where: Instance, local: LocalAnalysis) -> Verdict:
    """The rate of θ ← cθ + (1 − c)G∞(θ) from two orbits beside θ*."""
    G = infinite_map(where.family, where.law, local.lam)

    def partly(theta: Tensor) -> Tensor:
        return _KEPT * theta + (1 - _KEPT) * G(theta).theta

    return PART.verdict(
        f"{where.name}, λ = {local.lam:g}, c = {_KEPT:g}",
        measured=linear_rate(partly, local.theta, axes(local)),
        claimed=part_rate(local.rho),
        tolerance=_SECOND_ORDER + 2 * float(local.error("rho")),
        method="two orbits of the map beside θ*; tolerance: its curvature, and the error of ρ",
    )


_HERE = "stability.statements.family_regimes"
_FULLY = {**GRID[4], "chains": 60}

MUTATIONS = (
    Mutation(MIXED, f"{_HERE}.regime_covariance", "a quarter of it", GRID[0], scaled(0.25)),
    Mutation(SHARED, f"{_HERE}.regime_covariance", "a quarter of it", GRID[1], scaled(0.25)),
    Mutation(FRESH, f"{_HERE}.regime_covariance", "a quarter of it", GRID[2], scaled(0.25)),
    Mutation(ACCUMULATED, f"{_HERE}.regime_covariance", "a quarter of it", GRID[3], scaled(0.25)),
    Mutation(REPLACED, f"{_HERE}.regime_covariance", "a quarter of it", _FULLY, scaled(0.25)),
    Mutation(PART, f"{_HERE}.part_rate", "nine tenths of it", GRID[0], scaled(0.9)),
)
"""Slips, and the claim that each must break."""
