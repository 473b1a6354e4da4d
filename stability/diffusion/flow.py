"""Flow matching: the two ways to integrate a flow, and the variance that it gives to Gaussian
data.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Dopri5", "Euler", "Flow", "Integrator"]


@dataclass(frozen=True)
class Euler:
    """Euler's method with equal steps.

    Attributes:
        steps: Number of steps from t = 0 to t = 1, >= 1.
    """

    steps: int = 99

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise ValueError(f"steps must be >= 1, got {self.steps}")

    def sample(self, velocity: "Callable[[Tensor, Tensor], Tensor]", x: "Tensor") -> "Tensor":
        """Integrate dx/dt = v(t, x) from t = 0 to t = 1.

        Args:
            velocity: Maps t (n,) and x (n, …) to v, like x.
            x: Points at t = 0, (n, …).

        Returns:
            The points at t = 1, like x.
        """
        for i in range(self.steps):
            x = x + velocity(x.new_full((len(x),), i / self.steps), x) / self.steps
        return x


@dataclass(frozen=True)
class Dopri5:
    """Dormand–Prince 5(4), with steps chosen for each row by itself.

    Attributes:
        tolerance: Error allowed in a step, absolute and relative, in (0, 1).
    """

    tolerance: float = 1e-5

    def __post_init__(self) -> None:
        if not 0 < self.tolerance < 1:
            raise ValueError(f"tolerance must be in (0, 1), got {self.tolerance}")

    def sample(self, velocity: "Callable[[Tensor, Tensor], Tensor]", x: "Tensor") -> "Tensor":
        """Integrate dx/dt = v(t, x) from t = 0 to t = 1.

        Args:
            velocity: Maps t (n,) and x (n, …) to v, like x; row by row.
            x: Points at t = 0, (n, …).

        Returns:
            The points at t = 1, like x.

        Raises:
            FloatingPointError: If the field is not finite, or too stiff.
        """
        from stability.diffusion.dopri5 import dopri5  # with torch, which settings do without

        return dopri5(velocity, x, self.tolerance)


Integrator = Euler | Dopri5


@dataclass(frozen=True)
class Flow:
    """Flow matching from N(0, 1) along x_t = t x₁ + (1−t) x₀ + sigma ε, for Gaussian data.

    Source: Lipman et al. (2023); Tong et al. (2023).

    Attributes:
        integrator: Solver of the flow. `Dopri5` counts as the exact solution, which it approaches.
        sigma: Standard deviation of the noise on the path, >= 0.
        correlation: Correlation of x₀ and x₁ in the coupling: 0 for independent pairs, 1 for
            optimal transport; minibatch plans lie between.
    """

    integrator: Integrator = Euler()
    sigma: float = 0.0
    correlation: float = 0.0

    def __post_init__(self) -> None:
        if not (0 <= self.sigma < math.inf and 0 <= self.correlation <= 1):
            raise ValueError(
                f"sigma must be >= 0 and correlation in [0, 1], got {self.sigma} and "
                f"{self.correlation}"
            )

    def velocity(self, v: ArrayLike, t: ArrayLike) -> NDArray[Any]:
        """Slope u of the velocity E[x₁ − x₀ | x_t = x] = u x.

        Args:
            v: Variances >= 0 of the data, of any shape.
            t: Times in [0, 1], of a shape that broadcasts with v.

        Returns:
            u, elementwise.
        """
        v, t = np.asarray(v) + 0.0, np.asarray(t)
        cross = self.correlation * np.sqrt(v)
        covariance = t * v - (1 - t) + (1 - 2 * t) * cross  # of x₁ − x₀ and x_t
        return covariance / (t * t * v + (1 - t) ** 2 + 2 * t * (1 - t) * cross + self.sigma**2)

    def variance(self, v: ArrayLike) -> NDArray[Any]:
        """Variance φ(v) of the samples; see `Sampler`.

        The exact solution is (v + σ²)/(1 + σ²), whatever the coupling.

        Args:
            v: Variances >= 0 of the data, of any shape.

        Returns:
            φ(v), elementwise.
        """
        v = np.asarray(v) + 0.0
        if isinstance(self.integrator, Dopri5):
            return (v + self.sigma**2) / (1 + self.sigma**2)

        steps = self.integrator.steps
        gain = np.ones_like(v)
        for i in range(steps):
            gain = gain * (1 + self.velocity(v, i / steps) / steps)
        return gain * gain
