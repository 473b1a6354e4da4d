"""The contraction of retraining, measured with any learner: coupled chains.

Two chains get the same data and the same noise in every round and differ in where they start. Their distance is
multiplied by about ‖J e‖ in the first round, e the direction of the difference, and by about ρ(J) later, J the Jacobian
of one retraining (of the whole step, optimiser included, where a fit goes on from the present parameters: S6). Neither
likelihood nor derivatives are needed, and the noise that both share cancels.

The second chain starts from another fit: its generation 0 sees displaced real data, all later rounds the true ones. So
any learner will do, and the difference lies in directions that data can cause.

What is exact. For the mean of a Gaussian with known covariance the difference is multiplied by m/(n + m) = λ/(1 + λ),
whatever n, the seed and the round. In general a round at finite n multiplies it by the Jacobian of Gⁿ at that round's
samples, which is J up to O(1/√n), and the decay that is seen is the Lyapunov exponent of a product of such matrices: in
the fully synthetic loop, where J = I for a Gaussian (μ, σ), the difference of the means stays and that of the σ shrinks
at the rate of collapse (S5), as log σ_t differs by the same amount in all rounds.
"""

import dataclasses
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stability.regimes import Regime, TrainingSet
from stability.retraining import Generation, Learner, retrain

__all__ = ["Decay", "coupled", "decay", "gaps"]


@dataclass(frozen=True)
class Decay:
    """Factor by which a distance is multiplied in a round: geometric mean over rounds and pairs.

    error: its standard error over pairs of chains, nan for a single pair.
    """

    rate: float
    error: float


def coupled(
    learner: Learner,
    real: Sequence[np.ndarray],
    displaced: Sequence[np.ndarray],
    regimes: Sequence[Regime],
    rounds: int,
    *,
    replicas: Sequence[int] | None = None,
    **options: Any,
) -> Iterator[Generation]:
    """Generations 0 … `rounds` of S coupled pairs: chain r of `learner` and chain S + r, which starts displaced.

    learner: of 2S chains.   real, displaced, regimes: one entry a pair; the data sets of a pair have equal size.
    replicas: of each pair, default 0 … S−1.   options: of `retrain`, with its errors.
    """
    twice: dict[str, Any] = {
        "regimes": [*regimes, *regimes],
        "replicas": [*(range(len(regimes)) if replicas is None else replicas)] * 2,
    }
    (start,) = retrain(learner, [*real, *displaced], generations=0, **twice, **options)
    start = dataclasses.replace(start, training=tuple(TrainingSet(np.asarray(x), len(x)) for x in [*real, *real]))
    yield start
    yield from retrain(learner, [*real, *real], generations=rounds, after=start, **twice, **options)


def gaps(generation: Generation) -> NDArray[np.float64]:
    """Root mean square distance between coupled draws of each pair, (S,), in units of x: a bound on W2 from above."""
    pairs = len(generation.samples) // 2
    return np.array(
        [
            math.sqrt(np.square(np.asarray(y, dtype=float) - x).sum(axis=tuple(range(1, y.ndim))).mean())
            for x, y in zip(generation.samples[:pairs], generation.samples[pairs:], strict=True)
        ]
    )


def decay(distances: NDArray[np.float64], first: int = 0, last: int | None = None) -> Decay:
    """The decay from round `first` to round `last` (default: to the end) of distances (T + 1, S), all > 0.

    `decay(d, 0, 1)` is what the first round does, an estimate of ‖J e‖ and so from below of ‖J‖ in the norm that the
    distance stands for; `decay(d, s)` tends to ρ(J) as s grows.
    ValueError if a distance is not finite and > 0: chains that have met say nothing about the rate.
    """
    used = np.asarray(distances, dtype=float)[first : None if last is None else last + 1]
    if len(used) < 2 or not (np.isfinite(used).all() and (used > 0).all()):
        raise ValueError(f"distances must be finite and > 0 in two rounds or more, got {used.tolist()}")
    logs = np.log(used[-1] / used[0]) / (len(used) - 1)  # (S,)
    rate = math.exp(logs.mean())
    error = rate * float(logs.std(ddof=1)) / math.sqrt(len(logs)) if len(logs) > 1 else math.nan
    return Decay(rate, error)
