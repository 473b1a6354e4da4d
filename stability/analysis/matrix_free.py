"""The maximum of a likelihood in many parameters: Newton's method by products with the Hessian.

Source: Nocedal and Wright, "Numerical Optimization" (2006), sections 7.1 (conjugate gradients in a
trust region) and 7.2 (L-BFGS).
"""

from collections.abc import Callable

import numpy as np
import torch
from scipy.optimize import minimize
from torch import Tensor
from torch.func import grad, jvp

from stability.laws.family import Family

__all__ = ["climb_matrix_free"]

_ROWS = 20_000
_GRADIENT = 1e-7
"""Gradient of the mean log-likelihood at which a climb ends, relative to 1 + |its value|."""
_WARM_STEPS, _MOST_STEPS = 1000, 300


def climb_matrix_free(family: Family, points: Tensor, weights: Tensor, start: Tensor) -> Tensor:
    """The local maximum of θ ↦ Σ weights_i log p_θ(points_i) near `start`.

    L-BFGS to come near, then Newton's method in a trust region, with conjugate gradients (SciPy's
    trust-ncg): no matrix is formed, and points are taken in chunks.

    Args:
        family: Any family.
        points: (n, d).
        weights: (n,).
        start: (P,).

    Returns:
        The maximum, (P,).

    Raises:
        ArithmeticError: If it does not end at a point where the gradient vanishes.
    """
    chunks = list(zip(points.split(_ROWS), weights.split(_ROWS), strict=True))

    def summed(of_chunk: Callable[[Tensor, Tensor], Tensor]) -> np.ndarray:
        return -torch.stack([of_chunk(x, w) for x, w in chunks]).sum(0).numpy()

    def value(theta: np.ndarray) -> float:
        at = torch.from_numpy(theta)
        found = float(summed(lambda x, w: (w @ family.log_prob(at, x)).detach()))
        return found if np.isfinite(found) else np.inf

    def slope(theta: np.ndarray) -> np.ndarray:
        at = torch.from_numpy(theta)
        return summed(lambda x, w: grad(lambda t: w @ family.log_prob(t, x))(at))

    def product(theta: np.ndarray, direction: np.ndarray) -> np.ndarray:
        at, v = torch.from_numpy(theta), torch.from_numpy(direction)
        return summed(lambda x, w: jvp(grad(lambda t: w @ family.log_prob(t, x)), (at,), (v,))[1])

    allowed = _GRADIENT * (1 + abs(value(start.numpy())))
    near = minimize(
        value, start.numpy(), jac=slope, method="L-BFGS-B", options={"maxiter": _WARM_STEPS}
    )
    found = minimize(
        value,
        near.x,
        jac=slope,
        hessp=product,
        method="trust-ncg",
        options={"gtol": allowed, "maxiter": _MOST_STEPS},
    )
    size = float(np.linalg.norm(found.jac))
    if not size <= 1e3 * allowed:
        raise ArithmeticError(
            f"the climb from start did not end: gradient norm {size:.3g} after {found.nit} steps"
        )
    return torch.from_numpy(found.x)
