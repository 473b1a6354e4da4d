"""Forecasts of a loop: a regime iterated on the response curves of a pilot, with all noises."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stability.loop.regimes import Regime
from stability.planning.functionals import Functionals
from stability.planning.labels import Propagation, propagate
from stability.planning.response import path_law
from stability.planning.response_curve import ResponseCurve

__all__ = ["PATHS", "Forecast", "forecast"]

PATHS = 400
"""Simulated paths of each functional."""
LEVEL = 0.9
"""Coverage of the intervals."""
MARGIN = 0.1
"""Part of the range of r by which a path may leave it and still count as inside."""

IMPOSSIBLE = 0.1
"""Part of a fraction by which its forecast may leave [0, 1] and still count as inside."""


@dataclass(frozen=True, eq=False)
class Forecast:
    """Paths of functionals through a loop.

    Attributes:
        regime: Name of the regime.
        model: (q, T + 1, paths), means over the models.
        training: (q, T + 1, paths), means over the training sets.
        beyond: (q,), first round at which the path leaves the range that the pilot saw; T + 1:
            never.
        possible: (q,), whether fractions stay in [0, 1].
        synthetic: m.
        synthetic_fraction: Weight of synthetic points in the last training set.
    """

    regime: str
    model: NDArray[np.float64]
    training: NDArray[np.float64]
    beyond: NDArray[np.int64]
    possible: NDArray[np.bool_]
    synthetic: int
    synthetic_fraction: float

    @property
    def generations(self) -> int:
        """T."""
        return self.model.shape[1] - 1

    def interval(self, q: int) -> NDArray[np.float64]:
        """Lower end, median and upper end of one functional's path, at `LEVEL`.

        Args:
            q: The functional.

        Returns:
            (3, T + 1).
        """
        tail = (1 - LEVEL) / 2
        return np.quantile(self.model[q], (tail, 0.5, 1 - tail), axis=1)


def forecast(
    regime: Regime,
    functionals: Functionals,
    curves: list[list[ResponseCurve]],
    n: int,
    generations: int,
    rng: np.random.Generator,
) -> Forecast:
    """Forecast a loop on the real points that the pilot had.

    Each path has coefficients that the refits are compatible with, new draws in each round, and
    the scatter of fits.

    Args:
        regime: Any regime whose `next` does not look at values.
        functionals: What is followed.
        curves: For each functional its curves, by ascending size.
        n: Real points.
        generations: Retrainings T.
        rng: For the simulated noises.

    Returns:
        The forecast.

    Raises:
        RegimeError: If the regime looks at values.
    """
    propagation = propagate(regime, n, generations)
    weights = [propagation.origins_of(t) for t in range(generations + 1)]
    picked = _noise_of_picks(regime, propagation)
    found: dict[int, tuple[NDArray, NDArray, bool]] = {}
    # mean squares first: with them goes the variance of a draw, which a mean's own curve lacks
    for q in sorted(range(len(functionals.names)), key=lambda q: not functionals.square[q]):
        second = _second_moment(q, functionals, found)
        fresh = regime.needs_fresh_real
        found[q] = _paths(
            q, functionals, curves[q], propagation, weights, picked, fresh, second, rng
        )
    paths = [found[q] for q in range(len(functionals.names))]
    model = np.array([path[0] for path in paths])
    training = np.array([path[1] for path in paths])
    return Forecast(
        str(regime),
        model,
        training,
        np.array([_beyond(curves[q], training[q]) for q in range(len(paths))]),
        np.array([path[2] for path in paths]),
        propagation.synthetic,
        float(1 - weights[-1][0]),
    )


def _second_moment(
    q: int, functionals: Functionals, found: Mapping[int, tuple[NDArray, NDArray, bool]]
) -> tuple[float, NDArray] | None:
    """Centre of the squares of a functional's coordinate, and the median path of their mean."""
    if functionals.square[q]:
        return None
    same = functionals.square & (functionals.coordinate == functionals.coordinate[q])
    for other in np.flatnonzero(same):
        return float(functionals.centre[other]), np.median(found[int(other)][0], axis=1)
    return None


def _noise_of_picks(regime: Regime, propagation: Propagation) -> NDArray[np.float64]:
    """(T + 1,), variance over C that training sets have beyond that of draws and fixed real data.

    Fresh real points and random picks make it.
    """
    law = path_law(propagation, response=0.0)
    known = np.zeros(propagation.generations + 1)
    for t in range(propagation.generations + 1):
        real, models = propagation.origins_of(t)
        known[t] = (models**2).sum() / max(propagation.synthetic, 1)
        if not regime.needs_fresh_real:
            known[t] += real**2 / propagation.n
    noise = np.maximum(law.training_variance - known, 0.0)
    noise[0] = 0.0  # the real points themselves
    return noise


def _paths(
    q: int,
    functionals: Functionals,
    curves: list[ResponseCurve],
    propagation: Propagation,
    weights: list[tuple[float, NDArray]],
    picked: NDArray,
    is_fresh: bool,
    second: tuple[float, NDArray] | None,
    rng: np.random.Generator,
) -> tuple[NDArray, NDArray, bool]:
    """Means over models and training sets, (T + 1, paths) each, and whether they are possible.

    The variance of a draw is that of the mean square, where its path is known: `second`.
    """
    rounds, m = propagation.generations + 1, propagation.synthetic
    is_fraction = functionals.fraction[q]
    coefficients = [curve.draws(PATHS, rng) for curve in curves]
    model, training = np.zeros((rounds, PATHS)), np.zeros((rounds, PATHS))
    drawn = np.zeros((rounds, PATHS))
    possible = True
    # new real points are about the mean of the law, which the first n points know up to C/n
    around = functionals.mean[q] + np.zeros(PATHS)
    if is_fresh:
        noise = functionals.deviation[q] / np.sqrt(propagation.n)
        around += noise * rng.standard_normal(PATHS)

    for t in range(rounds):
        real, models = weights[t]
        r = real * (around if t else functionals.mean[q]) + models[:t] @ drawn[:t]
        r = r + functionals.deviation[q] * np.sqrt(picked[t]) * rng.standard_normal(PATHS)
        low, high, part = _neighbours(curves, propagation.size(t))
        shift = (1 - part) * curves[low].shift(r, coefficients[low])
        shift += part * curves[high].shift(r, coefficients[high])
        s = r + shift + np.sqrt(curves[low].excess) * rng.standard_normal(PATHS)
        if is_fraction:
            margin = IMPOSSIBLE * min(functionals.mean[q], 1 - functionals.mean[q])
            possible &= bool(-margin < np.median(r + shift) < 1 + margin)
            s = np.clip(s, 0.0, 1.0)
        training[t], model[t] = r, s
        if m and is_fraction:
            drawn[t] = rng.binomial(m, s) / m
        elif m:
            deviation = curves[low].deviation(r)
            if second is not None:
                centre, squares = second
                variance = squares[t] - (np.median(s) - centre) ** 2
                if variance > 0:
                    deviation = np.sqrt(variance)
            drawn[t] = s + deviation / np.sqrt(m) * rng.standard_normal(PATHS)
    return model, training, possible


def _neighbours(curves: list[ResponseCurve], size: int) -> tuple[int, int, float]:
    """The curves between whose sizes this one lies, and how far, in log size."""
    sizes = np.log([curve.size for curve in curves])
    at = float(np.interp(np.log(size), sizes, np.arange(len(curves))))
    low = min(int(at), len(curves) - 1)
    return low, min(low + 1, len(curves) - 1), at - low


def _beyond(curves: list[ResponseCurve], training: NDArray) -> int:
    """First round whose median lies outside the range that all refits saw, by more than noise."""
    low, high = min(c.low for c in curves), max(c.high for c in curves)
    margin = MARGIN * (high - low)
    middle = np.median(training, axis=1)
    outside = (middle < low - margin) | (middle > high + margin)
    return int(outside.argmax()) if outside.any() else len(middle)
