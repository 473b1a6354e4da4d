"""Exact tolerances for averages of independent draws, without a normal approximation."""

import math

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import root_scalar
from scipy.special import logsumexp, rel_entr
from scipy.stats import binom, chi2

__all__ = [
    "bounded_mean_slack",
    "law_mean_slack",
    "mean_square_slack",
    "share_slack",
    "shifted_square_slack",
]


def mean_square_slack(freedom: int, tail: float) -> float:
    """χ²/freedom exceeds 1 by more than this with probability `tail`, and falls below 1 by more
    than this with less.

    Args:
        freedom: The number of squared standard normals that are averaged, >= 1.
        tail: In (0, 1/2).
    """
    return float(chi2.isf(tail, freedom)) / freedom - 1


def share_slack(p: float, count: int, tail: float) -> float:
    """A share of `count` trials of probability p is off by more than this, to either side, with
    probability <= tail.

    Args:
        p: In [0, 1].
        count: >= 1.
        tail: Of each side, in (0, 1/2).
    """
    low, high = binom.ppf(tail, count, p), binom.isf(tail, count, p)
    return float(max(p - low / count, high / count - p))


def shifted_square_slack(variance: float, bias: float, count: int, tail: float) -> float:
    """The mean square of `count` normals is off by more than this, to either side, with
    probability <= tail.

    Source: Birgé, "An alternative point of view on Lepski's method" (2001), Lemma 8.1.

    Args:
        variance: Of each normal, >= 0.
        bias: Mean of each normal.
        count: Independent normals, >= 1.
        tail: Of each side, in (0, 1).

    Returns:
        The slack about `variance + bias²`, in the same units.
    """
    x = -math.log(tail)
    spread = variance * (variance + 2 * bias**2)
    return 2 * math.sqrt(spread * x / count) + 2 * variance * x / count


def bounded_mean_slack(mean: float, largest: float, count: int, tail: float) -> float:
    """A mean of `count` numbers in [0, largest] is off by more than this, to either side, with
    probability <= tail.

    Source: Hoeffding, J. Am. Stat. Assoc. 58 (1963), Theorem 1: no law on that interval with that
    mean has heavier tails than its exponential bound for Bernoulli's.

    Args:
        mean: Expectation of each number, in [0, largest].
        largest: Largest possible number, > 0.
        count: Independent numbers, >= 1.
        tail: Of each side, in (0, 1).

    Returns:
        The slack, in the same units.
    """
    p, limit = mean / largest, -math.log(tail) / count

    def excess(q: float) -> float:
        return float(rel_entr(q, p) + rel_entr(1 - q, 1 - p)) - limit

    def reach(end: float) -> float:
        # where even the end of the interval is too likely, the bound says nothing on that side
        if excess(end) <= 0:
            return abs(end - p)
        return abs(root_scalar(excess, bracket=(p, end)).root - p)

    if p in (0.0, 1.0):
        return 0.0

    return float(largest * max(reach(0.0), reach(1.0)))


def law_mean_slack(
    values: NDArray[np.float64], probabilities: NDArray[np.float64], count: int, tail: float
) -> float:
    """A mean of `count` draws of a discrete law is off by more than this, to either side, with
    probability <= tail.

    Source: the exponential Markov inequality (Cramér and Chernoff), whose every exponent is valid;
    the best of a grid is taken.

    Args:
        values: (k,), what is drawn.
        probabilities: (k,), with sum 1.
        count: Independent draws, >= 1.
        tail: Of each side, in (0, 1).

    Returns:
        The slack, in the units of the values.
    """
    mean = float(probabilities @ values)
    gaps = values - mean
    spread = math.sqrt(float(probabilities @ gaps**2))
    if spread == 0:
        return 0.0
    with np.errstate(divide="ignore"):
        log_p = np.log(probabilities)
    exponents = np.geomspace(1e-3, 1e3, 241) / spread
    tilted = [
        np.asarray(logsumexp(log_p + sign * exponents[:, None] * gaps, axis=1)) for sign in (1, -1)
    ]
    return float(max(((each - math.log(tail) / count) / exponents).min() for each in tilted))
