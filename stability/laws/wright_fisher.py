"""Wright's and Fisher's chain: the count of a category that is redrawn from its own frequency."""

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binom

__all__ = ["count_law", "loss_probability"]

LARGEST_EXACT = 500
"""Draws a round up to which the whole transition matrix is multiplied."""


def count_law(k: int, n: int, t: int) -> NDArray[np.float64]:
    """Law of the count of a category with count k of n, t rounds of n draws later.

    Args:
        k: Count at the start, 0 to n.
        n: Draws a round.
        t: Rounds, >= 0.

    Returns:
        P(count = j) for j = 0 … n, shape (n + 1,).
    """
    j = np.arange(n + 1)
    law = (j == k).astype(float)
    transition = binom.pmf(j, n, j[:, None] / n)  # row: present count
    for _ in range(t):
        law = law @ transition
    return law


def loss_probability(share: float, draws: int, rounds: int = 1) -> float:
    """Probability that a category is absent after rounds of fully synthetic retraining.

    Each round draws the same number of points from the frequencies of the round before. Up to 500
    draws the chain itself is multiplied. Beyond, its limit of many draws is taken: a critical
    branching process with Poisson offspring, whose extinction probability iterates s ↦ e^{s − 1}.

    Args:
        share: The category's share in the law that the first round draws from, 0 to 1.
        draws: Draws a round, >= 1.
        rounds: Rounds, >= 1.

    Returns:
        P(count = 0 in the last round).
    """
    if rounds == 1 or share in (0.0, 1.0):
        return float((1 - share) ** draws)
    if draws > LARGEST_EXACT:
        return float(np.exp(-share * draws * (1 - _extinct_before(rounds))))

    j = np.arange(draws + 1)
    law = binom.pmf(j, draws, share)
    transition = binom.pmf(j, draws, j[:, None] / draws)
    for _ in range(rounds - 1):
        law = law @ transition
    return float(min(law[0], 1.0))


def _extinct_before(rounds: int) -> float:
    """P(no descendant of one point after `rounds` − 1 rounds), Poisson offspring of mean 1."""
    extinct = 0.0
    for _ in range(rounds - 1):
        extinct = float(np.exp(extinct - 1))
    return extinct
