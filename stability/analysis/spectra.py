"""Numbers of an analysis that are ordered eigenvalues of symmetric matrices, or follow from one.

Ordered eigenvalues are no smooth functions of the moments where some are equal; the matrices are.

Source: Theorem 1 and S3 for the numbers; the congruence with the Cholesky factor is standard
(Golub and Van Loan, "Matrix Computations", section 8.7).
"""

import math
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Protocol

import numpy as np
from scipy.linalg import cholesky, solve_triangular

from stability.analysis.ordered_eigenvalues import ordered_errors
from stability.laws.psd import sqrtm

__all__ = ["spectral_error"]


class _Matrices(Protocol):
    """The matrices of a `LocalAnalysis`."""

    @property
    def A(self) -> np.ndarray: ...  # noqa: N802
    @property
    def B(self) -> np.ndarray: ...  # noqa: N802
    @property
    def C(self) -> np.ndarray: ...  # noqa: N802
    @property
    def fisher(self) -> np.ndarray: ...
    @property
    def lam(self) -> float: ...
    @property
    def n(self) -> int: ...
    @property
    def J(self) -> np.ndarray: ...  # noqa: N802
    @property
    def V(self) -> np.ndarray: ...  # noqa: N802
    @property
    def sandwich(self) -> np.ndarray: ...


def _relative(matrix: np.ndarray, metric: np.ndarray) -> np.ndarray:
    """A symmetric matrix with the eigenvalues of metric⁻¹ matrix, smooth in both."""
    root = cholesky(metric, lower=True)
    half = solve_triangular(root, matrix, lower=True)
    return solve_triangular(root, half.T, lower=True)


def _over_cramer_rao(at: _Matrices, covariance: np.ndarray) -> np.ndarray:
    root = sqrtm(at.fisher)
    return at.n * root @ covariance @ root


_SPECTRA: Mapping[str, Callable[[Any], np.ndarray]] = MappingProxyType(
    {
        "alpha": lambda at: -at.A,
        "mu": lambda at: _relative(-at.B, -at.A),
        "norm": lambda at: at.J.T @ at.J,
        "misspecification": lambda at: _over_cramer_rao(at, at.sandwich),
        "retraining": lambda at: _relative(at.sandwich + at.V, at.sandwich),
        "retraining_ceiling": lambda at: _relative(-at.A / 2, at.C),
        "inflation": lambda at: _over_cramer_rao(at, at.sandwich + at.V),
    }
)
"""Name -> matrix whose eigenvalues it is, or follows from."""


def _rho(at: _Matrices, mu: float) -> float:
    return at.lam * mu / (1 + at.lam * mu)


_ONE: Mapping[str, tuple[str, int, Callable[[Any, float], float]]] = MappingProxyType(
    {
        "alpha": ("alpha", -1, lambda at, value: value),
        "rho": ("mu", 0, _rho),
        "half_life": ("mu", 0, lambda at, mu: math.log(0.5) / math.log(_rho(at, max(mu, 1e-300)))),
        "norm": ("norm", 0, lambda at, value: math.sqrt(value)),
        "retraining_ceiling": ("retraining_ceiling", 0, lambda at, value: value),
    }
)
"""Number -> the spectrum that it follows from, the eigenvalue, descending, and how."""


def spectral_error(
    name: str, value: np.ndarray, whole: _Matrices, left_out: Sequence[_Matrices]
) -> Any:
    """Half-width of a 95 % interval for a number that ordered eigenvalues give.

    Args:
        name: Of a field or property of `LocalAnalysis`.
        value: The number: a scalar, a vector, (P,), or a matrix, (P, P).
        whole: The analysis.
        left_out: The same without each batch of draws.

    Returns:
        The half-width, of the shape of `value`; None for a number of another kind, and where a
        matrix is singular.
    """
    spectrum, entry, follows = _ONE.get(name, (name, None, None))
    matrix_of = _SPECTRA.get(spectrum)
    if matrix_of is None or not np.isfinite(value).all() or (name == "half_life" and not whole.lam):
        return None
    try:
        matrix, others = matrix_of(whole), np.stack([matrix_of(each) for each in left_out])
    except np.linalg.LinAlgError:
        return None
    errors = ordered_errors(matrix, others)
    if follows is None or entry is None:
        return errors

    middle = np.linalg.eigvalsh(matrix)[::-1][entry]
    ends = middle - errors[entry], middle + errors[entry]
    return max(abs(follows(whole, max(end, 0.0)) - follows(whole, middle)) for end in ends)
