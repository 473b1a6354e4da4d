"""Gaussian families: (μ, Σ⁻¹) in two coordinate systems, natural parameters, and the mean alone.

The paper (Proposition 2, eqs. (58)-(60)) lets θ = (μ, vec Σ⁻¹) run over all d² entries. Off the
symmetric matrices (58) is not the logarithm of a density, and there its Hessian is not (60): with K
the matrix that transposes, K vec E = vec Eᵀ, the lower right block of −∇² log p is ½ K (Σ⊗Σ), not ½
(Σ⊗Σ). Both act alike on symmetric E; on antisymmetric E the true one is negative: at the maximum
over symmetric matrices (58) has a saddle, it grows without bound along Σ⁻¹ + c E, and Assumption 2
fails for d >= 2. `Gaussian` therefore uses coordinates of the symmetric matrices, in which all that
Proposition 2 claims is true; `GaussianFull` keeps the paper's, to check (58)-(60).
"""

import math
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from stability.families.lipschitz import Lipschitz
from stability.families.protocol import is_vector, require_points, require_theta, uniforms

__all__ = ["Gaussian", "GaussianFull", "GaussianMean", "GaussianNatural", "symmetric_basis"]

LOG_TWO_PI = math.log(2 * math.pi)


@lru_cache
def symmetric_basis(d: int) -> Tensor:
    """Symmetric matrices orthonormal in tr(AB), (d(d+1)/2, d, d): for i <= j by rows, (eᵢeⱼᵀ +
    eⱼeᵢᵀ)/√2 or eᵢeᵢᵀ.

    Args:
        d: Dimension of the matrices, >= 1.

    Returns:
        Basis matrices, (d(d+1)/2, d, d).
    """
    basis = []
    for i in range(d):
        for j in range(i, d):
            unit = torch.zeros(d, d, dtype=torch.float64)
            unit[i, j] = unit[j, i] = 1 if i == j else math.sqrt(0.5)
            basis.append(unit)
    return torch.stack(basis)


def from_coordinates(coordinates: Tensor, d: int) -> Tensor:
    """The symmetric matrix with given coordinates in `symmetric_basis`; norms are kept.

    Args:
        coordinates: Coordinates in the basis, of shape (d(d+1)/2,).
        d: Dimension of the matrix, >= 1.

    Returns:
        Symmetric matrix, (d, d).
    """
    return torch.einsum("k,kij->ij", coordinates, symmetric_basis(d))


def to_coordinates(matrix: Tensor) -> Tensor:
    """Coordinates of a symmetric matrix in `symmetric_basis`.

    Args:
        matrix: Symmetric matrix, (d, d).

    Returns:
        Coordinates, (d(d+1)/2,).
    """
    return torch.einsum("kij,ij->k", symmetric_basis(len(matrix)), matrix)


def log_det(matrix: Tensor) -> Tensor:
    """log det of a symmetric matrix, −inf where it is not positive definite.

    Args:
        matrix: Symmetric matrix, (d, d).

    Returns:
        Logarithm of the determinant, a scalar tensor.
    """
    factor, failed = torch.linalg.cholesky_ex(matrix)
    return torch.where(failed == 0, 2 * factor.diagonal().log().sum(), -torch.inf)


def positive_definite(matrix: Tensor) -> bool:
    return bool(torch.linalg.cholesky_ex(matrix).info == 0)


def draw(mean: Tensor, covariance: Tensor, n: int, generator: torch.Generator) -> Tensor:
    """n draws of N(mean, covariance), (n, d).

    Args:
        mean: Mean, (d,).
        covariance: Positive definite covariance, (d, d).
        n: Number of points, >= 0.
        generator: Source of all random draws.

    Returns:
        Points, (n, d).
    """
    z = torch.special.ndtri(uniforms(n, len(mean), generator))
    return mean + z @ torch.linalg.cholesky(covariance).T


def moments(x: Tensor, d: int) -> tuple[Tensor, Tensor]:
    """Mean and maximum-likelihood covariance (divided by n) of points.

    Args:
        x: Points, n > d, (n, d).
        d: Dimension of the points.

    Returns:
        Mean, (d,), and covariance, (d, d).

    Raises:
        ValueError: If x has another shape, is not finite, or its covariance is singular.
    """
    require_points(x, d, minimum=d + 1)
    mean = x.mean(0)
    covariance = (x - mean).T @ (x - mean) / len(x)
    # by correlations, so that the test does not depend on the units of the coordinates
    scale = covariance.diagonal().sqrt()
    if (
        not (scale > 0).all()
        or torch.linalg.eigvalsh(covariance / scale[:, None] / scale).min() < 1e-12
    ):
        raise ValueError(f"x must have a covariance of full rank, got {covariance.tolist()}")
    return mean, covariance


def _names(d: int, symbol: str) -> tuple[str, ...]:
    return tuple(
        f"{symbol}_{i + 1}{j + 1}" if i == j else f"√2·{symbol}_{i + 1}{j + 1}"
        for i in range(d)
        for j in range(i, d)
    )


def _mean_names(d: int, symbol: str = "mu") -> tuple[str, ...]:
    return tuple(f"{symbol}_{i + 1}" for i in range(d))


def _everywhere(d: int) -> tuple[tuple[float, float], ...]:
    return ((-math.inf, math.inf),) * d


def _quadratic(x: Tensor, matrix: Tensor) -> Tensor:
    """xᵀ M x of each point, (n, d), (d, d) -> (n,); `einsum` would derive it as n tiny products."""
    return (x @ matrix * x).sum(1)


def _require_dimension(d: int) -> None:
    if d < 1:
        raise ValueError(f"dimension must be >= 1, got {d}")


@dataclass(frozen=True)
class Gaussian:
    """N(μ, Σ), θ = (μ, Λ) with Λ = Σ⁻¹ in `symmetric_basis`: P = d + d(d+1)/2 (Proposition 2).

    The off-diagonal coordinates are √2 Λᵢⱼ, so that the Euclidean norm is the paper's, of vec Λ.
    Domain: Λ positive definite. −E ∇² log p = Fisher = diag(Λ, E ↦ ½ ΣEΣ), least eigenvalue
    min(λmin(Λ), ½ λmin(Σ)²); L = 1.
    """

    dimension: int = 1

    def __post_init__(self):
        _require_dimension(self.dimension)

    @property
    def parameter_names(self) -> tuple[str, ...]:
        return _mean_names(self.dimension) + _names(self.dimension, "precision")

    @property
    def support(self) -> tuple[tuple[float, float], ...]:
        return _everywhere(self.dimension)

    def split(self, theta: Tensor) -> tuple[Tensor, Tensor]:
        """Split θ into (μ, Λ).

        Args:
            theta: Parameters, (P,).

        Returns:
            Mean, (d,), and precision, (d, d).
        """
        return theta[: self.dimension], from_coordinates(theta[self.dimension :], self.dimension)

    def join(self, mean: Tensor, precision: Tensor) -> Tensor:
        """Join a mean and a precision to θ.

        Args:
            mean: Mean, (d,).
            precision: Symmetric precision, (d, d).

        Returns:
            Parameters, (P,).
        """
        return torch.cat([mean, to_coordinates(precision)])

    def in_domain(self, theta: Tensor) -> bool:
        return is_vector(theta, len(self.parameter_names)) and positive_definite(
            self.split(theta)[1]
        )

    def log_prob(self, theta: Tensor, x: Tensor) -> Tensor:
        """Eq. (58), with the sign of a log-density. −inf where Λ is not positive definite.

        Args:
            theta: Parameters, (P,).
            x: Points, (n, d).

        Returns:
            log p_θ of each point, (n,).
        """
        mean, precision = self.split(theta)
        gap = x - mean
        quadratic = _quadratic(gap, precision)
        return (log_det(precision) - quadratic - self.dimension * LOG_TWO_PI) / 2

    def mean_and_covariance(self, theta: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and covariance of p_θ.

        Args:
            theta: Parameters, (P,).

        Returns:
            Mean, (d,), and covariance, (d, d).
        """
        mean, precision = self.split(theta)
        return mean, torch.linalg.inv(precision)

    def sample(self, theta: Tensor, n: int, generator: torch.Generator) -> Tensor:
        return draw(*self.mean_and_covariance(require_theta(self, theta)), n, generator)

    def start(self, x: Tensor) -> Tensor:
        """The maximum-likelihood estimate itself.

        Args:
            x: Points, n > d, with a covariance of full rank, (n, d).

        Returns:
            Maximum-likelihood estimate, (P,).
        """
        mean, covariance = moments(x, self.dimension)
        return self.join(mean, torch.linalg.inv(covariance))

    def lipschitz(self, theta: Tensor) -> Lipschitz:
        require_theta(self, theta)
        return Lipschitz(
            1.0,
            "x enters the Hessian only in its block (μ, Λ), E ↦ E (x − μ) for symmetric E: "
            "two points at distance r differ there by r times an operator of norm 1, attained at "
            "the E along their gap",
        )

    def fisher(self, theta: Tensor) -> Tensor:
        """Fisher information diag(Λ, ½ tr(EₖΣEₗΣ)).

        Args:
            theta: Parameters in the domain, (P,).

        Returns:
            Fisher information, (P, P).
        """
        precision = self.split(require_theta(self, theta))[1]
        moved = symmetric_basis(self.dimension) @ torch.linalg.inv(precision)
        return torch.block_diag(precision, torch.einsum("kij,lji->kl", moved, moved) / 2)


@dataclass(frozen=True)
class GaussianFull:
    """N(μ, Σ), θ = (μ, vec Σ⁻¹) with all d² entries by rows, as printed in Proposition 2: P = d +
    d².

    For checks of (58)-(60); to fit or to iterate take `Gaussian` (the module says why). Domain: Σ⁻¹
    symmetric to 1e-12 of its largest entry, and positive definite: outside it (58), which
    `log_prob` gives for every matrix of positive determinant, is not the logarithm of a density.
    Hence the Fisher information, which is singular on antisymmetric directions, is not −E ∇² log p,
    which is negative there. L = 1.
    """

    dimension: int = 1

    def __post_init__(self):
        _require_dimension(self.dimension)

    @property
    def parameter_names(self) -> tuple[str, ...]:
        d = self.dimension
        return _mean_names(d) + tuple(
            f"precision_{i + 1}{j + 1}" for i in range(d) for j in range(d)
        )

    @property
    def support(self) -> tuple[tuple[float, float], ...]:
        return _everywhere(self.dimension)

    def split(self, theta: Tensor) -> tuple[Tensor, Tensor]:
        """Split θ into (μ, Σ⁻¹), not symmetrised.

        Args:
            theta: Parameters, (P,).

        Returns:
            Mean, (d,), and precision, (d, d).
        """
        return theta[: self.dimension], theta[self.dimension :].reshape(
            self.dimension, self.dimension
        )

    def in_domain(self, theta: Tensor) -> bool:
        if not is_vector(theta, len(self.parameter_names)):
            return False
        precision = self.split(theta)[1]
        symmetric = (precision - precision.T).abs().max() <= 1e-12 * precision.abs().max()
        return bool(symmetric) and positive_definite(precision)

    def log_prob(self, theta: Tensor, x: Tensor) -> Tensor:
        """Eq. (58) with the sign of a log-density; −inf where det Σ⁻¹ is not positive.

        Args:
            theta: Parameters, (P,).
            x: Points, (n, d).

        Returns:
            Eq. (58) at each point, (n,).
        """
        mean, precision = self.split(theta)
        gap = x - mean
        quadratic = _quadratic(gap, precision)
        # not slogdet or det: their Hessians under vmap are wrong for some batch elements (torch
        # 2.13)
        log_determinant = log_det(precision @ precision.T) / 2
        positive = torch.linalg.det(precision.detach()) > 0
        return torch.where(
            positive, (log_determinant - quadratic - self.dimension * LOG_TWO_PI) / 2, -torch.inf
        )

    def mean_and_covariance(self, theta: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and covariance of p_θ.

        Args:
            theta: Parameters, (P,).

        Returns:
            Mean, (d,), and covariance, (d, d).
        """
        mean, precision = self.split(theta)
        return mean, torch.linalg.inv((precision + precision.T) / 2)

    def sample(self, theta: Tensor, n: int, generator: torch.Generator) -> Tensor:
        return draw(*self.mean_and_covariance(require_theta(self, theta)), n, generator)

    def start(self, x: Tensor) -> Tensor:
        """The maximum over symmetric matrices; for d >= 2 a saddle of (58) over all matrices.

        Args:
            x: Points, n > d, with a covariance of full rank, (n, d).

        Returns:
            Starting point, (P,).
        """
        mean, covariance = moments(x, self.dimension)
        precision = torch.linalg.inv(covariance)
        return torch.cat([mean, ((precision + precision.T) / 2).flatten()])

    def lipschitz(self, theta: Tensor) -> Lipschitz:
        require_theta(self, theta)
        return Lipschitz(
            1.0,
            "x enters the Hessian only in its block (μ, Σ⁻¹), E ↦ ½(E + Eᵀ)(x − μ): "
            "two points at distance r differ there by r times an operator of norm 1, attained at "
            "the E along their gap",
        )

    def fisher(self, theta: Tensor) -> Tensor:
        """E of score times its transpose, diag(Σ⁻¹, ¼ (I + K)(Σ⊗Σ)), K vec E = vec Eᵀ: singular
        for d >= 2.

        Args:
            theta: Parameters in the domain, (P,).

        Returns:
            Fisher information, (P, P).
        """
        precision = self.split(require_theta(self, theta))[1]
        covariance = torch.linalg.inv(precision)
        product = torch.einsum("ik,jl->ijkl", covariance, covariance)
        square = (product + product.transpose(0, 1)).reshape(self.dimension**2, self.dimension**2)
        return torch.block_diag(precision, square / 4)


@dataclass(frozen=True)
class GaussianNatural:
    """N(μ, Σ), θ = (Λμ, Λ) with Λ = Σ⁻¹ in `symmetric_basis`: natural parameters, P = d + d(d+1)/2.

    log p = ⟨θ, T(x)⟩ − ψ(θ), T(x) = (x, −½ xxᵀ), so the Hessian does not depend on x. Domain: Λ
    positive definite.
    """

    dimension: int = 1

    def __post_init__(self):
        _require_dimension(self.dimension)

    @property
    def parameter_names(self) -> tuple[str, ...]:
        return _mean_names(self.dimension, "precision_mu") + _names(self.dimension, "precision")

    @property
    def support(self) -> tuple[tuple[float, float], ...]:
        return _everywhere(self.dimension)

    def split(self, theta: Tensor) -> tuple[Tensor, Tensor]:
        """Split θ into (Λμ, Λ).

        Args:
            theta: Parameters, (P,).

        Returns:
            Λμ, (d,), and precision Λ, (d, d).
        """
        return theta[: self.dimension], from_coordinates(theta[self.dimension :], self.dimension)

    def in_domain(self, theta: Tensor) -> bool:
        return is_vector(theta, len(self.parameter_names)) and positive_definite(
            self.split(theta)[1]
        )

    def log_prob(self, theta: Tensor, x: Tensor) -> Tensor:
        """Log-density at each point; −inf where Λ is not positive definite.

        Args:
            theta: Parameters, (P,).
            x: Points, (n, d).

        Returns:
            log p_θ of each point, (n,).
        """
        linear, precision = self.split(theta)
        quadratic = _quadratic(x, precision)
        normaliser = linear @ torch.linalg.inv(precision) @ linear - log_det(precision)
        return x @ linear - (quadratic + normaliser + self.dimension * LOG_TWO_PI) / 2

    def mean_and_covariance(self, theta: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and covariance of p_θ.

        Args:
            theta: Parameters, (P,).

        Returns:
            Mean, (d,), and covariance, (d, d).
        """
        linear, precision = self.split(theta)
        covariance = torch.linalg.inv(precision)
        return covariance @ linear, covariance

    def sample(self, theta: Tensor, n: int, generator: torch.Generator) -> Tensor:
        return draw(*self.mean_and_covariance(require_theta(self, theta)), n, generator)

    def start(self, x: Tensor) -> Tensor:
        """The maximum-likelihood estimate itself.

        Args:
            x: Points, n > d, with a covariance of full rank, (n, d).

        Returns:
            Maximum-likelihood estimate, (P,).
        """
        mean, covariance = moments(x, self.dimension)
        precision = torch.linalg.inv(covariance)
        return torch.cat([precision @ mean, to_coordinates(precision)])

    def lipschitz(self, theta: Tensor) -> Lipschitz:
        require_theta(self, theta)
        return Lipschitz(
            0.0, "natural parameters: log p is affine in T(x), and the Hessian is −∇²ψ for every x"
        )

    def fisher(self, theta: Tensor) -> Tensor:
        """The covariance of T(x): Cov x = Σ, Cov(x, −½ xᵀEₖx) = −ΣEₖμ, Cov(½xᵀEₖx, ½xᵀEₗx) =
        ½tr(EₖΣEₗΣ) + μᵀEₖΣEₗμ.

        Args:
            theta: Parameters in the domain, (P,).

        Returns:
            Fisher information, (P, P).
        """
        linear, precision = self.split(require_theta(self, theta))
        covariance = torch.linalg.inv(precision)
        basis, mean = symmetric_basis(self.dimension), covariance @ linear
        moved = basis @ covariance
        cross = -torch.einsum("kij,i->jk", moved, mean)
        square = torch.einsum("kij,lji->kl", moved, moved) / 2 + torch.einsum(
            "kai,lib,a,b->kl", moved, basis, mean, mean
        )
        return torch.cat([torch.cat([covariance, cross], 1), torch.cat([cross.T, square], 1)])


@dataclass(frozen=True, eq=False)
class GaussianMean:
    """N(μ, Σ) with Σ known, θ = μ: P = d. Everything in S3 and S4 is exact for it. L = 0.

    Attributes:
        covariance: (d, d), symmetric positive definite, float64; else ValueError.
    """

    covariance: Tensor

    def __post_init__(self):
        c = self.covariance
        square = c.ndim == 2 and c.shape[0] == c.shape[1] and c.dtype == torch.float64
        if not (
            square and torch.isfinite(c).all() and torch.equal(c, c.T) and positive_definite(c)
        ):
            raise ValueError(
                f"covariance must be a symmetric positive definite float64 matrix, got {c.tolist()}"
            )

    @property
    def dimension(self) -> int:
        return len(self.covariance)

    @property
    def parameter_names(self) -> tuple[str, ...]:
        return _mean_names(self.dimension)

    @property
    def support(self) -> tuple[tuple[float, float], ...]:
        return _everywhere(self.dimension)

    def in_domain(self, theta: Tensor) -> bool:
        return is_vector(theta, self.dimension)

    def log_prob(self, theta: Tensor, x: Tensor) -> Tensor:
        gap = x - theta
        quadratic = _quadratic(gap, torch.linalg.inv(self.covariance))
        return -(quadratic + log_det(self.covariance) + self.dimension * LOG_TWO_PI) / 2

    def mean_and_covariance(self, theta: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and covariance of p_θ.

        Args:
            theta: Parameters, (P,).

        Returns:
            Mean, (d,), and covariance, (d, d).
        """
        return theta, self.covariance

    def sample(self, theta: Tensor, n: int, generator: torch.Generator) -> Tensor:
        return draw(*self.mean_and_covariance(require_theta(self, theta)), n, generator)

    def start(self, x: Tensor) -> Tensor:
        """The maximum-likelihood estimate itself, the sample mean.

        Args:
            x: Points, (n, d).

        Returns:
            Sample mean, (d,).
        """
        return require_points(x, self.dimension).mean(0)

    def lipschitz(self, theta: Tensor) -> Lipschitz:
        require_theta(self, theta)
        return Lipschitz(0.0, "the Hessian is −Σ⁻¹ for every x")

    def fisher(self, theta: Tensor) -> Tensor:
        """Fisher information Σ⁻¹, the same for every θ.

        Args:
            theta: Mean, (d,).

        Returns:
            Fisher information, (d, d).
        """
        require_theta(self, theta)
        return torch.linalg.inv(self.covariance)
