"""The logistic law with location and scale, and the type I generalised (skew) logistic; L is
finite for both.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import softplus  # second derivatives of torch.logaddexp are nan far out

from stability.families.lipschitz import Lipschitz, location_scale_derivative, spectral_supremum
from stability.families.protocol import is_vector, require_points, require_theta, uniforms

__all__ = ["GeneralisedLogistic", "Logistic"]

FAR = 50.0
"""|z| beyond which the derivative of the Hessian has reached its limits up to e^(−50)."""


def _log_density(z: Tensor, log_s: Tensor, log_alpha: Tensor | float) -> Tensor:
    """log p of F(z) = (1 + e^(−z))^(−α), in units of x."""
    alpha = torch.exp(torch.as_tensor(log_alpha, dtype=z.dtype))
    return log_alpha - log_s - z - (alpha + 1) * softplus(-z, threshold=40)


def _quantile(u: Tensor, alpha: Tensor | float) -> Tensor:
    log_v = torch.log(u) / alpha  # v = F of the symmetric logistic
    return log_v - torch.log(-torch.expm1(log_v))


def _moments(x: Tensor) -> list[float]:
    """Mean and log-scale of the symmetric logistic with the variance of x."""
    sd = require_points(x, 1, minimum=2).std(correction=0).item()
    if not sd > 0:
        raise ValueError("x must not be constant: the likelihood is unbounded")
    return [x.mean().item(), math.log(sd * math.sqrt(3) / math.pi)]


def _derivative(z: np.ndarray, scale: float, alpha: float) -> np.ndarray:
    """d/dx of the Hessian in (μ, log s, log α) at z: (n,) -> (n, 3, 3).

    With q = 1/(1 + e^z) and w = q(1 − q): q' = −w and w' = w(2q − 1).
    """
    q = np.exp(-np.logaddexp(0, z))
    w = q * np.exp(-np.logaddexp(0, -z))
    block = location_scale_derivative(
        z, (alpha + 1) * q - 1, -(alpha + 1) * w, -(alpha + 1) * w * (2 * q - 1), scale
    )
    result = np.empty((len(z), 3, 3))
    result[:, :2, :2] = block
    result[:, 0, 2] = result[:, 2, 0] = alpha * w / scale**2
    result[:, 1, 2] = result[:, 2, 1] = -alpha * (q - z * w) / scale
    result[:, 2, 2] = alpha * q / scale
    return result


def _curvature(left: np.ndarray, right: np.ndarray, scale: float, alpha: float) -> np.ndarray:
    """Bound on the second derivative of `_derivative` in z over cells.

    |w'|, |w''| <= w, |w'''| <= 2w and w <= e^(−|z|). With gₖ = −(α+1) w^(k−2) for k >= 2, the
    entries differentiate to g₅/s², (4g₄ + z g₅)/s, 9g₃ + 7z g₄ + z² g₅, αw''/s, α(w' + 2w' + z
    w''), αw', all over s.
    """
    far = np.maximum(np.abs(left), np.abs(right))
    near = np.where(left * right <= 0, 0, np.minimum(np.abs(left), np.abs(right)))
    entries = [
        2 * (alpha + 1) / scale**2,
        (alpha + 1) * (4 + 2 * far) / scale,
        (alpha + 1) * (9 + 7 * far + 2 * far**2),
        alpha / scale,
        alpha * (3 + far),
        alpha,
    ]
    # in the squared Frobenius norm, which bounds the spectral one
    multiplicity = [1, 2, 1, 2, 2, 1]
    return (
        np.exp(-near)
        / scale
        * np.sqrt(sum(m * e**2 for m, e in zip(multiplicity, entries, strict=True)))
    )


def _tail(limit: float, scale: float, alpha: float) -> float:
    """Bound on ‖_derivative‖ for |z| >= FAR in one direction: its limit, and all that is left is
    O(z² e^(−|z|)).
    """
    entries = [
        (alpha + 1) / scale**2,
        (alpha + 1) * (2 + FAR) / scale,
        (alpha + 1) * (1 + 3 * FAR + FAR**2),
        alpha / scale,
        alpha * (1 + FAR),
        alpha,
    ]
    rest = math.sqrt(sum(m * e**2 for m, e in zip([1, 2, 1, 2, 2, 1], entries, strict=True)))
    return (limit + math.exp(-FAR) * rest) / scale


def _supremum(
    scale: float, alpha: float, parameters: int, limits: tuple[float, float]
) -> Lipschitz:
    inside = spectral_supremum(
        lambda z: _derivative(z, scale, alpha)[:, :parameters, :parameters],
        lambda left, right: _curvature(left, right, scale, alpha),
        -FAR,
        FAR,
    )
    tails = max(_tail(limit, scale, alpha) for limit in limits)
    return Lipschitz(
        max(inside, tails),
        f"supremum of ‖d/dx ∇² log p‖: {inside:.6g} for |z| <= 50, between points of evaluation "
        "by a bound on its "
        f"second derivative; at most {tails:.6g} beyond, where it differs from its limits by O(z² "
        "exp(−|z|))",
    )


@dataclass(frozen=True)
class Logistic:
    """F(x) = 1/(1 + e^(−z)), z = (x − μ)/s; θ = (μ, log s). Domain: the whole plane."""

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
        return _log_density((x[:, 0] - mu) * torch.exp(-log_s), log_s, 0.0)

    def sample(self, theta: Tensor, n: int, generator: torch.Generator) -> Tensor:
        mu, log_s = require_theta(self, theta)
        return mu + torch.exp(log_s) * _quantile(uniforms(n, 1, generator), 1.0)

    def start(self, x: Tensor) -> Tensor:
        """Method of moments: the variance is π² s²/3.

        Args:
            x: Points, (n, 1).

        Returns:
            Starting point (μ, log s), (2,).
        """
        return torch.tensor(_moments(x), dtype=torch.float64)

    def lipschitz(self, theta: Tensor) -> Lipschitz:
        return _supremum(
            math.exp(require_theta(self, theta)[1].item()), 1.0, parameters=2, limits=(1.0, 1.0)
        )

    def fisher(self, theta: Tensor) -> Tensor:
        """Fisher information diag(1/(3s²), (3 + π²)/9).

        Args:
            theta: Parameters (μ, log s), (2,).

        Returns:
            Fisher information, (2, 2).
        """
        log_s = require_theta(self, theta)[1]
        return torch.stack(
            [torch.exp(-2 * log_s) / 3, torch.full_like(log_s, (3 + math.pi**2) / 9)]
        ).diag()


@dataclass(frozen=True)
class GeneralisedLogistic:
    """F(x) = (1 + e^(−z))^(−α), z = (x − μ)/s, skew for α ≠ 1; θ = (μ, log s, log α).

    Domain: all of R³.
    """

    @property
    def dimension(self) -> int:
        return 1

    @property
    def parameter_names(self) -> tuple[str, ...]:
        return "mu", "log_s", "log_alpha"

    @property
    def support(self) -> tuple[tuple[float, float], ...]:
        return ((-math.inf, math.inf),)

    def in_domain(self, theta: Tensor) -> bool:
        return is_vector(theta, 3)

    def log_prob(self, theta: Tensor, x: Tensor) -> Tensor:
        mu, log_s, log_alpha = theta
        return _log_density((x[:, 0] - mu) * torch.exp(-log_s), log_s, log_alpha)

    def sample(self, theta: Tensor, n: int, generator: torch.Generator) -> Tensor:
        mu, log_s, log_alpha = require_theta(self, theta)
        return mu + torch.exp(log_s) * _quantile(uniforms(n, 1, generator), torch.exp(log_alpha))

    def start(self, x: Tensor) -> Tensor:
        """The symmetric member, α = 1, with the mean and variance of x.

        Args:
            x: Points, (n, 1).

        Returns:
            Starting point (μ, log s, log α), (3,).
        """
        return torch.tensor([*_moments(x), 0.0], dtype=torch.float64)

    def lipschitz(self, theta: Tensor) -> Lipschitz:
        """Supremum of ‖∂ₓ∇² log p‖, at a location, scale and skewness.

        Limits of ‖s d/dx ∇² log p‖: 1 for z → ∞; 2α for z → −∞, from the block α [[1, −1],
        [−1, 1]].

        Args:
            theta: Parameters (μ, log s, log α), (3,).

        Returns:
            The constant, with how it was found.
        """
        _, scale, alpha = require_theta(self, theta).exp().tolist()
        return _supremum(scale, alpha, parameters=3, limits=(2 * alpha, 1.0))

    def fisher(self, theta: Tensor) -> Tensor:
        """Fisher information, by moments of v = 1/(1 + e^(−z)) ~ Beta(α, 1) and z.

        z = log v − log(1 − v), hence digamma and trigamma.

        Args:
            theta: Parameters (μ, log s, log α), (3,).

        Returns:
            Fisher information, (3, 3).
        """
        _, s, alpha = require_theta(self, theta).exp()
        two = torch.full_like(alpha, 2.0)
        ratio = alpha / (alpha + 2)
        shift = torch.digamma(alpha + 1) - torch.digamma(two)
        spread = torch.polygamma(1, alpha + 1) + torch.polygamma(1, two)
        mean_scale = ratio * shift / s
        mean_skew = alpha / (alpha + 1) / s
        scale_skew = alpha / (alpha + 1) * (torch.digamma(alpha) - torch.digamma(two))
        rows = [
            torch.stack([ratio / s**2, mean_scale, mean_skew]),
            torch.stack([mean_scale, 1 + ratio * (spread + shift**2), scale_skew]),
            torch.stack([mean_skew, scale_skew, torch.ones_like(s)]),
        ]
        return torch.stack(rows)
