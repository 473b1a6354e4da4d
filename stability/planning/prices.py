"""Prices of a regime: how much variance and bias a loop adds to one fit on the real data.

The variance price is the variance of a functional over that of one fit to n real points, C/n. The
bias price is the bias of the loop over the bias δ of one fit. Both follow from the regime and the
response J alone. The risk of a loop is `variance · C/n + (bias · δ)²`.
"""

import math
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import root_scalar
from scipy.special import chdtrc, chdtri, digamma, ndtri

from stability.gaussian.alpha import half_life
from stability.loop.capabilities import extrapolation_of
from stability.loop.regimes import Regime
from stability.planning.labels import propagate
from stability.planning.response import path_law

__all__ = [
    "LONG",
    "Growth",
    "Measure",
    "Price",
    "best_fresh_lambda",
    "growth",
    "half_lives",
    "largest_lambda",
    "price",
    "rounds_within",
    "seeds_to_see_bias",
    "seeds_to_see_variance",
]

LONG = 64
"""Retrainings after which a limit or a growth exponent is read off."""
FEW = 100
"""Real points at which `largest_lambda` looks first."""
LARGEST_LAMBDA = 16.0
"""Largest λ that `largest_lambda` tries."""
POWER = 0.8
LEVEL = 0.05

Measure = Literal["error", "variance", "bias"]
"""The quantity that a tolerance is on: the root mean squared error, the variance, or the bias."""


@dataclass(frozen=True)
class Growth:
    """Long-run growth of a price.

    Attributes:
        kind: `settles` at `value`; like `log` t; like t to the power `value`; `geometric`, by the
            factor `value` a round.
        value: See `kind`; 0 for `log`.
    """

    kind: Literal["settles", "log", "power", "geometric"]
    value: float

    @property
    def limit(self) -> float:
        """The limit for t → ∞; inf unless it settles or falls."""
        if self.kind == "power" and self.value < 0:
            return 0.0
        return self.value if self.kind == "settles" else math.inf

    def __str__(self) -> str:
        shown = {
            "settles": f"→ {self.value:.3g}",
            "log": "~ log t",
            "power": f"~ t^{self.value:.2g}",
            "geometric": f"× {self.value:.3g} a round",
        }
        return shown[self.kind]


@dataclass(frozen=True)
class Price:
    """Prices of one regime at n real points.

    Attributes:
        regime: Its name.
        synthetic: m, synthetic points a round.
        synthetic_fraction: Weight of synthetic points in the training set of the last round.
        variance: (T + 1,), variance price after t retrainings.
        bias: (T + 1,), bias price after t retrainings.
        scatter: (T + 1,), variance that random picks add through the bias, over δ².
        variance_growth: How the variance price goes on.
        bias_growth: How the bias price goes on.
    """

    regime: str
    synthetic: int
    synthetic_fraction: float
    variance: NDArray[np.float64]
    bias: NDArray[np.float64]
    scatter: NDArray[np.float64]
    variance_growth: Growth
    bias_growth: Growth

    def at(self, measure: Measure, t: int | None, bias_ratio: float = 0.0) -> float:
        """Price relative to one fit to the real data.

        Args:
            measure: See `Measure`; the error is the root of the risk, relative to that at t = 0.
            t: Retrainings, at most T; None: for ever.
            bias_ratio: B = n δ²/C, the squared bias of one fit over its variance.

        Returns:
            The price, 1 at t = 0.
        """
        if t is None:
            variance, bias = self.variance_growth.limit, self.bias_growth.limit
        else:
            variance, bias = float(self.variance[t]), float(self.bias[t])
        if measure == "variance":
            return variance
        if measure == "bias":
            return bias
        scatter = float(self.scatter[-1 if t is None else t])
        # an unbiased learner pays nothing for a bias price without limit
        risk = variance + ((bias**2 + scatter) * bias_ratio if bias_ratio else 0.0)
        return math.sqrt(risk / (1 + bias_ratio))


def price(regime: Regime, n: int, generations: int = 20, response: float = 1.0) -> Price:
    """Prices of a regime, exactly, from its own rule.

    Args:
        regime: Any regime whose `next` does not look at values.
        n: Real points.
        generations: Retrainings T whose prices are kept.
        response: J, the slope of the model's value in that of its training set.

    Returns:
        The prices.

    Raises:
        RegimeError: If the regime cannot be planned from theory.
    """
    propagation = propagate(regime, n, max(generations, LONG))
    # θ − w (θ′ − θ) responds by 1 − w (J − 1), is off by −w δ, and has the noise of the draws that
    # θ′ is trained on
    w = extrapolation_of(regime)
    after = response * (1 - w * (response - 1))
    sizes = [propagation.size(t) for t in range(propagation.generations + 1)]
    noise = path_law(propagation, response=after, excess=(response * w) ** 2 / np.array(sizes))
    law = path_law(propagation, response=after, bias=1 - w * response, spread=0.0)
    variance = n * noise.variance / response**2
    return Price(
        str(regime),
        propagation.synthetic,
        float(law.synthetic_fraction[generations]),
        variance[: generations + 1],
        law.mean[: generations + 1],
        law.variance[: generations + 1],
        growth(variance),
        growth(law.mean),
    )


def growth(values: NDArray[np.float64]) -> Growth:
    """Tell from a long path how it goes on.

    Over each doubling of t, the change of a price that settles falls by a constant factor, that of
    log t is constant, and that of t^p grows by 2^p.

    Args:
        values: (T + 1,), prices at t = 0 … T.

    Returns:
        The growth; the limit of one that settles is extrapolated.
    """
    last = len(values) - 1
    quarter, half, end = (float(values[last // k]) for k in (4, 2, 1))
    before, after = half - quarter, end - half
    if abs(after) <= 1e-6 * abs(end):
        return Growth("settles", end)
    steps = np.diff(values[[last // 4, last // 2, 3 * last // 4, last]])
    if steps[0] * steps[1] > 0 and steps[2] / steps[1] > max(1.1, 0.95 * steps[1] / steps[0]):
        return Growth("geometric", float((steps[2] / steps[1]) ** (4 / last)))
    ratio = after / before if before else math.inf
    if ratio > 1.06:
        return Growth("power", math.log2(ratio))
    if ratio > 0.94:
        return Growth("log", 0.0)
    limit = end + after * ratio / (1 - ratio) if ratio > 0 else end
    if limit <= 0 < end:  # more data in each round: it falls as a power of t
        return Growth("power", math.log2(end / half))
    return Growth("settles", limit)


def largest_lambda(
    make: Callable[[float], Regime],
    n: int,
    tolerance: float,
    *,
    on: Measure = "error",
    generations: int | None = None,
    response: float = 1.0,
    bias_ratio: float = 0.0,
) -> float:
    """Largest λ up to which a regime's price stays within a tolerance.

    Args:
        make: λ -> regime.
        n: Real points; λ is a multiple of 1/n.
        tolerance: Largest price minus 1, > 0.
        on: What the tolerance is on.
        generations: After so many retrainings; None: for ever.
        response: J.
        bias_ratio: B = n δ²/C.

    Returns:
        λ; 0 if none is, `LARGEST_LAMBDA` if all that were tried are.
    """

    def exceeds(m: int, points: int) -> bool:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "floor.lam")  # too few points of a rule's own λ
            found = price(make(m / points), points, generations or LONG, response)
        return found.at(on, generations, bias_ratio) > 1 + tolerance + 1e-9

    # prices hardly depend on n at equal λ: find the place among few points, then refine it
    few = min(n, FEW)
    good, bad = 0, 0
    for m in _ascending(few):
        if exceeds(m, few):
            bad = m
            break
        good = m
    else:
        return LARGEST_LAMBDA
    good, bad = _bisected(lambda m: exceeds(m, few), good, bad)
    if few == n:
        return good / n

    good, bad = good * n // few, math.ceil((bad + 1) * n / few)
    if good and exceeds(good, n):
        good = 0
    return _bisected(lambda m: exceeds(m, n), good, bad)[0] / n


def _bisected(exceeds: Callable[[int], bool], good: int, bad: int) -> tuple[int, int]:
    """Neighbours between which `exceeds` turns true."""
    while bad - good > 1:
        middle = (good + bad) // 2
        good, bad = (good, middle) if exceeds(middle) else (middle, bad)
    return good, bad


def _ascending(n: int) -> Iterator[int]:
    """Numbers of synthetic points to try, from few to many."""
    last = 0
    for lam in (0.01, 0.03, 0.1, 0.3, 1.0, 2.0, 4.0, 8.0, LARGEST_LAMBDA):
        if round(lam * n) > last:
            last = round(lam * n)
            yield last


def rounds_within(
    found: Price, tolerance: float, *, on: Measure = "error", bias_ratio: float = 0.0
) -> int | None:
    """Retrainings until a price leaves a tolerance.

    Args:
        found: The prices.
        tolerance: Largest price minus 1.
        on: What the tolerance is on.
        bias_ratio: B = n δ²/C.

    Returns:
        The last t within it before the first outside; None if it never leaves within the path and
        its limit stays within.
    """
    for t in range(len(found.variance)):
        if found.at(on, t, bias_ratio) > 1 + tolerance + 1e-9:
            return t - 1
    stays = found.at(on, None, bias_ratio) <= 1 + tolerance + 1e-9
    return None if stays else len(found.variance) - 1


def half_lives(n: int) -> tuple[float, float]:
    """Rounds until a Gaussian's σ has halved without real data, n samples a round.

    Args:
        n: Samples a round, >= 2.

    Returns:
        Of the mean of σ_t, and of a typical path (the mean of log σ_t), about half as long.
    """
    drift = (digamma((n - 1) / 2) - math.log((n - 1) / 2)) / 2
    return float(half_life(n)), -math.log(2) / float(drift)


def best_fresh_lambda(bias_ratio: float) -> float:
    """λ of `FreshReal` with the least risk, J = 1: (1 + λ)(1 + 2λ)² = 1/(2B).

    Args:
        bias_ratio: B = n δ²/C of one fit, >= 0.

    Returns:
        λ >= 0; 0 for B >= ½, where synthetic data only cost; inf for B = 0.
    """
    if bias_ratio >= 0.5:
        return 0.0
    if bias_ratio <= 0:
        return math.inf
    target = 1 / (2 * bias_ratio)
    return _root(lambda lam: (1 + lam) * (1 + 2 * lam) ** 2 - target, 0, target)


def _root(function: Callable[[float], float], low: float, high: float) -> float:
    return float(root_scalar(function, bracket=(low, high)).root)


def seeds_to_see_variance(ratio: float) -> float:
    """Independent chains that show a variance price, one-sided at 5 %, with power 80 %.

    The known variance of one fit is compared with the mean square of R errors, χ² with R degrees of
    freedom.

    Args:
        ratio: Variance price, > 1.

    Returns:
        The number of chains; inf for a price of 1 or less.
    """
    if ratio <= 1.0001:
        return math.inf
    if math.isinf(ratio):
        return 1.0

    def missing(log_seeds: float) -> float:
        seeds = math.exp(log_seeds)
        return float(chdtrc(seeds, chdtri(seeds, LEVEL) / ratio)) - POWER

    if missing(0) >= 0:
        return 1.0
    return math.ceil(math.exp(_root(missing, 0, 25)))


def seeds_to_see_bias(shift: float, deviation: float) -> float:
    """Independent chains that show a shift of the mean, two-sided at 5 %, with power 80 %.

    Args:
        shift: Difference of two generations' means, in units of f.
        deviation: Standard deviation of that difference in one chain.

    Returns:
        The number of chains; inf for no shift.
    """
    if not shift:
        return math.inf
    needed = ((ndtri(1 - LEVEL / 2) + ndtri(POWER)) * deviation / shift) ** 2
    return max(1, math.ceil(needed))
