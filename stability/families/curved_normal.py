"""N(θ, θ²): a curved exponential family, and one to which Theorem 1 does not apply."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from stability.families.lipschitz import Lipschitz
from stability.families.protocol import is_vector, require_points, require_theta, uniforms

__all__ = ["CurvedNormal"]


@dataclass(frozen=True)
class CurvedNormal:
    """N(θ, θ²), θ > 0: one parameter, two sufficient statistics (x, x²), so A ≠ B off the model."""

    @property
    def dimension(self) -> int:
        return 1

    @property
    def parameter_names(self) -> tuple[str, ...]:
        return ("theta",)

    @property
    def support(self) -> tuple[tuple[float, float], ...]:
        return ((-math.inf, math.inf),)

    def in_domain(self, theta: Tensor) -> bool:
        return is_vector(theta, 1) and theta.item() > 0

    def log_prob(self, theta: Tensor, x: Tensor) -> Tensor:
        """Log-density at each point; −inf for θ <= 0.

        Args:
            theta: Parameter, mean and standard deviation at once, (1,).
            x: Points, (n, 1).

        Returns:
            log p_θ of each point, (n,).
        """
        inside = theta[0] > 0
        sd = torch.where(inside, theta[0], 1.0)
        value = -torch.log(sd) - ((x[:, 0] - sd) / sd) ** 2 / 2 - math.log(2 * math.pi) / 2
        return torch.where(inside, value, -torch.inf)

    def sample(self, theta: Tensor, n: int, generator: torch.Generator) -> Tensor:
        return require_theta(self, theta) * (1 + torch.special.ndtri(uniforms(n, 1, generator)))

    def start(self, x: Tensor) -> Tensor:
        """The maximum-likelihood estimate itself, the positive root of θ² + θ mean(x) =
        mean(x²).

        Args:
            x: Points, not all 0, (n, 1).

        Returns:
            Maximum-likelihood estimate, (1,).

        Raises:
            ValueError: If x is not a finite float64 tensor of this shape, or is 0 throughout.
        """
        first, second = require_points(x, 1).mean(0), x.square().mean(0)
        if second == 0:
            raise ValueError(
                "x must have a point other than 0: the likelihood is unbounded at θ -> 0"
            )
        root = (first.square() + 4 * second).sqrt()
        # the second form is the first without cancellation for a positive mean
        return torch.where(first > 0, 2 * second / (root + first), (root - first) / 2)

    def lipschitz(self, theta: Tensor) -> Lipschitz:
        require_theta(self, theta)
        return Lipschitz(math.inf, "the Hessian 1/θ² + 2x/θ³ − 3x²/θ⁴ is quadratic in x")

    def fisher(self, theta: Tensor) -> Tensor:
        """Fisher information 3/θ².

        Args:
            theta: Parameter, > 0, (1,).

        Returns:
            Fisher information, (1, 1).
        """
        return 3 / require_theta(self, theta).square()[:, None]
