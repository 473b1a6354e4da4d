"""How far averages of independent draws may fall from their expectation: exact tolerances, no
normal approximation.
"""

from scipy.stats import binom, chi2

__all__ = ["mean_square_slack", "share_slack"]


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
