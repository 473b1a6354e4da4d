"""Monotone rational-quadratic splines (Gregory and Delbourgo, 1982) as Durkan et al. (2019) use
them in flows.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["Spline"]

# share of the box that a bin has at least in width and height, and least slope at a knot
LEAST = 1e-3


@dataclass(frozen=True)
class Spline:
    """Increasing maps of the line: a spline through knots in [−bound, bound]², the identity
    outside.

    Attributes:
        xs: (…, K + 1) knots.
        ys: See `xs`.
        slopes: (…, K + 1) at them, 1 at both ends, so that the map is smooth there.
    """

    xs: Tensor
    ys: Tensor
    slopes: Tensor
    bound: float

    @classmethod
    def from_raw(cls, raw: Tensor, bound: float) -> "Spline":
        """Make a spline from any numbers; all 0 give the identity.

        Args:
            raw: Numbers for K widths, K heights and K − 1 slopes, (…, 3K − 1).
            bound: Half the side of the square that the knots are in, > 0.

        Returns:
            Splines of K bins.
        """
        bins = (raw.shape[-1] + 1) // 3
        widths, heights, inner = raw.split([bins, bins, bins - 1], dim=-1)
        offset = math.log(math.expm1(1 - LEAST))  # softplus of it, with LEAST, is a slope of 1
        slopes = LEAST + torch.nn.functional.softplus(inner + offset)
        return cls(
            _knots(widths, bound),
            _knots(heights, bound),
            torch.nn.functional.pad(slopes, (1, 1), value=1.0),
            bound,
        )

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Value and log derivative of the spline: eqs. (4) and (5) of Durkan et al.

        Args:
            x: Points, one for each spline, of shape (…).

        Returns:
            Value and log derivative, (…) each.
        """
        inside = x.abs() < self.bound
        left, width, bottom, height, here, there = self._bin(torch.where(inside, x, 0.0), self.xs)
        slope = height / width
        u = (torch.where(inside, x, 0.0) - left) / width
        v = u * (1 - u)
        below = slope + (here + there - 2 * slope) * v
        value = bottom + height * (slope * u * u + here * v) / below
        above = there * u * u + 2 * slope * v + here * (1 - u) ** 2
        log_derivative = 2 * slope.log() + above.log() - 2 * below.log()
        return torch.where(inside, value, x), torch.where(inside, log_derivative, 0.0)

    def inverse(self, y: Tensor) -> Tensor:
        """Point with a given value: the root of a quadratic (eqs. (6)–(8) of Durkan et al.).

        Args:
            y: Values, one for each spline, of shape (…).

        Returns:
            The points, (…).
        """
        inside = y.abs() < self.bound
        left, width, bottom, height, here, there = self._bin(torch.where(inside, y, 0.0), self.ys)
        slope = height / width
        rise = torch.where(inside, y, 0.0) - bottom
        bend = here + there - 2 * slope
        a, b, c = height * (slope - here) + rise * bend, height * here - rise * bend, -slope * rise
        u = 2 * c / (-b - (b * b - 4 * a * c).clamp_min(0).sqrt())
        return torch.where(inside, left + u * width, y)

    def _bin(self, at: Tensor, knots: Tensor) -> tuple[Tensor, ...]:
        """Left, width, bottom and height of the bin that `at` falls into, and the slopes at its
        ends.
        """
        k = (torch.searchsorted(knots, at[..., None], right=True) - 1).clamp(0, knots.shape[-1] - 2)
        left, right, bottom, top, here, there = (
            values.gather(-1, k + j)[..., 0]
            for values in (self.xs, self.ys, self.slopes)
            for j in (0, 1)
        )
        return left, right - left, bottom, top - bottom, here, there


def _knots(raw: Tensor, bound: float) -> Tensor:
    """(…, K) -> (…, K + 1) from −bound to bound, by softmax."""
    share = LEAST + (1 - LEAST * raw.shape[-1]) * raw.softmax(dim=-1)
    knots = torch.nn.functional.pad(share.cumsum(dim=-1)[..., :-1], (1, 1))
    knots[..., -1] = 1.0
    return bound * (2 * knots - 1)
