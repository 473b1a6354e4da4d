"""Laws and expectations: E f(x) as a weighted sum over points, exact, by adaptive quadrature, or by Monte Carlo.

A law is given in one of three ways, and so is what E means for it:

- an array of points (n, d): the empirical law, and E is the mean;
- a density, `log_prob(x)` and `sample(n, generator)`: in 1-D and 2-D, E is adaptive Gauss–Kronrod quadrature with an
  error estimate, above it is Monte Carlo with a standard error;
- a sampler, `sample(n, generator)` alone: Monte Carlo.

A density may say where it lives: `support`, bounds (lower, upper) for each of d coordinates, infinite where there are
none; or `atoms` (k, d), the points that carry all mass of a discrete law, whose `log_prob` is then the
log-probability. Without either it is integrated over all of R^d, where its mass must come out as 1.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeAlias, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from stability.family import Family

__all__ = [
    "Blend",
    "Data",
    "Density",
    "Estimate",
    "Law",
    "Member",
    "NormalMixture",
    "Panels",
    "Rule",
    "as_law",
    "panels",
    "rule",
]

Method = Literal["exact", "quadrature", "monte carlo"]
Probe: TypeAlias = Callable[[Tensor], Tensor]
"""Functions to integrate, side by side: (n, d) -> (n, c)."""

_ADDED = (0.9956571630258081, 0.9301574913557082, 0.7808177265864169, 0.5627571346686047, 0.2943928627014602)
"""What Kronrod's rule of 21 nodes adds to Gauss's of 10, with 0 and reflections (QUADPACK, qk21)."""
_PILOT = 2000
_NARROWEST = 1e-14
_MOST_POINTS = 400_000
_MASS_TOLERANCE = 1e-6


@runtime_checkable
class Law(Protocol):
    """A law on R^d that can be sampled: n independent draws (n, d), float64, from `generator` alone."""

    def sample(self, n: int, generator: torch.Generator) -> Tensor: ...


@runtime_checkable
class Density(Law, Protocol):
    """A law whose density is known: log p(x) of each point, (n, d) -> (n,), −inf where there is no mass."""

    def log_prob(self, x: Tensor) -> Tensor: ...


Data: TypeAlias = "np.ndarray | Tensor | Law"


@dataclass(frozen=True)
class Empirical:
    """Equal weight on each of `points` (n, d)."""

    points: Tensor

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        """n draws with replacement, (n, d)."""
        return self.points[torch.randint(len(self.points), (n,), generator=generator)]


@dataclass(frozen=True)
class Member:
    """The law p_θ of a family; `support` and `atoms` are the family's, where it has them."""

    family: Family
    theta: Tensor

    def log_prob(self, x: Tensor) -> Tensor:
        """log p_θ(x): (n, d) -> (n,)."""
        return self.family.log_prob(self.theta, x)

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        """n draws of p_θ, (n, d)."""
        return self.family.sample(self.theta, n, generator)

    @property
    def support(self) -> Any:
        return getattr(self.family, "support", None)

    @property
    def atoms(self) -> Any:
        return getattr(self.family, "atoms", None)


@dataclass(frozen=True)
class NormalMixture:
    """Σ weights_k N(means_k, sds_k²) on R. weights > 0 with sum 1; sds > 0; equal lengths. ValueError otherwise."""

    weights: tuple[float, ...]
    means: tuple[float, ...]
    sds: tuple[float, ...]

    def __post_init__(self) -> None:
        if not 0 < len(self.weights) == len(self.means) == len(self.sds):
            raise ValueError(f"weights, means and sds must have one length >= 1, got {self}")
        if min(self.weights) <= 0 or abs(sum(self.weights) - 1) > 1e-12:
            raise ValueError(f"weights must be > 0 with sum 1, got {self.weights}")
        if not (min(self.sds) > 0 and all(map(math.isfinite, self.means + self.sds))):
            raise ValueError(f"means must be finite, and sds finite and > 0, got {self.means} and {self.sds}")

    def log_prob(self, x: Tensor) -> Tensor:
        """log density: (n, 1) -> (n,)."""
        weights, means, sds = (torch.tensor(v, dtype=torch.float64) for v in (self.weights, self.means, self.sds))
        z = (x - means) / sds  # (n, components)
        return torch.logsumexp(weights.log() - sds.log() - z**2 / 2, 1) - math.log(2 * math.pi) / 2

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        """n draws, (n, 1)."""
        weights, means, sds = (torch.tensor(v, dtype=torch.float64) for v in (self.weights, self.means, self.sds))
        k = torch.multinomial(weights, n, replacement=True, generator=generator)
        return (means[k] + sds[k] * torch.randn(n, generator=generator, dtype=torch.float64))[:, None]


@dataclass(frozen=True)
class Blend:
    """(p + w q)/(1 + w), the law of a point that is drawn from q with probability w/(1 + w).  w >= 0."""

    p: Density
    q: Density
    w: float

    def log_prob(self, x: Tensor) -> Tensor:
        """log density: (n, d) -> (n,)."""
        return torch.logaddexp(self.p.log_prob(x), math.log(self.w) + self.q.log_prob(x)) - math.log1p(self.w)

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        """n draws, (n, d)."""
        first, second = self.p.sample(n, generator), self.q.sample(n, generator)
        chosen = torch.rand(n, 1, generator=generator, dtype=torch.float64) < self.w / (1 + self.w)
        return torch.where(chosen, second, first)


@dataclass(frozen=True)
class Estimate:
    """An expectation: `value` (...), and `error` (...), of the same shape, what it may be wrong by.

    error: 0 ("exact"), the difference between the two nested rules ("quadrature": an estimate that is in practice far
    above the true error), or one standard error ("monte carlo").
    """

    value: Tensor
    error: Tensor
    method: Method


@dataclass(frozen=True)
class Rule:
    """E f ≈ Σ weights_i f(points_i): points (k, d), weights (k,) >= 0.

    slack (k,): weights minus those of the coarser nested rule.   panel (k,): the panel a point belongs to.
    """

    points: Tensor
    weights: Tensor
    method: Method
    slack: Tensor
    panel: Tensor

    def expect(self, values: Tensor) -> Estimate:
        """E f from the values of f at `points`, (k, ...). ValueError unless they are finite."""
        if not torch.isfinite(values).all():
            where = self.points[(~torch.isfinite(values)).reshape(len(values), -1).any(1)][0].tolist()
            raise ValueError(f"values must be finite where the law has mass, got NaN or Inf at x = {where}")
        flat = values.reshape(len(values), -1)
        mean = self.weights @ flat
        if self.method == "monte carlo":
            error = (flat - mean).std(0) / math.sqrt(len(flat))
        else:
            by_panel = torch.zeros(int(self.panel.max()) + 1, flat.shape[1], dtype=torch.float64)
            error = by_panel.index_add(0, self.panel, self.slack[:, None] * flat).abs().sum(0)
        return Estimate(mean.reshape(values.shape[1:]), error.reshape(values.shape[1:]), self.method)


def as_law(data: Data) -> Law:
    """`data` as a law; an array becomes the empirical law of its points.

    ValueError if an array is empty, not finite, or not of shape (n, d) (or (n,), for points on a line).
    """
    if isinstance(data, np.ndarray | Tensor):
        points = torch.as_tensor(data, dtype=torch.float64)
        points = points[:, None] if points.ndim == 1 else points
        if points.ndim != 2 or points.numel() == 0 or not torch.isfinite(points).all():
            shape = tuple(points.shape)
            raise ValueError(
                f"data must be finite points of shape (n, d) with n >= 1, got shape {shape}, or NaN or Inf"
            )
        return Empirical(points)
    if not isinstance(data, Law):
        raise ValueError(f"data must be an array of points or have sample(n, generator), got {data!r}")
    return data


def draw(law: Law, n: int, generator: torch.Generator) -> Tensor:
    """n points of a law, (n, d). ValueError if what it returns is not that, or not finite."""
    points = torch.as_tensor(law.sample(n, generator), dtype=torch.float64)
    if points.ndim != 2 or len(points) != n or not torch.isfinite(points).all():
        raise ValueError(f"sample({n}, generator) must return finite points ({n}, d), got shape {tuple(points.shape)}")
    return points


def rule(
    data: Data,
    probe: Probe | None = None,
    *,
    tol: float | None = None,
    draws: int = 100_000,
    generator: torch.Generator | None = None,
) -> Rule:
    """A rule for expectations under a law, good for many functions at once.

    probe: functions like those that the rule is for, (n, d) -> (n, c): quadrature refines until it has E of each, and
        the mass, up to `tol` times E of its absolute value (or until 400,000 points: the error estimate tells).
    tol: by default 1e-10 on the line and 1e-7 in the plane; the true error is mostly smaller by a factor of 1000.
    draws, generator: for Monte Carlo alone; by default a generator seeded with 0, so that equal calls agree.

    ValueError for bad data, and for a density whose mass is not 1.
    """
    law = as_law(data)
    if isinstance(law, Empirical):
        return _exact(law.points, torch.full((len(law.points),), 1 / len(law.points), dtype=torch.float64))
    if isinstance(law, Density):
        if getattr(law, "atoms", None) is not None:
            atoms = torch.as_tensor(law.atoms, dtype=torch.float64)  # type: ignore[attr-defined]
            weights = law.log_prob(atoms).exp()
            _check_mass(law, float(weights.sum()))
            return _exact(atoms[weights > 0], weights[weights > 0])
        if draw(law, 1, torch.Generator().manual_seed(0)).shape[1] <= 2:
            return panels(law, probe, tol=tol).rule()
    points = draw(law, draws, generator or torch.Generator().manual_seed(0))
    weights = torch.full((draws,), 1 / draws, dtype=torch.float64)
    return Rule(points, weights, "monte carlo", 0 * weights, torch.arange(draws))


def _exact(points: Tensor, weights: Tensor) -> Rule:
    return Rule(points, weights, "exact", 0 * weights, torch.zeros(len(points), dtype=torch.long))


def _check_mass(law: Law, mass: float) -> None:
    if not abs(mass - 1) < _MASS_TOLERANCE:
        raise ValueError(
            f"log_prob must be a normalised density, got mass {mass:.6g} for {law!r}; "
            "a discrete law needs `atoms`, one on a half-line or an interval is easier to integrate with `support`, "
            "and one with modes too narrow to be found by quadrature can be given as a sampler"
        )


@dataclass(frozen=True)
class Axis:
    """A smooth increasing map of t in (−1, 1) onto an interval, with half of the law's mass at moderate t."""

    lower: float
    upper: float
    centre: float
    scale: float

    def x(self, t: Tensor) -> Tensor:
        if math.isfinite(self.lower) and math.isfinite(self.upper):
            return self.lower + (self.upper - self.lower) * (1 + t) / 2
        if math.isfinite(self.lower):
            return self.lower + self.scale * (1 + t) / (1 - t)
        if math.isfinite(self.upper):
            return self.upper - self.scale * (1 - t) / (1 + t)
        return self.centre + self.scale * t / ((1 - t) * (1 + t))

    def slope(self, t: Tensor) -> Tensor:
        """dx/dt."""
        if math.isfinite(self.lower) and math.isfinite(self.upper):
            return torch.full_like(t, (self.upper - self.lower) / 2)
        if math.isfinite(self.lower):
            return 2 * self.scale / (1 - t) ** 2
        if math.isfinite(self.upper):
            return 2 * self.scale / (1 + t) ** 2
        return self.scale * (1 + t**2) / ((1 - t) * (1 + t)) ** 2

    def t(self, x: Tensor) -> Tensor:
        if math.isfinite(self.lower) and math.isfinite(self.upper):
            return 2 * (x - self.lower) / (self.upper - self.lower) - 1
        if math.isfinite(self.lower):
            y = (x - self.lower) / self.scale
            return (y - 1) / (y + 1)
        if math.isfinite(self.upper):
            y = (self.upper - x) / self.scale
            return (1 - y) / (1 + y)
        y = (x - self.centre) / self.scale
        return 2 * y / (1 + torch.sqrt(1 + 4 * y**2))


@dataclass(frozen=True)
class Panels:
    """A density on a partition of its support into boxes, each with the q = 21^d nodes of Kronrod's rule.

    axes: one map a coordinate.   low, high (c, d): the boxes, in t.   points (c, q, d), in x.
    mass (c, q): node weight times density, so that Σ mass f(points) is E f.   slack (c, q): see `Rule`.
    """

    axes: tuple[Axis, ...]
    low: Tensor
    high: Tensor
    points: Tensor
    mass: Tensor
    slack: Tensor

    def rule(self) -> Rule:
        """The same as a list of points, without those that have no mass."""
        c, q, d = self.points.shape
        keep = (self.mass > 0).reshape(-1)
        panel = torch.arange(c).repeat_interleave(q)
        mass, slack = self.mass.reshape(-1), self.slack.reshape(-1)
        return Rule(self.points.reshape(-1, d)[keep], mass[keep], "quadrature", slack[keep], panel[keep])


def kronrod() -> tuple[Tensor, Tensor, Tensor]:
    """Nodes in (−1, 1), weights of Kronrod's rule of 21 nodes, and those of Gauss's of 10 on the same nodes: (21,)."""
    gauss, gauss_weights = np.polynomial.legendre.leggauss(10)
    nodes = np.concatenate([gauss, _ADDED, [0.0], np.negative(_ADDED)])
    order = np.argsort(nodes)
    coarse = np.concatenate([gauss_weights, np.zeros(11)])[order]
    # interpolatory weights: exact for Legendre's P_0 … P_20, whose integrals are 2, 0, …, 0
    weights = np.linalg.solve(np.polynomial.legendre.legvander(nodes[order], 20).T, 2.0 * np.eye(21)[0])
    return torch.from_numpy(nodes[order]), torch.from_numpy(weights), torch.from_numpy(coarse)


def panels(law: Density, probe: Probe | None = None, *, tol: float | None = None, most: int = _MOST_POINTS) -> Panels:
    """Boxes on which quadrature gets the mass of a density in 1-D or 2-D, and E of each function of `probe`.

    The boxes start at quantiles of a pilot sample, so that every mode with noticeable mass is seen, and are halved
    until the summed error estimate is at most `tol` times E of the absolute value, or `most` points are reached.
    ValueError if the mass is not 1, or a function of `probe` is not finite where there is mass.
    """
    axes, edges = _axes(law)
    d = len(axes)
    if d > 2:
        raise ValueError(f"quadrature is for laws in 1-D or 2-D, got a law in {d}-D")
    tol = tolerance(d) if tol is None else tol
    nodes, fine, coarse = (_product(v, d) for v in kronrod())  # (q, d) each
    fine, coarse = fine.prod(1), coarse.prod(1)

    def evaluate(low: Tensor, high: Tensor) -> tuple[Tensor, ...]:
        half = (high - low)[:, None] / 2  # (c, 1, d)
        t = low[:, None] + half * (1 + nodes)  # (c, q, d)
        points = torch.stack([axis.x(t[..., k]) for k, axis in enumerate(axes)], -1)
        slopes = torch.stack([axis.slope(t[..., k]) for k, axis in enumerate(axes)], -1)
        density = law.log_prob(points.reshape(-1, d)).reshape(t.shape[:2]).exp() * (slopes * half).prod(-1)
        if not (torch.isfinite(density).all() and (density >= 0).all()):
            where = points[~(torch.isfinite(density) & (density >= 0))][0].tolist()
            raise ValueError(f"log_prob must not be NaN or +Inf, got that at x = {where} for {law!r}")
        values = _probed(probe, points.reshape(-1, d), density.reshape(-1)).reshape(*t.shape[:2], -1)
        weighted = density[..., None] * values
        error = torch.einsum("q,cqv->cv", fine - coarse, weighted).abs()
        size = torch.einsum("q,cqv->cv", fine, weighted.abs())
        return low, high, points, fine * density, (fine - coarse) * density, error, size

    grid = [torch.cartesian_prod(*ends).reshape(-1, d) for ends in ([e[:-1] for e in edges], [e[1:] for e in edges])]
    state = evaluate(*grid)
    while True:
        low, high, *_, error, size = state
        allowed = tol * size.sum(0)
        bad = (error > allowed / len(low)).any(1) & ((high - low).amax(1) > _NARROWEST)
        children = 2**d
        if (error.sum(0) <= allowed).all() or not bad.any() or (len(low) + children * bad.sum()) * len(fine) > most:
            break
        halves = evaluate(*_halved(low[bad], high[bad]))
        state = tuple(torch.cat([old[~bad], new]) for old, new in zip(state, halves, strict=True))
    low, high, points, mass, slack, *_ = state
    _check_mass(law, float(mass.sum()))
    # at a singularity the two rules agree better than they should: what cannot be halved is not known
    slack = torch.where(((high - low).amax(1) <= _NARROWEST)[:, None], mass, slack)
    return Panels(axes, low, high, points, mass, slack)


def tolerance(d: int) -> float:
    """The default `tol` of quadrature in d dimensions."""
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


def _probed(probe: Probe | None, points: Tensor, density: Tensor) -> Tensor:
    """1 and the functions of `probe` (n, 1 + c); 0 where there is no mass, since 0 · log 0 counts as 0."""
    one = torch.ones(len(points), 1, dtype=torch.float64)
    if probe is None:
        return one
    massive = density > 0
    values = probe(points[massive])
    if not torch.isfinite(values).all():
        where = points[massive][(~torch.isfinite(values)).any(1)][0].tolist()
        raise ValueError(f"the integrand must be finite where the law has mass, got NaN or Inf at x = {where}")
    full = torch.zeros(len(points), values.shape[1], dtype=torch.float64)
    full[massive] = values
    return torch.cat([one, full], 1)


def _axes(law: Density) -> tuple[tuple[Axis, ...], list[Tensor]]:
    """A map and the first panel edges (in t) for each coordinate, from a pilot sample and the support."""
    pilot = draw(law, _PILOT, torch.Generator().manual_seed(0))
    d = pilot.shape[1]
    support = getattr(law, "support", None)
    bounds = [(-math.inf, math.inf)] * d if support is None else [(float(low), float(high)) for low, high in support]
    if len(bounds) != d or not all(low < high for low, high in bounds):
        raise ValueError(
            f"support must be (lower, upper) with lower < upper for each of {d} coordinates, got {support}"
        )
    levels = [0.0, 0.01, 0.1, 0.3, 0.5, 0.7, 0.9, 0.99, 1.0] if d == 1 else [0.3, 0.7]
    axes, edges = [], []
    for k, (lower, upper) in enumerate(bounds):
        x = pilot[:, k]
        below, centre, above = torch.quantile(x, torch.tensor([0.16, 0.5, 0.84], dtype=torch.float64)).tolist()
        scale = (above - below) / 2 or float(x.std())
        if scale <= 0:
            raise ValueError(f"the law must have a density, but {_PILOT} draws share coordinate {k}: {centre}")
        if math.isfinite(lower) != math.isfinite(upper):
            scale = centre - lower if math.isfinite(lower) else upper - centre
        axis = Axis(lower, upper, centre, scale)
        # an edge a little outside the extremes, lest a bound of the support that nobody stated hide in a wide panel
        outside = torch.stack([2 * x.min() - torch.quantile(x, 0.01), 2 * x.max() - torch.quantile(x, 0.99)])
        quantiles = torch.quantile(x, torch.tensor(levels, dtype=torch.float64))
        inner = torch.cat([outside, quantiles]).clamp(lower, upper)
        ends = torch.tensor([-1.0, 1.0], dtype=torch.float64)
        axes.append(axis)
        edges.append(torch.cat([ends, axis.t(inner)]).unique())
    return tuple(axes), edges
