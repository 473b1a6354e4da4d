"""Real data and true points of a study: arrays, pools and laws."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from stability.loop.arguments import is_array_like, numeric_array, whole_number
from stability.loop.retraining import FreshByGeneration, FreshData
from stability.loop.streams import Purpose, stream
from stability.runs.observer import TruthDraw

__all__ = ["NotEnoughDataError", "Pool", "RealData", "Rounds", "real_data"]


class NotEnoughDataError(ValueError):
    """There are fewer true points than independent sets of them take."""


@dataclass(frozen=True)
class Pool:
    """A large set of real points, of which each seed is given its own part.

    Attributes:
        points: All of them, (N, …).
        bootstrap: Whether a seed's part is drawn with replacement; new real data, where a regime
            needs them, are always others.
    """

    points: Any
    bootstrap: bool = False


@dataclass(frozen=True)
class Rounds:
    """New real data set aside for the rounds, in the order in which they are used.

    Attributes:
        points: (T n, …).
    """

    points: np.ndarray

    def of_generation(self, t: int) -> FreshData:
        """New points of one retraining.

        Args:
            t: Generation that the retraining makes, >= 1.

        Returns:
            Gives the n points, (n, …); its generator is not used.
        """
        return lambda n, rng: self.points[(t - 1) * n : t * n]


@dataclass(frozen=True)
class RealData:
    """Data that the chains of a study are trained on and measured against.

    Attributes:
        n: Real points of a chain.
        compared: Points that are compared with as many true ones.
        draws: Points drawn of each generation.
        real_of: Seed -> its real data, (n, …); the same array each time.
        truth_of: Seed, generation -> true points (compared, …).
        fresh: New real data; None if there are none.
        floor_draw: Makes a `TruthDraw` of independent sets of true points.
        covers: What intervals over seeds cover, in words.
    """

    n: int
    compared: int
    draws: int
    real_of: Callable[[int], np.ndarray]
    truth_of: Callable[[int, int], np.ndarray]
    fresh: FreshData | FreshByGeneration | None
    floor_draw: Callable[[], TruthDraw]
    covers: str


class _Urn:
    """Draws points of an array without replacement, in an order that the first generator
    chooses.
    """

    def __init__(self, points: np.ndarray) -> None:
        self._points, self._order, self._used = points, None, 0

    def __call__(self, n: int, rng: np.random.Generator) -> np.ndarray:
        """(n, …). NotEnoughDataError once there are no more."""
        if self._order is None:
            self._order = rng.permutation(len(self._points))
        chosen = self._order[self._used : self._used + n]
        if len(chosen) < n:
            raise NotEnoughDataError(f"{len(self._points)} true points are too few")
        self._used += n
        return self._points[chosen]


def real_data(
    real: Any, truth: Any, samples: int | None, draws: int | None, seed: int, fresh_rounds: int
) -> RealData:
    """Prepare the data of a study.

    Args:
        real: An array, a `Pool` or a function (n, rng) -> (n, …).
        truth: An array, a function, or None: `real`.
        samples: n; None: all of an array.
        draws: Points to draw of each generation; None: n.
        seed: Of the study.
        fresh_rounds: Number of retrainings for which a pool sets new real data aside.

    Returns:
        The data.

    Raises:
        TypeError: If one of them is none of these.
        ValueError: If there are too few points; the message names the argument.
    """
    array = is_array_like(real)
    if not (array or isinstance(real, Pool) or callable(real)):
        raise TypeError(
            f"real must be an array, a Pool or a function (n, rng), got {type(real).__name__}"
        )

    fresh: FreshData | FreshByGeneration | None = None
    if array:
        points = numeric_array(real, "real")
        n = whole_number(len(points) if samples is None else samples, "samples", 1)
        if n > len(points):
            raise ValueError(f"samples must be <= {len(points)}, the points of real, got {n}")
        whole = points if n == len(points) else points[:n]
        real_of: Callable[[int], np.ndarray] = lambda index: whole  # noqa: E731
        covers = "intervals over seeds cover training and sampling noise; the real set is the same"
    elif isinstance(real, Pool):
        n, real_of, fresh = _of_pool(real, samples, seed, fresh_rounds)
        how = "bootstrapped" if real.bootstrap else "drawn from a pool"
        covers = (
            "intervals over seeds cover training and sampling noise, and the real set, which is "
            f"{how} for each seed"
        )
    else:
        if samples is None:
            raise ValueError("samples must be given where real is a function")
        draw: Any = real
        n, fresh = whole_number(samples, "samples", 1), draw
        real_of = cache(lambda index: draw(n, stream(seed, Purpose.REAL, index)))  # type: ignore[assignment]
        covers = (
            "intervals over seeds cover training and sampling noise, and the real set, which is "
            "drawn anew for each seed"
        )

    k = whole_number(n if draws is None else draws, "draws", 1)
    compared, truth_of, floor_draw = _of_truth(real if truth is None else truth, real_of, k, seed)
    return RealData(n, compared, k, real_of, truth_of, fresh, floor_draw, covers)


def _of_pool(
    pool: Pool, samples: int | None, seed: int, rounds: int
) -> tuple[int, Callable[[int], np.ndarray], Rounds]:
    """n, the real data of a seed, and those set aside for the rounds."""
    points = numeric_array(pool.points, "real.points")
    if samples is None:
        raise ValueError("samples must be given where real is a Pool")
    n = whole_number(samples, "samples", 1)
    aside = rounds * n
    least = aside + (1 if pool.bootstrap else n)
    if least > len(points):
        new = f", of which {aside} are new ones for {rounds} rounds" if aside else ""
        raise ValueError(f"real must have at least {least} points{new}, got {len(points)}")
    order = stream(seed, Purpose.REAL, 0, 1).permutation(len(points))
    own, others = points[order[aside:]], points[order[:aside]]

    @cache
    def real_of(index: int) -> np.ndarray:
        rng = stream(seed, Purpose.REAL, index)
        return own[rng.choice(len(own), n, replace=pool.bootstrap)]

    return n, real_of, Rounds(others)


def _of_truth(
    truth: Any, real_of: Callable[[int], np.ndarray], draws: int, seed: int
) -> tuple[int, Callable[[int, int], np.ndarray], Callable[[], TruthDraw]]:
    """Points that are compared, the truth of a seed and a generation, and what floors draw."""
    if isinstance(truth, Pool):
        truth = truth.points
    if is_array_like(truth):
        points = numeric_array(truth, "truth")
        k = min(draws, len(points))
        fixed = points[:k]
        # under "no change" real and true points are alike, so floors may draw from both
        own = real_of(0)
        same = points.shape == own.shape and np.array_equal(points, own)
        urn = points if same else np.concatenate([points, own])
        return k, lambda index, t: fixed, lambda: _Urn(urn)
    if not callable(truth):
        raise TypeError(
            f"truth must be an array or a function (n, rng), got {type(truth).__name__}"
        )

    law: Any = truth

    def truth_of(index: int, t: int) -> np.ndarray:
        return law(draws, stream(seed, Purpose.TRUTH, index, t))

    return draws, truth_of, lambda: law
