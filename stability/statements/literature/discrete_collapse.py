"""Frequencies refitted to n of their own samples: how fast categories are lost (Wright's and
Fisher's genetic drift).

Given frequencies p, n draws have counts of the multinomial law, and the next frequencies are
counts/n. So

    E Σp² = 1 − (1 − 1/n)^t (1 − Σp_0²)    after t rounds: the diversity 1 − Σp² decays at the rate
    1 − 1/n,

stated for language models by Seddik et al. (arXiv:2404.05090), for gene frequencies by Wright
(1931); and a category of count k survives t rounds with probability ≥ 1 − e^{−k/t}, Suresh et al.
(arXiv:2412.17646).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import norm

from stability.laws.wright_fisher import count_law
from stability.loop.regimes import FullySynthetic, TrainingSet
from stability.loop.retraining import retrain
from stability.statements.claim import ERROR_RATE, Claim
from stability.statements.mutation import Mutation
from stability.statements.verdict import Verdict

__all__ = [
    "GRID",
    "MUTATIONS",
    "Frequencies",
    "check",
    "expected_concentration",
    "survival_bound",
]

_claim = partial(
    Claim,
    source="Seddik et al., arXiv:2404.05090; Wright (1931)",
    no_evidence="Runs in which all but one category are lost: Σp² is then 1 at any rate.",
)

CONCENTRATION = _claim(
    id="Seddik et al.",
    words="E Σp² = 1 − (1 − 1/n)^t (1 − Σp_0²)",
    relation="==",
    falsified_by="A mean over chains outside its confidence interval.",
    error_rate=ERROR_RATE,
)
TWO_CATEGORIES = _claim(
    id="Seddik et al., two categories",
    words="E Σp² = 1 − (1 − 1/n)^t (1 − Σp_0²), two categories",
    relation="==",
    falsified_by="A transition matrix of the counts that gives another mean.",
)
SURVIVAL = _claim(
    id="Suresh et al., discrete",
    words="a category of count k is alive after t rounds with probability at least 1 − e^(−k/t)",
    relation=">=",
    source="Suresh et al., arXiv:2412.17646",
    falsified_by="A count and a t for which the transition matrix gives less.",
    values=(0.0, 1.0),
)

GRID: tuple[dict[str, Any], ...] = (
    {"counts": (10, 10), "t": 10},
    {"counts": (12, 5, 2, 1), "t": 5},
    {"counts": (1, 49), "t": 20},
    {"counts": (20, 10, 5, 5, 5, 5), "t": 40},
)

_WIDTH = 256


def expected_concentration(start: float, n: int, t: int) -> float:
    """E Σp² after t rounds of n draws: 1 − (1 − 1/n)^t (1 − start).

    Args:
        start: Σp² at round 0, in (0, 1].
        n: Draws a round, >= 1.
        t: Rounds, >= 0.

    Returns:
        E Σp², in (0, 1].
    """
    return 1 - (1 - 1 / n) ** t * (1 - start)


def survival_bound(k: int, t: int) -> float:
    """1 − e^{−k/t}: a category with count k is alive after t rounds with at least this
    probability.

    Args:
        k: Count of the category at first, >= 0.
        t: Rounds, >= 1.

    Returns:
        The bound on the probability, in [0, 1).
    """
    return -math.expm1(-k / t)


@dataclass(eq=False)
class Frequencies:
    """Relative frequencies of K categories, many models side by side in one chain.

    A point is a vector (W,) of categories 0 … K−1, one for each of W models.   frequencies: (R, W,
    K) for R chains.
    """

    frequencies: np.ndarray

    @property
    def chains(self) -> int:
        return len(self.frequencies)

    def reset(self, rngs: Sequence[np.random.Generator]) -> None:
        """Nothing to draw: the estimate does not depend on initial parameters.

        Args:
            rngs: Random generator of each chain, unused.
        """

    def fit(self, datasets: Sequence[TrainingSet], rngs: Sequence[np.random.Generator]) -> None:
        """Maximum likelihood.

        Args:
            datasets: Training set of each chain, of categories, (n + m, W).
            rngs: Random generator of each chain, unused.
        """
        categories = np.arange(self.frequencies.shape[2])
        self.frequencies = np.stack(
            [(data.points[:, :, None] == categories).mean(axis=0) for data in datasets]
        )

    def sample(
        self, counts: Sequence[int], rngs: Sequence[np.random.Generator]
    ) -> list[np.ndarray]:
        """Draw categories by inversion.

        Args:
            counts: Number of points for each chain.
            rngs: Random generator of each chain.

        Returns:
            (counts[r], W) categories for each chain.
        """
        steps = np.cumsum(self.frequencies, axis=2)[:, :, :-1]  # (R, W, K − 1); the last is 1
        return [
            (rng.random((m, step.shape[0], 1)) >= step).sum(axis=2)
            for step, m, rng in zip(steps, counts, rngs, strict=True)
        ]

    def state_dict(self) -> dict[str, Any]:
        return {"frequencies": torch.tensor(self.frequencies)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.frequencies = state["frequencies"].numpy().copy()


def check(
    counts: Sequence[int],
    t: int,
    rng: np.random.Generator,
    chains: int = 4096,
    false_alarm: float = 1e-6,
) -> list[Verdict]:
    """Both statements for real data with these counts and n = Σ counts, t rounds later.

    Args:
        counts: >= 1 each, at least two of them.
        t: >= 1.
        rng: Source of all draws.
        chains: Rounded up to a multiple of 256.
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
    if not 0 < false_alarm < 1:
        raise ValueError(f"false_alarm must be in (0, 1), got {false_alarm}")

    n, rarest = sum(counts), min(counts)
    shares = np.array(counts) / n
    seen = np.square(_simulated(counts, t, math.ceil(chains / _WIDTH), rng)).sum(axis=1)  # (R,)
    law, p = count_law(rarest, n, t), np.arange(n + 1) / n
    two = 1 - 2 * rarest / n * (1 - rarest / n)
    matrix = "Wright–Fisher's transition matrix; tolerance: rounding"
    return [
        CONCENTRATION.verdict(
            f"counts {', '.join(map(str, counts))}, t = {t}",
            measured=float(seen.mean()),
            claimed=expected_concentration(float(shares @ shares), n, t),
            tolerance=float(norm.isf(false_alarm / 4)) * float(seen.std()) / math.sqrt(len(seen)),
            method=f"Algorithm 1, {len(seen)} chains; tolerance: normal tail, doubled for skewness",
            false_alarm=false_alarm,
        ),
        TWO_CATEGORIES.verdict(
            f"counts {rarest}, {n - rarest}, t = {t}",
            measured=float(law @ (p**2 + (1 - p) ** 2)),
            claimed=expected_concentration(two, n, t),
            tolerance=1e-10,
            method=matrix,
        ),
        SURVIVAL.verdict(
            f"k = {rarest} of n = {n}, t = {t}",
            measured=1 - float(law[0]),
            claimed=survival_bound(rarest, t),
            tolerance=1e-12,
            method=matrix,
        ),
    ]


_CASE = {"counts": (10, 10), "t": 10}
_HERE = "stability.statements.literature.discrete_collapse"

MUTATIONS = (
    Mutation(
        CONCENTRATION,
        f"{_HERE}.expected_concentration",
        "diversity lost 1.5 times as fast",
        _CASE,
        lambda right: lambda start, n, t: right(start, n, 1.5 * t),
    ),
    Mutation(
        TWO_CATEGORIES,
        f"{_HERE}.expected_concentration",
        "n − 1 for n",
        _CASE,
        lambda right: lambda start, n, t: right(start, n - 1, t),
    ),
    Mutation(SURVIVAL, f"{_HERE}.survival_bound", "the bound", {"counts": (1, 49), "t": 20}),
)
"""Slips, and the claim that each must break."""


def _simulated(
    counts: Sequence[int], t: int, chains: int, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Frequencies after t rounds, (256 · chains, K)."""
    column = np.repeat(np.arange(len(counts)), counts)
    real = np.tile(column[:, None], _WIDTH)  # (n, W): the same real data for all
    learner = Frequencies(np.zeros((chains, _WIDTH, len(counts))))
    for _ in retrain(
        learner, [real] * chains, [FullySynthetic()] * chains, t, seed=int(rng.integers(2**62))
    ):
        pass
    return learner.frequencies.reshape(-1, len(counts))
