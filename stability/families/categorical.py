"""Finitely many values: a linear exponential family, and the genetic linkage model, which is
curved.

Points are integers 0 … k−1 in a column (n, 1), and integrals are sums: `atoms` lists them.
Distances between points, hence L and ε, are those of the line; a relabelling of the categories is
another metric.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from stability.families.lipschitz import Lipschitz
from stability.families.protocol import is_vector, require_points, require_theta, uniforms

__all__ = ["LinearLogits", "Linkage"]


def _atoms(k: int) -> Tensor:
    return torch.arange(k, dtype=torch.float64)[:, None]


def _pick(log_probabilities: Tensor, x: Tensor) -> Tensor:
    """log p of each point: (k,), (n, 1) -> (n,); −inf off the atoms."""
    hit = x == _atoms(len(log_probabilities)).T  # (n, k)
    # a sum over the atoms and not an index: it can be differentiated and mapped, and needs no
    # integer type
    value = torch.where(hit, log_probabilities, 0.0).sum(1)
    return torch.where(hit.any(1), value, -torch.inf)


def _invert(probabilities: Tensor, n: int, generator: torch.Generator) -> Tensor:
    edges = probabilities.cumsum(0)[:-1]
    return torch.searchsorted(edges, uniforms(n, 1, generator)).to(torch.float64)


def _frequencies(x: Tensor, k: int) -> Tensor:
    """Share of each atom, (k,); ValueError if a point is none of them."""
    hits = require_points(x, 1) == _atoms(k).T
    if not hits.any(1).all():
        raise ValueError(f"x must hold integers 0 … {k - 1}, got {x[~hits.any(1)][0].item()}")
    return hits.to(torch.float64).mean(0)


@dataclass(frozen=True, eq=False)
class LinearLogits:
    """p(j) ∝ exp(offsetⱼ + ⟨featuresⱼ, θ⟩), j = 0 … k−1: an exponential family in natural
    parameters, so L = 0.

    With features (0, 1, …, k−1)ᵀ and offset log C(k−1, j) it is the binomial in its log-odds.
    ValueError otherwise.

    Attributes:
        features: (k, P), float64, linearly independent together with the constant.
        offset: (k,), default 0.
    """

    features: Tensor
    offset: Tensor | None = None

    def __post_init__(self):
        f = self.features
        if f.ndim != 2 or f.dtype != torch.float64 or not torch.isfinite(f).all() or f.numel() == 0:
            raise ValueError(
                f"features must be finite float64 of shape (k, P), got {f.dtype} of "
                f"{tuple(f.shape)}"
            )
        if (
            torch.linalg.matrix_rank(torch.cat([torch.ones(len(f), 1, dtype=f.dtype), f], 1))
            <= f.shape[1]
        ):
            raise ValueError(
                "features must be linearly independent of each other and of the constant"
            )
        if self.offset is not None and (
            self.offset.shape != (len(f),) or not torch.isfinite(self.offset).all()
        ):
            raise ValueError(
                f"offset must be finite of shape ({len(f)},), got {self.offset.tolist()}"
            )

    @property
    def dimension(self) -> int:
        return 1

    @property
    def parameter_names(self) -> tuple[str, ...]:
        return tuple(f"theta_{i + 1}" for i in range(self.features.shape[1]))

    @property
    def support(self) -> tuple[tuple[float, float], ...]:
        return ((0.0, len(self.features) - 1.0),)

    @property
    def atoms(self) -> Tensor:
        """The values that x takes, (k, 1)."""
        return _atoms(len(self.features))

    def in_domain(self, theta: Tensor) -> bool:
        return is_vector(theta, self.features.shape[1])

    def _logits(self, theta: Tensor) -> Tensor:
        logits = self.features @ theta
        return logits if self.offset is None else logits + self.offset

    def log_prob(self, theta: Tensor, x: Tensor) -> Tensor:
        return _pick(torch.log_softmax(self._logits(theta), 0), x)

    def sample(self, theta: Tensor, n: int, generator: torch.Generator) -> Tensor:
        return _invert(torch.softmax(self._logits(require_theta(self, theta)), 0), n, generator)

    def start(self, x: Tensor) -> Tensor:
        """Least squares on the logarithms of the frequencies, each count raised by ½.

        Args:
            x: Points, integers 0 to k − 1, (n, 1).

        Returns:
            Starting point, (P,).
        """
        k = len(self.features)
        smooth = torch.log(_frequencies(x, k) * len(x) + 0.5)
        target = smooth if self.offset is None else smooth - self.offset
        centred = self.features - self.features.mean(0)
        return torch.linalg.lstsq(centred, (target - target.mean())[:, None]).solution[:, 0]

    def lipschitz(self, theta: Tensor) -> Lipschitz:
        require_theta(self, theta)
        return Lipschitz(
            0.0,
            "natural parameters: the Hessian is minus the covariance of the features, for every x",
        )

    def fisher(self, theta: Tensor) -> Tensor:
        """The covariance of the features under p_θ.

        Args:
            theta: Parameters, (P,).

        Returns:
            Fisher information, (P, P).
        """
        p = torch.softmax(self._logits(require_theta(self, theta)), 0)
        centred = self.features - p @ self.features
        return centred.T @ (p[:, None] * centred)


@dataclass(frozen=True)
class Linkage:
    """Genetic linkage (Fisher; Rao 1973): p = ((2 + θ)/4, (1 − θ)/4, (1 − θ)/4, θ/4), 0 < θ < 1.

    One parameter for two sufficient statistics: a curved exponential family, with A ≠ B where
    misspecified.
    """

    @property
    def dimension(self) -> int:
        return 1

    @property
    def parameter_names(self) -> tuple[str, ...]:
        return ("theta",)

    @property
    def support(self) -> tuple[tuple[float, float], ...]:
        return ((0.0, 3.0),)

    @property
    def atoms(self) -> Tensor:
        """The values that x takes, (4, 1)."""
        return _atoms(4)

    def in_domain(self, theta: Tensor) -> bool:
        return is_vector(theta, 1) and 0 < theta.item() < 1

    def log_prob(self, theta: Tensor, x: Tensor) -> Tensor:
        """Log-density at each point; −inf for θ outside (0, 1), and off the atoms.

        Args:
            theta: Parameter θ, (1,).
            x: Points, (n, 1).

        Returns:
            log p_θ of each point, (n,).
        """
        inside = (theta[0] > 0) & (theta[0] < 1)
        value = _pick(torch.log(self._probabilities(torch.where(inside, theta[0], 0.5))), x)
        return torch.where(inside, value, -torch.inf)

    def _probabilities(self, theta: Tensor) -> Tensor:
        return torch.stack([2 + theta, 1 - theta, 1 - theta, theta]) / 4

    def sample(self, theta: Tensor, n: int, generator: torch.Generator) -> Tensor:
        return _invert(self._probabilities(require_theta(self, theta)[0]), n, generator)

    def start(self, x: Tensor) -> Tensor:
        """The maximum-likelihood estimate, kept within [0.001, 0.999]: θ² − (f₀ − 2f₁ − 2f₂ −
        f₃) θ − 2f₃ = 0.

        Args:
            x: Points, integers 0 to 3, (n, 1).

        Returns:
            Starting point, (1,).
        """
        f = _frequencies(x, 4).numpy()
        middle = f[0] - 2 * (f[1] + f[2]) - f[3]
        root = (middle + np.sqrt(middle**2 + 8 * f[3])) / 2
        return torch.tensor([np.clip(root, 1e-3, 1 - 1e-3)], dtype=torch.float64)

    def lipschitz(self, theta: Tensor) -> Lipschitz:
        t = require_theta(self, theta).item()
        hessian = -np.array([(2 + t) ** -2, (1 - t) ** -2, (1 - t) ** -2, t**-2])
        return Lipschitz(
            float(np.abs(np.diff(hessian)).max()),
            "largest difference of the Hessian between neighbouring integers, to which all others "
            "add up",
        )

    def fisher(self, theta: Tensor) -> Tensor:
        """Fisher information (1/(2 + θ) + 2/(1 − θ) + 1/θ)/4.

        Args:
            theta: Parameter in (0, 1), (1,).

        Returns:
            Fisher information, (1, 1).
        """
        t = require_theta(self, theta)
        return ((1 / (2 + t) + 2 / (1 - t) + 1 / t) / 4)[:, None]
