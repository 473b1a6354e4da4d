"""The mixed loop of N(μ, σ²) with both parameters learned, at finite n: exact second moments, and
exact simulation.

A fit sees its N = n + m points through their mean and sum of squares alone, and so do both
functions here. In units of the real data's own fit, x̄ = 0 and s² = 1, write D = μ_t, w = σ_t², z ~
N(0, 1) for √m times the mean of the latents and χ² ~ χ²_{m−1} for their sum of squares about it.
Then with q = (D + z√(w/m))²

    D ← (m/N)(D + z√(w/m)),    (N − 1) w ← (n − 1) + w χ² + (nm/N) q.

The expectations of (D², w, D⁴, D²w, w²) follow an affine recursion. Real data of N(μ, σ²) bring x̄
~ N(μ, σ²/n) and s² ~ σ² χ²_{n−1}/(n−1), independent of all that.
"""

import math

import numpy as np
from numpy.typing import NDArray

from stability.loop.regimes import synthetic_count

__all__ = ["exact_errors", "simulate"]


def exact_errors(n: int, lam: float, t: float = math.inf) -> NDArray[np.float64]:
    """E(μ_t − μ)² over σ²/n and E(σ_t² − σ²)² over 2σ⁴/n, Cramér–Rao's bounds for a single fit.

    At t = 0 they are 1 and n/(n − 1): the unbiased σ_0² is not efficient at finite n.

    Args:
        n: Number of real points, fixed, >= 2.
        lam: λ with floor(λn) >= 2, the number of synthetic points a round.
        t: Number of retrainings, >= 0; inf for the limit.

    Returns:
        (2,).

    Raises:
        ValueError: If n or floor(λn) is below 2.
    """
    m = _count(n, lam)
    step, shift = _moment_recursion(n, m)
    if math.isinf(t):
        moments = np.linalg.solve(np.eye(5) - step, shift)
    else:
        moments = np.array([0.0, 1.0, 0.0, 0.0, 1.0])
        for _ in range(int(t)):
            moments = step @ moments + shift
    v, w, _, _, w2 = moments
    square = 1 + 2 / (n - 1)  # E s⁴/σ⁴
    return np.array([1 + n * v, n / 2 * (square * w2 - 2 * w + 1)])


def simulate(
    n: int, lam: float, t: int, chains: int, rng: np.random.Generator
) -> NDArray[np.float64]:
    """(μ_t − μ)/σ and σ_t²/σ² of independent chains, each with its own n real points.

    Args:
        n: Number of real points, >= 2.
        lam: λ with floor(λn) >= 2, the number of synthetic points a round.
        t: Number of retrainings, >= 0.
        chains: Number of chains.
        rng: Source of all randomness.

    Returns:
        (chains, 2).

    Raises:
        ValueError: If n or floor(λn) is below 2.
    """
    m = _count(n, lam)
    N = n + m
    mean = rng.standard_normal(chains) / math.sqrt(n)
    variance = rng.chisquare(n - 1, chains) / (n - 1)
    mu, w = mean.copy(), variance.copy()
    for _ in range(t):
        drawn = mu + np.sqrt(w / m) * rng.standard_normal(chains)  # mean of the synthetic points
        squares = w * rng.chisquare(m - 1, chains)
        mu = (n * mean + m * drawn) / N
        w = ((n - 1) * variance + squares + n * m / N * (drawn - mean) ** 2) / (N - 1)
    return np.stack([mu, w], axis=1)


def _count(n: int, lam: float) -> int:
    m = synthetic_count(lam, n)
    if n < 2 or m < 2:
        raise ValueError(f"n and floor(lam * n) must be >= 2, got {n} and {m}")
    return m


def _moment_recursion(n: int, m: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(5, 5) and (5,): E(D², w, D⁴, D²w, w²) ← step @ E(…) + shift, given x̄ = 0 and s² = 1."""
    N, k = n + m, n * m / (n + m)
    D2, w, D4, D2w, w2 = np.eye(5)  # linear forms in the five moments
    q = D2 + w / m
    q2 = D4 + 6 / m * D2w + 3 / m**2 * w2  # E (a + z b)⁴ = a⁴ + 6a²b² + 3b⁴
    wq = D2w + w2 / m
    step = np.stack(
        [
            (m / N) ** 2 * q,
            ((m - 1) * w + k * q) / (N - 1),
            (m / N) ** 4 * q2,
            (m / N) ** 2 * ((n - 1) * q + (m - 1) * wq + k * q2) / (N - 1),
            (
                (m**2 - 1) * w2
                + k**2 * q2
                + 2 * (n - 1) * ((m - 1) * w + k * q)
                + 2 * (m - 1) * k * wq
            )
            / (N - 1) ** 2,
        ]
    )

    return step, np.array([0, (n - 1) / (N - 1), 0, 0, ((n - 1) / (N - 1)) ** 2])
