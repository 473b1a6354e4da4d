"""The Jacobian J = λ(A + λB)⁻¹B of G∞ at θ*, its spectrum, and the scatter it leaves behind."""

import math

import numpy as np
import scipy.linalg

__all__ = [
    "generalised_eigenvalues",
    "jacobian",
    "retraining_cost",
    "spectral_radius",
    "stationary_covariance",
]


def jacobian(A: np.ndarray, B: np.ndarray, lam: float) -> np.ndarray:
    """J = λ (A + λB)⁻¹ B, the Jacobian of G∞ at θ* (Lemma E.1, with E3).

    Args:
        A: (P, P) negative definite.
        B: (P, P) negative semi-definite.
        lam: Synthetic points per real point, finite and >= 0.

    Returns:
        J, (P, P).

    Raises:
        ValueError: If `lam` is out of range.
    """
    if not (math.isfinite(lam) and lam >= 0):
        raise ValueError(f"lam must be finite and >= 0, got {lam}")
    return np.linalg.solve(A + lam * B, lam * B)


def generalised_eigenvalues(A: np.ndarray, B: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Eigenvalues and eigenvectors of the pair (−B, −A) (S1).

    Args:
        A: (P, P) negative definite.
        B: (P, P) symmetric.

    Returns:
        μ (P,), descending, and W (P, P) with Wᵀ(−A)W = I and Wᵀ(−B)W = diag(μ).

    Raises:
        ValueError: Unless A is negative definite.
    """
    try:
        mu, W = scipy.linalg.eigh(-(B + B.T) / 2, -(A + A.T) / 2)
    except np.linalg.LinAlgError as error:
        raise ValueError(
            f"A must be negative definite, got eigenvalues {np.linalg.eigvalsh(A)}"
        ) from error
    return mu[::-1], W[:, ::-1]


def spectral_radius(matrix: np.ndarray) -> float:
    """The largest modulus of an eigenvalue.

    Args:
        matrix: (P, P).

    Returns:
        The modulus.
    """
    return float(np.abs(np.linalg.eigvals(matrix)).max())


def stationary_covariance(A: np.ndarray, B: np.ndarray, lam: float, n: int = 1) -> np.ndarray:
    """V of S3: how θ_t scatters about the fit to the n real points, to first order.

    V solves V = JVJᵀ + (λ/n) K F K with K = (A + λB)⁻¹ and F = −B. In the basis W of
    `generalised_eigenvalues` it is diagonal, λμ/(1 + 2λμ)/n: never more than half of (−A)⁻¹/n.
    Hence V = (λ/n) (−A − 2λB)⁻¹ (−B) (−A)⁻¹.

    Args:
        A: (P, P) negative definite.
        B: (P, P) negative semi-definite.
        lam: Synthetic points per real point, finite and >= 0.
        n: Real points.

    Returns:
        V, (P, P), in squared units of θ.
    """
    V = lam / n * np.linalg.solve(A + 2 * lam * B, np.linalg.solve(A, -B).T)
    return (V + V.T) / 2


def retraining_cost(sandwich: np.ndarray, V: np.ndarray) -> np.ndarray:
    """The error with retraining over that without, by direction: the spectrum of S⁻¹(S + V) (S3).

    A direction in which S is singular, where one fit has no error, counts inf.

    Args:
        sandwich: (P, P) S, the covariance of the fit to the real points.
        V: (P, P) the part that retraining adds.

    Returns:
        (P,) descending, all >= 1.
    """
    values, vectors = np.linalg.eigh((sandwich + sandwich.T) / 2)
    kept = values > 1e-12 * values.max()
    root = vectors[:, kept] / np.sqrt(values[kept])
    finite = 1 + np.linalg.eigvalsh(root.T @ V @ root)[::-1]
    return np.concatenate([np.full(int((~kept).sum()), math.inf), finite])
