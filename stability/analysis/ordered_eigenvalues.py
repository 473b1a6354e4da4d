"""Errors of the ordered eigenvalues of a noisy symmetric matrix.

Noise pushes equal eigenvalues apart: the largest of k equal ones comes out too large, the least too
small, and neither moves with the matrix to first order. Three steps tell how far:

1. Cross-fitting. Eigenvectors without a batch of draws, and the matrix of that batch alone: vᵀMv is
   not pushed, and its mean over batches is near the eigenvalue itself.
2. Neighbours whose cross-fitted values the batches do not tell apart are taken to be equal.
3. The noise that the batches show is added to the diagonal matrix of these values. How far it moves
   each eigenvalue in order is its possible error.

Source: our own method, with cross-fitting (Chernozhukov et al. 2018) and the jackknife (Efron
1982).
"""

import math

import numpy as np
from scipy.sparse.linalg import eigsh
from scipy.stats import norm
from scipy.stats import t as student

__all__ = ["ordered_errors"]

_CONFIDENCE = 0.95
_TOLD_APART = 0.01
"""Level of the t-test that parts two neighbours."""
_WORK = 2e7
"""Numbers in all noise matrices together: `_MOST` for few parameters, never fewer than `_LEAST`."""
_MOST, _LEAST = 1000, 40
_ACCURACY = 1e-6
"""Relative accuracy of eigenvalues by Lanczos' method."""
_ALL = 200
"""Parameters up to which each eigenvalue has its own interval."""
_EXTREMES = 8
"""Eigenvalues at either end that have one beyond that."""


def ordered_errors(matrix: np.ndarray, left_out: np.ndarray) -> np.ndarray:
    """Half-widths of 95 % intervals for each eigenvalue, by the delete-a-batch jackknife.

    Args:
        matrix: (P, P) symmetric, a smooth function of means of draws.
        left_out: (R, P, P) the same without each batch of draws.

    Returns:
        (P,), of the eigenvalues in descending order.
    """
    if not np.ptp(left_out, axis=0).any():
        return np.zeros(len(matrix))
    if len(matrix) > _ALL:
        return _by_extremes(matrix, left_out)
    count = len(left_out)
    vectors = np.linalg.eigh(matrix)[1]
    middle = left_out.mean(axis=0)
    inside = vectors.T @ (left_out - middle) @ vectors
    bias = (count - 1) * np.abs(_quadratic(middle - matrix, vectors))
    behind = _together(_cross_fitted(matrix, left_out))

    draws = int(np.clip(_WORK / matrix.size, _LEAST, _MOST))
    weights = np.random.default_rng(0).standard_normal((draws, count))
    weights *= math.sqrt((count - 1) / count)
    away = np.abs(_moved(behind, inside, weights) - behind)
    return (_tails(count) * np.quantile(away, _CONFIDENCE, axis=0) + bias)[::-1]


def _tails(count: int) -> float:
    """Student's t for so many batches over a normal quantile."""
    level = (1 - _CONFIDENCE) / 2
    return float(student.isf(level, count - 1) / norm.isf(level))


def _by_extremes(matrix: np.ndarray, left_out: np.ndarray) -> np.ndarray:
    """Half-widths for many parameters, by Lanczos' method: no spectrum is computed as a whole.

    At either end how far an eigenvalue is from its cross-fitted value, and the t-interval of that.
    Between the ends Weyl's bound: no eigenvalue moves by more than the norm of the noise.
    """
    count = len(left_out)
    inside = left_out - left_out.mean(axis=0)
    weights = np.random.default_rng(0).standard_normal((_LEAST, count))
    weights *= math.sqrt((count - 1) / count)
    norms = [abs(float(_ends(np.tensordot(some, inside, 1), 1, "LM")[0][0])) for some in weights]
    found = np.full(len(matrix), _tails(count) * np.quantile(norms, _CONFIDENCE))

    for end, which in ((slice(None, _EXTREMES), "LA"), (slice(-_EXTREMES, None), "SA")):
        values = _ends(matrix, _EXTREMES, which)[0]
        rows = []
        for without in left_out:
            alone = matrix + (count - 1) * (matrix - without)  # to first order
            rows.append(_quadratic(alone, _ends(without, _EXTREMES, which)[1]))
        batches = np.stack(rows)
        scatter = batches.std(axis=0, ddof=1) / math.sqrt(count)
        shift = np.abs(values - _together(batches[:, ::-1])[::-1])
        found[end] = shift + student.isf((1 - _CONFIDENCE) / 2, count - 1) * scatter
    return found


def _ends(matrix: np.ndarray, k: int, which: str) -> tuple[np.ndarray, np.ndarray]:
    """k eigenvalues at an end, descending, and their vectors (P, k)."""
    start = np.random.default_rng(0).standard_normal(len(matrix))
    values, vectors = eigsh(matrix, k=k, which=which, v0=start, tol=_ACCURACY)  # pyright: ignore[reportArgumentType]
    order = np.argsort(values)[::-1]
    return values[order], vectors[:, order]


def _quadratic(matrix: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """vᵀMv of each column."""
    return np.einsum("pi,pi->i", vectors, matrix @ vectors)


def _cross_fitted(matrix: np.ndarray, left_out: np.ndarray) -> np.ndarray:
    """vᵀMv of each batch, v the eigenvectors without it, (R, P), ascending in the eigenvalues."""
    count = len(left_out)
    rows = []
    for without in left_out:
        v = np.linalg.eigh(without)[1]
        alone = matrix + (count - 1) * (matrix - without)  # to first order
        rows.append(_quadratic(alone, v))
    return np.stack(rows)


def _together(batches: np.ndarray) -> np.ndarray:
    """Means over batches (R, P), equal for neighbours that a t-test does not part; (P,)."""
    count = len(batches)
    limit = student.isf(_TOLD_APART / 2, count - 1) / math.sqrt(count)
    groups = [[k] for k in range(batches.shape[1])]
    means = [batches[:, k] for k in range(batches.shape[1])]

    def apart(k: int) -> float:
        gap = means[k + 1] - means[k]
        return float(gap.mean() / max(gap.std(ddof=1), 1e-300))

    gaps = [apart(k) for k in range(len(means) - 1)]
    while gaps and min(gaps) < limit:
        k = int(np.argmin(gaps))
        groups[k : k + 2] = [groups[k] + groups[k + 1]]
        means[k : k + 2] = [batches[:, groups[k]].mean(axis=1)]
        del gaps[k]
        for near in (k - 1, k):
            if 0 <= near < len(gaps):
                gaps[near] = apart(near)
    return np.concatenate(
        [np.full(len(group), mean.mean()) for group, mean in zip(groups, means, strict=True)]
    )


def _moved(values: np.ndarray, inside: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Eigenvalues, ascending, of diag(values) + each weighted sum of deviations, (draws, P)."""
    rows = max(1, int(_WORK / 20 / values.size**2))
    parts = [
        np.linalg.eigvalsh(np.diag(values) + np.tensordot(some, inside, 1))
        for some in np.array_split(weights, -(-len(weights) // rows))
    ]
    return np.concatenate(parts)
