"""The Gamma family: an exponential family that is not Gaussian, in natural and in logarithmic
parameters.
"""

import math
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from scipy.special import gammaincinv
from torch import Tensor

from stability.families.lipschitz import Lipschitz
from stability.families.protocol import is_vector, require_points, require_theta, uniforms

__all__ = ["Gamma"]

Parameters = Literal["natural", "log"]

SMALLEST = torch.finfo(torch.float64).tiny


@dataclass(frozen=True)
class Gamma:
    """Density b^a x^(a−1) e^(−bx) / Γ(a) on x > 0.

    θ = (a, b), shape and rate, both > 0; or θ = (log a, log b).

    (a, b) are natural parameters up to signs and a shift: L = 0. The same family has L = inf in
    logarithmic ones: the constant of Assumption 1 depends on the coordinates, the eigenvalues of
    the Jacobian of G∞ do not (S2).
    """

    parameters: Parameters = "natural"

    def __post_init__(self):
        if self.parameters not in get_args(Parameters):
            raise ValueError(
                f"parameters must be one of {get_args(Parameters)}, got {self.parameters!r}"
            )

    @property
    def dimension(self) -> int:
        return 1

    @property
    def parameter_names(self) -> tuple[str, ...]:
        return ("shape", "rate") if self.parameters == "natural" else ("log_shape", "log_rate")

    @property
    def support(self) -> tuple[tuple[float, float], ...]:
        return ((0.0, math.inf),)

    def in_domain(self, theta: Tensor) -> bool:
        return is_vector(theta, 2) and (self.parameters == "log" or bool((theta > 0).all()))

    def _shape_and_rate(self, theta: Tensor) -> Tensor:
        return theta if self.parameters == "natural" else theta.exp()

    def log_prob(self, theta: Tensor, x: Tensor) -> Tensor:
        """Log-density at each point; −inf for x <= 0, and for a shape or rate <= 0.

        torch's trigamma, in the Hessian, has 9 correct digits.

        Args:
            theta: Shape and rate, or their logarithms, (2,).
            x: Points, (n, 1).

        Returns:
            log p_θ of each point, (n,).
        """
        given = self._shape_and_rate(theta)
        valid = (given > 0).all()
        shape, rate = torch.where(valid, given, 1.0)
        inside = (x[:, 0] > 0) & valid
        point = torch.where(inside, x[:, 0], 1.0)
        value = (
            shape * torch.log(rate)
            - torch.lgamma(shape)
            + (shape - 1) * torch.log(point)
            - rate * point
        )
        return torch.where(inside, value, -torch.inf)

    def sample(self, theta: Tensor, n: int, generator: torch.Generator) -> Tensor:
        """Draw n points by inversion.

        Draws below the smallest normal float64, common for shapes under 0.05, are raised to it.

        Args:
            theta: Shape and rate, or their logarithms, (2,).
            n: Number of points, >= 0.
            generator: Source of all random draws.

        Returns:
            Points, (n, 1).

        Raises:
            ValueError: If theta is outside the domain, or n < 0.
        """
        shape, rate = self._shape_and_rate(require_theta(self, theta)).tolist()
        standard = torch.from_numpy(gammaincinv(shape, uniforms(n, 1, generator).numpy()))
        return (standard / rate).clamp(min=SMALLEST)

    def start(self, x: Tensor) -> Tensor:
        """Minka's closed-form approximation to the shape, within 1.5 % of the maximum; then the
        best rate.

        Args:
            x: Points, > 0 and not all equal, n >= 2, (n, 1).

        Returns:
            Starting point, (2,).

        Raises:
            ValueError: If x has another shape, is not finite or positive, or is constant.
        """
        if not (require_points(x, 1, minimum=2) > 0).all():
            raise ValueError(f"x must be > 0, got {x.min().item()}")
        gap = (x.mean().log() - x.log().mean()).item()  # >= 0 by Jensen
        if not gap > 1e-14:
            raise ValueError("x must not be constant: the likelihood is unbounded")
        shape = (3 - gap + math.sqrt((gap - 3) ** 2 + 24 * gap)) / (12 * gap)
        theta = torch.tensor([shape, shape / x.mean().item()], dtype=torch.float64)
        return theta if self.parameters == "natural" else theta.log()

    def lipschitz(self, theta: Tensor) -> Lipschitz:
        require_theta(self, theta)
        if self.parameters == "natural":
            return Lipschitz(
                0.0,
                "natural parameters: the Hessian [[−ψ'(a), 1/b], [1/b, −a/b²]] does not depend on "
                "x",
            )
        return Lipschitz(
            math.inf,
            "the second derivative in log a contains a log x, whose slope a/x is unbounded at 0",
        )

    def fisher(self, theta: Tensor) -> Tensor:
        """[[ψ'(a), −1/b], [−1/b, a/b²]] in (a, b), and [[a² ψ'(a), −a], [−a, a]] in (log a, log
        b).

        Args:
            theta: Shape and rate, or their logarithms, (2,).

        Returns:
            Fisher information, (2, 2).
        """
        shape, rate = self._shape_and_rate(require_theta(self, theta))
        trigamma = torch.special.polygamma(1, shape)
        if self.parameters == "natural":
            entries = [trigamma, -1 / rate, -1 / rate, shape / rate**2]
        else:
            entries = [shape**2 * trigamma, -shape, -shape, shape]
        return torch.stack(entries).reshape(2, 2)
