"""The constant of Assumption 1, with how it was found; and a rigorous supremum where no closed
form is known.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

__all__ = ["Lipschitz", "bernstein", "location_scale_derivative", "spectral_supremum"]

RELATIVE = 1e-10
"""Largest excess of `spectral_supremum` over the supremum, relative to it."""

CELLS = 1_000_000
"""Cells that `spectral_supremum` keeps at once before it settles for the bound it has."""


@dataclass(frozen=True)
class Lipschitz:
    """Lipschitz constant of x ↦ ∇²_θ log p_θ(x) over the whole support, Euclidean norm on x,
    spectral on the Hessian.

    Attributes:
        value: >= 0, possibly inf; in units of 1/x times those of the parameters.
        reason: Why it is this number.

    Raises:
        ValueError: If `value` is negative or nan.
    """

    value: float
    reason: str

    def __post_init__(self):
        if not self.value >= 0:
            raise ValueError(f"value must be >= 0 or inf, got {self.value}")


def bernstein(degree: int) -> float:
    """The largest sup ‖M''‖ / sup ‖M‖ of trigonometric polynomials M of a degree: its square.

    Source: Bernstein's inequality, applied to M and to M'.

    Args:
        degree: >= 1.
    """
    return float(degree**2)


def spectral_supremum(
    matrix: Callable[[np.ndarray], np.ndarray],
    curvature: Callable[[np.ndarray, np.ndarray], np.ndarray],
    lower: float,
    upper: float,
) -> float:
    """An upper bound on sup ‖M(t)‖₂ over lower <= t <= upper, at most 1 + 1e-10 times the supremum.

    On a cell of width h, M differs from the chord between its ends by at most ‖M''‖ h²/8, and a
    norm is convex along a chord: so ‖M‖ is at most its larger end plus ‖M''‖ h²/8. Cells are halved
    until none can beat the best end point by more than the tolerance. What is returned bounds the
    supremum from above whatever happens, up to rounding; should more than a million cells remain
    undecided (the maximum is very flat) it is less tight than stated.

    Args:
        matrix: (n,) -> (n, P, P), symmetric.
        curvature: (left, right) -> bounds on ‖M''‖₂ over the cells [left, right].
        lower: Left end of the interval.
        upper: Right end of the interval.

    Returns:
        Upper bound on the supremum.
    """
    ends = np.linspace(lower, upper, 257)
    left, right = ends[:-1], ends[1:]
    norms = _spectral_norms(matrix(ends))
    at_left, at_right = norms[:-1], norms[1:]
    best = float(norms.max())
    while True:
        bound = np.maximum(at_left, at_right) + curvature(left, right) * (right - left) ** 2 / 8
        open_cells = bound > best * (1 + RELATIVE)
        middle = (left + right) / 2
        if (
            not open_cells.any()
            or open_cells.sum() > CELLS
            or (middle[open_cells] == left[open_cells]).any()
        ):
            # cells dropped may reach best * (1 + RELATIVE)
            return max(best * (1 + RELATIVE), float(bound.max()))
        left, right, middle = left[open_cells], right[open_cells], middle[open_cells]
        at_left, at_right, at_middle = (
            at_left[open_cells],
            at_right[open_cells],
            _spectral_norms(matrix(middle)),
        )
        best = max(best, float(at_middle.max()))
        left, right = np.concatenate([left, middle]), np.concatenate([middle, right])
        at_left, at_right = (
            np.concatenate([at_left, at_middle]),
            np.concatenate([at_middle, at_right]),
        )


def _spectral_norms(matrices: np.ndarray) -> np.ndarray:
    """‖M‖₂ of symmetric matrices, (n, P, P) -> (n,)."""
    if matrices.shape[-1] == 2:
        half_trace = (matrices[:, 0, 0] + matrices[:, 1, 1]) / 2
        return np.abs(half_trace) + np.hypot(
            (matrices[:, 0, 0] - matrices[:, 1, 1]) / 2, matrices[:, 0, 1]
        )
    return np.abs(np.linalg.eigvalsh(matrices)).max(axis=1)


def location_scale_derivative(
    z: np.ndarray, g1: np.ndarray, g2: np.ndarray, g3: np.ndarray, scale: float
) -> np.ndarray:
    """Derivative in x of the Hessian of −log s + g((x − μ)/s) in (μ, log s).

    The Hessian is [[g''/s², (g' + z g'')/s], [·, z g' + z² g'']], and d/dx = (1/s) d/dz.

    Args:
        z: Standardised points (x − μ)/s, (n,).
        g1: First derivative of g at z, (n,).
        g2: Second derivative of g at z, (n,).
        g3: Third derivative of g at z, (n,).
        scale: Scale s, > 0.

    Returns:
        Derivatives, (n, 2, 2).
    """
    corner = (2 * g2 + z * g3) / scale
    rows = [g3 / scale**2, corner], [corner, g1 + 3 * z * g2 + z**2 * g3]
    return np.moveaxis(np.array(rows), 2, 0) / scale
