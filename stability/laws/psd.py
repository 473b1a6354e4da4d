"""Positive semi-definite matrices."""

import numpy as np

__all__ = ["sqrtm"]


def sqrtm(a: np.ndarray) -> np.ndarray:
    """The symmetric square root of a symmetric positive semi-definite matrix.

    Eigenvalues that rounding made negative count as 0.

    Args:
        a: The matrix, (d, d).

    Returns:
        (d, d).

    Raises:
        ValueError: If `a` is not square or clearly not symmetric or not positive semi-definite
            (beyond 1e-8 of its largest entry).
    """
    a = np.asarray(a, dtype=float)
    scale = 1e-8 * np.abs(a).max(initial=0)
    if a.ndim != 2 or a.shape[0] != a.shape[1] or np.abs(a - a.T).max(initial=0) > scale:
        raise ValueError(f"a must be a square symmetric matrix, got shape {a.shape}")
    values, vectors = np.linalg.eigh(a)
    if values.min(initial=0) < -scale:
        raise ValueError(f"a must be positive semi-definite, got eigenvalue {values.min()}")
    return (vectors * np.sqrt(values.clip(min=0))) @ vectors.T
