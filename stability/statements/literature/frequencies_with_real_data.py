"""Frequencies refitted to fixed real data and m of their own samples: how far they stray, exactly.

With n real points of frequencies p̂ and m = λn draws a round, p ← (1−c) p̂ + c·counts/m, c = λ/(1+λ).
So D_t = E‖p_t − p̂‖² obeys, with S = Σ p̂²,

    D ← c² ((1 − 1/m) D + (1 − S)/m),    D_∞ = c² (1−S)/m / (1 − c² (1 − 1/m)).

Seddik et al. (arXiv:2404.05090) bound this loop. A category that real data have is in every
training set. What can happen is that it is absent among the *next m samples*: with probability at
least (1 − p̂)^m and at most (1 − p̂/(1+λ))^m, in every round, and the round after can bring it back.
Without real data a lost category never returns (`discrete_collapse`).
"""

import math
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binom

from stability.laws.monte_carlo import law_mean_slack
from stability.loop.regimes import Mix
from stability.loop.retraining import retrain
from stability.loop.whole_counts import require_whole
from stability.statements.claim import ERROR_RATE, Claim
from stability.statements.literature.discrete_collapse import Frequencies
from stability.statements.mutation import Mutation
from stability.statements.verdict import Verdict

__all__ = [
    "GRID",
    "MUTATIONS",
    "absence_ceiling",
    "absence_floor",
    "check",
    "draws_law",
    "squared_distance",
]

_claim = partial(
    Claim,
    source="Seddik et al., arXiv:2404.05090; exact here",
    no_evidence="That no category is lost: real data keep every category in the training set.",
)
_WORDS = "E‖p_t − p̂‖² obeys D ← c²((1 − 1/m)D + (1 − S)/m), S = Σp̂²"

DISTANCE = _claim(
    id="Frequencies with real data",
    words=_WORDS,
    relation="==",
    falsified_by="A mean over chains further off than its exact law allows.",
    error_rate=ERROR_RATE,
)
EXACT = _claim(
    id="Frequencies with real data, transition matrix",
    words=f"{_WORDS}, summed over categories",
    relation="==",
    falsified_by="Transition matrices of the counts that give another sum.",
)
LIMIT = _claim(
    id="Frequencies with real data, limit",
    words="D_∞ = c²(1−S)/m/(1 − c²(1 − 1/m))",
    relation="==",
    falsified_by="Stationary laws of the counts that give another sum.",
)
ABSENT_AT_MOST = _claim(
    id="Frequencies with real data, absence",
    words="a category is absent from the next m samples with probability at most (1 − p̂/(1+λ))^m",
    relation="<=",
    falsified_by="A round in which the transition matrix gives more.",
    values=(0.0, 1.0),
)
ABSENT_AT_LEAST = _claim(
    id="Frequencies with real data, absence at least",
    words="a category is absent from the next m samples with probability at least (1 − p̂)^m",
    relation=">=",
    falsified_by="A round in which the transition matrix gives less.",
    values=(0.0, 1.0),
)

GRID: tuple[dict[str, Any], ...] = (
    {"counts": (20, 12, 6, 2), "lam": 2.0, "t": 8},
    {"counts": (2, 1, 1), "lam": 2.0, "t": 5},
    {"counts": (1, 7), "lam": 1.0, "t": 20},
    {"counts": (1, 39), "lam": 0.5, "t": 1},
)

_WIDTH = 256
_LONG = 400
"""Rounds after which a law is taken for the stationary one."""


def squared_distance(concentration: float, lam: float, m: int, t: float = math.inf) -> float:
    """E‖p_t − p̂‖² after t retrainings, from p_0 = p̂.

    Args:
        concentration: S = Σ p̂², in (0, 1].
        lam: Synthetic points per real point, >= 0.
        m: Synthetic points a round, >= 1.
        t: Retrainings, >= 0.

    Returns:
        D_t.
    """
    c2 = (lam / (1 + lam)) ** 2
    kept = c2 * (1 - 1 / m)
    return c2 * (1 - concentration) / m / (1 - kept) * (1 - kept**t)


def absence_ceiling(share: float, lam: float, m: int) -> float:
    """(1 − p̂/(1+λ))^m: real data keep p_t above p̂/(1+λ).

    Args:
        share: p̂ of the category.
        lam: Synthetic points per real point.
        m: Synthetic points a round.

    Returns:
        Largest probability of absence.
    """
    return (1 - share / (1 + lam)) ** m


def absence_floor(share: float, m: int) -> float:
    """(1 − p̂)^m, by Jensen's inequality for E p_t = p̂.

    Args:
        share: p̂ of the category.
        m: Synthetic points a round.

    Returns:
        Least probability of absence.
    """
    return (1 - share) ** m


def draws_law(count: int, n: int, m: int, t: int) -> NDArray[np.float64]:
    """Law of a category's count among the m samples of generation t, by its transition matrix.

    Args:
        count: Real points of the category.
        n: Real points.
        m: Synthetic points a round.
        t: Generation, >= 0.

    Returns:
        P(count = j) for j = 0 … m, shape (m + 1,).
    """
    j = np.arange(m + 1)
    law = binom.pmf(j, m, count / n)
    transition = binom.pmf(j, m, (count + j[:, None]) / (n + m))  # row: present count
    return law @ np.linalg.matrix_power(transition, t)


def check(
    counts: Sequence[int],
    lam: float,
    t: int,
    rng: np.random.Generator,
    chains: int = 5120,
    false_alarm: float = ERROR_RATE,
) -> list[Verdict]:
    """The law through Algorithm 1 and by transition matrices, and the chance of absence.

    Args:
        counts: Real points in each category, >= 1 each.
        lam: λn whole, > 0.
        t: Retrainings, >= 1.
        rng: For the simulation.
        chains: Simulated loops, rounded up to a multiple of 256.
        false_alarm: Of the one verdict that uses randomness.

    Returns:
        The verdicts.

    Raises:
        ValueError: If out of range.
    """
    if len(counts) < 2 or any(k != int(k) or k < 1 for k in counts):
        raise ValueError(f"counts must be at least two whole numbers >= 1, got {counts}")
    if t != int(t) or t < 1:
        raise ValueError(f"t must be a whole number >= 1, got {t}")
    n = sum(counts)
    require_whole(lam, n)

    m = round(lam * n)
    seen = _simulated(counts, lam, t, math.ceil(chains / _WIDTH), rng)
    return [
        *_distances(counts, lam, m, t, seen, false_alarm),
        *_absence(min(counts), n, lam, m, t),
    ]


def _distances(
    counts: Sequence[int],
    lam: float,
    m: int,
    t: int,
    seen: NDArray[np.float64],
    false_alarm: float,
) -> list[Verdict]:
    shares = np.array(counts) / sum(counts)
    concentration = float(shares @ shares)
    law = squared_distance(concentration, lam, m, t)
    case = f"counts {', '.join(map(str, counts))}, λ = {lam:g}, t = {t}"
    matrix = "transition matrices of the counts; tolerance: rounding"

    return [
        DISTANCE.verdict(
            case,
            measured=float(seen.mean()),
            claimed=law,
            tolerance=_slack(counts, m, t, len(seen), false_alarm),
            method=f"Algorithm 1, {len(seen)} chains; tolerance: exact, Chernoff's bound of each "
            "category's law",
            false_alarm=false_alarm,
        ),
        EXACT.verdict(
            case,
            measured=_by_matrix(counts, m, t),
            claimed=law,
            tolerance=1e-12,
            method=matrix,
        ),
        LIMIT.verdict(
            case,
            measured=_by_matrix(counts, m, _LONG),
            claimed=squared_distance(concentration, lam, m),
            tolerance=1e-11,
            method=f"{matrix}, after {_LONG} rounds",
        ),
    ]


def _absence(rarest: int, n: int, lam: float, m: int, t: int) -> list[Verdict]:
    case = f"k = {rarest} of n = {n}, λ = {lam:g}, t = {t}"
    measured = {
        "measured": float(draws_law(rarest, n, m, t)[0]),
        "tolerance": 1e-12,
        "method": "transition matrix of the count; tolerance: rounding",
    }
    return [
        ABSENT_AT_MOST.verdict(case, claimed=absence_ceiling(rarest / n, lam, m), **measured),
        ABSENT_AT_LEAST.verdict(case, claimed=absence_floor(rarest / n, m), **measured),
    ]


def _laws(
    counts: Sequence[int], m: int, t: int
) -> list[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Values and probabilities of (p_t − p̂)² for each category, whose count is a chain of its
    own.
    """
    n, j = sum(counts), np.arange(m + 1)
    return [(((k + j) / (n + m) - k / n) ** 2, draws_law(k, n, m, t - 1)) for k in counts]


def _by_matrix(counts: Sequence[int], m: int, t: int) -> float:
    return math.fsum(float(law @ values) for values, law in _laws(counts, m, t))


def _slack(counts: Sequence[int], m: int, t: int, chains: int, false_alarm: float) -> float:
    """The sum over categories is off by more than this with at most that probability."""
    tail = false_alarm / (2 * len(counts))
    return math.fsum(
        law_mean_slack(values, law, chains, tail) for values, law in _laws(counts, m, t)
    )


def _simulated(
    counts: Sequence[int], lam: float, t: int, chains: int, rng: np.random.Generator
) -> NDArray[np.float64]:
    """‖p_t − p̂‖², (256 · chains,)."""
    column = np.repeat(np.arange(len(counts)), counts)
    real = np.tile(column[:, None], _WIDTH)  # (n, W): the same real data for all
    learner = Frequencies(np.zeros((chains, _WIDTH, len(counts))))
    for _ in retrain(
        learner, [real] * chains, [Mix(lam)] * chains, t, seed=int(rng.integers(2**62))
    ):
        pass
    gap = learner.frequencies.reshape(-1, len(counts)) - np.array(counts) / sum(counts)
    return np.square(gap).sum(axis=1)


_CASE = {"counts": (2, 1, 1), "lam": 2.0, "t": 5}


def _without_drift(right: Any) -> Any:
    """1 − 1/m → 1."""

    def wrong(concentration: float, lam: float, m: int, t: float = math.inf) -> float:
        c2 = (lam / (1 + lam)) ** 2
        return c2 * (1 - concentration) / m * (1 - c2**t) / (1 - c2)

    return wrong


MUTATIONS = (
    Mutation(DISTANCE, f"{__name__}.squared_distance", "the distance", _CASE),
    Mutation(EXACT, f"{__name__}.squared_distance", "1 for 1 − 1/m", _CASE, _without_drift),
    Mutation(LIMIT, f"{__name__}.squared_distance", "1 for 1 − 1/m", _CASE, _without_drift),
    Mutation(ABSENT_AT_MOST, f"{__name__}.absence_ceiling", "the bound", GRID[2]),
    Mutation(ABSENT_AT_LEAST, f"{__name__}.absence_floor", "the bound", GRID[3]),
)
"""Slips, and the claim that each must break."""
