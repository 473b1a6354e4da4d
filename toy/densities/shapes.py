"""Two-dimensional distributions with exact samplers, (n, rng) -> (n, 2) float32, and densities
where they are closed.

`DENSITIES` has those of FFJORD (Grathwohl et al., 2018), as its code draws them, and those that
torchcfm's notebooks and ddpm-torch's scripts use under the same names, which are others. Where the
code puts points on a grid or into classes of equal size, points are drawn independently here. A
density that has `log_prob` can be evaluated.

Three mixtures are called "8 Gaussians" in public code; all have equal weights and modes at
multiples of 45°:

    name                   radius   sd       sd/radius
    ddpm-torch, gaussian8  1.4141   0.01414  0.01       coordinates scaled to variance 1
    FFJORD, 8gaussians     2.8289   0.3536   0.125
    torchcfm               5        0.5623   0.112      0.1 passed through a root into the
                           covariance

`eight_gaussians` is ddpm-torch's, since the paper's experiment (Figure 3) uses its script.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from toy.densities.mixtures import IsotropicMixture

__all__ = [
    "DENSITIES",
    "SOURCES",
    "Checkerboard",
    "Distribution",
    "KnownDensity",
    "Rings",
    "Source",
    "checkerboard",
    "circles",
    "eight_gaussians",
    "ffjord_eight_gaussians",
    "ffjord_moons",
    "pinwheel",
    "rings",
    "standard_normal",
    "swissroll",
    "torchcfm_eight_gaussians",
    "two_moons",
    "two_spirals",
]


class Distribution(Protocol):
    """Draws n independent points, (n, 2) float32.

    Point i does not depend on n (the first k of n draws are k draws).
    """

    def __call__(self, n: int, rng: np.random.Generator) -> np.ndarray: ...


@runtime_checkable
class KnownDensity(Distribution, Protocol):
    """A distribution whose density can be evaluated."""

    def log_prob(self, x: np.ndarray) -> NDArray[np.float64]:
        """Log density.

        Args:
            x: Points, (n, 2).

        Returns:
            (n,).
        """
        ...


def _on_circle(radius: float, points: int = 8) -> NDArray[np.float64]:
    angle = 2 * np.pi / points * np.arange(points)
    return radius * np.stack([np.cos(angle), np.sin(angle)], axis=1)


_SCALE = math.sqrt(0.02**2 + 2**2 / 2)  # standard deviation of a coordinate
eight_gaussians = IsotropicMixture(_on_circle(2 / _SCALE), 0.02 / _SCALE)
"""ddpm-torch's `gaussian8`."""
ffjord_eight_gaussians = IsotropicMixture(_on_circle(4 / 1.414), 0.5 / 1.414)
"""FFJORD's `8gaussians`."""
torchcfm_eight_gaussians = IsotropicMixture(_on_circle(5), 0.1**0.25)
"""torchcfm's `sample_8gaussians`."""


def two_moons(n: int, rng: np.random.Generator, grid: bool = False) -> np.ndarray:
    """Draw torchcfm's two moons: two half circles, blurred along the diagonal.

    The points are 3x − 1 with x = arc(a) + (u, u), u ~ U[0, 0.2). The arcs are (cos a, sin a) and
    (1 − cos a, ½ − sin a), equally likely, with a ~ U[0, π).

    Args:
        n: Number of points.
        rng: Source of the draws.
        grid: Place the angles on a regular grid, half of the points on each arc, as torchdyn's
            generator does. Such a set is closer to the distribution than n independent draws; no
            generator of independent samples can match it.

    Returns:
        (n, 2) float32.
    """
    noise_rng, angle_rng, arc_rng = rng.spawn(3)
    if grid:
        upper = np.arange(n) < n // 2
        angle = np.concatenate([np.linspace(0, np.pi, n // 2), np.linspace(0, np.pi, n - n // 2)])
    else:
        upper = arc_rng.random(n) < 0.5
        angle = np.pi * angle_rng.random(n)
    return (3 * (_arcs(upper, angle) + 0.2 * noise_rng.random((n, 1))) - 1).astype(np.float32)


def _arcs(upper: np.ndarray, angle: np.ndarray) -> np.ndarray:
    cos, sin = np.cos(angle), np.sin(angle)
    return np.where(
        upper[:, None], np.stack([cos, sin], axis=1), np.stack([1 - cos, 0.5 - sin], axis=1)
    )


def ffjord_moons(n: int, rng: np.random.Generator) -> np.ndarray:
    """Draw FFJORD's `moons`, scikit-learn's arcs with noise 0.1: 2x + (−1, −0.2).

    Args:
        n: Number of points.
        rng: Source of the draws.

    Returns:
        (n, 2) float32.
    """
    noise_rng, angle_rng, arc_rng = rng.spawn(3)
    arc = _arcs(arc_rng.random(n) < 0.5, np.pi * angle_rng.random(n))
    return (2 * (arc + 0.1 * noise_rng.standard_normal((n, 2))) + (-1, -0.2)).astype(np.float32)


def swissroll(n: int, rng: np.random.Generator) -> np.ndarray:
    """Draw FFJORD's `swissroll`: (a cos a, a sin a)/5, with noise of standard deviation 1/5.

    The angle is a ~ U[3π/2, 9π/2).

    Args:
        n: Number of points.
        rng: Source of the draws.

    Returns:
        (n, 2) float32.
    """
    noise_rng, angle_rng = rng.spawn(2)
    a = 1.5 * np.pi * (1 + 2 * angle_rng.random(n))
    curve = a[:, None] * np.stack([np.cos(a), np.sin(a)], axis=1)
    return ((curve + noise_rng.standard_normal((n, 2))) / 5).astype(np.float32)


@dataclass(frozen=True)
class Rings:
    """Concentric circles, equally likely, uniform in angle, with Gaussian noise of standard
    deviation `sd`.
    """

    radii: tuple[float, ...]
    sd: float

    def __call__(self, n: int, rng: np.random.Generator) -> np.ndarray:
        noise_rng, angle_rng, ring_rng = rng.spawn(3)
        angle = 2 * np.pi * angle_rng.random(n)
        radius = np.array(self.radii)[ring_rng.integers(len(self.radii), size=n)]
        circle = radius[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)
        return (circle + self.sd * noise_rng.standard_normal((n, 2))).astype(np.float32)

    def log_prob(self, x: np.ndarray) -> NDArray[np.float64]:
        """Log density: the mean over angles of a Gaussian around the circle is a Bessel function.

        Args:
            x: Points, (…, 2).

        Returns:
            (…,).
        """
        from scipy.special import i0e  # a command's help does without

        distance, radii = np.linalg.norm(x, axis=-1)[..., None], np.array(self.radii)
        variance = self.sd**2
        # i0e(z) = e^{−z} I_0(z) takes the cross term of (distance − radius)²
        each = -((distance - radii) ** 2) / (2 * variance) + np.log(
            i0e(distance * radii / variance)
        )
        return np.logaddexp.reduce(each, axis=-1) - np.log(2 * np.pi * variance * len(radii))


circles = Rings((3.0, 1.5), 0.24)
"""FFJORD's `circles`."""
rings = Rings((3.0, 2.25, 1.5, 0.75), 0.08)
"""FFJORD's `rings`."""


def pinwheel(n: int, rng: np.random.Generator) -> np.ndarray:
    """Draw FFJORD's `pinwheel`: 2·R(angle)·(1 + 0.3 z₁, 0.1 z₂), with R a clockwise rotation.

    The angle is 2πk/5 + ¼ exp(1 + 0.3 z₁), k uniform on 0 … 4, and z is standard normal.

    Args:
        n: Number of points.
        rng: Source of the draws.

    Returns:
        (n, 2) float32.
    """
    noise_rng, arm_rng = rng.spawn(2)
    along, across = (noise_rng.standard_normal((n, 2)) * (0.3, 0.1) + (1, 0)).T
    angle = 2 * np.pi / 5 * arm_rng.integers(5, size=n) + 0.25 * np.exp(along)
    cos, sin = np.cos(angle), np.sin(angle)
    return (2 * np.stack([cos * along + sin * across, cos * across - sin * along], axis=1)).astype(
        np.float32
    )


def two_spirals(n: int, rng: np.random.Generator) -> np.ndarray:
    """Draw FFJORD's `2spirals`: ±(−a cos a + u, a sin a + v)/3, with noise 0.1.

    Here a = 3π√w with w ~ U[0, 1), and u, v ~ U[0, ½).

    Args:
        n: Number of points.
        rng: Source of the draws.

    Returns:
        (n, 2) float32.
    """
    noise_rng, blur_rng, angle_rng, side_rng = rng.spawn(4)
    a = 3 * np.pi * np.sqrt(angle_rng.random(n))
    arm = np.stack([-a * np.cos(a), a * np.sin(a)], axis=1) + 0.5 * blur_rng.random((n, 2))
    side = np.where(side_rng.random(n) < 0.5, 1, -1)
    return (side[:, None] * arm / 3 + 0.1 * noise_rng.standard_normal((n, 2))).astype(np.float32)


class Checkerboard:
    """FFJORD's: uniform on eight of the sixteen squares of side 2 that tile [−4, 4]²."""

    def __call__(self, n: int, rng: np.random.Generator) -> np.ndarray:
        place_rng, column_rng, row_rng = rng.spawn(3)
        column, row = column_rng.integers(4, size=n), row_rng.integers(2, size=n)
        corner = np.stack([column - 2, 2 * row - 2 + column % 2], axis=1)
        return (2 * (corner + place_rng.random((n, 2)))).astype(np.float32)

    def log_prob(self, x: np.ndarray) -> NDArray[np.float64]:
        """Log density: −log 32 on the squares, −inf elsewhere.

        Args:
            x: Points, (…, 2).

        Returns:
            (…,).
        """
        square = np.floor(np.asarray(x) / 2)
        inside = ((square >= -2) & (square < 2)).all(axis=-1) & (square.sum(axis=-1) % 2 == 0)
        return np.where(inside, -np.log(32), -np.inf)


checkerboard = Checkerboard()


def standard_normal(n: int, rng: np.random.Generator) -> np.ndarray:
    """Draw from N(0, I).

    Args:
        n: Number of points.
        rng: Source of the draws.

    Returns:
        (n, 2) float32.
    """
    return rng.standard_normal((n, 2), dtype=np.float32)


DENSITIES: Mapping[str, Distribution] = {
    "8gaussians": eight_gaussians,
    "8gaussians-ffjord": ffjord_eight_gaussians,
    "8gaussians-torchcfm": torchcfm_eight_gaussians,
    "moons": two_moons,
    "moons-ffjord": ffjord_moons,
    "swissroll": swissroll,
    "circles": circles,
    "rings": rings,
    "pinwheel": pinwheel,
    "2spirals": two_spirals,
    "checkerboard": checkerboard,
    "normal": standard_normal,
}
"""By name; the defaults of a name are those that the paper's experiments use."""

Source = Literal["normal", "8gaussians"]
SOURCES: dict[Source, Distribution] = {
    "normal": standard_normal,
    "8gaussians": torchcfm_eight_gaussians,
}
