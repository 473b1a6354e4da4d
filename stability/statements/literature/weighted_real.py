"""New real data each round, and a weight on them: the golden ratio of He, Xu and Cheng
(arXiv:2502.18049).

A round fits n new real points with weight w and m = n/k synthetic ones with weight 1 − w. For the
mean of a Gaussian (and to first order in 1/n for any well-specified regular family) the error over
σ²/n obeys v ← w² + (1−w)²(v + k). It settles at

    f(w) = (w² + k(1−w)²)/(2w − w²),    least at w* = (√(k²+4k) − k)/2, where f(w*) = w*.

At k = 1 this is (√5−1)/2 = 0.618 against 2/3 without weights (w = k/(1+k), S4). With *fixed* real
data the same weighting gives 1 + k(1−w)²/(2w − w²): no weight below 1 is worth its noise.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from scipy.optimize import minimize_scalar

from stability.gaussian.mean import paths
from stability.laws.monte_carlo import mean_square_slack
from stability.loop.regimes import FreshReal, Mix, Regime, TrainingSet
from stability.statements.claim import ERROR_RATE, Claim
from stability.statements.mutation import Mutation
from stability.statements.verdict import Verdict

__all__ = [
    "GRID",
    "MUTATIONS",
    "WeightedMean",
    "best_weight",
    "check",
    "error_fixed_real",
    "error_fresh_real",
]

_claim = partial(
    Claim,
    source="He–Xu–Cheng, arXiv:2502.18049",
    falsified_by="A mean square over chains outside the interval that χ² allows.",
    no_evidence="That some weight does better than the share of real points: so do many.",
    error_rate=ERROR_RATE,
)

FRESH = _claim(
    id="He–Xu–Cheng, new real data",
    words="new real data: f(w) = (w² + k(1−w)²)/(2w − w²) in the limit",
    relation="==",
)
FIXED = _claim(
    id="He–Xu–Cheng, fixed real data",
    words="fixed real data: 1 + k(1−w)²/(2w − w²) in the limit",
    relation="==",
)
BEST = _claim(
    id="He–Xu–Cheng, best weight",
    words="the least value of f is w* = (√(k²+4k) − k)/2",
    relation="==",
    falsified_by="A weight with a smaller error.",
    error_rate=0.0,
)

GRID: tuple[dict[str, Any], ...] = (
    {"k": 1.0, "w": (math.sqrt(5) - 1) / 2},
    {"k": 1.0, "w": 0.5},
    {"k": 0.25, "w": 0.3},
    {"k": 4.0, "w": 0.8},
)


def error_fresh_real(w: float, k: float, t: float = math.inf) -> float:
    """f(w) + (1 − f(w))(1−w)^{2t}, over σ²/n, after t retrainings with n new real points each.

    Args:
        w: Weight of the real points, in (0, 1].
        k: Real points per synthetic one, finite, > 0.
        t: Retrainings, >= 0, possibly inf.

    Returns:
        The error over σ²/n.

    Raises:
        ValueError: If w or k is out of range.
    """
    _require(w, k)
    limit = (w**2 + k * (1 - w) ** 2) / (2 * w - w**2)
    return limit + (1 - limit) * (1 - w) ** (2 * t)


def error_fixed_real(w: float, k: float, t: float = math.inf) -> float:
    """1 + k(1−w)²/(2w − w²)·(1 − (1−w)^{2t}), over σ²/n, when the n real points are the same in
    each round.

    Args:
        w: Weight of the real points, in (0, 1].
        k: Real points per synthetic one, finite, > 0.
        t: Retrainings, >= 0, possibly inf.

    Returns:
        The error over σ²/n.

    Raises:
        ValueError: If w or k is out of range.
    """
    _require(w, k)
    return 1 + k * (1 - w) ** 2 / (2 * w - w**2) * (1 - (1 - w) ** (2 * t))


def best_weight(k: float) -> float:
    """w* = (√(k²+4k) − k)/2 = 2/(1 + √(1 + 4/k)), which minimises f, and is its least value.

    Args:
        k: Real points per synthetic one, finite, > 0.

    Returns:
        w*, in (0, 1).

    Raises:
        ValueError: If k is out of range.
    """
    _require(1.0, k)
    return 2 / (1 + math.sqrt(1 + 4 / k))


def _require(w: float, k: float) -> None:
    if not 0 < w <= 1:
        raise ValueError(f"w must be in (0, 1], got {w}")
    if not (math.isfinite(k) and k > 0):
        raise ValueError(f"k must be finite and > 0, got {k}")


@dataclass(eq=False)
class WeightedMean:
    """N(μ, I) learned as w·(mean of the real points) + (1−w)·(mean of the synthetic ones), for R
    chains.

    Attributes:
        mean: (R, d), the present parameters.
    """

    w: float
    mean: np.ndarray

    @property
    def chains(self) -> int:
        return len(self.mean)

    def reset(self, rngs: Sequence[np.random.Generator]) -> None:
        """Nothing to draw: the estimate does not depend on initial parameters.

        Args:
            rngs: Random generator of each chain, unused.
        """

    def fit(self, datasets: Sequence[TrainingSet], rngs: Sequence[np.random.Generator]) -> None:
        """The weights count where there are both kinds of points; else it is the mean of all.

        Args:
            datasets: Training set of each chain, of points, (n + m, d).
            rngs: Random generator of each chain, unused.
        """
        for r, data in enumerate(datasets):
            real, synthetic = data.points[: data.real], data.points[data.real :]
            both = len(real) and len(synthetic)
            self.mean[r] = (
                self.w * real.mean(axis=0) + (1 - self.w) * synthetic.mean(axis=0)
                if both
                else data.points.mean(axis=0)
            )

    def sample(
        self, counts: Sequence[int], rngs: Sequence[np.random.Generator]
    ) -> list[np.ndarray]:
        """Draw from N(μ, I).

        Args:
            counts: Number of draws for each chain.
            rngs: Random generator of each chain.

        Returns:
            (counts[r], d) for each chain.
        """
        d = self.mean.shape[1]
        return [
            mean + rng.standard_normal((m, d))
            for mean, m, rng in zip(self.mean, counts, rngs, strict=True)
        ]

    def state_dict(self) -> dict[str, Any]:
        return {"mean": torch.tensor(self.mean)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.mean = state["mean"].numpy().copy()


def check(
    k: float,
    w: float,
    rng: np.random.Generator,
    t: int = 4,
    n: int = 4,
    chains: int = 10_000,
    false_alarm: float = 1e-6,
) -> list[Verdict]:
    """Both laws through Algorithm 1 with `WeightedMean`, and the least value of f by numerical
    minimisation.

    Args:
        k: n/k whole.
        w: In (0, 1].
        rng: Source of all draws.
        t: Retrainings, >= 1.
        n: Real points, with n/k whole.
        chains: Independent runs.
        false_alarm: Of each verdict that uses randomness.

    Returns:
        The verdicts.

    Raises:
        ValueError: If out of range.
    """
    _require(w, k)
    size = {"t": t, "n": n, "chains": chains, "rng": rng, "false_alarm": false_alarm}
    least = minimize_scalar(
        error_fresh_real, bounds=(1e-9, 1), args=(k,), method="bounded", options={"xatol": 1e-12}
    )
    return [
        _simulated(FRESH, FreshReal(1 / k), error_fresh_real(w, k, t), k, w, **size),
        _simulated(FIXED, Mix(1 / k), error_fixed_real(w, k, t), k, w, **size),
        BEST.verdict(
            f"k = {k:g}",
            measured=float(least.fun),  # type: ignore[attr-defined]
            claimed=best_weight(k),
            tolerance=1e-12,
            method="numerical minimisation of f; tolerance: of the minimum, whose error is of "
            "second order",
        ),
    ]


_CASE = {"k": 1.0, "w": 0.5}
_HERE = "stability.statements.literature.weighted_real"

MUTATIONS = (
    Mutation(FRESH, f"{_HERE}.error_fresh_real", "the error", _CASE),
    Mutation(FIXED, f"{_HERE}.error_fixed_real", "the error", _CASE),
    Mutation(
        BEST,
        f"{_HERE}.best_weight",
        "√(k²+2k) for √(k²+4k)",
        _CASE,
        lambda right: lambda k: (math.sqrt(k**2 + 2 * k) - k) / 2,
    ),
)
"""Slips, and the claim that each must break."""


def _simulated(
    claim: Claim,
    regime: Regime,
    law: float,
    k: float,
    w: float,
    *,
    t: int,
    n: int,
    chains: int,
    rng: np.random.Generator,
    false_alarm: float,
) -> Verdict:
    """The mean square error after t retrainings against its law."""
    errors = paths(
        regime,
        n,
        t,
        chains,
        rng,
        learner=lambda chains, d: WeightedMean(w, np.zeros((chains, d))),
    )[-1]
    return claim.verdict(
        f"Gaussian mean, k = {k:g}, w = {w:.4g}, t = {t}",
        measured=n * float(np.square(errors).mean()),
        claimed=law,
        tolerance=law * mean_square_slack(chains, false_alarm / 2),
        method=f"Algorithm 1, {chains} chains; tolerance: exact, χ²",
        false_alarm=false_alarm,
    )
