"""Probabilistic PCA with one factor: the linear variational autoencoder."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from stability.families.lipschitz import Lipschitz
from stability.families.protocol import is_vector, require_points, require_theta, uniforms

__all__ = ["PPCA"]


@dataclass(frozen=True)
class PPCA:
    """x = μ + w f + σ e with f ~ N(0, 1), e ~ N(0, I_d): N(μ, wwᵀ + σ²I), θ = (μ, w, log σ), P = 2d
    + 1, d >= 2.

    w and −w give the same law, so maxima come in pairs. For d = 2 it reparametrises all Gaussians
    with unequal eigenvalues, so A = B at θ* (S2); for d >= 3 the family is curved. Domain: all of
    R^P; at w = 0 the Fisher information is singular.
    """

    dimension: int = 2

    def __post_init__(self):
        if self.dimension < 2:
            raise ValueError(f"dimension must be >= 2, got {self.dimension}")

    @property
    def parameter_names(self) -> tuple[str, ...]:
        every = range(1, self.dimension + 1)
        return (*(f"mu_{i}" for i in every), *(f"w_{i}" for i in every), "log_sigma")

    @property
    def support(self) -> tuple[tuple[float, float], ...]:
        return ((-math.inf, math.inf),) * self.dimension

    def in_domain(self, theta: Tensor) -> bool:
        return is_vector(theta, 2 * self.dimension + 1)

    def _split(self, theta: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        d = self.dimension
        return theta[:d], theta[d : 2 * d], theta[2 * d]

    def log_prob(self, theta: Tensor, x: Tensor) -> Tensor:
        """Log-density at each point.

        By (wwᵀ + σ²I)⁻¹ = (I − wwᵀ/(σ² + wᵀw))/σ² and det(wwᵀ + σ²I) = σ^(2d−2) (σ² + wᵀw).

        Args:
            theta: Parameters (μ, w, log σ), (2d + 1,).
            x: Points, (n, d).

        Returns:
            log p_θ of each point, (n,).
        """
        mean, w, log_sigma = self._split(theta)
        gap = x - mean
        top = torch.exp(2 * log_sigma) + w @ w
        quadratic = ((gap**2).sum(1) - (gap @ w) ** 2 / top) * torch.exp(-2 * log_sigma)
        log_determinant = (self.dimension - 1) * 2 * log_sigma + torch.log(top)
        return -(quadratic + log_determinant + self.dimension * math.log(2 * math.pi)) / 2

    def mean_and_covariance(self, theta: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and covariance of p_θ.

        Args:
            theta: Parameters, (P,).

        Returns:
            Mean, (d,), and covariance, (d, d).
        """
        mean, w, log_sigma = self._split(theta)
        unit = torch.eye(self.dimension, dtype=theta.dtype)
        return mean, torch.outer(w, w) + torch.exp(2 * log_sigma) * unit

    def sample(self, theta: Tensor, n: int, generator: torch.Generator) -> Tensor:
        mean, w, log_sigma = self._split(require_theta(self, theta))
        z = torch.special.ndtri(uniforms(n, self.dimension + 1, generator))
        return mean + z[:, :1] * w + torch.exp(log_sigma) * z[:, 1:]

    def start(self, x: Tensor) -> Tensor:
        """The maximum-likelihood estimate itself (Tipping and Bishop 1999), its largest loading
        taken positive.

        Args:
            x: Points, n > d and not on one line, (n, d).

        Returns:
            Maximum-likelihood estimate, (2d + 1,).

        Raises:
            ValueError: If x has another shape, is not finite, or lies on a line.
        """
        require_points(x, self.dimension, minimum=self.dimension + 1)
        mean = x.mean(0)
        values, vectors = torch.linalg.eigh((x - mean).T @ (x - mean) / len(x))
        noise = values[:-1].mean()
        if not noise > 1e-12 * values[-1]:
            raise ValueError("x must not lie on a line: the likelihood is unbounded at σ -> 0")
        w = torch.sqrt((values[-1] - noise).clamp(min=0)) * vectors[:, -1]
        w = w * torch.sign(w[w.abs().argmax()])
        return torch.cat([mean, w, torch.log(noise)[None] / 2])

    def lipschitz(self, theta: Tensor) -> Lipschitz:
        require_theta(self, theta)
        return Lipschitz(
            math.inf,
            "along x − μ orthogonal to w the second derivative in log σ is −2‖x − μ‖²/σ², "
            "quadratic in x",
        )

    def fisher(self, theta: Tensor) -> Tensor:
        """∂ᵢμᵀ C⁻¹ ∂ⱼμ + ½ tr(C⁻¹ ∂ᵢC C⁻¹ ∂ⱼC), C = wwᵀ + σ²I.

        Args:
            theta: Parameters (μ, w, log σ), (2d + 1,).

        Returns:
            Fisher information, (2d + 1, 2d + 1).
        """
        _, w, log_sigma = self._split(require_theta(self, theta))
        identity = torch.eye(self.dimension, dtype=w.dtype)
        variance = torch.exp(2 * log_sigma)
        inverse = torch.linalg.inv(torch.outer(w, w) + variance * identity)
        # ∂C/∂wᵢ = eᵢwᵀ + weᵢᵀ
        loadings = identity[:, :, None] * w + w[:, None] * identity[:, None, :]
        moved = inverse @ torch.cat([loadings, 2 * variance * identity[None]])
        return torch.block_diag(inverse, torch.einsum("kij,lji->kl", moved, moved) / 2)
