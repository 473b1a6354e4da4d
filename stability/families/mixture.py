"""Gaussian mixtures on the line: with one known standard deviation, and with free ones
(unbounded likelihood).
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from stability.families.lipschitz import Lipschitz, spectral_supremum
from stability.families.protocol import is_vector, require_points, require_theta, uniforms

__all__ = ["GaussianMixture", "GaussianMixtureFreeSd"]


def _check_components(components: int) -> None:
    if components < 2:
        raise ValueError(f"components must be >= 2, got {components}")


def _mixture_log_prob(logits: Tensor, mean: Tensor, log_sd: Tensor, x: Tensor) -> Tensor:
    """log Σₖ πₖ N(x; μₖ, sₖ²), with the last logit 0: (K−1,), (K,), (K,), (n, 1) -> (n,)."""
    z = (x - mean) * torch.exp(-log_sd)  # (n, K)
    log_weight = torch.log_softmax(torch.cat([logits, logits.new_zeros(1)]), 0)
    return torch.logsumexp(log_weight - log_sd - z**2 / 2 - math.log(2 * math.pi) / 2, 1)


def _mixture_sample(
    logits: Tensor, mean: Tensor, log_sd: Tensor, n: int, generator: torch.Generator
) -> Tensor:
    u = uniforms(n, 2, generator)
    edges = torch.softmax(torch.cat([logits, logits.new_zeros(1)]), 0).cumsum(0)[:-1]
    component = torch.searchsorted(edges, u[:, 0].contiguous())
    return (mean[component] + torch.exp(log_sd[component]) * torch.special.ndtri(u[:, 1]))[:, None]


def _groups(x: Tensor, components: int) -> list[Tensor]:
    """The points in increasing order, cut into `components` groups of about equal size."""
    require_points(x, 1, minimum=2 * components)
    return list(torch.tensor_split(x[:, 0].sort().values, components))


@dataclass(frozen=True)
class GaussianMixture:
    """Σₖ πₖ N(μₖ, sd²) with K components and sd known; θ = (K−1 logits, K means), the last logit
    being 0.

    P = 2K − 1. Domain: all of R^P. Permuting components leaves p_θ as it is, so every maximum has
    K! copies.
    """

    components: int = 2
    sd: float = 1.0

    def __post_init__(self):
        _check_components(self.components)
        if not (math.isfinite(self.sd) and self.sd > 0):
            raise ValueError(f"sd must be finite and > 0, got {self.sd}")

    @property
    def dimension(self) -> int:
        return 1

    @property
    def parameter_names(self) -> tuple[str, ...]:
        K = self.components
        return tuple(f"logit_{k}" for k in range(1, K)) + tuple(f"mu_{k}" for k in range(1, K + 1))

    @property
    def support(self) -> tuple[tuple[float, float], ...]:
        return ((-math.inf, math.inf),)

    def in_domain(self, theta: Tensor) -> bool:
        return is_vector(theta, 2 * self.components - 1)

    def _split(self, theta: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        mean = theta[self.components - 1 :]
        return theta[: self.components - 1], mean, torch.full_like(mean, math.log(self.sd))

    def log_prob(self, theta: Tensor, x: Tensor) -> Tensor:
        return _mixture_log_prob(*self._split(theta), x)

    def sample(self, theta: Tensor, n: int, generator: torch.Generator) -> Tensor:
        return _mixture_sample(*self._split(require_theta(self, theta)), n, generator)

    def landmarks(self, theta: Tensor) -> Tensor:
        """The means of the components.

        Args:
            theta: Parameters, (2K − 1,).

        Returns:
            Means, (K, 1).
        """
        return self._split(theta)[1][:, None]

    def start(self, x: Tensor) -> Tensor:
        """Equal weights, and the means of K groups of consecutive points.

        Args:
            x: Points, n >= 2K, (n, 1).

        Returns:
            Starting point, (2K − 1,).

        Raises:
            ValueError: If two of them coincide.
        """
        mean = torch.stack([group.mean() for group in _groups(x, self.components)])
        if not (mean.diff() > 0).all():
            raise ValueError(
                f"x must fall into {self.components} groups of different means, got {mean.tolist()}"
            )
        return torch.cat([torch.zeros(self.components - 1, dtype=x.dtype), mean])

    def lipschitz(self, theta: Tensor) -> Lipschitz:
        """Finite where one component alone has the largest mean and one alone the smallest.

        Let r(x) be the posterior of the component k, cₖ = μₖ/s² and uₖ = log πₖ − (x − μₖ)²/2s².
        Then ∇² log p = Cov_r(∇u) + E_r ∇²u + constant, and since r' = r (c − E_r c),
        differentiating in x adds a c to each cumulant: ∂ₓ∇² log p = κ(∇u, ∇u, c) + 2 Cov(∇u', ∇u) +
        Cov(∇²u, c). Beyond the extreme means 1 − r_top decays exponentially, with it every
        cumulant; if two components share the extreme mean, r₁r₂ (x − μ)² remains.

        Args:
            theta: Parameters, (2K − 1,).

        Returns:
            The constant, with how it was found.
        """
        logits, mean, _ = self._split(require_theta(self, theta))
        log_odds, mu = np.append(logits.detach().numpy(), 0.0), mean.detach().numpy()
        ordered = np.sort(mu)
        if ordered[-1] == ordered[-2] or ordered[0] == ordered[1]:
            return Lipschitz(
                math.inf,
                "two components share the largest or the smallest mean: neither wins in that "
                "tail, and the Hessian in "
                "their means grows like r₁r₂ (x − μ)²/s⁴",
            )

        core = np.linspace(ordered[0] - 3 * self.sd, ordered[-1] + 3 * self.sd, 257)
        reached = np.linalg.norm(self._derivative(core, log_odds, mu), 2, axis=(1, 2)).max()
        upper = self._tail(log_odds, mu, reached)
        lower = -self._tail(log_odds, -mu, reached)
        value = spectral_supremum(
            lambda x: self._derivative(x, log_odds, mu),
            lambda left, right: self._curvature(left, right, mu),
            lower,
            upper,
        )

        return Lipschitz(
            value,
            f"supremum of ‖d/dx ∇² log p‖ over [{lower:.3g}, {upper:.3g}], between points of "
            "evaluation by a bound on "
            "its second derivative through cumulants of the posterior of the component; beyond, "
            "that posterior's tail "
            "probability bounds it by a smaller number",
        )

    def _posterior(self, x: np.ndarray, log_odds: np.ndarray, mu: np.ndarray) -> np.ndarray:
        # −(x − μₖ)²/2s² less what all components share: exact far out, where the squares cancel
        middle = mu.mean()
        offset = mu - middle
        u = log_odds + ((x[:, None] - middle) * offset - offset**2 / 2) / self.sd**2  # (n, K)
        weight = np.exp(u - u.max(1, keepdims=True))
        return weight / weight.sum(1, keepdims=True)

    def _derivative(self, x: np.ndarray, log_odds: np.ndarray, mu: np.ndarray) -> np.ndarray:
        """∂ₓ ∇² log p, (n,) -> (n, P, P)."""
        K, precision = self.components, self.sd**-2
        r = self._posterior(x, log_odds, mu)
        gradient = np.zeros((len(x), K, 2 * K - 1))
        k = np.arange(K)
        gradient[:, k[:-1], k[:-1]] = 1
        gradient[:, k, K - 1 + k] = (x[:, None] - mu) * precision
        slope = np.zeros((K, 2 * K - 1))
        slope[k, K - 1 + k] = precision
        c = mu * precision - (r @ mu)[:, None] * precision
        centred = gradient - np.einsum("nk,nkp->np", r, gradient)[:, None]
        third = np.einsum("nk,nkp,nkq->npq", r * c, centred, centred)
        mixed = np.einsum("nk,kp,nkq->npq", r, slope, centred)
        second = np.zeros_like(third)
        second[:, K - 1 + k, K - 1 + k] = -precision * r * c
        return third + mixed + mixed.swapaxes(1, 2) + second

    def _curvature(self, left: np.ndarray, right: np.ndarray, mu: np.ndarray) -> np.ndarray:
        """Bound on ‖∂ₓ³ ∇² log p‖ over cells: with U = uᵀ∇u, V = vᵀ∇u, Q = uᵀ∇²u v for unit vectors
        u, v it is

        κ(U,V,c,c,c) + 3κ(U',V,c,c) + 3κ(U,V',c,c) + 6κ(U',V',c) + κ(Q,c,c,c), and a joint cumulant
        of m variables within ±aᵢ is at most Cₘ Πaᵢ, Cₘ = Σₖ S(m,k)(k−1)! (partitions into k
        blocks): C₃ = 6, C₄ = 26, C₅ = 150.
        """
        precision = self.sd**-2
        reach = np.maximum(right - mu.min(), mu.max() - left)
        U = np.sqrt(1 + (reach * precision) ** 2)
        c = np.ptp(mu) * precision / 2
        return (
            150 * U**2 * c**3
            + 156 * precision * U * c**2
            + 36 * precision**2 * c
            + 26 * precision * c**3
        )

    def _tail(self, log_odds: np.ndarray, mu: np.ndarray, reached: float) -> float:
        """A point above all means, beyond which ‖∂ₓ ∇² log p‖ <= reached.

        Measured from their value at the top component, the variables of a cumulant vanish except
        with probability q = 1 − r_top, so it is at most Cₘ q times the product of their ranges (C₂
        = 2, C₃ = 6). The odds q/(1 − q) fall at rate `gap` at least, faster than the square of
        those ranges grows once x − min μ >= 2/gap.
        """
        precision = self.sd**-2
        gap = np.diff(np.sort(mu))[-1] * precision
        top = int(mu.argmax())
        x = max(mu.max(), mu.min() + 2 / gap)
        while True:
            r = self._posterior(np.array([x]), log_odds, mu)[0]
            odds = np.delete(r, top).sum() / r[top] if r[top] > 0 else math.inf
            U = math.sqrt(2 + 2 * ((x - mu.min()) * precision) ** 2)
            c = np.ptp(mu) * precision
            if (
                odds * (6 * U**2 * c + 4 * U * math.sqrt(2) * precision + 2 * precision * c)
                <= reached
            ):
                return float(x)
            x += 1 / gap


@dataclass(frozen=True)
class GaussianMixtureFreeSd:
    """Σₖ πₖ N(μₖ, sₖ²), θ = (K−1 logits, K means, K log-sds), the last logit being 0: P = 3K − 1.

    Domain: all of R^P.

    Its likelihood is unbounded: put a mean on a data point and let its sd go to 0. There is no
    maximum to be found.
    """

    components: int = 2

    def __post_init__(self):
        _check_components(self.components)

    @property
    def dimension(self) -> int:
        return 1

    @property
    def parameter_names(self) -> tuple[str, ...]:
        every = range(1, self.components + 1)
        logits = tuple(f"logit_{k}" for k in every[:-1])
        return logits + tuple(f"mu_{k}" for k in every) + tuple(f"log_sd_{k}" for k in every)

    @property
    def support(self) -> tuple[tuple[float, float], ...]:
        return ((-math.inf, math.inf),)

    def in_domain(self, theta: Tensor) -> bool:
        return is_vector(theta, 3 * self.components - 1)

    def _split(self, theta: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        K = self.components
        return theta[: K - 1], theta[K - 1 : 2 * K - 1], theta[2 * K - 1 :]

    def log_prob(self, theta: Tensor, x: Tensor) -> Tensor:
        return _mixture_log_prob(*self._split(theta), x)

    def sample(self, theta: Tensor, n: int, generator: torch.Generator) -> Tensor:
        return _mixture_sample(*self._split(require_theta(self, theta)), n, generator)

    def landmarks(self, theta: Tensor) -> Tensor:
        """The means of the components.

        Args:
            theta: Parameters, (3K − 1,).

        Returns:
            Means, (K, 1).
        """
        return self._split(theta)[1][:, None]

    def start(self, x: Tensor) -> Tensor:
        """Equal weights, means and standard deviations of K groups of consecutive points.

        Args:
            x: Points, n >= 2K, (n, 1).

        Returns:
            Starting point, (3K − 1,).

        Raises:
            ValueError: If the standard deviation of a group is 0.
        """
        groups = _groups(x, self.components)
        mean = torch.stack([group.mean() for group in groups])
        sd = torch.stack([group.std(correction=0) for group in groups])
        if not (sd > 0).all():
            raise ValueError(
                f"x must fall into {self.components} groups with spread, got sds {sd.tolist()}"
            )
        return torch.cat([torch.zeros(self.components - 1, dtype=x.dtype), mean, sd.log()])

    def lipschitz(self, theta: Tensor) -> Lipschitz:
        require_theta(self, theta)
        return Lipschitz(
            math.inf,
            "in the tail the widest component wins, and with z its standardised x the second "
            "derivative in its log-sd "
            "is −2 z² + o(1); if several share the largest sd and mean it grows like z⁴",
        )
