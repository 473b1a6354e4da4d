"""Two-dimensional distributions with exact samplers: (n, rng) -> (n, 2) float32.

`two_moons` and `torchcfm_eight_gaussians` follow the distributions that torchcfm's notebooks use, which are not those
of scikit-learn, FFJORD or ddpm-torch under the same names.
"""

from typing import Literal, Protocol

import numpy as np

__all__ = ["SOURCES", "Density", "Source", "standard_normal", "torchcfm_eight_gaussians", "two_moons"]


class Density(Protocol):
    """Draws n independent points, (n, 2) float32. Point i does not depend on n (the first k of n draws are k draws)."""

    def __call__(self, n: int, rng: np.random.Generator) -> np.ndarray: ...


def two_moons(n: int, rng: np.random.Generator, grid: bool = False) -> np.ndarray:
    """Two half circles, blurred along the diagonal: 3x − 1 with x = arc(a) + (u, u), u ~ U[0, 0.2).

    The arcs are (cos a, sin a) and (1 − cos a, ½ − sin a), equally likely, with a ~ U[0, π).
    grid: place the angles on a regular grid, half of the points on each arc, as torchdyn's generator does. Such a set
        is closer to the distribution than n independent draws; no generator of independent samples can match it.
    """
    noise_rng, angle_rng, arc_rng = rng.spawn(3)
    if grid:
        upper = np.arange(n) < n // 2
        angle = np.concatenate([np.linspace(0, np.pi, n // 2), np.linspace(0, np.pi, n - n // 2)])
    else:
        upper = arc_rng.random(n) < 0.5
        angle = np.pi * angle_rng.random(n)
    cos, sin = np.cos(angle), np.sin(angle)
    arc = np.where(upper[:, None], np.stack([cos, sin], axis=1), np.stack([1 - cos, 0.5 - sin], axis=1))
    return (3 * (arc + 0.2 * noise_rng.random((n, 1))) - 1).astype(np.float32)


def torchcfm_eight_gaussians(n: int, rng: np.random.Generator) -> np.ndarray:
    """Eight equally likely normals on a circle of radius 5, standard deviation 0.1^¼ ≈ 0.562 a coordinate.

    (torchcfm passes 0.1 through a square root into the covariance; hence the fourth root.)
    """
    mode_rng, noise_rng = rng.spawn(2)
    angle = np.pi / 4 * mode_rng.integers(8, size=n)
    centre = 5 * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    return (centre + 0.1**0.25 * noise_rng.standard_normal((n, 2))).astype(np.float32)


def standard_normal(n: int, rng: np.random.Generator) -> np.ndarray:
    """N(0, I)."""
    return rng.standard_normal((n, 2), dtype=np.float32)


Source = Literal["normal", "8gaussians"]
SOURCES: dict[Source, Density] = {"normal": standard_normal, "8gaussians": torchcfm_eight_gaussians}
