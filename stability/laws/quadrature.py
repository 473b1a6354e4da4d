"""Adaptive Gauss–Kronrod quadrature of a density on the line or in the plane, with an error
estimate.

A density without `support` is integrated over all of R^d. The mass must come out as 1, to what
quadrature and rounding leave open: what is missing is looked for, and refused if it is not found.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import numpy as np
import torch
from numpy.polynomial import legendre
from torch import Tensor

from stability.laws.axis import AlgebraicAxis, Axis
from stability.laws.capabilities import Bounded, HasLandmarks
from stability.laws.law import Density, draw, require_mass

__all__ = ["SMALLEST", "Panels", "Probe", "kronrod", "panels", "tolerance"]

Probe: TypeAlias = Callable[[Tensor], Tensor]
"""Functions to integrate, side by side: (n, d) -> (n, c)."""

_ADDED = (
    0.9956571630258081,
    0.9301574913557082,
    0.7808177265864169,
    0.5627571346686047,
    0.2943928627014602,
)
"""Nodes that Kronrod's rule of 21 adds to Gauss's of 10, with 0 and reflections (QUADPACK,
qk21)."""
NO_MASS_AT_ALL = 1e-200
"""Least mass that is looked at: with less, derivatives overflow in floating point, and add nothing.
"""
SMALLEST = 1e-300
"""Nearer to an end of the support no density is looked at."""
_NEAR_END, _NO_MASS_NEAR_END = 1e-150, 1e-60
"""Nearer to a finite end 1/z² overflows, a derivative of log z: a density as small as this counts
as 0 there."""
_PILOT = 2000
_MORE_DRAWS = 100_000
_NARROWEST = 1e-14
_MOST_POINTS = 400_000
_EPSILON = 2.0**-52
_UNEXPLAINED = 1e-2
_LEAST_UNEXPLAINED = 1e-12
"""Mass, in units of the tolerance and at least, that a density may lack without a reason: its
own last digits."""
_MISSED = 1e-3
"""A panel has missed a mode if its polynomial is off by this, relative to the density."""
_NO_MASS = 1e-20
_FINE_STEP, _FINE_REACH, _COARSE_STEP, _REACH = 0.05, 60.0, 1.0, 650.0
"""Steps and reaches of the grid in u (see `Axis`) on which far peaks are looked for: to 1e26 scales
finely, to 1e282 coarsely."""
_SECTIONS = 70
_LEAST_TAIL, _SPAN = 1e-60, 1e6
"""Least mass of panels in a tail that must be resolved, and the span of density in one of
them."""
_OVERFLOW = 1e100
"""Beyond this a log_prob that is not a number is so by overflow."""


@dataclass(frozen=True)
class Panels:
    """A density on a partition of its support into boxes, each with the q = 21^d nodes of Kronrod's
    rule.

    Attributes:
        axes: One map a coordinate.
        low: Lower corners of the boxes, in t, (c, d).
        high: Upper corners of the boxes, in t, (c, d).
        points: Nodes in x, (c, q, d); may be infinite where there is no mass.
        mass: Node weight times density, (c, q): `Σ mass f(points)` is E f.
        slack: See `Rule`, (c, q).
        rounding: What rounding does to the mass, >= 0, (c, q).
    """

    axes: tuple[Axis | AlgebraicAxis, ...]
    low: Tensor
    high: Tensor
    points: Tensor
    mass: Tensor
    slack: Tensor
    rounding: Tensor

    @property
    def doubt(self) -> Tensor:
        """See `Rule`, (c, q)."""
        return self.rounding + abs(1 - float(self.mass.sum())) * self.mass


def kronrod() -> tuple[Tensor, Tensor, Tensor]:
    """Nodes in (−1, 1), weights of Kronrod's rule of 21 nodes, and those of Gauss's of 10 on the
    same nodes: (21,).
    """
    gauss, gauss_weights = np.polynomial.legendre.leggauss(10)
    nodes = np.concatenate([gauss, _ADDED, [0.0], np.negative(_ADDED)])
    order = np.argsort(nodes)
    coarse = np.concatenate([gauss_weights, np.zeros(11)])[order]
    # interpolatory weights: exact for Legendre's P_0 … P_20, whose integrals are 2, 0, …, 0
    weights = np.linalg.solve(
        np.polynomial.legendre.legvander(nodes[order], 20).T, 2.0 * np.eye(21)[0]
    )
    return torch.from_numpy(nodes[order]), torch.from_numpy(weights), torch.from_numpy(coarse)


def panels(
    law: Density,
    probe: Probe | None = None,
    *,
    tol: float | None = None,
    most: int = _MOST_POINTS,
    tails: float = math.inf,
) -> Panels:
    """Boxes on which quadrature gets the mass of a density in 1-D or 2-D, and E of each function of
    `probe`.

    The boxes start at quantiles of a pilot sample and are halved until the summed error estimate is
    at most `tol` times E of the absolute value. On the line they are then halved wherever the
    density at a draw, a landmark, an end of a panel, or a far peak of `log_prob` is not what its
    panel says; if the mass is still short, more draws are looked at.

    Args:
        law: A density in 1-D or 2-D.
        probe: Functions to integrate, (n, d) -> (n, c).
        tol: As for `rule`.
        most: Number of points at which halving stops.
        tails: Error of the mass of each panel, relative to itself, down to masses of 1e-60.

    Returns:
        The boxes.

    Raises:
        ValueError: If the mass is not 1 to what is resolved, or a function of `probe` is not finite
            where it is.
    """
    axes, edges, pilot = _axes(law)
    d = len(axes)
    if d > 2:
        raise ValueError(f"quadrature is for laws in 1-D or 2-D, got a law in {d}-D")
    tol = tolerance(d) if tol is None else tol
    mesh = _Mesh(law, axes, probe, tol, most, tails)
    corners = ([e[:-1] for e in edges], [e[1:] for e in edges])
    cells = mesh.refined(
        mesh.evaluate(*[torch.cartesian_prod(*ends).reshape(-1, d) for ends in corners])
    )

    if d == 1:
        marks = torch.cat([pilot, _landmarks(law, 1), mesh.far_peaks(cells)])
        cells = mesh.resolved(cells, marks)
    result = mesh.panels(cells)
    if d == 1 and _missing(result) > _doubtful(result, tol):
        more = draw(law, _MORE_DRAWS, torch.Generator().manual_seed(1))
        result = mesh.panels(mesh.resolved(cells, more))
    require_mass(law, _missing(result), _doubtful(result, tol))
    return result


def _missing(panels: Panels) -> float:
    """1 − mass."""
    return 1 - float(panels.mass.sum())


def _doubtful(panels: Panels, tol: float) -> float:
    """Largest distance of the mass from 1 that known reasons explain: quadrature, rounding, and the
    density's own digits.
    """
    known = float(panels.slack.sum(1).abs().sum() + panels.rounding.sum())
    return 2 * known + max(_UNEXPLAINED * tol, _LEAST_UNEXPLAINED)


class _Cells(NamedTuple):
    """Boxes as in `Panels`, with density (c, q) in units of the box, and error and size (c, v)
    of each integral.
    """

    low: Tensor
    high: Tensor
    points: Tensor
    density: Tensor
    error: Tensor
    size: Tensor


class _Mesh:
    """Evaluates a density and the functions of a probe on boxes, and halves boxes."""

    def __init__(
        self,
        law: Density,
        axes: tuple[Axis | AlgebraicAxis, ...],
        probe: Probe | None,
        tol: float,
        most: int,
        tails: float,
    ):
        self.law, self.axes, self.probe, self.tol, self.most, self.tails = (
            law,
            axes,
            probe,
            tol,
            most,
            tails,
        )

        # nodes of a box: those of Kronrod's rule in each direction
        self.nodes, fine, coarse = (_product(v, len(axes)) for v in kronrod())  # (q, d) each
        self.fine, self.slack = fine.prod(1), fine.prod(1) - coarse.prod(1)
        self.vandermonde = torch.from_numpy(legendre.legvander(kronrod()[0].numpy(), 20))

    def evaluate(self, low: Tensor, high: Tensor) -> _Cells:
        """Evaluate the boxes between corners, in t.

        Args:
            low: Lower corners, (c, d).
            high: Upper corners, (c, d).

        Returns:
            c boxes.
        """
        half = (high - low)[:, None] / 2  # (c, 1, d)
        t = low[:, None] + half * (1 + self.nodes)  # (c, q, d)
        points, density = self._density(t.reshape(-1, t.shape[-1]))
        points, density = points.reshape(t.shape), density.reshape(t.shape[:2]) * half.prod(-1)

        values = _probed(self.probe, points.flatten(0, 1), density.reshape(-1)).reshape(
            *t.shape[:2], -1
        )
        weighted = density[..., None] * values
        error = torch.einsum("q,cqv->cv", self.slack, weighted).abs()
        size = torch.einsum("q,cqv->cv", self.fine, weighted.abs())
        return _Cells(low, high, points, density, error, size)

    def _density(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """Points in x (n, d), and the density with respect to t (n,), of t (n, d).

        Where x or the slope is beyond the largest number, or x is rounded onto a finite end, the
        limit 0 is taken; and so is a density near an end that is negligible there.
        """
        points = torch.stack([axis.x(t[:, k]) for k, axis in enumerate(self.axes)], -1)
        slope = torch.stack([axis.slope(t[:, k]) for k, axis in enumerate(self.axes)], -1).prod(-1)
        inside = torch.isfinite(points).all(1) & torch.isfinite(slope)
        for k, axis in enumerate(self.axes):
            inside &= (points[:, k] > axis.lower + SMALLEST) & (
                points[:, k] < axis.upper - SMALLEST
            )

        log_height = self.law.log_prob(points[inside]).to(torch.float64)
        overflown = torch.isnan(log_height) & (points[inside].abs() > _OVERFLOW).any(1)
        height = torch.where(overflown, -torch.inf, log_height).exp()
        if not (torch.isfinite(height).all() and (height >= 0).all()):
            where = points[inside][~(torch.isfinite(height) & (height >= 0))][0].tolist()
            raise ValueError(
                f"log_prob must not be NaN or +Inf, got that at x = {where} for {self.law!r}; "
                "a law on a half-line or an interval needs `support`, (lower, upper) of each "
                "coordinate, such as ((0.0, inf),), or a log_prob of -Inf outside of it"
            )
        density = torch.zeros(len(points), dtype=torch.float64)
        density[inside] = height * slope[inside]
        density[self._at_an_end(points) & (density < _NO_MASS_NEAR_END)] = 0
        return points, density

    def _at_an_end(self, points: Tensor) -> Tensor:
        """Mark the points (n,) so near to a finite end that derivatives overflow."""
        return torch.stack(
            [
                (points[:, k] - axis.lower < _NEAR_END) | (axis.upper - points[:, k] < _NEAR_END)
                for k, axis in enumerate(self.axes)
            ]
        ).any(0)

    def refined(self, cells: _Cells) -> _Cells:
        """Halve boxes until the error estimates are small enough, or there are `most` points.

        Args:
            cells: The boxes.

        Returns:
            Boxes of the same region.
        """
        while True:
            allowed = self.tol * cells.size.sum(0)
            bad = self._rough(cells)
            if (cells.error.sum(0) > allowed).any():
                bad |= (cells.error > allowed / len(cells.low)).any(1)
            bad &= (cells.high - cells.low).amax(1) > _NARROWEST
            if not bad.any() or not self._room(cells, bad):
                return cells
            cells = self._halved(cells, bad)

    def _rough(self, cells: _Cells) -> Tensor:
        """Mark the boxes (c,) whose mass is not resolved, relative to itself, or whose density
        spans too many orders of magnitude.
        """
        if math.isinf(self.tails):
            return torch.zeros(len(cells.low), dtype=torch.bool)
        least = torch.where(cells.density > 0, cells.density, torch.inf).amin(1)
        rough = (cells.error[:, 0] > self.tails * cells.size[:, 0]) | (
            cells.density.amax(1) > _SPAN * least
        )
        return rough & (cells.size[:, 0] > _LEAST_TAIL)

    def _room(self, cells: _Cells, bad: Tensor) -> bool:
        return (len(cells.low) + 2 ** len(self.axes) * int(bad.sum())) * len(self.fine) <= self.most

    def _halved(self, cells: _Cells, bad: Tensor) -> _Cells:
        halves = self.evaluate(*_halved(cells.low[bad], cells.high[bad]))
        return _Cells(
            *(torch.cat([old[~bad], new]) for old, new in zip(cells, halves, strict=True))
        )

    def resolved(self, cells: _Cells, marks: Tensor) -> _Cells:
        """On the line: halve panels until each one's polynomial meets the density at its marks.

        Args:
            cells: The panels.
            marks: Points in x, (n, 1).

        Returns:
            Panels of the same region.
        """
        marks = self.axes[0].t(marks[:, 0])
        seen = self._density(marks[:, None])[1]
        while True:
            edges = cells.low[cells.low[:, 0] > -1]
            t, density = torch.cat([marks, edges[:, 0]]), torch.cat([seen, self._density(edges)[1]])
            missed = self._misses(cells, t, density) & ((cells.high - cells.low)[:, 0] > _NARROWEST)
            if not missed.any() or not self._room(cells, missed):
                return cells
            cells = self.refined(self._halved(cells, missed))

    def _misses(self, cells: _Cells, t: Tensor, density: Tensor) -> Tensor:
        """Mark the panels (c,) whose polynomial misses the density at one of t (n,).

        An end belongs to two panels.
        """
        order = cells.low[:, 0].argsort()
        low, high = cells.low[order, 0], cells.high[order, 0]
        coefficients = torch.linalg.solve(self.vandermonde, cells.density[order].T).T
        missed = torch.zeros(len(order), dtype=torch.bool)
        for right in (False, True):
            j = (torch.searchsorted(low, t, right=right) - 1).clamp(0, len(low) - 1)
            width = (high - low)[j]
            local = 2 * (t - low[j]) / width - 1
            basis = torch.from_numpy(legendre.legvander(local.numpy(), 20))
            said = (basis * coefficients[j]).sum(1)
            gap, wanted = (said - density * width / 2).abs(), density * width / 2
            missed[j[(gap > _MISSED * (wanted + said.abs())) & (gap > _NO_MASS)]] = True
        return torch.zeros_like(missed).index_put((order,), missed)

    def far_peaks(self, cells: _Cells) -> Tensor:
        """Far, narrow modes: local maxima of `log_prob`, on a grid of all scales, that no panel has
        seen.

        Args:
            cells: Panels on the line; not used.

        Returns:
            Points in x, (k, 1).
        """
        axis = self.axes[0]
        near = torch.arange(0, _FINE_REACH, _FINE_STEP, dtype=torch.float64)
        far = torch.arange(_FINE_REACH, _REACH, _COARSE_STEP, dtype=torch.float64)
        u = torch.cat([-far.flip(0), -near[1:].flip(0), near, far])
        t = 2 * u / (1 + torch.sqrt(1 + 4 * u**2))
        height = self._log_height(t)
        middle = height[1:-1]
        peak = (middle > height[:-2]) & (middle >= height[2:])
        unseen = self._density(t[1:-1, None])[1] * (t[2:] - t[:-2]) < _NO_MASS
        k = torch.nonzero(peak & unseen)[:, 0]
        if not len(k):
            return torch.empty(0, 1, dtype=torch.float64)
        return axis.x(_golden(self._log_height, t[k], t[k + 2]))[:, None]

    def _log_height(self, t: Tensor) -> Tensor:
        """log p at t (n,), −inf where there is no x or no number."""
        x = self.axes[0].x(t)
        inside = torch.isfinite(x) & (x > self.axes[0].lower) & (x < self.axes[0].upper)
        height = torch.full(t.shape, -torch.inf, dtype=torch.float64)
        height[inside] = self.law.log_prob(x[inside][:, None]).to(torch.float64)
        return torch.nan_to_num(height, nan=-torch.inf, posinf=torch.inf, neginf=-torch.inf)

    def panels(self, cells: _Cells) -> Panels:
        """Finish the boxes.

        Args:
            cells: The boxes.

        Returns:
            Them, with their masses and errors.
        """
        low, high, points, density = cells[:4]
        mass, slack = self.fine * density, self.slack * density
        # at a singularity the two rules agree better than they should: what cannot be halved is not
        # known
        slack = torch.where(((high - low).amax(1) <= _NARROWEST)[:, None], mass, slack)
        return Panels(self.axes, low, high, points, mass, slack, self._rounding(cells))

    def _rounding(self, cells: _Cells) -> Tensor:
        """Error of the mass of each node (c, q) by rounding of x: ∫ |p'| |δx| dx, with |δx| = ε
        (|x| + |t| dx/dt).
        """
        if len(self.axes) > 1:
            return 0 * cells.density
        axis = next(iter(self.axes))
        order = cells.low[:, 0].argsort()
        half = (cells.high - cells.low)[order] / 2
        t = (cells.low[order] + half * (1 + self.nodes[:, 0])).reshape(-1)
        x, slope = cells.points[order].reshape(-1), axis.slope(t)
        massive = (cells.density[order] > 0).reshape(-1)
        height = torch.zeros_like(t)
        height[massive] = (cells.density[order] / half).reshape(-1)[massive] / slope[massive]
        change = (
            height.diff(prepend=height.new_zeros(1)).abs()
            + height.diff(append=height.new_zeros(1)).abs()
        )
        size = torch.where(massive, x.abs() + slope * t.abs(), 0)
        rounding = (_EPSILON * change * torch.nan_to_num(size)).reshape(cells.density.shape)
        return torch.empty_like(rounding).index_put((order,), rounding)


def _golden(f: Probe, low: Tensor, high: Tensor) -> Tensor:
    """Place of the largest value of a function with one maximum in each of the intervals (k,), by
    golden sections.
    """
    ratio = (math.sqrt(5) - 1) / 2
    inner, outer = high - ratio * (high - low), low + ratio * (high - low)
    for _ in range(_SECTIONS):
        left = f(inner) > f(outer)
        low, high = torch.where(left, low, inner), torch.where(left, outer, high)
        inner, outer = high - ratio * (high - low), low + ratio * (high - low)
    return (low + high) / 2


def tolerance(d: int) -> float:
    """The default `tol` of quadrature.

    Args:
        d: Dimension.

    Returns:
        Tolerance, relative.
    """
    return 1e-10 if d == 1 else 1e-7


def _product(values: Tensor, d: int) -> Tensor:
    return torch.cartesian_prod(*[values] * d).reshape(-1, d)


def _halved(low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
    """Each box cut in 2^d."""
    corner = _product(torch.tensor([0.0, 1.0], dtype=torch.float64), low.shape[1])  # (2^d, d)
    half = (high - low)[:, None] / 2
    lower = (low[:, None] + corner * half).reshape(-1, low.shape[1])
    upper = (low[:, None] + (corner + 1) * half).reshape(-1, low.shape[1])
    return lower, upper


def _landmarks(law: Density, d: int) -> Tensor:
    """The points (k, d) that the law says are worth a look; none if it says nothing."""
    given = law.landmarks if isinstance(law, HasLandmarks) else None
    if given is None:
        return torch.empty(0, d, dtype=torch.float64)
    points = torch.as_tensor(given, dtype=torch.float64).detach()
    if points.ndim != 2 or points.shape[1] != d or not torch.isfinite(points).all():
        raise ValueError(
            f"landmarks must be finite points (k, {d}), got shape {tuple(points.shape)}, or NaN "
            "or Inf"
        )
    return points


def _probed(probe: Probe | None, points: Tensor, density: Tensor) -> Tensor:
    """1 and the functions of `probe` (n, 1 + c); 0 where there is no mass, since 0 · log 0
    counts as 0.
    """
    one = torch.ones(len(points), 1, dtype=torch.float64)
    if probe is None:
        return one
    massive = density > NO_MASS_AT_ALL
    values = probe(points[massive])
    if not torch.isfinite(values).all():
        where = points[massive][(~torch.isfinite(values)).any(1)][0].tolist()
        raise ValueError(
            f"the integrand must be finite where the law has mass, got NaN or Inf at x = {where}"
        )
    full = torch.zeros(len(points), values.shape[1], dtype=torch.float64)
    full[massive] = values
    return torch.cat([one, full], 1)


def _axes(law: Density) -> tuple[tuple[Axis | AlgebraicAxis, ...], list[Tensor], Tensor]:
    """A map and the first panel edges (in t) for each coordinate, and the pilot sample (n, d)
    they come from.
    """
    pilot = draw(law, _PILOT, torch.Generator().manual_seed(0))
    d = pilot.shape[1]
    support = law.support if isinstance(law, Bounded) else None
    bounds = (
        [(-math.inf, math.inf)] * d
        if support is None
        else [(float(low), float(high)) for low, high in support]
    )
    if len(bounds) != d or not all(low < high for low, high in bounds):
        raise ValueError(
            f"support must be (lower, upper) with lower < upper for each of {d} coordinates, got "
            f"{support}"
        )
    levels = [0.0, 0.01, 0.1, 0.3, 0.5, 0.7, 0.9, 0.99, 1.0] if d == 1 else [0.3, 0.7]
    axes, edges = [], []
    for k, (lower, upper) in enumerate(bounds):
        x = pilot[:, k]
        below, centre, above = torch.quantile(
            x, torch.tensor([0.16, 0.5, 0.84], dtype=torch.float64)
        ).tolist()
        scale = (above - below) / 2 or float(x.std())
        if scale <= 0:
            raise ValueError(
                f"the law must have a density, but {_PILOT} draws share coordinate {k}: {centre}"
            )
        if math.isfinite(lower) != math.isfinite(upper):
            scale = centre - lower if math.isfinite(lower) else upper - centre
        axis = (Axis if d == 1 else AlgebraicAxis)(lower, upper, centre, scale)
        # an edge a little outside the extremes, lest a bound of the support that nobody stated hide
        # in a wide panel
        outside = torch.stack(
            [2 * x.min() - torch.quantile(x, 0.01), 2 * x.max() - torch.quantile(x, 0.99)]
        )
        quantiles = torch.quantile(x, torch.tensor(levels, dtype=torch.float64))
        inner = torch.cat([outside, quantiles]).clamp(lower, upper)
        ends = torch.tensor([-1.0, 1.0], dtype=torch.float64)
        axes.append(axis)
        edges.append(torch.cat([ends, axis.t(inner)]).unique())
    return tuple(axes), edges, pilot
