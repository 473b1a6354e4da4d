"""A finite corpus with a trickle of generated text ends as copies of one text, almost surely.

A corpus has N texts of finitely many kinds. In each round r of them, picked at random, are replaced
by samples of the whole corpus's frequencies. For every r >= 1 the diversity H = 1 − Σp² obeys

    E H_t = H_0 (1 − (1 − q)/N)^t,    q = (N−r)(N−r−1)/(N(N−1)),

so the corpus is absorbed with probability 1, at r = 1 after a mean time of order N² single
replacements, and ends as a kind with the probability of its first frequency. At r = N this is
Wright's and Fisher's chain, at r = 1 Moran's. Wang et al. (arXiv:2412.14872) prove that language
models collapse as soon as some generated text is used. Two ways out: keep the real data at a fixed
share (`Mix`), where diversity settles at 1 − S − D_∞ > 0 (`frequencies_with_real_data`); or keep
everything (`Accumulate`), where E H_t = H_0 Π (1 − λ/(n(1+λk)²)) has a positive limit.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binom, hypergeom

from stability.laws.monte_carlo import bounded_mean_slack
from stability.loop.regimes import Accumulate, GenerationInputs, Regime, TrainingSet
from stability.loop.retraining import retrain
from stability.statements.claim import ERROR_RATE, Claim
from stability.statements.literature.discrete_collapse import Frequencies
from stability.statements.literature.frequencies_with_real_data import (
    draws_law,
    squared_distance,
)
from stability.statements.mutation import Mutation, instead
from stability.statements.verdict import Verdict

__all__ = [
    "GRID",
    "MUTATIONS",
    "accumulated_diversity",
    "check",
    "diversity_decay",
    "end_probability",
    "mean_time",
    "mixed_diversity",
    "survival_bound",
    "transition",
]

_claim = partial(
    Claim,
    source="Wang et al., arXiv:2412.14872; exact here",
    no_evidence="A finite run that has lost kinds: absorption is about all of them but one.",
)

DECAY = _claim(
    id="Absorption, diversity",
    words="E H_t = H_0(1 − (1 − q)/N)^t with r of N texts replaced a round",
    relation="==",
    falsified_by="A mean over chains further off than Hoeffding's bound allows.",
    error_rate=ERROR_RATE,
)
DECAY_EXACT = _claim(
    id="Absorption, diversity of two kinds",
    words="E H_t = H_0(1 − (1 − q)/N)^t, two kinds",
    relation="==",
    falsified_by="A transition matrix of the counts that gives another mean.",
)
SURVIVAL = _claim(
    id="Absorption, survival",
    words="two kinds are left after t rounds with probability at most "
    "H_0(1 − (1 − q)/N)^t N²/(2(N − 1)), which tends to 0",
    relation="<=",
    falsified_by="A transition matrix that keeps both kinds with a larger probability.",
    values=(0.0, 1.0),
)
ENDS = _claim(
    id="Absorption, end",
    words="the corpus ends as a kind with the probability of its first frequency",
    relation="==",
    falsified_by="A linear system for the probability with another solution.",
)
TIME = _claim(
    id="Absorption, mean time",
    words="at r = 1 a kind with i of N texts takes N(Σ_{j<=i} (N−i)/(N−j) + Σ_{j>i} i/j) rounds",
    relation="==",
    falsified_by="A linear system for the mean time with another solution.",
)
MIXED = _claim(
    id="Absorption, not with fixed real data",
    words="with fixed real data E H_t settles at 1 − S − D_∞ > 0",
    relation="==",
    falsified_by="Stationary laws of the counts that give another diversity.",
)
ACCUMULATED = _claim(
    id="Absorption, not when everything is kept",
    words="when everything is kept E H_t = H_0 Π (1 − λ/(n(1+λk)²)), k <= t",
    relation="==",
    falsified_by="A mean over chains further off than Hoeffding's bound allows.",
    error_rate=ERROR_RATE,
)

GRID: tuple[dict[str, Any], ...] = (
    {"counts": (5, 5), "replaced": 1, "t": 20},
    {"counts": (3, 7), "replaced": 4, "t": 10},
    {"counts": (6, 6), "replaced": 12, "t": 12},
)

_WIDTH = 256


@dataclass(frozen=True)
class _Trickle:
    """A corpus of fixed size, of which `replaced` random texts give way to samples in each round.

    For `Frequencies`: each column of the points is the corpus of a model of its own.

    Attributes:
        replaced: r >= 1, at most the size of the corpus.
    """

    replaced: int
    needs_fresh_real = False
    weighted = False

    def synthetic(self, n: int) -> int:
        """r.

        Args:
            n: Size of the corpus.

        Returns:
            Samples a round.
        """
        return self.replaced

    def next(self, inputs: GenerationInputs) -> TrainingSet:
        """Replace; each model of the chain loses texts of its own.

        Args:
            inputs: Of the round.

        Returns:
            The corpus. No text is counted as real: nobody knows which ones are left.
        """
        corpus = inputs.rng.permuted(inputs.previous.points, axis=0)
        return TrainingSet(np.concatenate([corpus[self.replaced :], inputs.synthetic]), real=0)


def diversity_decay(size: int, replaced: int) -> float:
    """Factor of E H a round: two texts of the next corpus are both old with probability q, and
    copies of two independently chosen ones else.

    Args:
        size: N >= 2.
        replaced: r, 1 to N.

    Returns:
        1 − (1 − q)/N.
    """
    q = (size - replaced) * (size - replaced - 1) / (size * (size - 1))
    return 1 - (1 - q) / size


def survival_bound(start: float, size: int, replaced: int, t: int) -> float:
    """Bound on the probability that both of two kinds are left: H is at least 2(N−1)/N² then.

    Args:
        start: H_0.
        size: N >= 2.
        replaced: r, 1 to N.
        t: Rounds, >= 0.

    Returns:
        Markov's bound; may exceed 1.
    """
    return start * diversity_decay(size, replaced) ** t * size**2 / (2 * (size - 1))


def end_probability(count: int, size: int) -> float:
    """i/N: the frequency is a martingale.

    Args:
        count: i texts of the kind at first.
        size: N.

    Returns:
        Probability that all texts are of the kind in the end.
    """
    return count / size


def mean_time(count: int, size: int) -> float:
    """Mean number of rounds until one kind is left, with one text replaced a round.

    Source: Moran, Proc. Camb. Phil. Soc. 54 (1958).

    Args:
        count: i texts of a kind at first, 1 to N − 1.
        size: N.

    Returns:
        N (Σ_{j<=i} (N−i)/(N−j) + Σ_{j>i} i/j), j < N.
    """
    below = sum((size - count) / (size - j) for j in range(1, count + 1))
    above = sum(count / j for j in range(count + 1, size))
    return size * (below + above)


def mixed_diversity(concentration: float, lam: float, m: int) -> float:
    """1 − S − D_∞: E Σp² = S + E‖p − p̂‖².

    Args:
        concentration: S = Σ p̂².
        lam: Synthetic points per real point.
        m: Synthetic points a round.

    Returns:
        E H in the long run.
    """
    return 1 - concentration - squared_distance(concentration, lam, m)


def accumulated_diversity(start: float, n: int, lam: float, t: int) -> float:
    """H_0 Π (1 − λ/(n(1+λk)²)) over k = 1 … t.

    Args:
        start: H_0.
        n: Real points.
        lam: Synthetic points per real point and round; λn whole.
        t: Retrainings, >= 0.

    Returns:
        E H_t.
    """
    return start * math.prod(1 - lam / (n * (1 + lam * k) ** 2) for k in range(1, t + 1))


def transition(size: int, replaced: int) -> NDArray[np.float64]:
    """Transition matrix of a kind's count, (N + 1, N + 1), rows: present count.

    Args:
        size: N >= 2.
        replaced: r, 1 to N.

    Returns:
        P(next | present): hypergeometric losses and binomial gains.
    """
    matrix = np.zeros((size + 1, size + 1))
    for i in range(size + 1):
        lost = np.arange(max(0, replaced - (size - i)), min(i, replaced) + 1)
        gains = binom.pmf(np.arange(replaced + 1), replaced, i / size)
        for k, p in zip(lost, hypergeom.pmf(lost, size, i, replaced), strict=True):
            matrix[i, i - k : i - k + replaced + 1] += p * gains
    return matrix


def check(
    counts: Sequence[int],
    replaced: int,
    t: int,
    rng: np.random.Generator,
    chains: int = 5120,
    false_alarm: float = ERROR_RATE,
) -> list[Verdict]:
    """The decay through Algorithm 1 and by transition matrices; where, when, and the ways out.

    Args:
        counts: Texts of each of two kinds at first, >= 1 each.
        replaced: r, texts replaced a round.
        t: Rounds, >= 1.
        rng: For the simulations.
        chains: Simulated loops, rounded up to a multiple of 256.
        false_alarm: Of each verdict that uses randomness.

    Returns:
        The verdicts.

    Raises:
        ValueError: If out of range.
    """
    if len(counts) != 2 or any(k != int(k) or k < 1 for k in counts):
        raise ValueError(f"counts must be two whole numbers >= 1, got {counts}")
    size, first = sum(counts), counts[0]
    if not 1 <= replaced <= size:
        raise ValueError(f"replaced must be 1 to {size}, got {replaced}")

    start = 1 - sum((k / size) ** 2 for k in counts)
    shown = f"{counts[0]} and {counts[1]} texts"
    run = {"counts": counts, "t": t, "chains": chains, "rng": rng, "false_alarm": false_alarm}
    decayed = start * diversity_decay(size, replaced) ** t
    kept = accumulated_diversity(start, size, 1.0, t)
    matrix = transition(size, replaced)
    return [
        _simulated(DECAY, _Trickle(replaced), decayed, f"{shown}, r = {replaced}, t = {t}", **run),
        *_by_matrix(matrix, first, start, replaced, t),
        *_absorbed(matrix, first, size, replaced),
        MIXED.verdict(
            f"{shown}, λ = 1",
            measured=_stationary_diversity(counts),
            claimed=mixed_diversity(1 - start, 1.0, size),
            tolerance=1e-11,
            method="transition matrices of the counts, after 400 rounds",
        ),
        _simulated(ACCUMULATED, Accumulate(1.0), kept, f"{shown}, λ = 1, t = {t}", **run),
    ]


def _by_matrix(
    matrix: NDArray[np.float64], first: int, start: float, replaced: int, t: int
) -> list[Verdict]:
    """Diversity after t rounds, and survival of both kinds after 10 t, exactly."""
    size = len(matrix) - 1
    p = np.arange(size + 1) / size
    after, later = (np.linalg.matrix_power(matrix, k)[first] for k in (t, 10 * t))
    shown = f"{first} and {size - first} texts, r = {replaced}"
    method = "transition matrix; tolerance: rounding"

    return [
        DECAY_EXACT.verdict(
            f"{shown}, t = {t}",
            measured=float(after @ (2 * p * (1 - p))),
            claimed=start * diversity_decay(size, replaced) ** t,
            tolerance=1e-12,
            method=method,
        ),
        SURVIVAL.verdict(
            f"{shown}, t = {10 * t}",
            measured=float(later[1:-1].sum()),
            claimed=survival_bound(start, size, replaced, 10 * t),
            tolerance=1e-12,
            method=method,
        ),
    ]


def _absorbed(matrix: NDArray[np.float64], first: int, size: int, replaced: int) -> list[Verdict]:
    """Place and time of the corpus's absorption, by linear systems on the states between."""
    inner = np.eye(size - 1) - matrix[1:-1, 1:-1]
    probability = float(np.linalg.solve(inner, matrix[1:-1, -1])[first - 1])
    time = float(np.linalg.solve(inner, np.ones(size - 1))[first - 1])
    case = f"{first} of {size} texts, r = {replaced}"
    method = "linear system of the transition matrix; tolerance: rounding"
    found = [
        ENDS.verdict(
            case,
            measured=probability,
            claimed=end_probability(first, size),
            tolerance=1e-10,
            method=method,
        )
    ]

    if replaced == 1:
        claimed = mean_time(first, size)
        found.append(
            TIME.verdict(
                case, measured=time, claimed=claimed, tolerance=1e-9 * claimed, method=method
            )
        )

    return found


def _stationary_diversity(counts: Sequence[int]) -> float:
    """E H with the real data kept at half of the corpus, from the law of one kind's count."""
    n, first = sum(counts), counts[0]
    p = (first + np.arange(n + 1)) / (2 * n)
    return float(draws_law(first, n, n, 400) @ (2 * p * (1 - p)))


def _simulated(
    claim: Claim,
    regime: Regime,
    law: float,
    case: str,
    *,
    false_alarm: float,
    counts: Sequence[int],
    t: int,
    chains: int,
    rng: np.random.Generator,
) -> Verdict:
    groups = math.ceil(chains / _WIDTH)
    column = np.repeat(np.arange(len(counts)), counts)
    learner = Frequencies(np.zeros((groups, _WIDTH, len(counts))))
    *_, _ = retrain(
        learner,
        [np.tile(column[:, None], _WIDTH)] * groups,
        [regime] * groups,
        t,
        seed=int(rng.integers(2**62)),
    )
    diversity = 1 - np.square(learner.frequencies).sum(axis=2)
    largest = 1 - 1 / len(counts)

    return claim.verdict(
        case,
        measured=float(diversity.mean()),
        claimed=law,
        tolerance=bounded_mean_slack(min(law, largest), largest, diversity.size, false_alarm / 2),
        method=f"Algorithm 1, {diversity.size} chains; tolerance: exact, Hoeffding",
        false_alarm=false_alarm,
    )


_CASE = GRID[0]

MUTATIONS = (
    Mutation(DECAY, f"{__name__}.diversity_decay", "the factor", GRID[2]),
    Mutation(
        DECAY_EXACT,
        f"{__name__}.diversity_decay",
        "N − 1 for N",
        _CASE,
        lambda right: lambda size, replaced: 1 - (1 - right(size, replaced)) * size / (size - 1),
    ),
    Mutation(SURVIVAL, f"{__name__}.survival_bound", "the bound", _CASE),
    Mutation(ENDS, f"{__name__}.end_probability", "½", GRID[1], instead(lambda count, size: 0.5)),
    Mutation(TIME, f"{__name__}.mean_time", "the time", _CASE),
    Mutation(
        MIXED,
        f"{__name__}.mixed_diversity",
        "without D_∞",
        _CASE,
        instead(lambda concentration, lam, m: 1 - concentration),
    ),
    Mutation(ACCUMULATED, f"{__name__}.accumulated_diversity", "the diversity", _CASE),
)
"""Slips, and the claim that each must break."""
