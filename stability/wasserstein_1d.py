"""Wasserstein distances on the line between any two laws, and between Gaussians in any dimension."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import torch
from numpy.polynomial import legendre

from stability.expectation import Axis, Data, Density, Panels, Rule, as_law, kronrod, panels, rule
from stability.psd import sqrtm

__all__ = ["Distance", "gaussian_w2", "w1", "w2"]

_TOLERANCE = 1e-11
"""Of an integral: what its error estimate may be, relative to it."""
_INSIDE = -1 + 1e-6
"""A point of a panel [−1, 1] beside its end, where a law that jumps at the end has not jumped yet."""
_FAR = 1 - 1e-12
_TINY = 1e-300
_ROUNDING = 1e-14
"""Of an integral, in units of the law's scale (squared for W2): less than this is not resolved."""


@dataclass(frozen=True)
class Distance:
    """A distance, in units of x, and an estimate of its absolute error (0 between laws of finitely many points)."""

    value: float
    error: float


@dataclass(frozen=True)
class _Steps:
    """A law of finitely many points: x (n,) ascending, upto (n,) the weights summed up to each."""

    x: np.ndarray
    upto: np.ndarray
    error: ClassVar[float] = 0.0

    def tail(self, x: np.ndarray, upper: np.ndarray) -> np.ndarray:
        below = np.concatenate([[0.0], self.upto])[np.searchsorted(self.x, x, side="right")]
        return np.where(upper, below - 1, below)

    def quantile(self, tail: np.ndarray) -> np.ndarray:
        level = np.where(tail < 0, 1 + tail, tail)
        return self.x[np.searchsorted(self.upto, level).clip(max=len(self.x) - 1)]

    @property
    def knots(self) -> np.ndarray:
        return self.x

    @property
    def levels(self) -> np.ndarray:
        return self.upto[:-1]


@dataclass(frozen=True)
class _Smooth:
    """A law with a density p. On panel j, [edges_j, edges_{j+1}] in t, p dx/dt is the polynomial through 21 nodes.

    mass (22, k): Legendre coefficients of its integral from the left end.   below, above (k,): mass left of the panel
    and right of it, each summed from its own end, so that neither tail suffers cancellation.   error: of all mass.
    """

    law: Density
    axis: Axis
    edges: np.ndarray
    mass: np.ndarray
    below: np.ndarray
    above: np.ndarray
    error: float

    def _local(self, t: np.ndarray, j: np.ndarray) -> np.ndarray:
        width = self.edges[j + 1] - self.edges[j]
        return (2 * (t - self.edges[j]) / width - 1).clip(-1, 1)

    def tail(self, x: np.ndarray, upper: np.ndarray) -> np.ndarray:
        """F(x), or where `upper` F(x) − 1: the mass of one tail, with a sign that tells which."""
        t = self.axis.t(torch.from_numpy(np.clip(x, self.axis.lower, self.axis.upper))).numpy()
        j = (np.searchsorted(self.edges, t, side="right") - 1).clip(0, len(self.below) - 1)
        inside = legendre.legval(self._local(t, j), self.mass[:, j], tensor=False)
        whole = self.mass.sum(0)[j]  # P_k(1) = 1
        # the sign stays, whatever rounding does
        return np.where(
            upper, (inside - whole - self.above[j]).clip(max=-_TINY), (self.below[j] + inside).clip(min=_TINY)
        )

    def quantile(self, tail: np.ndarray) -> np.ndarray:
        """x of a value of `tail`, by bisection."""
        k = len(self.below)
        left = (np.searchsorted(self.below, tail, side="right") - 1).clip(0, k - 1)
        right = np.searchsorted(-self.above, tail).clip(0, k - 1)
        j = np.where(tail < 0, right, left)
        whole = self.mass.sum(0)[j]
        wanted = np.where(tail < 0, tail + self.above[j] + whole, tail - self.below[j])
        low, high = -np.ones_like(tail), np.ones_like(tail)
        for _ in range(54):
            middle = (low + high) / 2
            short = legendre.legval(middle, self.mass[:, j], tensor=False) < wanted
            low, high = np.where(short, middle, low), np.where(short, high, middle)
        t = self.edges[j] + (self.edges[j + 1] - self.edges[j]) * (1 + low) / 2
        # where the tail underflows the quantile is not infinite: the density there is 0, or nearly
        return self.axis.x(torch.from_numpy(t).clamp(-_FAR, _FAR)).numpy()

    @property
    def knots(self) -> np.ndarray:
        inside = self.axis.x(torch.from_numpy(self.edges[1:-1])).numpy()
        ends = [end for end in (self.axis.lower, self.axis.upper) if math.isfinite(end)]
        return np.concatenate([inside, ends])

    @property
    def levels(self) -> np.ndarray:
        return self.below[1:]


def w1(first: Data, second: Data) -> Distance:
    """W1 = ∫ |F − G| dx between two laws on the line: densities, points (n,) or (n, 1), or samplers (by their draws).

    Exact between points; otherwise adaptive quadrature with an error estimate. A sampler counts as 100,000 draws of it,
    whose noise is not part of the error.
    ValueError for other dimensions, bad data, or if the integral does not converge (a law without that moment).
    """
    p, q = _line(first), _line(second)
    if isinstance(p, _Steps) and isinstance(q, _Steps):
        return Distance(_between_steps(p, q, 1), 0.0)
    smooth = p if isinstance(p, _Smooth) else q
    assert isinstance(smooth, _Smooth)
    middle = float(smooth.quantile(np.array([0.5]))[0])
    value, error = _integrate(
        lambda x: p.tail(x, x > middle) - q.tail(x, x > middle),
        smooth,
        [p.knots, q.knots, np.array([middle])],
        mass_error=p.error + q.error,
        power=1,
    )
    return _finite("W1", value, error, smooth.axis.scale)


def w2(first: Data, second: Data) -> Distance:
    """W2 = (∫₀¹ (F⁻¹ − G⁻¹)² du)^½ between two laws on the line; everything else as for `w1`."""
    p, q = _line(first), _line(second)
    if isinstance(p, _Steps) and isinstance(q, _Steps):
        return Distance(_between_steps(p, q, 2) ** 0.5, 0.0)
    total = error = scale = 0.0
    for upper in (False, True):
        source, target = _heavier_first(p, q, upper)
        middle = float(source.quantile(np.array([0.5]))[0])
        levels = target.levels
        levels = levels[(levels > 0.5) == upper]

        def cost(x: np.ndarray, source=source, target=target, upper=upper) -> np.ndarray:
            shift = x - target.quantile(source.tail(x, np.full(x.shape, upper)))
            return shift**2 * source.law.log_prob(torch.from_numpy(x)[:, None]).exp().numpy()

        steps = source.quantile(levels - 1 if upper else levels)
        part = _integrate(cost, source, [source.knots, steps], p.error + q.error, power=2, side=(middle, upper))
        total, error, scale = total + part[0], error + part[1], max(scale, source.axis.scale)
    value = max(total, 0.0) ** 0.5
    return _finite("W2", value, min(error**0.5, error / value if value else np.inf), scale)


def _heavier_first(p: "_Steps | _Smooth", q: "_Steps | _Smooth", upper: bool) -> "tuple[_Smooth, _Steps | _Smooth]":
    """First the law that reaches farther in this tail: x ↦ G⁻¹(F(x)) then shrinks errors of F, not raises them."""
    if isinstance(p, _Smooth) and isinstance(q, _Smooth):
        far = np.array([-1e-9 if upper else 1e-9])
        sign = 1 if upper else -1
        return (p, q) if sign * p.quantile(far)[0] >= sign * q.quantile(far)[0] else (q, p)
    if isinstance(p, _Smooth):
        return p, q
    assert isinstance(q, _Smooth)
    return q, p


def gaussian_w2(
    mean: np.ndarray, covariance: np.ndarray, other_mean: np.ndarray, other_covariance: np.ndarray
) -> float:
    """W2 between N(mean, covariance) and N(other_mean, other_covariance), (d,) and (d, d), semi-definite allowed.

    W2² = ‖m − m'‖² + tr(S + S' − 2 (S^½ S' S^½)^½). ValueError if a covariance is not positive semi-definite.
    """
    root = sqrtm(covariance)
    cross = np.trace(sqrtm(root @ other_covariance @ root))
    square = (
        np.sum((np.asarray(mean) - other_mean) ** 2) + np.trace(covariance) + np.trace(other_covariance) - 2 * cross
    )
    return float(max(square, 0.0) ** 0.5)  # rounding can make the square of a zero distance negative


def _line(data: Data) -> "_Steps | _Smooth":
    law = as_law(data)
    if isinstance(law, Density) and getattr(law, "atoms", None) is None:
        # 1/√p beside x: where √p is resolved, so is the mass of the far tails, relative to itself
        boxes = panels(law, lambda x: torch.cat([x, (-law.log_prob(x) / 2).exp()[:, None]], 1), most=20_000)
        if len(boxes.axes) == 1:
            return _smooth(law, boxes)
    atoms = rule(law)
    if atoms.points.shape[1] != 1:
        raise ValueError(f"the laws must be on the line, got dimension {atoms.points.shape[1]}")
    return _steps(atoms)


def _steps(atoms: Rule) -> _Steps:
    x, weights = atoms.points[:, 0].numpy(), atoms.weights.numpy()
    order = np.argsort(x)
    upto = weights[order].cumsum()
    return _Steps(x[order], upto / upto[-1])


def _smooth(law: Density, boxes: Panels) -> _Smooth:
    order = boxes.low[:, 0].argsort()
    nodes, weights, _ = (v.numpy() for v in kronrod())
    density = boxes.mass[order].numpy() / weights  # (k, 21), in units of the local coordinate in [−1, 1]
    coefficients = np.linalg.solve(legendre.legvander(nodes, 20), density.T)
    mass = legendre.legint(coefficients, lbnd=-1, axis=0)  # (22, k)
    whole = mass.sum(0)  # P_k(1) = 1
    below = np.concatenate([[0.0], whole.cumsum()[:-1]])
    above = np.concatenate([whole[::-1].cumsum()[::-1][1:], [0.0]])
    edges = torch.cat([boxes.low[order, 0], boxes.high[order[-1:], 0]]).numpy()
    return _Smooth(law, boxes.axes[0], edges, mass, below, above, float(boxes.slack.sum(1).abs().sum()))


def _between_steps(p: _Steps, q: _Steps, order: int) -> float:
    """∫₀¹ |F⁻¹ − G⁻¹|^order du: both quantile functions are constant between the merged levels."""
    levels = np.union1d(p.upto, q.upto)
    width = np.diff(levels, prepend=0.0)
    middle = levels - width / 2
    return float(width @ np.abs(p.quantile(middle) - q.quantile(middle)) ** order)


def _integrate(
    f: Callable[[np.ndarray], np.ndarray],
    law: _Smooth,
    knots: Sequence[np.ndarray],
    mass_error: float,
    power: int,
    side: tuple[float, bool] | None = None,
) -> tuple[float, float]:
    """∫ |f| dx over the line, or on one side of a point (upper if True), and its error.

    f is smooth between `knots` but for a few kinks, and of the size of (law's scale)^(power − 1).
    mass_error: of the masses of both laws together.
    """
    nodes, fine, coarse = (v.numpy() for v in kronrod())
    beside = np.concatenate([[_INSIDE], nodes, [-_INSIDE]])  # and just inside the ends: f may change its sign there
    outer = 1 - np.abs(nodes).max()
    # where one law ends the other may go on
    axis = replace(law.axis, lower=-math.inf, upper=math.inf) if side is None else law.axis
    lowest, highest = -1.0, 1.0
    if side is not None:
        middle = float(axis.t(torch.tensor(side[0], dtype=torch.float64)))
        lowest, highest = (middle, 1.0) if side[1] else (-1.0, middle)
    inner = axis.t(torch.from_numpy(np.concatenate(knots))).numpy()
    edges = np.unique(np.concatenate([[lowest, highest], inner.clip(lowest, highest)]))
    low, high = edges[:-1], edges[1:]
    floor = (_ROUNDING + mass_error) * axis.scale**power
    value = error = 0.0
    while len(low):
        t = low[:, None] + (high - low)[:, None] * (1 + beside) / 2  # (k, 23)
        x, slope = (v.numpy().ravel() for v in (axis.x(torch.from_numpy(t)), axis.slope(torch.from_numpy(t))))
        weighted = (f(x) * slope).reshape(t.shape) * (high - low)[:, None] / 2
        ends, weighted = weighted[:, [0, -1]], weighted[:, 1:-1]
        ends = np.where(np.isfinite(ends), ends, 0)  # beyond the largest number
        parts, errors = np.abs(weighted) @ fine, np.abs(np.abs(weighted) @ (fine - coarse))
        # where f changes its sign the two rules can agree by chance: what that can do is the difference between |f| and
        # f, and before the first node and after the last a triangle
        beyond = np.abs(ends) * (ends * weighted[:, [0, -1]] < 0)
        errors = np.maximum(errors, parts - np.abs(weighted @ fine)) + outer * beyond.sum(1)
        # halving a panel for less than the rounding error of its mass would only collect more of that
        allowed = floor + _TOLERANCE * (value + parts.sum()) / min(len(edges), 1000)
        bad = (errors > allowed) & (high - low > 1e-8)
        value, error = value + parts[~bad].sum(), error + errors[~bad].sum()
        low, high = low[bad], high[bad]
        middle = (low + high) / 2
        low, high = np.concatenate([low, middle]), np.concatenate([middle, high])
    return float(value), float(error) + floor


def _finite(name: str, value: float, error: float, scale: float) -> Distance:
    if not error <= 1e-3 * value + 1e-5 * scale:
        raise ValueError(f"{name} does not converge (got {value:.3g} ± {error:.3g}): has a law no such moment?")
    return Distance(value, error)
