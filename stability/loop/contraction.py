"""The contraction of retraining, measured with any learner: coupled chains.

Two chains get the same data and the same noise in every round and differ in where they start. To
first order their difference is multiplied by J in each round, J the Jacobian of one retraining (of
the whole step, optimiser included, where a fit goes on from the present parameters: S6). Neither
likelihood nor derivatives are needed, and the noise that both share cancels.

The second chain starts from another fit: its generation 0 sees displaced real data, all later
rounds the true ones. So any learner will do, and the difference lies in a direction that data can
cause.

What is exact: for the mean of a Gaussian with known covariance the difference is multiplied by m/(n
+ m) = λ/(1 + λ), whatever n, the seed and the round. In general a round at finite n multiplies it
by the Jacobian of Gⁿ at that round's samples, which is J up to O(1/√n). In the fully synthetic loop
of a Gaussian (μ, σ), where J = I, differences of the means stay and those of σ shrink with σ: by
α(n) a round on average (Proposition 1).

A network's parameters are no measure: many parameters give the same law, and training amplifies
small differences of them. So the difference is that of the laws, seen in the mean of a feature that
the displacement changes, which averages over draws and over chains; draws that both models make of
the same latents keep its noise small. Where models can fit any law, this is exact for displacements
of any size: G is linear in laws, (p_data + λ p)/(1 + λ).
"""

import dataclasses
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stability.loop.arguments import numeric_array, whole_number
from stability.loop.regimes import Regime, TrainingSet
from stability.loop.retraining import Generation, Learner, retrain

__all__ = ["Displacement", "Rate", "coupled", "gaps", "rate", "shares"]


@dataclass(frozen=True)
class Displacement:
    """A way to displace real data, and what shows it.

    Attributes:
        move: x (n, …) -> x + v(x), of the same shape.
        feature: f, (n, …) -> (n,), of another mean after a move.
    """

    move: Callable[[np.ndarray], np.ndarray]
    feature: Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Rate:
    """The factor by which an average over pairs of chains is multiplied in a round.

    Attributes:
        error: Its standard error over pairs, nan for a single pair.
    """

    value: float
    error: float


def coupled(
    learner: Learner,
    real: Sequence[np.ndarray],
    displacements: Sequence[Displacement],
    regimes: Sequence[Regime],
    generations: int,
    *,
    streams: Sequence[int] | None = None,
    after: Generation | None = None,
    **options: Any,
) -> Iterator[Generation]:
    """Yield generations 0 … `generations` of S coupled pairs.

    A pair is chain r of `learner` and chain S + r, which starts displaced.

    Args:
        learner: A learner of 2S chains.
        real: Real data of each pair, (n, …), S of them.
        displacements: Displacement of each pair's second chain, S of them.
        regimes: Regime of each pair, S of them.
        generations: Number of retrainings, >= 0.
        streams: Random streams of each pair, default 0 … S−1.
        after: Resume from this generation. `learner` must hold its state. None: start anew.
        options: Other arguments of `retrain`.

    Yields:
        Generations of 2S chains.

    Raises:
        ValueError: If there is not one displacement a pair, or as `retrain` does.
        RetrainingError: As `retrain` does.
    """
    twice: dict[str, Any] = {
        "regimes": [*regimes, *regimes],
        "streams": [*(range(len(regimes)) if streams is None else streams)] * 2,
    }
    real = [numeric_array(x, f"real[{r}]") for r, x in enumerate(real)]
    generations = whole_number(generations, "generations", 0)
    if len(displacements) != len(real):
        raise ValueError(
            f"displacements must have one entry for each of the {len(real)} pairs, got "
            f"{len(displacements)}"
        )
    if after is None:
        displaced = [
            displacement.move(x) for displacement, x in zip(displacements, real, strict=True)
        ]
        (start,) = retrain(learner, [*real, *displaced], generations=0, **twice, **options)
        after = dataclasses.replace(
            start, training=tuple(TrainingSet(x, len(x)) for x in [*real, *real])
        )
        yield after
    twice |= {"generations": generations, "after": after}

    yield from retrain(learner, [*real, *real], **twice, **options)


def _pairs(generation: Generation) -> list[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Coupled draws of each pair."""
    draws = [np.asarray(x, dtype=float) for x in generation.samples]
    half = len(draws) // 2
    return list(zip(draws[:half], draws[half:], strict=True))


def gaps(generation: Generation) -> NDArray[np.float64]:
    """Root mean square distance between coupled draws of each pair: an upper bound on W2.

    Args:
        generation: Generation of S coupled pairs.

    Returns:
        (S,), in units of x.
    """
    return np.array([math.sqrt(np.square(y - x).sum() / len(x)) for x, y in _pairs(generation)])


def shares(generation: Generation, displacements: Sequence[Displacement]) -> NDArray[np.float64]:
    """Fraction of its displacement that each pair keeps.

    It is the mean of f(y) − f(x) over the mean of f(x + v(x)) − f(x). x are the draws of the chain
    on true data, y those of the other. 1 where y are x displaced, 0 where it is forgotten.

    Args:
        generation: Generation of S coupled pairs.
        displacements: Displacement of each pair, S of them.

    Returns:
        (S,).
    """
    values = []
    for (x, y), displacement in zip(_pairs(generation), displacements, strict=True):
        f = displacement.feature
        values.append(float((f(y) - f(x)).mean() / (f(displacement.move(x)) - f(x)).mean()))
    return np.array(values)


def rate(values: NDArray[np.float64], first: int = 0, last: int | None = None) -> Rate:
    """Rate at which distances or shares shrink in a round.

    The ratio of their sums over rounds first + 1 … last and first … last − 1, averaged over pairs
    before it is taken. `rate(values, 0, 1)` is what the first round does in the direction of the
    displacement, and so, over directions, bounds ‖J‖ from below; `rate(values, s)` tends to ρ(J) as
    s grows.

    Args:
        values: Distances or shares, (T + 1, S).
        first: First round that counts, >= 0.
        last: Last round that counts. None: T.

    Returns:
        The rate and its standard error.

    Raises:
        ValueError: Unless there are two rounds, finite, with a positive sum: chains that have met
            say nothing.
    """
    used = np.asarray(values, dtype=float)[first : None if last is None else last + 1]
    after, before = used[1:].sum(axis=0), used[:-1].sum(axis=0)  # (S,)
    if len(used) < 2 or not np.isfinite(used).all() or not before.mean() > 0:
        raise ValueError(
            "values must be of two rounds or more, finite and with a positive sum, got "
            f"{used.tolist()}"
        )
    ratio = float(after.mean() / before.mean())
    pairs = len(before)
    spread = (
        math.sqrt(np.square(after - ratio * before).sum() / (pairs - 1) / pairs)
        if pairs > 1
        else math.nan
    )
    return Rate(ratio, float(spread / before.mean()))
