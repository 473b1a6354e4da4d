"""An alarm that stays valid however often one looks: betting against the null hypothesis.

A *score* h maps a point to [0, 1] and is fixed before the rounds that it judges. The null says that
no round's expected score exceeds a limit: E[h(Y) | past] <= m for every point Y of every round. A
gambler who starts with 1 and stakes a fraction f of it on each point has

    wealth × (1 − f + f h(Y)/m)

after the point, which does not grow in expectation under the null. So P(wealth ever >= 1/α) <= α
(Ville 1939): the wealth is an *e-process*, and an alarm at 1/α may be looked at after every round.

The limit is m = U + τ. U is an upper confidence limit of the mean score of real data, taken once at
part of the level, because the real points are reused in every round. τ is the declared tolerance.

Many gamblers play at once, for every score, fraction f and round s at which a change may begin;
each has a share of the initial wealth that is fixed beforehand, and their average is an e-process
too. A gambler who starts in round s has the share 1/(s(s + 1)), and keeps it as cash until then.

Sources: Shafer 2021 (testing by betting), Waudby-Smith and Ramdas 2024 (means of bounded
variables), Shin, Ramdas and Rinaldo 2024 (mixtures over the time of a change), Fan, Grama and Liu
2015 (the inequality behind `upper_limit`).
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaincinv, logsumexp

__all__ = [
    "FRACTIONS",
    "EProcess",
    "betting_upper_limit",
    "binary_upper_limit",
    "log_growth",
    "start",
    "upper_limit",
]

FRACTIONS = (0.005, 0.015, 0.04, 0.1, 0.25, 0.5, 0.8)
"""Fractions of the wealth that are staked on a point, with equal shares of the initial wealth."""
LARGEST_RATE = 0.8
"""Bound on the exponent λ of `upper_limit`, which must be below 1."""
LARGEST_BET = 4.0
"""Bound on the λ of `betting_upper_limit`."""
_BISECTIONS = 30
_BLOCK = 64
"""Factors whose product is taken before its logarithm; 0.2^64 and 4^64 are far from under- and
overflow, and larger factors are clipped."""
_LARGEST_FACTOR = 1e4
_SMALLEST_FACTOR = 1e-12


def upper_limit(
    mean: NDArray[np.float64],
    square: NDArray[np.float64],
    n: int,
    level: NDArray[np.float64] | float,
    variance: NDArray[np.float64] | float,
) -> NDArray[np.float64]:
    """Upper confidence limit of a mean score: too low with probability at most `level`.

    Exact at every n. For λ in [0, 1) and a constant c in [0, 1],
    E exp(λ(μ − x) − ψ(λ)(x − c)²) <= 1 with ψ(λ) = −log(1 − λ) − λ, hence by Markov's inequality

        U = mean x + (log(1/level) + ψ(λ) Σ(x − c)²) / (nλ),   λ = √(2 log(1/level) / (n v)).

    Source: Fan, Grama and Liu 2015, Lemma 4.1.

    Args:
        mean: Of n scores in [0, 1] that are independent, or each with a mean that its past fixes
            (then the limit is that of the average of these means), shape (…).
        square: Mean of (x − c)² with a constant c in [0, 1] that is known without the scores,
            shape (…).
        n: Scores, >= 1.
        level: Probability of a limit that is too low, one or of shape (…).
        variance: A guess of the variance v that was made without the scores, one or of shape (…);
            a wrong one costs width, never validity.

    Returns:
        The limits, shape (…), at most 1.
    """
    log_odds = -np.log(level)
    rate = np.minimum(np.sqrt(2 * log_odds / (n * np.maximum(variance, 1e-12))), LARGEST_RATE)
    spread = -np.log1p(-rate) - rate

    limit = mean + (log_odds / n + spread * square) / rate
    return np.minimum(limit, 1.0)


def betting_upper_limit(
    scores: NDArray[np.float64],
    level: NDArray[np.float64] | float,
    variance: NDArray[np.float64] | float,
) -> NDArray[np.float64]:
    """Upper confidence limit of the mean of independent scores of one law, by betting.

    For a fixed λ, Π(1 + λ(m − x)) has expectation 1 if m is the mean, and it grows with m; the
    limit is where it reaches 1/level. Tighter than `upper_limit` at small n; needs all scores.

    Source: Waudby-Smith and Ramdas 2024, Section 4.

    Args:
        scores: In [0, 1], shape (n, …).
        level: Probability of a limit that is too low, one or of shape (…).
        variance: A guess of the variance that was made without the scores, one or of shape (…).

    Returns:
        The limits, shape (…), at most 1.
    """
    n, log_odds = len(scores), -np.log(level) + np.zeros(scores.shape[1:])
    rate = np.minimum(np.sqrt(2 * log_odds / (n * np.maximum(variance, 1e-12))), LARGEST_BET)
    low, high = np.maximum(1 - 1 / rate, 0) + 1e-12, np.ones_like(log_odds)  # 1 + λ(m − 1) > 0
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        enough = _log_product(1 + rate * (middle - scores)) >= log_odds
        low, high = np.where(enough, low, middle), np.where(enough, middle, high)
    return high


def _log_product(factors: NDArray[np.float64]) -> NDArray[np.float64]:
    """Logarithm of the product over the first axis."""
    blocks = np.arange(0, len(factors), _BLOCK // 4)
    products = np.multiply.reduceat(np.maximum(factors, _SMALLEST_FACTOR), blocks, axis=0)
    return np.log(products).sum(axis=0)


def binary_upper_limit(
    hits: NDArray[np.float64], n: int, level: NDArray[np.float64] | float
) -> NDArray[np.float64]:
    """Upper confidence limit of a probability: Clopper and Pearson's, exact.

    Args:
        hits: Successes among n independent trials, any shape.
        n: Trials, >= 1.
        level: Probability of a limit that is too low, one or of the shape of `hits`, in (0, 1).

    Returns:
        The limits, of the shape of `hits`.
    """
    open_end = hits >= n
    limit = betaincinv(np.where(open_end, 1, hits + 1), np.where(open_end, 1, n - hits), 1 - level)
    return np.where(open_end, 1.0, limit)


def log_growth(
    scores: NDArray[np.float64],
    limits: NDArray[np.float64],
    fractions: tuple[float, ...] = FRACTIONS,
) -> NDArray[np.float64]:
    """Logarithm of the factor by which each gambler's wealth grows on one round's points.

    Args:
        scores: In [0, 1], shape (m, …); nobody bets on NaN.
        limits: The null's bound m of each score's mean, shape (…); where it is 1 or more, nothing
            can speak against the null and nobody bets.
        fractions: Of the wealth, each in (0, 1).

    Returns:
        Shape (…, K), a column a fraction.
    """
    betting = (limits < 1) & ~np.isnan(scores)
    ratio = np.where(betting, scores / np.maximum(limits, 1e-300), 1.0)
    blocks = np.arange(0, len(scores), _BLOCK)
    growth = np.empty((*np.shape(limits), len(fractions)))
    for k, fraction in enumerate(fractions):
        factors = np.minimum(1 - fraction + fraction * ratio, _LARGEST_FACTOR)  # (m, …)
        growth[..., k] = np.log(np.multiply.reduceat(factors, blocks, axis=0)).sum(axis=0)
    return growth


@dataclass(frozen=True, eq=False)
class EProcess:
    """Wealth of all gamblers after some rounds.

    Attributes:
        log_shares: Logarithm of the initial wealth of each score, shape (J,); their sum is 1.
        log_wealth: Wealth of the gamblers who have begun, by score and fraction, in units of their
            score's initial wealth at each fraction, shape (…, J, K).
        rounds: Rounds so far.
    """

    log_shares: NDArray[np.float64]
    log_wealth: NDArray[np.float64]
    rounds: int = 0

    def step(self, growth: NDArray[np.float64]) -> "EProcess":
        """Bet on one more round.

        Args:
            growth: As of `log_growth`, shape (…, J, K).

        Returns:
            The wealth after it. Gamblers whose turn begins with this round are among those who bet.
        """
        t = self.rounds + 1
        begun = np.logaddexp(self.log_wealth, -np.log(t * (t + 1)))
        return replace(self, log_wealth=begun + growth, rounds=t)

    @property
    def log_values(self) -> NDArray[np.float64]:
        """Logarithm of each score's own e-process, shape (…, J); its initial value is 0."""
        k = self.log_wealth.shape[-1]
        betting = logsumexp(self.log_wealth, axis=-1) - np.log(k)
        return np.logaddexp(betting, -np.log(self.rounds + 1))  # cash of those yet to begin

    @property
    def log_value(self) -> NDArray[np.float64]:
        """Logarithm of the e-process, shape (…): an alarm where it reaches log(1/α)."""
        return np.asarray(logsumexp(self.log_values + self.log_shares, axis=-1))


def start(
    shares: NDArray[np.float64], shape: tuple[int, ...] = (), gamblers: int = len(FRACTIONS)
) -> EProcess:
    """Make an e-process before its first round.

    Args:
        shares: Weight of each score, >= 0, with sum 1, shape (J,).
        shape: Loops side by side.
        gamblers: Number K of fractions.

    Returns:
        The e-process; its value is 1.
    """
    with np.errstate(divide="ignore"):
        log_shares = np.log(shares)
    return EProcess(log_shares, np.full((*shape, len(shares), gamblers), -np.inf))
