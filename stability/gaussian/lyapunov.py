"""Lyapunov exponents of the fully synthetic Gaussian loop: its collapse, dimension by dimension
(theory S5).
"""

import numpy as np
from numpy.typing import NDArray
from scipy.special import bernoulli, digamma

__all__ = ["log_det_drift", "lyapunov_spectrum"]

_LARGE = 7.0
# ψ(x) − log x ~ −1/(2x) − Σ B_2k / (2k x^2k); at x >= 7 the first term left out, k = 12, is 3e-16
# of the sum
_ORDERS = np.arange(2, 24, 2)
_SERIES = bernoulli(22)[_ORDERS] / _ORDERS


def lyapunov_spectrum(n: float, d: int) -> NDArray[np.float64]:
    """γ_i = ½ [ψ((n−i)/2) + log(2/(n−1))] < 0, i = 1 … d, in decreasing order.

    Almost surely (1/t) log of the i-th largest eigenvalue of √Σ_t tends to γ_i, whatever Σ_0 ≻ 0
    is: the volume that Σ_t gives to k fixed directions is a random walk whose steps are log det W −
    k log(n−1), W ~ Wishart_k(n−1, I).

    Args:
        n: Samples a generation, finite, need not be whole.
        d: Dimension, 1 <= d <= n − 1. For n − 1 < d the last exponents are −∞ (Σ_1 is singular).

    Returns:
        (d,), to a relative accuracy of 1e-14.

    Raises:
        ValueError: If n or d is out of range.
    """
    if d != int(d) or d < 1:
        raise ValueError(f"d must be a whole number >= 1, got {d}")
    if not (np.isfinite(n) and n - 1 >= d):
        raise ValueError(f"n must be finite and >= d + 1 = {d + 1}, got {n}")
    i = np.arange(1, int(d) + 1)
    x = (n - i) / 2
    # two negative terms, so that nothing cancels: ψ(x) − log x, and log x − log((n−1)/2)
    return (_digamma_minus_log(x) + np.log1p(-(i - 1) / (n - 1))) / 2


def log_det_drift(n: float, d: int) -> float:
    """E [log det Σ_{t+1} − log det Σ_t] = 2 Σ γ_i < 0, exactly and for every t.

    Args:
        n: Samples a generation, as in `lyapunov_spectrum`.
        d: Dimension, as in `lyapunov_spectrum`.

    Returns:
        The drift in one retraining.

    Raises:
        ValueError: If n or d is out of range.
    """
    return 2 * float(lyapunov_spectrum(n, d).sum())


def _digamma_minus_log(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """ψ(x) − log x < 0 for x > 0; below 7 by subtraction, where at most a factor 60 cancels."""
    y = 1 / np.maximum(x, _LARGE)
    series = -y / 2 - np.polynomial.polynomial.polyval(y * y, np.concatenate([[0], _SERIES]))
    return np.where(x < _LARGE, digamma(x) - np.log(x), series)
