"""The sinh-arcsinh flow: a normal variable pushed through an invertible map with four
parameters.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import softplus  # second derivatives of torch.logaddexp are nan far out

from stability.families.lipschitz import Lipschitz, spectral_supremum
from stability.families.protocol import is_vector, require_points, require_theta, uniforms

__all__ = ["SinhArcsinh"]

RADIUS = 0.5
"""Radius of the complex discs of Cauchy's estimate; the nearest singularities are at distance π/2.
"""

WIDEST = 8.0
"""Cells in t wider than this are halved without looking."""


@dataclass(frozen=True)
class SinhArcsinh:
    """x = μ + s sinh((asinh(z) + ε)/δ), z ~ N(0, 1) (Jones and Pewsey 2009); θ = (μ, log s, ε, log
    δ). Domain: R⁴.

    δ < 1 has heavier tails than the normal (of all orders of moments still), δ > 1 lighter; ε skews
    to the right.
    """

    @property
    def dimension(self) -> int:
        return 1

    @property
    def parameter_names(self) -> tuple[str, ...]:
        return "mu", "log_s", "skew", "log_tail"

    @property
    def support(self) -> tuple[tuple[float, float], ...]:
        return ((-math.inf, math.inf),)

    def in_domain(self, theta: Tensor) -> bool:
        return is_vector(theta, 4)

    def log_prob(self, theta: Tensor, x: Tensor) -> Tensor:
        """Change of variables: z = sinh(u), u = δ asinh(y) − ε, y = (x − μ)/s.

        Args:
            theta: Parameters (μ, log s, ε, log δ), (4,).
            x: Points, (n, 1).

        Returns:
            log p_θ of each point, (n,).
        """
        mu, log_s, skew, log_tail = theta
        y = (x[:, 0] - mu) * torch.exp(-log_s)
        u = torch.exp(log_tail) * torch.asinh(y) - skew
        log_cosh = u + softplus(-2 * u, threshold=40) - math.log(2)
        log_slope = log_tail - log_s + log_cosh - torch.log1p(y**2) / 2
        return log_slope - (torch.sinh(u) ** 2 + math.log(2 * math.pi)) / 2

    def sample(self, theta: Tensor, n: int, generator: torch.Generator) -> Tensor:
        mu, log_s, skew, log_tail = require_theta(self, theta)
        z = torch.special.ndtri(uniforms(n, 1, generator))
        return mu + torch.exp(log_s) * torch.sinh((torch.asinh(z) + skew) * torch.exp(-log_tail))

    def start(self, x: Tensor) -> Tensor:
        """The normal member (ε = 0, δ = 1) with the mean and variance of x.

        Args:
            x: Points, n >= 2 and not all equal, (n, 1).

        Returns:
            Starting point (μ, log s, ε, log δ), (4,).

        Raises:
            ValueError: If x has another shape, is not finite, or is constant.
        """
        sd = require_points(x, 1, minimum=2).std(correction=0).item()
        if not sd > 0:
            raise ValueError("x must not be constant: the likelihood is unbounded")
        return torch.tensor([x.mean().item(), math.log(sd), 0.0, 0.0], dtype=torch.float64)

    def lipschitz(self, theta: Tensor) -> Lipschitz:
        """Infinite for δ >= 1/2; for smaller δ everything decays like t² e^(−(1−2δ)|t|), t =
        asinh((x − μ)/s).

        In t the derivative of the Hessian is analytic in the strip |Im t| < π/2, so by Cauchy's
        estimate its second derivative is at most 2/r² times a bound on the discs of radius r = 1/2.

        Args:
            theta: Parameters (μ, log s, ε, log δ), (4,).

        Returns:
            The constant, with how it was found.
        """
        _, log_s, skew, log_tail = require_theta(self, theta).tolist()
        scale, delta = math.exp(log_s), math.exp(log_tail)
        if delta >= 0.5:
            return Lipschitz(
                math.inf,
                "log p falls like −x^(2δ), and for δ >= 1/2 the slope in x of its second "
                "derivative in log δ, "
                "like x^(2δ−1) log² x, is unbounded",
            )
        if delta > 0.4995:
            rate = 1 - 2 * delta
            peak = 2 * math.log(2 * delta / rate) - 2 + rate / delta  # of 2 log(1 + δt) − (1 − 2δ)t
            return Lipschitz(
                math.exp(_log_front(scale, skew) + peak),
                "δ is within 0.0005 of 1/2, from where on L is infinite: an upper bound in closed "
                "form, not tight",
            )

        def matrix(t: np.ndarray) -> np.ndarray:
            return _assemble(t, _parts(t, skew, delta), scale, delta, minus=-1)

        reached = np.linalg.norm(matrix(np.linspace(-5, 5, 257)), 2, axis=(1, 2)).max()
        end = _tail(reached, scale, skew, delta)
        value = spectral_supremum(
            matrix, lambda left, right: _curvature(left, right, scale, skew, delta), -end, end
        )
        return Lipschitz(
            value,
            f"supremum of ‖d/dx ∇² log p‖ over |asinh((x − μ)/s)| <= {end:.3g}, between points of "
            "evaluation by "
            "Cauchy's estimate of its second derivative; beyond, a decreasing bound is smaller",
        )


class _Parts(NamedTuple):
    """sech t, tanh t, and sech t times c', c'', c''' at u = δt − ε, where c = log cosh u − ½
    sinh² u; or bounds.
    """

    sech: np.ndarray
    tanh: np.ndarray
    c1: np.ndarray
    c2: np.ndarray
    c3: np.ndarray


def _parts(t: np.ndarray, skew: float, delta: float) -> _Parts:
    u = delta * t - skew
    sech = 2 * np.exp(-np.abs(t)) / (1 + np.exp(-2 * np.abs(t)))
    # sech t · cosh 2u and sech t · sinh 2u without overflow
    growth = np.exp(2 * np.abs(u) - np.abs(t)) / (1 + np.exp(-2 * np.abs(t)))
    cosh, sinh = (
        growth * (1 + np.exp(-4 * np.abs(u))),
        np.sign(u) * growth * -np.expm1(-4 * np.abs(u)),
    )
    tanh_u = np.tanh(u)
    sech2_u = 1 - tanh_u**2
    return _Parts(
        sech,
        np.tanh(t),
        sech * tanh_u - sinh / 2,
        sech * sech2_u - cosh,
        -2 * sech * sech2_u * tanh_u - 2 * sinh,
    )


def _assemble(t: np.ndarray, parts: _Parts, s: float, delta: float, minus: int) -> np.ndarray:
    """d/dx of the Hessian, (n,) -> (n, 4, 4), from `_Parts`; d/dx = (sech t / s) d/dt.

    The sech t of d/dx is already a factor of c1, c2, c3, and stands by itself where none of them
    does.

    Args:
        minus: −1 for the value. With +1, and bounds on the absolute values of all that enters, a
            bound on each entry.
    """
    sech, tanh, c1, c2, c3 = parts
    U = delta * t
    # log p has slope p sech t in y = sinh t, up to the factor sech t
    p = delta * c1 + minus * tanh * sech
    p1 = delta**2 * c2 + minus * sech**3
    p2 = delta**3 * c3 + 2 * sech**3 * tanh
    k1 = sech**2 * p + tanh * p1  # (tanh · p)'
    k2 = minus * 2 * sech**2 * tanh * p + 2 * sech**2 * p1 + tanh * p2
    slope = p1 + minus * tanh * p
    mu_mu = minus * 2 * sech**2 * tanh * slope + sech**2 * (
        p2 + minus * sech**2 * p + minus * tanh * p1
    )
    mixed = c3 * U + 2 * c2
    rows = [
        [
            mu_mu / s**2,
            sech * (k2 + minus * tanh * k1) / s,
            delta * sech * (delta * c3 + minus * tanh * c2) / s,
            minus * delta * sech * (delta * mixed + minus * tanh * (c2 * U + c1)) / s,
        ],
        [
            sech**2 * k1 + tanh * k2,
            delta * (sech**2 * c2 + delta * tanh * c3),
            minus * delta * (sech**2 * (c2 * U + c1) + delta * tanh * mixed),
        ],
        [delta * c3, minus * delta * (c3 * U + c2)],
        [delta * (c3 * U**2 + 3 * c2 * U + c1)],
    ]
    result = np.empty((len(t), 4, 4))
    for i, row in enumerate(rows):
        for j, entry in enumerate(row, start=i):
            result[:, i, j] = result[:, j, i] = entry / s
    return result


def _curvature(
    left: np.ndarray, right: np.ndarray, s: float, skew: float, delta: float
) -> np.ndarray:
    """Bound on the second derivative in t over cells: 2/r² times that of `_assemble` on discs
    around their points.

    |cosh(a + ib)| lies between cos b cosh a and cosh a, and |sinh(a + ib)| <= cosh a.
    """
    low, high = left - RADIUS, np.minimum(right, left + WIDEST) + RADIUS  # else the bound overflows
    far = np.maximum(np.abs(low), np.abs(high)) + RADIUS  # |t| <= |Re t| + r
    near = np.where(low * high <= 0, 0, np.minimum(np.abs(low), np.abs(high)))
    cos, cos_u = math.cos(RADIUS), math.cos(delta * RADIUS)
    sech = 2 * np.exp(-near) / (1 + np.exp(-2 * near)) / cos
    largest = np.maximum(np.abs(delta * low - skew), np.abs(delta * high - skew))
    cosh = np.exp(2 * largest - near) * 2 / cos  # of 2u, times sech t
    c1 = sech / cos_u + cosh / 2
    c2 = sech / cos_u**2 + cosh
    c3 = 2 * sech / cos_u**3 + 2 * cosh
    bound = _assemble(far, _Parts(sech, np.full_like(far, 1 / cos), c1, c2, c3), s, delta, minus=1)
    bound = 2 / RADIUS**2 * 4 * bound.max((1, 2))  # ‖M‖₂ <= 4 max |Mᵢⱼ|
    return np.where(right - left > WIDEST, np.inf, bound)


def _tail(reached: float, s: float, skew: float, delta: float) -> float:
    """T with ‖d/dx ∇² log p‖ <= reached for |t| >= T.

    With E = cosh 2u, each |c⁽ⁱ⁾| <= 4E, so every entry is at most 17 E max(1, s⁻²) (1 + δ|t|)² sech
    t / s, and the norm at most four times that; E <= exp(2|ε| + 2δ|t|) and sech t <= 2 e^(−|t|).
    This decreases once |t| >= 2/(1 − 2δ).
    """
    t = 2 / (1 - 2 * delta)
    while _log_front(s, skew) + 2 * math.log1p(delta * t) - (1 - 2 * delta) * t > math.log(reached):
        t += 1 / (1 - 2 * delta)
    return t


def _log_front(s: float, skew: float) -> float:
    return math.log(136 / s * max(1, s**-2)) + 2 * abs(skew)
