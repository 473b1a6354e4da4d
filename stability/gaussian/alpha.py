"""α(n), the factor by which one retraining on n of its own samples shrinks a Gaussian (Proposition
1, theory S5).

α(n) = E χ_{n−1} / √(n−1) = √(2/(n−1)) Γ(n/2) / Γ((n−1)/2), known in quality control as c4(n). With
x = (n−1)/2,

    log α = log Γ(x + ½) − log Γ(x) − ½ log x = ½ log(1 − 1/(4 (x+½)²)) + the same at x + 1,

so that a few steps upwards and the asymptotic series at the end give log α as a sum of terms of one
sign: nothing cancels, and 1 − α and log α are as accurate as α itself.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import bernoulli, hyp2f1

__all__ = ["Estimate", "alpha", "alpha_isotropic", "half_life", "log_alpha", "one_minus_alpha"]

_STEPS = 10
# log Γ(x + ½) − log Γ(x) − ½ log x ~ Σ c_k x^−k over odd k, from Γ's Stirling series with B_k(½) =
# (2^{1−k} − 1) B_k. At x >= 10 the first term left out, k = 19, is 1e-17 of the sum.
_ORDERS = np.arange(1, 18, 2)
_SERIES = (0.5**_ORDERS - 2) * bernoulli(18)[_ORDERS + 1] / (_ORDERS * (_ORDERS + 1))


def log_alpha(n: ArrayLike) -> NDArray[np.float64]:
    """log α(n) < 0, elementwise, to a relative accuracy of 1e-14; about −1/(4(n−1)).

    Args:
        n: Samples a generation, any shape, real (need not be whole), finite, >= 2.

    Returns:
        log α(n), of the same shape.

    Raises:
        ValueError: If n is not finite or below 2.
    """
    n = np.asarray(n, dtype=float)
    if not (np.isfinite(n) & (n >= 2)).all():
        raise ValueError(
            f"n must be finite and >= 2, got {n[~(np.isfinite(n) & (n >= 2))].flat[0]}"
        )
    x = (n - 1) / 2
    small = x < _STEPS
    y = 1 / np.where(small, x + _STEPS, x)
    result = np.asarray(np.polynomial.polynomial.polyval(y * y, _SERIES) * y)
    start = x[small]
    result[small] += sum(np.log1p(-0.25 / np.square(start + j + 0.5)) for j in range(_STEPS)) / 2
    return result[()]


def alpha(n: ArrayLike) -> NDArray[np.float64]:
    """α(n) in (0, 1), elementwise, to a relative accuracy of 1e-14.

    Args:
        n: Samples a generation, any shape, as in `log_alpha`.

    Returns:
        α(n), of the same shape.

    Raises:
        ValueError: If n is not finite or below 2.
    """
    return np.exp(log_alpha(n))


def one_minus_alpha(n: ArrayLike) -> NDArray[np.float64]:
    """1 − α(n) without cancellation, elementwise, to a relative accuracy of 1e-14.

    Args:
        n: Samples a generation, any shape, as in `log_alpha`.

    Returns:
        1 − α(n), of the same shape.

    Raises:
        ValueError: If n is not finite or below 2.
    """
    return -np.expm1(log_alpha(n))


def half_life(n: ArrayLike) -> NDArray[np.float64]:
    """Retrainings after which E √Σ_t has halved, −log 2 / log α(n): about 4 (n−1) log 2.

    Args:
        n: Samples a generation, any shape, as in `log_alpha`.

    Returns:
        Number of retrainings, of the same shape; not whole.

    Raises:
        ValueError: If n is not finite or below 2.
    """
    return -math.log(2) / log_alpha(n)


@dataclass(frozen=True)
class Estimate:
    """A number that was computed to some accuracy.

    Attributes:
        value: The number.
        error: Bound on |value − truth|, absolute.
        method: How both were found.
    """

    value: float
    error: float
    method: str


def alpha_isotropic(n: int, d: int) -> Estimate:
    """α_d(n) = E tr √W / (d √(n−1)), W ~ Wishart_d(n−1, I): E √S = α_d(n) √(n−1) I in Lemma A.2
    iii).

    It is the factor by which one retraining shrinks √Σ when Σ is a multiple of I, and only then
    (erratum E1).

    √W has the singular values of a d × (n−1) matrix of standard normals as eigenvalues, so d and
    n−1 may be exchanged. Where the smaller is 1 this is a χ mean; where it is 2, α_2(n) = α(2n−1)
    ₂F₁(−½, 1; n−1; ½): with u, v the sum and the difference of the two singular values, u² − v² ~ 4
    Γ(n−2) and v² ~ 2 Γ(1) are independent. Otherwise quadrature of the joint density of the
    singular values; its cost grows with the cube of min(d, n−1): some seconds at 200.

    Args:
        n: Samples a generation, whole, >= 2.
        d: Dimension, whole, >= 1.

    Returns:
        The factor, with a bound on its error.

    Raises:
        ValueError: If n or d is out of range.
    """
    if n != int(n) or n < 2 or d != int(d) or d < 1:
        raise ValueError(f"n must be a whole number >= 2 and d one >= 1, got n = {n} and d = {d}")
    few, many = sorted((int(d), int(n) - 1))
    factor = few * math.sqrt(many) / (d * math.sqrt(n - 1))
    if few == 1:
        value, method = float(alpha(many + 1)), "closed form, mean of χ"
        error = 1e-14
    elif few == 2:
        value, method = float(alpha(2 * many + 1) * hyp2f1(-0.5, 1, many, 0.5)), "closed form, ₂F₁"
        error = 1e-14
    else:
        value, error = _mean_singular_value(few, many)
        method = "de Bruijn's Pfaffian by Gauss-Legendre quadrature, at two resolutions"
    return Estimate(factor * value, factor * error, method)


def _mean_singular_value(few: int, many: int) -> tuple[float, float]:
    """E Σ s_i / (few √many) over the singular values of a few × many standard normal matrix, and a
    bound on its error.

    few <= many. The error is how far two resolutions and the known E Σ s_i² = few · many disagree,
    plus rounding.
    """
    coarse, fine = (
        _singular_value_sums(few, many, nodes) for nodes in (4 * few + 110, 5 * few + 120)
    )
    scale = math.sqrt(many)
    value = 1 + fine[0] / (few * scale)
    # E Σ (s − √many)² = 2 few many − 2 √many E Σ s
    second = abs(fine[1] + 2 * scale * fine[0]) / (few * scale)
    error = abs(fine[0] - coarse[0]) / (few * scale) + second / scale + 1e-14
    return float(value), float(error)


def _singular_value_sums(few: int, many: int, nodes: int) -> NDArray[np.float64]:
    """E Σ z_i and E Σ z_i² for the singular values s_i = √many + z_i of a few × many standard
    normal matrix.

    Their density is ∝ Π s^{many−few} e^{−s²/2} Π |s_i² − s_j²|. By de Bruijn, E Π (1 + ε f(s_i)) is
    a ratio of Pfaffians of M_jk = ∬ sign(y − x) φ_j(x) φ_k(y) dx dy, φ_j = (polynomial of degree j
    in s²) s^{many−few} e^{−s²/2}, bordered by ∫ φ_j when `few` is odd; hence E Σ f(s_i) = ½ tr(M⁻¹
    M'). Any basis of the span of the φ_j will do: an orthonormal one keeps M well conditioned. In
    normalised Legendre polynomials the kernel sign(y − x) is tridiagonal, because their integrals
    are three-term sums.
    """
    scale = math.sqrt(many)
    # beyond √many ± (√few + 9.5) a singular value falls with probability < 2 e^{−9.5²/2} = 5e-20
    low, high = max(-scale, -math.sqrt(few) - 9.5), math.sqrt(few) + 9.5
    x, weights = np.polynomial.legendre.leggauss(nodes)
    z = (low + high) / 2 + (high - low) / 2 * x
    log_weight = (many - few) * np.log1p(z / scale) - z * scale - z * z / 2
    column = np.exp(log_weight - log_weight.max()) * np.sqrt(weights)
    square = z * (2 * scale + z) / (high * (2 * scale + high))  # (s² − many), scaled
    basis = np.empty((nodes, few))
    for j in range(few):
        for _ in range(2):  # Gram-Schmidt twice is orthogonal to rounding
            column = column - basis[:, :j] @ (basis[:, :j].T @ column)
        basis[:, j] = column / np.linalg.norm(column)
        column = square * basis[:, j]
    degrees = np.arange(nodes)
    legendre = np.polynomial.legendre.legvander(x, nodes - 1) * np.sqrt(
        weights[:, None] * (degrees + 0.5)
    )
    step = 2 / np.sqrt((2 * degrees[:-1] + 1) * (2 * degrees[:-1] + 3))
    kernel = np.diag(step, 1) - np.diag(step, -1)

    def bordered(gram: NDArray, functions: NDArray) -> NDArray:
        """`gram`, with the integrals of the functions as last row and column when `few` is odd.

        Args:
            gram: Antisymmetric matrix, (few, few).
            functions: Values of the functions at the nodes, (nodes, few).

        Returns:
            (few, few), or (few + 1, few + 1) when `few` is odd.
        """
        if few % 2 == 0:
            return gram
        integrals = legendre[:, :1].T @ functions  # the constant polynomial's coefficient
        return np.block([[gram, integrals.T], [-integrals, np.zeros((1, 1))]])

    coefficients = legendre.T @ basis
    inverse = np.linalg.inv(bordered(coefficients.T @ kernel @ coefficients, basis))
    sums = []
    for f in (z, z * z):
        moved = f[:, None] * basis
        half = (legendre.T @ moved).T @ kernel @ coefficients
        sums.append(np.trace(inverse @ bordered(half - half.T, moved)) / 2)
    return np.array(sums)
