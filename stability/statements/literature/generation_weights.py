"""Weights by generation: everything is kept, labels are unknown, and equal weights lose.

A batch of n points arrives in each round. A part α of it is real, nobody knows which points, and
the rest comes from the model before; the first batch is real. In units of σ²/n, a mean that moves
by the gain g_t towards the batch's mean has the error v ← (1 − αg_t)² v + g_t². Equal weights for
all points are g_t = 1/(t+1): the error falls like t^{−min(1, 2α)}. The best gains are

    g_t = α/(1 + α²t),    with the error 1/(1 + α²t),

the Cramér–Rao bound of all batch means together. All gains lie in (0, 1], so that this is a
weighted fit to everything, with weights that depend on the generation alone and favour the later
ones. Amin et al. (arXiv:2601.15468) show that equal weights converge and are not the best; the
optimum in closed form is ours.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

from stability.gaussian.mean import paths
from stability.laws.monte_carlo import mean_square_slack
from stability.loop.regimes import GenerationInputs, TrainingSet
from stability.statements.claim import ERROR_RATE, Claim
from stability.statements.mutation import Mutation
from stability.statements.verdict import Verdict

__all__ = [
    "GRID",
    "MUTATIONS",
    "GenerationWeighted",
    "best_error",
    "best_gain",
    "check",
    "equal_gain",
    "error",
    "weights",
]

_claim = partial(
    Claim,
    source="Amin et al., arXiv:2601.15468; in closed form here",
    no_evidence="That the error falls: with equal weights it does, too.",
)

LAW = _claim(
    id="Weights by generation",
    words="the error over σ²/n obeys v ← (1 − αg)²v + g²",
    relation="==",
    falsified_by="A mean square over chains outside the interval that χ² allows.",
    error_rate=ERROR_RATE,
)
BEST = _claim(
    id="Weights by generation, best gains",
    words="the least error is 1/(1 + α²t), at the gains α/(1 + α²t)",
    relation="==",
    falsified_by="Gains found by numerical minimisation, round by round, with another error.",
)
LOSES = _claim(
    id="Weights by generation, equal weights lose",
    words="equal weights have a larger error than 1/(1 + α²t) where 0 < α < 1",
    relation=">",
    falsified_by="An α and a t at which equal weights are as good.",
)
RATE = _claim(
    id="Weights by generation, rates",
    words="with equal weights the error falls like t^(−min(1, 2α))",
    relation="==",
    falsified_by="Another slope of log v over log t.",
)
CONVEX = _claim(
    id="Weights by generation, later ones count more",
    words="the best weights grow with the generation, by (1 + α²t)/(1 − α + α²(t+1)) for t >= 1",
    relation="==",
    falsified_by="A ratio of neighbouring weights that is another.",
)

GRID: tuple[dict[str, Any], ...] = (
    {"alpha": 0.2, "t": 10},
    {"alpha": 0.5, "t": 10},
    {"alpha": 0.8, "t": 10},
)

Gains = Callable[[int, float], float]
"""(t, α) -> g_t."""


def equal_gain(t: int, alpha: float) -> float:
    """1/(t+1): every point counts the same.

    Args:
        t: Retraining, >= 1.
        alpha: Real fraction of a batch; of no effect.

    Returns:
        The gain.
    """
    return 1 / (t + 1)


def best_gain(t: int, alpha: float) -> float:
    """α/(1 + α²t).

    Args:
        t: Retraining, >= 1.
        alpha: Real fraction of a batch, in (0, 1].

    Returns:
        The gain.
    """
    return alpha / (1 + alpha**2 * t)


def best_error(t: int, alpha: float) -> float:
    """1/(1 + α²t): each batch has α times the truth in it, and the noise of one batch.

    Args:
        t: Retrainings, >= 0.
        alpha: Real fraction of a batch, in (0, 1].

    Returns:
        Least mean squared error over σ²/n.
    """
    return 1 / (1 + alpha**2 * t)


def error(gains: Gains, t: int, alpha: float) -> float:
    """Mean squared error over σ²/n after t retrainings.

    Args:
        gains: (t, α) -> gain.
        t: Retrainings, >= 0.
        alpha: Real fraction of a batch, in (0, 1].

    Returns:
        v_t, from v_0 = 1.
    """
    v = 1.0
    for k in range(1, t + 1):
        g = gains(k, alpha)
        v = (1 - alpha * g) ** 2 * v + g**2
    return v


def weights(gains: Gains, t: int, alpha: float) -> NDArray[np.float64]:
    """Weight of each generation's batch in the fit of round t, (t + 1,), with sum 1.

    Args:
        gains: (t, α) -> gain.
        t: Retrainings, >= 0.
        alpha: Real fraction of a batch, in (0, 1].

    Returns:
        w_k = g_k Π (1 − g_j) over j > k, g_0 = 1.
    """
    w = np.ones(1)
    for k in range(1, t + 1):
        g = gains(k, alpha)
        w = np.append((1 - g) * w, g)
    return w


@dataclass(frozen=True)
class GenerationWeighted:
    """Everything is kept; each batch of n has a real part α, and counts as its generation says.

    Attributes:
        alpha: Real fraction of a batch; αn whole.
        gains: (t, α) -> gain.
    """

    alpha: float
    gains: Gains
    needs_fresh_real = True
    weighted = True

    def synthetic(self, n: int) -> int:
        """n − αn.

        Args:
            n: Real points of the first batch.

        Returns:
            m.
        """
        return n - round(self.alpha * n)

    def next(self, inputs: GenerationInputs) -> TrainingSet:
        """Append a batch, real points first, and weight all batches.

        Args:
            inputs: Of the round.

        Returns:
            Real points are counted in the first batch alone, since labels are unknown.
        """
        n = len(inputs.real)
        fresh = inputs.fresh(n - len(inputs.synthetic))
        points = np.concatenate([inputs.previous.points, fresh, inputs.synthetic])
        w = weights(self.gains, len(points) // n - 1, self.alpha)
        return TrainingSet(points, n, weights=np.repeat(w / n, n))


def check(
    alpha: float,
    t: int,
    rng: np.random.Generator,
    n: int = 10,
    chains: int = 6400,
    false_alarm: float = ERROR_RATE,
) -> list[Verdict]:
    """Both choices of weights through Algorithm 1, the best gains by minimisation, and rates.

    Args:
        alpha: Real fraction of a batch, in (0, 1); αn whole.
        t: Retrainings, >= 1.
        rng: For the simulations.
        n: Points of a batch.
        chains: Simulated loops.
        false_alarm: Of each verdict that uses randomness.

    Returns:
        The verdicts.

    Raises:
        ValueError: If α is not in (0, 1), or αn not whole.
    """
    if not 0 < alpha < 1 or abs(alpha * n - round(alpha * n)) > 1e-9:
        raise ValueError(f"alpha must be in (0, 1) with alpha * n whole, got {alpha}, n = {n}")
    case = f"α = {alpha:g}, t = {t}"

    return [
        *(
            _simulated(name, gains, alpha, t, n, chains, rng, false_alarm)
            for name, gains in (("equal weights", equal_gain), ("best weights", best_gain))
        ),
        BEST.verdict(
            case,
            measured=_minimised(alpha, t),
            claimed=best_error(t, alpha),
            tolerance=1e-9,
            method="minimisation over each gain in turn: the error grows with the one before",
        ),
        LOSES.verdict(
            case,
            measured=error(equal_gain, t, alpha),
            claimed=best_error(t, alpha),
            method="recursion",
        ),
        _rate(alpha),
        CONVEX.verdict(
            f"α = {alpha:g}",
            measured=float(_ratios(alpha, t)[-1]),
            claimed=growth(t - 1, alpha),
            tolerance=1e-12,
            method="ratio of the last two weights; tolerance: rounding",
        ),
    ]


def growth(t: int, alpha: float) -> float:
    """Weight of generation t + 1 over that of generation t, (1 + α²t)/(1 − α + α²(t+1)).

    Args:
        t: Generation, >= 0.
        alpha: Real fraction of a batch, in (0, 1].

    Returns:
        The ratio; for t = 0 the first batch counts 1/α times more, since all of it is real.
    """
    first = alpha if t == 0 else 1.0
    return first * (1 + alpha**2 * t) / (1 - alpha + alpha**2 * (t + 1))


def _ratios(alpha: float, t: int) -> NDArray[np.float64]:
    w = weights(best_gain, t, alpha)
    return w[1:] / w[:-1]


def _minimised(alpha: float, t: int) -> float:
    v = 1.0
    for _ in range(t):
        least = minimize_scalar(
            lambda g, v=v: (1 - alpha * g) ** 2 * v + g**2, bounds=(0, 1), method="bounded"
        )
        v = float(least.fun)  # type: ignore[attr-defined]
    return v


def slope(alpha: float) -> float:
    """Exponent of t in the error with equal weights.

    Args:
        alpha: Real fraction of a batch, in (0, 1), not ½ (where a logarithm comes in).

    Returns:
        −min(1, 2α).
    """
    return -min(1.0, 2 * alpha)


def _rate(alpha: float) -> Verdict:
    early, late = 2_000, 20_000
    first = error(equal_gain, early, alpha)
    last = first
    for k in range(early + 1, late + 1):
        last = (1 - alpha / (k + 1)) ** 2 * last + 1 / (k + 1) ** 2
    measured = math.log(last / first) / math.log(late / early)
    # at α = ½ the error is log t/t: the slope is off by about 1/log t
    tolerance = 0.15 if alpha == 0.5 else 0.03
    return RATE.verdict(
        f"α = {alpha:g}, t = {early} to {late}",
        measured=measured,
        claimed=slope(alpha),
        tolerance=tolerance,
        method="recursion; tolerance: the next power of t, or log t at α = ½",
    )


def _simulated(
    name: str,
    gains: Gains,
    alpha: float,
    t: int,
    n: int,
    chains: int,
    rng: np.random.Generator,
    false_alarm: float,
) -> Verdict:
    errors = paths(GenerationWeighted(alpha, gains), n, t, chains, rng)[-1]  # type: ignore[arg-type]
    law = error(gains, t, alpha)
    return LAW.verdict(
        f"Gaussian mean, {name}, α = {alpha:g}, t = {t}",
        measured=n * float(np.square(errors).mean()),
        claimed=law,
        tolerance=law * mean_square_slack(chains, false_alarm / 2),
        method=f"Algorithm 1, {chains} chains; tolerance: exact, χ²",
        false_alarm=false_alarm,
    )


_CASE = {"alpha": 0.2, "t": 10}

MUTATIONS = (
    Mutation(LAW, f"{__name__}.error", "the error", _CASE),
    Mutation(
        BEST,
        f"{__name__}.best_error",
        "that of equal weights",
        _CASE,
        lambda right: lambda t, alpha: error(equal_gain, t, alpha),
    ),
    Mutation(LOSES, f"{__name__}.best_error", "the error", _CASE),
    Mutation(
        RATE,
        f"{__name__}.slope",
        "min(1, α) for min(1, 2α)",
        _CASE,
        lambda right: lambda alpha: -min(1.0, alpha),
    ),
    Mutation(CONVEX, f"{__name__}.best_gain", "equal gains", _CASE, lambda right: equal_gain),
)
"""Slips, and the claim that each must break."""
