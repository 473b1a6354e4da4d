"""Pairs of laws on the line that are hard to tell the distance of, each with W1 and W2 from
another route.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.polynomial import legendre
from scipy import stats

from stability.laws.law import NormalMixture
from stability.transport.wasserstein_1d import Distance


class Scipy:
    """A distribution of SciPy as a law; `support` is only told if asked for."""

    def __init__(self, dist: Any, tell: bool = False):
        self.dist = dist
        if tell:
            self.support = (tuple(map(float, dist.support())),)

    def log_prob(self, x):
        with np.errstate(all="ignore"):
            return torch.from_numpy(np.asarray(self.dist.logpdf(x[:, 0].numpy())))

    def sample(self, n, generator):
        uniform = torch.rand(n, 1, generator=generator, dtype=torch.float64) * (1 - 2**-53) + 2**-54
        return torch.from_numpy(np.asarray(self.dist.ppf(uniform.numpy())))


class Hidden:
    """A law without its hints."""

    def __init__(self, law: Any):
        self.log_prob, self.sample = law.log_prob, law.sample


@dataclass(frozen=True)
class Pair:
    """Two laws and their distances, inf where there is none.

    Attributes:
        hidden: Mass that nothing but its lack tells of.
        loose: The laws have no second moment, and yet a finite W2.
    """

    name: str
    p: Any
    q: Any
    w1: float
    w2: float
    hidden: bool = False
    loose: bool = False


def judge(distance: Any, pair: Pair, true: float) -> tuple[str, str]:
    """Honest, claims too small an error, or refused (with a true or a false message); and what
    was said.
    """
    try:
        found: Distance = distance(pair.p, pair.q)
    except ValueError as error:
        said = str(error)
        fair = (
            (math.isinf(true) and "does not converge" in said)
            or (pair.hidden and "of the mass was not found" in said)
            or (pair.loose and said.startswith("W2 is not resolved"))
        )
        return "refused" if fair else "refused falsely", said
    said = f"{found.value:.12g} ± {found.error:.1g}, true {true:.12g}"
    rounding = 1e-13 * abs(true)  # of the oracle
    return ("honest" if abs(found.value - true) <= found.error + rounding else "too small"), said


def normal(mean: float, sd: float) -> NormalMixture:
    return NormalMixture((1.0,), (float(mean),), (float(sd),))


def _gauss(f: Any, edges: np.ndarray) -> float:
    """∫ f over consecutive intervals, by Gauss's rule of 40 nodes in each."""
    nodes, weights = legendre.leggauss(40)
    half = np.diff(edges)[:, None] / 2
    return float((f(edges[:-1, None] + half * (1 + nodes)) * weights * half).sum())


def with_normal(weight: float, mean: float, sd: float) -> tuple[NormalMixture, float, float]:
    """(1 − w) N(0, 1) + w N(mean, sd²), and its distances to N(0, 1)."""
    mixture = NormalMixture((1 - weight, weight), (0.0, float(mean)), (1.0, float(sd)))

    def cdf(x):
        return (1 - weight) * stats.norm.cdf(x) + weight * stats.norm.cdf(x, mean, sd)

    def survival(x):
        return (1 - weight) * stats.norm.sf(x) + weight * stats.norm.sf(x, mean, sd)

    def image(x):
        return np.where(cdf(x) < 0.5, stats.norm.ppf(cdf(x)), stats.norm.isf(survival(x)))

    # x − T(x) against each component, in its own units
    z = np.linspace(-13, 13, 521)
    spike = np.unique(np.concatenate([z, ((mean - 0) + sd * z).clip(-13, 13)]))
    body = _gauss(lambda x: (x - image(x)) ** 2 * stats.norm.pdf(x), spike)
    added = _gauss(lambda y: (mean + sd * y - image(mean + sd * y)) ** 2 * stats.norm.pdf(y), z)

    # F − G = w (Φ(x) − Φ((x − m)/s))
    ends = np.unique(np.concatenate([z, mean + sd * z]))
    gap = _gauss(lambda x: np.abs(stats.norm.cdf(x) - stats.norm.cdf(x, mean, sd)), ends)
    # one law then dominates the other: the difference of the means
    far = abs(mean) > 100 * max(sd, 1)
    return (
        mixture,
        weight * (abs(mean) if far else gap),
        math.sqrt((1 - weight) * body + weight * added),
    )


def _mixtures() -> list[Pair]:
    pairs = []
    for weight, mean, sd in (
        (1e-7, 1e4, 1.0),
        (1e-3, 1e6, 1.0),
        (1e-10, 1e8, 1.0),
        (1e-12, 1e10, 1e3),
        (1e-5, -1e5, 0.1),
        (1e-9, -1e7, 1.0),
        (0.01, 1e3, 1e-3),
        (1e-3, 0.3, 1e-6),
        (1e-3, 1.7, 1e-9),
        (1e-7, 0.123, 1e-6),
        (0.3, 0.5, 1e-7),
    ):
        mixture, first, second = with_normal(weight, mean, sd)
        title = f"{weight:g} of N({mean:g}, {sd:g}²)"
        pairs.append(Pair(title, normal(0, 1), mixture, first, second))
        pairs.append(
            Pair(f"{title}, not told", normal(0, 1), Hidden(mixture), first, second, weight < 1e-3)
        )
    return pairs


def _heavy() -> list[Pair]:
    pairs = []
    for nu in (1.01, 1.1, 1.5, 1.8, 2.0, 2.05, 2.2):
        t = stats.t(nu)
        mean = (
            2
            * math.sqrt(nu)
            / (nu - 1)
            * math.exp(math.lgamma((nu + 1) / 2) - math.lgamma(nu / 2))
            / math.sqrt(math.pi)
        )
        root = math.sqrt(nu / (nu - 2)) if nu > 2 else math.inf
        pairs.append(Pair(f"t({nu}), a point", Scipy(t), np.zeros(1), mean, root))
        pairs.append(
            Pair(f"t({nu}), scaled by 2", Scipy(t), Scipy(stats.t(nu, scale=2)), mean, root)
        )
    for nu in (0.7, 1.0, 1.5):
        pairs.append(
            Pair(
                f"t({nu}), moved",
                Scipy(stats.t(nu)),
                Scipy(stats.t(nu, loc=0.3)),
                0.3,
                0.3,
                loose=True,
            )
        )
    pairs.append(Pair("Cauchy, normal", Scipy(stats.cauchy()), normal(0, 1), math.inf, math.inf))
    pairs.append(
        Pair("Pareto(1.5), a point", Scipy(stats.pareto(1.5), True), np.zeros(1), 3.0, math.inf)
    )
    pairs.append(
        Pair(
            "lognormal(2), a point",
            Scipy(stats.lognorm(2.0), True),
            np.zeros(1),
            math.exp(2),
            math.exp(4),
        )
    )
    return pairs


def _edges() -> list[Pair]:
    pairs = []
    for tell in (False, True):
        word = "told" if tell else "not told"
        uniform, beta = Scipy(stats.uniform(), tell), Scipy(stats.beta(0.5, 0.5), tell)
        pairs += [
            Pair(f"uniform, moved, {word}", uniform, Scipy(stats.uniform(0.3), tell), 0.3, 0.3),
            Pair(f"uniform, a point, {word}", uniform, np.zeros(1), 0.5, math.sqrt(1 / 3)),
            Pair(
                f"exponential, a point, {word}",
                Scipy(stats.expon(), tell),
                np.zeros(1),
                1.0,
                math.sqrt(2),
            ),
        ]
        if tell:
            pairs.append(Pair("Beta(½, ½), a point", beta, np.zeros(1), 0.5, math.sqrt(3 / 8)))
            pairs.append(
                Pair(
                    "Beta(½, ½), doubled",
                    beta,
                    Scipy(stats.beta(0.5, 0.5, 0, 2), True),
                    0.5,
                    math.sqrt(3 / 8),
                )
            )
    for shape in (0.5, 0.1):
        law, twice = (Scipy(stats.gamma(shape, scale=scale), True) for scale in (1, 2))
        root = math.sqrt(shape * (shape + 1))
        pairs.append(Pair(f"Gamma({shape}), a point", law, np.zeros(1), shape, root))
        pairs.append(Pair(f"Gamma({shape}), scaled by 2", law, twice, shape, root))
    return pairs


def _scales() -> list[Pair]:
    folded = math.sqrt(2 / math.pi)
    # E | |z| − 1 | = ∫ |z − 1| 2 φ over z > 0
    gap = _gauss(
        lambda z: np.abs(z - 1) * 2 * stats.norm.pdf(z),
        np.array([0.0, 0.5, 1.0, 2.0, 4.0, 8.0, 14.0]),
    )
    return [
        Pair(
            "N(0, 1e-8²), N(0, 1e8²)",
            normal(0, 1e-8),
            normal(0, 1e8),
            folded * (1e8 - 1e-8),
            1e8 - 1e-8,
        ),
        Pair("N(0, 1), N(1e6, 1)", normal(0, 1), normal(1e6, 1), 1e6, 1e6),
        Pair(
            "N(1e6, 1e-3²), N(1e6, 2e-3²)",
            normal(1e6, 1e-3),
            normal(1e6, 2e-3),
            folded * 1e-3,
            1e-3,
        ),
        Pair("N(0, 1e8²), N(1, 1e8²)", normal(0, 1e8), normal(1, 1e8), 1.0, 1.0),
        Pair("N(0, 1), N(1e-9, 1)", normal(0, 1), normal(1e-9, 1), 1e-9, 1e-9),
        Pair(
            "N(0, 1), N(0, (1 + 1e-10)²)", normal(0, 1), normal(0, 1 + 1e-10), folded * 1e-10, 1e-10
        ),
        Pair("N(0, 1), itself", normal(0, 1), normal(0, 1), 0.0, 0.0),
        Pair(
            "N(0, 1), {−1, 1}", normal(0, 1), np.array([-1.0, 1.0]), gap, math.sqrt(2 - 2 * folded)
        ),
        Pair("N(0, 1), a point at 1e9", normal(0, 1), np.array([1e9]), 1e9, math.sqrt(1e18 + 1)),
    ]


def nasty_pairs() -> list[Pair]:
    """All of them."""
    return _mixtures() + _heavy() + _edges() + _scales()
