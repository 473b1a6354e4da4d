"""Wasserstein distances on the line between any two laws, and between Gaussians in any
dimension.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar, TypeAlias

import numpy as np
import torch
from numpy.polynomial import legendre

from stability.laws.axis import Axis
from stability.laws.capabilities import Discrete
from stability.laws.expectation import Rule, rule
from stability.laws.law import Data, Density, as_law
from stability.laws.psd import sqrtm
from stability.laws.quadrature import SMALLEST, Panels, kronrod, panels

__all__ = ["Distance", "NoMoment", "gaussian_w2", "w1", "w2"]

_TOLERANCE = 1e-11
"""Largest error estimate of an integral, relative to it."""
_INSIDE = -1 + 1e-6
"""A point of a panel [−1, 1] beside its end, where a law that jumps at the end has not jumped
yet."""
_TINY = 1e-300
_ROUNDING = 1e-14
"""Rounding of a cumulative mass, relative to it: less than this is not resolved."""
_MOST_POINTS = 60_000
_NARROWEST = 1e-13
_MOST_PANELS = 3000
_OVERFLOW = 1e130
"""A density that is 0 so far out, in units of the scale, may be so by overflow; nearer it is the
end of a support."""
_STEEP, _NEAR = 60.0, 1e-6
"""A tail whose density underflows while it falls faster than this power of x is light: nothing
is beyond."""
_CUT = 1e16
"""The mass beyond the largest number is nothing where the tail has so many times more."""
_TAILS = 1e-9
"""Error of the mass of each panel, relative to itself: what F − G needs far out."""
_RESOLVED_TAIL = 1e-6
_LEFT = 1e-3
_SIGNAL = 100.0
"""Least size of an integrand, in units of its noise, where its tail is continued."""
_FAR, _STEP, _OCTAVES = 10.0, 2.0, 100.0
"""Tails are continued from beyond so many scales, by slopes over steps of this in log r; noise
counts so many steps."""


class NoMoment(ValueError):  # noqa: N818 - it is what was found
    """A distance is infinite: a law lacks the moment that it needs."""


@dataclass(frozen=True)
class Distance:
    """A distance, in units of x, and an estimate of its absolute error (0 between laws of finitely
    many points).

    The error covers quadrature, rounding, and mass that was not found, but not mass below 1e-12 at
    a place of which neither draws nor `landmarks` nor a peak of `log_prob` on a grid of all scales
    tell.
    """

    value: float
    error: float


_Shifts: TypeAlias = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class _Steps:
    """A law of finitely many points: x (n,) ascending, upto (n,) the weights summed up to each."""

    x: np.ndarray
    upto: np.ndarray
    heavy: ClassVar[tuple[bool, bool]] = (False, False)

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

    @property
    def reach(self) -> tuple[float, float]:
        return self.x[0], self.x[-1]

    def doubt(self, x: np.ndarray, upper: bool) -> np.ndarray:
        return np.zeros_like(x)

    def moment_doubt(self, middle: float, end: float, shifts: _Shifts | None) -> float:
        return 0.0


@dataclass(frozen=True)
class _Smooth:
    """A law with a density p.

    On panel j, [edges_j, edges_{j+1}] in t, p dx/dt is the polynomial through 21 nodes.

    Attributes:
        law: The density.
        axis: The map from t to x.
        edges: Ends of the panels, in t, ascending, (k + 1,).
        mass: Legendre coefficients of the integral from a panel's left end, (22, k).
        below: Mass left of each panel, summed from the left end, so that the tail suffers no
            cancellation, (k,).
        above: Mass right of each panel, summed from the right end, (k,).
        points: Nodes in x, (k, 21); not finite, or without mass, beyond the reach.
        unsure: What the mass at a node may be wrong by, >= 0, (k, 21).
        reach: Between these two places the tails are resolved, relative to themselves, in x.
        heavy: Whether there is noticeable mass beyond the lower, and beyond the upper end of the
            reach.
    """

    law: Density
    axis: Axis
    edges: np.ndarray
    mass: np.ndarray
    below: np.ndarray
    above: np.ndarray
    points: np.ndarray
    unsure: np.ndarray
    reach: tuple[float, float] = (-math.inf, math.inf)
    heavy: tuple[bool, bool] = (False, False)
    doubts: tuple[np.ndarray, np.ndarray] = field(init=False)

    def __post_init__(self):
        panel = self.unsure.sum(1)
        object.__setattr__(self, "doubts", (panel.cumsum(), panel[::-1].cumsum()[::-1]))

    def _local(self, t: np.ndarray, j: np.ndarray) -> np.ndarray:
        width = self.edges[j + 1] - self.edges[j]
        return (2 * (t - self.edges[j]) / width - 1).clip(-1, 1)

    def tail(self, x: np.ndarray, upper: np.ndarray) -> np.ndarray:
        """F(x), or where `upper` F(x) − 1: the mass of one tail, with a sign that tells which.

        Args:
            x: Places, (n,).
            upper: True for the upper tail, (n,).

        Returns:
            (n,).
        """
        t = self.axis.t(torch.from_numpy(np.clip(x, self.axis.lower, self.axis.upper))).numpy()
        j = (np.searchsorted(self.edges, t, side="right") - 1).clip(0, len(self.below) - 1)
        inside = legendre.legval(self._local(t, j), self.mass[:, j], tensor=False)
        whole = self.mass.sum(0)[j]  # P_k(1) = 1
        # the sign stays, whatever rounding does
        return np.where(
            upper,
            (inside - whole - self.above[j]).clip(max=-_TINY),
            (self.below[j] + inside).clip(min=_TINY),
        )

    def density(self, x: np.ndarray) -> np.ndarray:
        """p at x; 0 where x was rounded onto an end of the support.

        Args:
            x: Places, (n,).

        Returns:
            (n,).
        """
        inside = (x > self.axis.lower + SMALLEST) & (x < self.axis.upper - SMALLEST)
        height = np.zeros_like(x)
        height[inside] = self.law.log_prob(torch.from_numpy(x[inside])[:, None]).exp().numpy()
        return height

    def quantile(self, tail: np.ndarray) -> np.ndarray:
        """x of a value of `tail`, by bisection.

        Args:
            tail: Values as `tail` returns them, (n,).

        Returns:
            (n,).
        """
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
        return self.axis.x(torch.from_numpy(t)).numpy().clip(*self.reach)

    @property
    def knots(self) -> np.ndarray:
        inside = self.axis.x(torch.from_numpy(self.edges[1:-1])).numpy()
        return np.concatenate([inside.clip(*self.reach), self.reach])

    @property
    def levels(self) -> np.ndarray:
        return self.below[1:]

    def doubt(self, x: np.ndarray, upper: bool) -> np.ndarray:
        """Error bound of the lower, or upper, tail at each x.

        Args:
            x: Places, (n,).
            upper: True for the upper tail.

        Returns:
            (n,), >= 0.
        """
        t = self.axis.t(torch.from_numpy(np.clip(x, self.axis.lower, self.axis.upper))).numpy()
        j = (np.searchsorted(self.edges, t, side="right") - 1).clip(0, len(self.below) - 1)
        tail = self.tail(x, np.full(x.shape, upper))
        return self.doubts[int(upper)][j] + _ROUNDING * np.abs(tail)

    def moment_doubt(self, middle: float, end: float, shifts: _Shifts | None) -> float:
        """Error bound of an integral from m to an end, due to that of the masses.

        That of |x − m| without `shifts`; with them, that of (x − T(x))².

        Args:
            middle: m.
            end: The end, on either side of m.
            shifts: Places x, from m outwards, and the largest |x − T(x)| up to each.

        Returns:
            The bound, >= 0.
        """
        inside = np.isfinite(self.points) & (np.sign(self.points - middle) == np.sign(end - middle))
        reach = np.abs(self.points[inside] - middle).clip(max=abs(end - middle))
        if shifts is None:
            return float(self.unsure[inside] @ reach)
        places, farthest = np.abs(shifts[0] - middle), shifts[1]
        shift = farthest[np.searchsorted(places, reach).clip(max=len(places) - 1)]
        return float(self.unsure[inside] @ (2 * reach * (reach + shift)))


def w1(first: Data, second: Data) -> Distance:
    """W1 = ∫ |F − G| dx between two laws on the line.

    Exact between points; otherwise adaptive quadrature with an error estimate. A sampler counts as
    100,000 draws of it, whose noise is not part of the error. Beyond the reach of floating point a
    heavy tail is continued as a power of x.

    Args:
        first: A density, points (n,) or (n, 1), or a sampler.
        second: Likewise.

    Returns:
        The distance, in units of x.

    Raises:
        ValueError: If the data are bad or not on the line, a density has mass that was not found,
            or the integral does not converge (a law without a mean).
    """
    p, q = _line(first), _line(second)
    if isinstance(p, _Steps) and isinstance(q, _Steps):
        return Distance(_between_steps(p, q, 1), 0.0)
    smooth = p if isinstance(p, _Smooth) else q
    assert isinstance(smooth, _Smooth)
    middle = float(smooth.quantile(np.array([0.5]))[0])
    # where one law ends the other may go on
    axis = replace(smooth.axis, lower=-math.inf, upper=math.inf)

    value = error = 0.0
    for upper in (False, True):

        def gap(x: np.ndarray, upper: bool = upper) -> np.ndarray:
            side = np.full(x.shape, upper)
            return p.tail(x, side) - q.tail(x, side)

        def noise(x: np.ndarray, upper: bool = upper) -> np.ndarray:
            return p.doubt(x, upper) + q.doubt(x, upper)

        part = _Half(axis, middle, *_end(p, q, upper))
        rest, end = part.beyond(gap, noise, "W1")
        doubt = sum(law.moment_doubt(middle, end, None) for law in (p, q))
        inner = _integrate(gap, axis, middle, end, [p.knots, q.knots], doubt)
        value, error = value + inner[0] + rest[0], error + inner[1] + rest[1] + doubt
    return _finite("W1", value, error, axis.scale)


def w2(first: Data, second: Data) -> Distance:
    """W2 = (∫₀¹ (F⁻¹ − G⁻¹)² du)^½ between two laws on the line; everything else as for `w1`.

    Args:
        first: A density, points (n,) or (n, 1), or a sampler.
        second: Likewise.

    Returns:
        The distance, in units of x.

    Raises:
        ValueError: As for `w1`; the law without a moment is one without a variance.
    """
    p, q = _line(first), _line(second)
    if isinstance(p, _Steps) and isinstance(q, _Steps):
        return Distance(_between_steps(p, q, 2) ** 0.5, 0.0)

    square = error = scale = 0.0
    for upper in (False, True):
        source, target = _heavier_first(p, q, upper)
        part = _half_of_w2(source, target, upper)
        square, error, scale = square + part[0], error + part[1], max(scale, source.axis.scale)

    value = max(square, 0.0) ** 0.5
    return _finite("W2", value, min(error**0.5, error / value if value else math.inf), scale)


def _half_of_w2(source: "_Smooth", target: "_Steps | _Smooth", upper: bool) -> tuple[float, float]:
    """∫ (x − T(x))² p dx on one side of the median of p, T = G⁻¹ F, and its error."""
    middle = float(source.quantile(np.array([0.5]))[0])

    def shift(x: np.ndarray) -> np.ndarray:
        return x - target.quantile(source.tail(x, np.full(x.shape, upper)))

    def cost(x: np.ndarray) -> np.ndarray:
        return shift(x) ** 2 * source.density(x)

    def noise(x: np.ndarray) -> np.ndarray:
        # of T, about |x| times what the two tails are wrong by, relative to themselves
        image = x - shift(x)
        relative = sum(
            law.doubt(at, upper) / np.abs(law.tail(at, np.full(at.shape, upper))).clip(min=_TINY)
            for law, at in ((source, x), (target, image))
        )
        wrong = np.minimum(relative, 1) * (np.abs(x - middle) + np.abs(image - middle))
        return (2 * np.abs(x - image) + wrong) * wrong * source.density(x)

    levels = target.levels
    levels = levels[(levels > 0.5) == upper]
    steps = source.quantile(levels - 1 if upper else levels)
    end, heavy = source.reach[upper], source.heavy[upper]
    if target.heavy[upper]:
        heavy = True
        level = target.tail(np.array([target.reach[upper]]), np.array([upper]))
        end = (min if upper else max)(end, float(source.quantile(level)[0]))
    part = _Half(source.axis, middle, end, heavy)
    rest, end = part.beyond(cost, noise, "W2")

    # to first order in the masses: their error times Kantorovich's potential, at most 2 |x − m| max
    # |shift| up to x
    knots = np.concatenate([source.knots, steps])
    inside = np.append(knots[(knots - middle) * (end - middle) > 0], end)
    inside = inside[np.abs(inside - middle).argsort()]
    moved = shift(inside)
    farthest = np.maximum.accumulate(np.abs(moved))
    start, image = middle - float(shift(np.array([middle]))[0]), inside - moved
    doubt = source.moment_doubt(middle, end, (inside, farthest))
    doubt += target.moment_doubt(start, float(image[-1]), (image, farthest))

    inner = _integrate(cost, source.axis, middle, end, [source.knots, steps], doubt)
    return inner[0] + rest[0], inner[1] + rest[1] + doubt


def _heavier_first(
    p: "_Steps | _Smooth", q: "_Steps | _Smooth", upper: bool
) -> "tuple[_Smooth, _Steps | _Smooth]":
    """First the law that reaches farther in this tail: x ↦ G⁻¹(F(x)) then shrinks errors of F,
    not raises them.
    """
    if isinstance(p, _Smooth) and isinstance(q, _Smooth):
        far = np.array([-1e-9 if upper else 1e-9])
        sign = 1 if upper else -1
        first, second = ((law.heavy[upper], sign * law.quantile(far)[0]) for law in (p, q))
        return (p, q) if first >= second else (q, p)
    if isinstance(p, _Smooth):
        return p, q
    assert isinstance(q, _Smooth)
    return q, p


def _end(p: "_Steps | _Smooth", q: "_Steps | _Smooth", upper: bool) -> tuple[float, bool]:
    """Place to stop at on one side, and whether a heavy tail goes on from there."""
    far = max if upper else min
    light = [law.reach[upper] for law in (p, q) if not law.heavy[upper]]
    heavy = [law.reach[upper] for law in (p, q) if law.heavy[upper]]
    if not heavy:
        return far(light), False
    return far([*light, (min if upper else max)(heavy)]), True


@dataclass(frozen=True)
class _Half:
    """One side of a point `middle`, to `end`, in x;

    Attributes:
        heavy: Whether the integrand goes on beyond the end.
    """

    axis: Axis
    middle: float
    end: float
    heavy: bool

    def beyond(
        self,
        f: Callable[[np.ndarray], np.ndarray],
        noise: Callable[[np.ndarray], np.ndarray],
        name: str,
    ) -> tuple[tuple[float, float], float]:
        """∫ |f| dx beyond the end and its error, and the end: the last place where f is above its
        noise.

        With r = |x − middle|, |f| r is continued as r^(−κ). The error is what a drift of κ can do,
        and the noise.

        Args:
            f: Integrand, (n,) -> (n,).
            noise: Error bound of f, (n,) -> (n,).
            name: Name of the integral, for the error message.

        Returns:
            (integral, error), and the end.

        Raises:
            NoMoment: If the integral does not converge.
        """
        if not self.heavy:
            return (0.0, 0.0), self.end
        sign, farthest = math.copysign(1.0, self.end - self.middle), abs(self.end - self.middle)
        count = max(int(math.log(max(farthest / (_FAR * self.axis.scale), 1)) / _STEP), 0)
        r = farthest * np.exp(-_STEP * np.arange(count + 1))  # from outside in
        size, wrong = np.abs(f(self.middle + sign * r)) * r, noise(self.middle + sign * r) * r
        nothing = (0.0, _OCTAVES * float(size[0] + wrong[0])), self.end
        if count < 4:
            return nothing

        slope = np.diff(np.log(size.clip(min=_TINY))) / _STEP
        change = np.abs(np.diff(slope)) / _STEP
        drift = np.maximum(change[:-1], change[1:])  # two, lest one vanish by chance
        slope, wrong, size = (values[: len(drift)] for values in (slope, wrong, size))
        clear = np.flatnonzero(wrong * _SIGNAL < size)
        if not len(clear):
            return nothing
        falls = clear[slope[clear] > 0]
        fall, rest = slope[falls], size[falls] / slope[falls]
        error = rest * (
            3 * drift[falls] / fall**2 + wrong[falls] / size[falls] * (1 + 2 / (_STEP * fall))
        )
        best = int(error.argmin()) if len(falls) else 0
        # it grows, or falls so slowly that κ is 0 within its error, and there is something left to
        # integrate
        if not slope[clear[0]] > 0 or (error[best] > rest[best] > _LEFT * size.max()):
            raise NoMoment(
                f"{name} does not converge: beyond x = {self.middle + sign * r[clear[0]]:.1g} its "
                "integrand falls no "
                f"faster than |x|^{-1 - slope[clear[0]]:.3g}; has a law no such moment?"
            )
        return (float(rest[best]), float(error[best])), self.middle + sign * float(r[falls[best]])


def gaussian_w2(
    mean: np.ndarray, covariance: np.ndarray, other_mean: np.ndarray, other_covariance: np.ndarray
) -> float:
    """W2 between two Gaussians on R^d.

    W2² = ‖m − m'‖² + tr(S + S' − 2 (S^½ S' S^½)^½).

    Args:
        mean: m, (d,).
        covariance: S, (d, d), positive semi-definite.
        other_mean: m', (d,).
        other_covariance: S', (d, d), positive semi-definite.

    Returns:
        The distance, in units of x.

    Raises:
        ValueError: If a covariance is not positive semi-definite.
    """
    root = sqrtm(covariance)
    cross = np.trace(sqrtm(root @ other_covariance @ root))
    square = (
        np.sum((np.asarray(mean) - other_mean) ** 2)
        + np.trace(covariance)
        + np.trace(other_covariance)
        - 2 * cross
    )
    # rounding can make the square of a zero distance negative
    return float(max(square, 0.0) ** 0.5)


def _line(data: Data) -> "_Steps | _Smooth":
    law = as_law(data)
    discrete = isinstance(law, Discrete) and law.atoms is not None
    if isinstance(law, Density) and not discrete:
        boxes = panels(law, lambda x: x, most=_MOST_POINTS, tails=_TAILS)
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
    axis, order = boxes.axes[0], boxes.low[:, 0].argsort()
    assert isinstance(axis, Axis)
    nodes, weights, _ = (v.numpy() for v in kronrod())
    masses = boxes.mass[order].numpy()
    density = masses / weights  # (k, 21), in units of the local coordinate in [−1, 1]
    coefficients = np.linalg.solve(legendre.legvander(nodes, 20), density.T)
    mass = legendre.legint(coefficients, lbnd=-1, axis=0)  # (22, k)
    whole = mass.sum(0)  # P_k(1) = 1
    below = np.concatenate([[0.0], whole.cumsum()[:-1]])
    above = np.concatenate([whole[::-1].cumsum()[::-1][1:], [0.0]])
    edges = torch.cat([boxes.low[order, 0], boxes.high[order[-1:], 0]]).numpy()

    slack = np.abs(boxes.slack[order].numpy().sum(1)) / masses.sum(1).clip(min=_TINY)
    unsure = slack[:, None] * masses + boxes.doubt[order].numpy() + _ROUNDING * masses
    points = boxes.points[order, :, 0].numpy()
    bare = _Smooth(law, axis, edges, mass, below, above, points, unsure)
    ends = [_tail_end(bare, masses, upper) for upper in (False, True)]
    reach, heavy = zip(*ends, strict=True)
    return replace(bare, reach=reach, heavy=heavy)


def _tail_end(law: _Smooth, masses: np.ndarray, upper: bool) -> tuple[float, bool]:
    """Place up to which a tail is resolved relative to itself, in x, and whether there is
    noticeable mass beyond.
    """
    limit = law.axis.upper if upper else law.axis.lower
    if math.isfinite(limit):
        return limit, False
    massive = law.points[masses > 0]
    last = float(massive.max() if upper else massive.min())
    distance = abs(last - law.axis.centre)
    pair = torch.tensor([[last], [last + (last - law.axis.centre) * _NEAR]], dtype=torch.float64)
    height = law.law.log_prob(pair).to(torch.float64).tolist()
    if distance < _OVERFLOW * law.axis.scale and not height[0] - height[1] < _STEEP * _NEAR:
        return last, False
    rest = math.exp(height[0]) * distance

    # the panels' inner ends, from outside in, with the mass and its doubt from there on
    inner = law.edges[:-1] if upper else law.edges[1:]
    tail = law.above + law.mass.sum(0) if upper else law.below + law.mass.sum(0)
    known = (tail >= _CUT * rest) & (law.doubts[upper] <= _RESOLVED_TAIL * tail)
    if not known.any():
        return law.axis.centre, True
    j = np.flatnonzero(known)[-1 if upper else 0]
    return float(law.axis.x(torch.tensor([inner[j]]))[0]), True


def _between_steps(p: _Steps, q: _Steps, order: int) -> float:
    """∫₀¹ |F⁻¹ − G⁻¹|^order du: both quantile functions are constant between the merged levels."""
    levels = np.union1d(p.upto, q.upto)
    width = np.diff(levels, prepend=0.0)
    middle = levels - width / 2
    return float(width @ np.abs(p.quantile(middle) - q.quantile(middle)) ** order)


def _integrate(
    f: Callable[[np.ndarray], np.ndarray],
    axis: Axis,
    middle: float,
    end: float,
    knots: Sequence[np.ndarray],
    floor: float,
) -> tuple[float, float]:
    """∫ |f| dx between two points, and its error. f is smooth between `knots` but for a few kinks.

    Args:
        axis: The map in which to integrate.
        floor: An error, in units of the integral, that need not be fallen below.
    """
    nodes, fine, coarse = (v.numpy() for v in kronrod())
    # and just inside the ends: f may change its sign there
    beside = np.concatenate([[_INSIDE], nodes, [-_INSIDE]])
    outer = 1 - np.abs(nodes).max()
    lowest, highest = sorted(axis.t(torch.tensor([middle, end], dtype=torch.float64)).tolist())
    inner = axis.t(torch.from_numpy(np.concatenate(knots))).numpy()
    edges = np.unique(np.concatenate([[lowest, highest], inner.clip(lowest, highest)]))
    low, high = edges[:-1], edges[1:]
    value = error = 0.0
    while len(low):
        t = low[:, None] + (high - low)[:, None] * (1 + beside) / 2  # (k, 23)
        x, slope = (
            v.numpy().ravel()
            for v in (axis.x(torch.from_numpy(t)), axis.slope(torch.from_numpy(t)))
        )
        inside = np.isfinite(x) & np.isfinite(slope)  # at infinity the limit is 0
        weighted = np.zeros_like(x)
        weighted[inside] = f(x[inside]) * slope[inside]
        weighted = weighted.reshape(t.shape) * (high - low)[:, None] / 2
        ends, weighted = weighted[:, [0, -1]], weighted[:, 1:-1]
        parts, errors = np.abs(weighted) @ fine, np.abs(np.abs(weighted) @ (fine - coarse))
        # where f changes its sign the two rules can agree by chance: what that can do is the
        # difference between |f| and f, and before the first node and after the last a triangle
        beyond = np.abs(ends) * (ends * weighted[:, [0, -1]] < 0)
        errors = np.maximum(errors, parts - np.abs(weighted @ fine)) + outer * beyond.sum(1)
        # halving a panel for less than the rounding error of its mass would only collect more of
        # that
        allowed = floor + _TOLERANCE * (value + parts.sum()) / min(len(edges), 1000)
        bad = (errors > allowed) & (high - low > _NARROWEST)
        if bad.sum() > 2 * len(edges) + _MOST_PANELS:  # noise: halving does not help
            bad[:] = False
        value, error = value + parts[~bad].sum(), error + errors[~bad].sum()
        low, high = low[bad], high[bad]
        middles = (low + high) / 2
        low, high = np.concatenate([low, middles]), np.concatenate([middles, high])
    return float(value), float(error)


def _finite(name: str, value: float, error: float, scale: float) -> Distance:
    if not error <= 1e-3 * value + 1e-5 * scale:
        raise ValueError(
            f"{name} is not resolved (got {value:.3g} ± {error:.3g}): has a law no such moment?"
        )
    return Distance(float(value), float(error))
