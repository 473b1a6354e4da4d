"""The fully synthetic Gaussian loop (eqs. (4), (5)), many chains side by side, at a cost that does
not depend on n.

(n−1) Σ_{t+1} = √Σ_t S √Σ_t with S ~ Wishart_d(n−1, I) (Lemma A.2 i), and since S and O S Oᵀ have
the same law, any root of Σ_t does: with Σ_t = L_t L_tᵀ and Bartlett's S = A Aᵀ, L_{t+1} = L_t A_t /
√(n−1). A_t is lower triangular with independent entries, χ_{n−i} on the diagonal (i = 1 … d) and
standard normals below it.

Over many retrainings the columns of L_t shrink at different rates (see `lyapunov`), soon beyond the
range of floats. They are kept as L = C diag(e^ℓ) with columns of moderate length in C, and singular
values are found from C and ℓ by Jacobi rotations that never form a small number.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["Collapse", "simulate"]

_BLOCK = 4096  # chains at a time: their state stays in the processor's cache
_NORMALISE_EVERY = 16  # steps; in between a column shrinks by less than the range of floats allows
_SWEEPS = 60


@dataclass(frozen=True)
class Collapse:
    """Statistics of N chains in d dimensions at R recorded generations.

    Errors are standard errors of means.

    Attributes:
        t: (R,) the generations.
        root: (R, d, d) mean of √Σ_t, entry by entry. For t ≫ n a few rare chains carry E √Σ_t, and
            neither the mean nor its error can be trusted; the logarithms can.
        root_error: See `root`.
        covariance: (R, d, d) the same of Σ_t.
        covariance_error: See `covariance`.
        log_eigenvalues: (R, d) mean of the logarithms of the eigenvalues of √Σ_t, decreasing.
        log_eigenvalues_error: See `log_eigenvalues`.
        last_root: (N, d, d) √Σ_t of every chain at the last of the generations; what is below
            1e-308 is 0 there.
        last_log_eigenvalues: (N, d) the logarithms of its eigenvalues, decreasing.
    """

    t: NDArray[np.int64]
    root: NDArray[np.float64]
    root_error: NDArray[np.float64]
    covariance: NDArray[np.float64]
    covariance_error: NDArray[np.float64]
    log_eigenvalues: NDArray[np.float64]
    log_eigenvalues_error: NDArray[np.float64]
    last_root: NDArray[np.float64]
    last_log_eigenvalues: NDArray[np.float64]


def simulate(
    n: float,
    covariance: ArrayLike,
    generations: Sequence[int],
    chains: int,
    rng: np.random.Generator,
) -> Collapse:
    """Refit N(μ, Σ) to n of its own samples, again and again, from Σ_0 = `covariance`, in `chains`
    independent chains.

    The first k blocks of 4096 chains do not depend on how many follow.

    Args:
        n: Samples a generation, >= d + 1, finite; need not be whole.
        covariance: (d, d), symmetric positive definite.
        generations: Which t to record, increasing, >= 0; the last is how far the chains go.
        chains: Number of chains, >= 2.
        rng: Source of all randomness.

    Returns:
        Statistics of the chains.

    Raises:
        ValueError: If an argument is out of range.
    """
    values, basis = _checked(n, covariance, generations, chains)
    d = len(values)
    steps = np.diff(generations, prepend=0).tolist()
    records = [_Moments() for _ in generations]
    last_root, last_logs = np.empty((chains, d, d)), np.empty((chains, d))

    for start in range(0, chains, _BLOCK):
        block = slice(start, min(start + _BLOCK, chains))
        state = _Chains(n, values, block.stop - start)
        for count, record in zip(steps, records, strict=True):
            state.advance(count, rng)
            logs, vectors = _scaled_svd(state.columns, state.logs)
            vectors = np.einsum("ij,jkc->ikc", basis, vectors)
            root, square = (
                np.einsum("ikc,kc,jkc->cij", vectors, np.exp(p * logs), vectors) for p in (1, 2)
            )
            record.add(root, square, logs.T)
            last_root[block], last_logs[block] = root, logs.T

    return Collapse(
        t=np.array(generations),
        root=np.array([record.means[0] for record in records]),
        root_error=np.array([record.errors[0] for record in records]),
        covariance=np.array([record.means[1] for record in records]),
        covariance_error=np.array([record.errors[1] for record in records]),
        log_eigenvalues=np.array([record.means[2] for record in records]),
        log_eigenvalues_error=np.array([record.errors[2] for record in records]),
        last_root=last_root,
        last_log_eigenvalues=last_logs,
    )


class _Chains:
    """L_t of c chains: L[i, j] = columns[i, j] e^{logs[j]}, lower triangular.

    The columns, (d, d, c), have unit length whenever the caller sees them; the logs are (d, c).

    Args:
        values: (d,) eigenvalues of Σ_0, decreasing, so that later columns are the shorter ones.
    """

    def __init__(self, n: float, values: NDArray[np.float64], chains: int) -> None:
        d = len(values)
        self.n = n
        self.columns = np.zeros((d, d, chains))
        self.columns[range(d), range(d)] = 1
        self.logs = np.tile(np.log(values)[:, None] / 2, chains)

    def advance(self, steps: int, rng: np.random.Generator) -> None:
        """Retrain every chain some times.

        Args:
            steps: Number of retrainings, >= 0.
            rng: Source of all randomness.
        """
        for start in range(0, steps, _NORMALISE_EVERY):
            # ratios[j][k − j]: (c,) e^{ℓ_k − ℓ_j} / √(n−1), for k >= j
            ratios = [
                np.exp(self.logs[j:] - self.logs[j]) / np.sqrt(self.n - 1)
                for j in range(len(self.logs))
            ]
            for _ in range(start, min(start + _NORMALISE_EVERY, steps)):
                self._multiply(ratios, rng)
            length = np.sqrt(np.square(self.columns).sum(axis=0))
            self.columns /= length
            self.logs += np.log(length)

    def _multiply(self, ratios: list[NDArray[np.float64]], rng: np.random.Generator) -> None:
        """L <- L A / √(n−1), Bartlett's A. In place: column j needs those from j on."""
        d, _, chains = self.columns.shape
        for j in range(d):
            column = self.columns[j:, j]  # (d − j, c)
            column *= np.sqrt(2 / (self.n - 1) * rng.standard_gamma((self.n - 1 - j) / 2, chains))
            for k in range(j + 1, d):
                column[k - j :] += self.columns[k:, k] * (
                    ratios[j][k - j] * rng.standard_normal(chains)
                )


def _scaled_svd(columns: NDArray[np.float64], logs: NDArray[np.float64]) -> tuple[NDArray, NDArray]:
    """Singular values and left singular vectors of each matrix columns · diag(e^logs), by one-sided
    Jacobi rotations.

    Args:
        columns: (d, d, c), of unit length.
        logs: (d, c). Returns the logarithms of the singular values, (d, c), decreasing, and the
            vectors, (d, d, c): [:, k] belongs to the k-th. Rotating the plane of columns a and r b,
            r <= 1, takes b to b + τ a and a to a − τ r² b, up to length; τ stays moderate when r
            underflows.
    """
    x, logs = columns.copy(), logs.copy()
    d = len(logs)
    for _ in range(_SWEEPS):
        largest, swapped = 0.0, False
        for p, q in combinations(range(d), 2):
            swap = logs[q] > logs[p]
            swapped = swapped or bool(swap.any())
            a, b = np.where(swap, x[:, q], x[:, p]), np.where(swap, x[:, p], x[:, q])
            high, low = np.maximum(logs[p], logs[q]), np.minimum(logs[p], logs[q])
            r = np.exp(low - high)
            cosine = (a * b).sum(axis=0)
            gap = -np.expm1(2 * (low - high))  # 1 − r²
            tau = -2 * cosine / (gap + np.hypot(gap, 2 * r * cosine) + np.finfo(float).tiny)
            shrink = np.log1p(np.square(r * tau)) / 2
            for j, vector, log in ((p, a - tau * r * r * b, high), (q, b + tau * a, low)):
                length = np.sqrt(np.square(vector).sum(axis=0))
                x[:, j] = vector / length
                logs[j] = log + np.log(length) - shrink
            largest = max(largest, np.abs(cosine).max())
        if largest < 1e-14 * d and not swapped:  # a sweep that moves columns may pass by a pair
            return logs, x

    raise ArithmeticError(f"singular values not found in {_SWEEPS} sweeps")


class _Moments:
    """Running means of several arrays over chains, and their standard errors, without storing
    the chains.
    """

    def __init__(self) -> None:
        self.count = 0
        self.means: list[NDArray[np.float64]] = []
        self.squares: list[NDArray[np.float64]] = []

    def add(self, *samples: NDArray[np.float64]) -> None:
        """Each (c, …), the same arrays every time."""
        count = len(samples[0])
        if not self.count:
            self.means = [np.zeros(x.shape[1:]) for x in samples]
            self.squares = [np.zeros(x.shape[1:]) for x in samples]
        total = self.count + count
        for i, x in enumerate(samples):
            mean = x.mean(axis=0)
            gap = mean - self.means[i]
            # deviations from the mean of each part, then between the two: sums of squares would
            # cancel at large n
            self.squares[i] += np.square(x - mean).sum(axis=0) + gap * gap * (
                self.count * count / total
            )
            self.means[i] += gap * (count / total)
        self.count = total

    @property
    def errors(self) -> list[NDArray[np.float64]]:
        return [np.sqrt(square / (self.count * (self.count - 1))) for square in self.squares]


def _checked(
    n: float, covariance: ArrayLike, generations: Sequence[int], chains: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Eigenvalues of the covariance, decreasing, and its eigenvectors as columns."""
    matrix = np.asarray(covariance, dtype=float)
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or not np.isfinite(matrix).all():
        raise ValueError(f"covariance must be a finite square matrix, got shape {matrix.shape}")
    if not np.allclose(matrix, matrix.T, rtol=1e-10, atol=0):
        raise ValueError("covariance must be symmetric")
    diagonal = np.diag(np.diag(matrix))
    # exact, also for eigenvalues that eigh would lose beside larger ones
    if (matrix == diagonal).all():
        order = np.argsort(-np.diag(matrix))
        values, basis = np.diag(matrix)[order], np.eye(len(matrix))[:, order]
    else:
        values, basis = (part[..., ::-1] for part in np.linalg.eigh(matrix))
    if not values.min() > 0:
        raise ValueError(
            f"covariance must be positive definite, got smallest eigenvalue {values.min()}"
        )
    if not (np.isfinite(n) and n >= len(matrix) + 1):
        raise ValueError(f"n must be finite and >= d + 1 = {len(matrix) + 1}, got {n}")
    steps = np.diff(generations, prepend=-1)
    if len(generations) == 0 or (steps < 1).any():
        raise ValueError(
            f"generations must be increasing and >= 0, at least one, got {list(generations)}"
        )
    if chains < 2:
        raise ValueError(f"chains must be >= 2, got {chains}")
    return values, basis
