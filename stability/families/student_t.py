"""Student's t with location and scale: the worked example where A ≠ B and Theorem 1 is finite."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from scipy.special import stdtrit
from torch import Tensor

from stability.families.lipschitz import Lipschitz, bernstein, spectral_supremum
from stability.families.protocol import is_vector, require_points, require_theta, uniforms

__all__ = ["StudentT"]


@dataclass(frozen=True)
class StudentT:
    """μ + s t_ν, θ = (μ, log s), with ν > 0 degrees of freedom given. Domain: the whole plane."""

    nu: float = 5.0

    def __post_init__(self):
        if not (math.isfinite(self.nu) and self.nu > 0):
            raise ValueError(f"nu must be finite and > 0, got {self.nu}")

    @property
    def dimension(self) -> int:
        return 1

    @property
    def parameter_names(self) -> tuple[str, ...]:
        return "mu", "log_s"

    @property
    def support(self) -> tuple[tuple[float, float], ...]:
        return ((-math.inf, math.inf),)

    def in_domain(self, theta: Tensor) -> bool:
        return is_vector(theta, 2)

    def log_prob(self, theta: Tensor, x: Tensor) -> Tensor:
        mu, log_s = theta
        z = (x[:, 0] - mu) * torch.exp(-log_s)
        constant = (
            math.lgamma((self.nu + 1) / 2)
            - math.lgamma(self.nu / 2)
            - math.log(self.nu * math.pi) / 2
        )
        return constant - log_s - (self.nu + 1) / 2 * torch.log1p(z**2 / self.nu)

    def sample(self, theta: Tensor, n: int, generator: torch.Generator) -> Tensor:
        mu, log_s = require_theta(self, theta)
        z = torch.from_numpy(np.asarray(stdtrit(self.nu, uniforms(n, 1, generator).numpy())))
        return mu + torch.exp(log_s) * z

    def start(self, x: Tensor) -> Tensor:
        """Median, and interquartile range over that of t_ν: these exist for every ν.

        Args:
            x: Points, n >= 2, (n, 1).

        Returns:
            Starting point (μ, log s), (2,).

        Raises:
            ValueError: If x has another shape, is not finite, or has an interquartile range of 0.
        """
        low, middle, high = np.quantile(require_points(x, 1, minimum=2).numpy(), [0.25, 0.5, 0.75])
        if not high > low:
            raise ValueError(f"x must have an interquartile range > 0, got {high - low}")
        return torch.tensor(
            [middle, math.log((high - low) / (2 * stdtrit(self.nu, 0.75)))], dtype=torch.float64
        )

    def lipschitz(self, theta: Tensor) -> Lipschitz:
        """With z = √ν tan φ the derivative of the Hessian is a trigonometric polynomial: the line
        becomes a circle.

        Its entries are sums of sin^k φ cos^(6−k) φ, of degree 3 in ψ = 2φ. By Bernstein's
        inequality, applied to uᵀM(ψ)v for fixed unit vectors, ‖M''‖ <= 9 sup ‖M‖.

        Args:
            theta: Parameters (μ, log s), (2,).

        Returns:
            The constant, with how it was found.
        """
        scale = math.exp(require_theta(self, theta)[1].item())
        # |sin^k cos^(6−k)| <= 1, so entries are bounded by the sums of their coefficients in
        # `_derivative`
        size = (
            (self.nu + 1)
            / scale
            * np.array([8 / self.nu**1.5 / scale**2, 8 / self.nu / scale, 8 / self.nu**0.5])
        )
        curvature = bernstein(3) * float(np.sqrt(size[0] ** 2 + 2 * size[1] ** 2 + size[2] ** 2))
        value = spectral_supremum(
            lambda psi: self._derivative(psi, scale),
            lambda left, right: np.full_like(left, curvature),
            -math.pi,
            math.pi,
        )
        return Lipschitz(
            value,
            "supremum of ‖d/dx ∇² log p‖ over the whole line, mapped to a circle by x = μ + s√ν "
            "tan(ψ/2), where the "
            "entries are trigonometric polynomials of degree 3 and Bernstein's inequality bounds "
            "what lies between the "
            "points of evaluation; an upper bound, within 1e-10 of it",
        )

    def fisher(self, theta: Tensor) -> Tensor:
        """Fisher information diag((ν+1)/((ν+3)s²), 2ν/(ν+3)).

        Args:
            theta: Parameters (μ, log s), (2,).

        Returns:
            Fisher information, (2, 2).
        """
        log_s = require_theta(self, theta)[1]
        location = (self.nu + 1) / (self.nu + 3) * torch.exp(-2 * log_s)
        return torch.stack([location, torch.full_like(log_s, 2 * self.nu / (self.nu + 3))]).diag()

    def _derivative(self, psi: np.ndarray, scale: float) -> np.ndarray:
        """d/dx of the Hessian at z = √ν tan(ψ/2), (n,) -> (n, 2, 2)."""
        sin, cos = np.sin(psi / 2), np.cos(psi / 2)
        front = -(self.nu + 1) / scale
        first = front / (self.nu**1.5 * scale**2) * (2 * sin**3 * cos**3 - 6 * sin * cos**5)
        corner = front / (self.nu * scale) * (2 * cos**6 - 6 * sin**2 * cos**4)
        last = front / math.sqrt(self.nu) * (4 * sin * cos**5 - 4 * sin**3 * cos**3)
        return np.moveaxis(np.array([[first, corner], [corner, last]]), 2, 0)
