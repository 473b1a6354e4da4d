"""The mean of a Gaussian with known covariance through Algorithm 1: the loop whose every law is
known exactly.
"""

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from stability.gaussian.learner import GaussianLearner
from stability.loop.capabilities import HasLambda
from stability.loop.regimes import Regime
from stability.loop.retraining import Latents, Learner, retrain
from stability.loop.whole_counts import require_whole

__all__ = ["paths"]

_WIDTH = 128


def known_variance(chains: int, dimension: int) -> GaussianLearner:
    """Make a learner of the mean of N(μ, I) alone.

    Args:
        chains: R >= 1.
        dimension: d >= 1.

    Returns:
        The learner.
    """
    return GaussianLearner(chains, dimension, covariance=np.eye(dimension))


def paths(
    regime: Regime,
    n: int,
    t: int,
    chains: int,
    rng: np.random.Generator,
    *,
    latents: Latents = "fresh",
    learner: Callable[[int, int], Learner] = known_variance,
) -> NDArray[np.float64]:
    """μ_s − μ of generations s = 0 … t in units of one observation's standard deviation.

    Each chain has n fixed real points of its own. The coordinates of N(μ, I) and of all its
    refits are independent of each other, so that a chain in 128 dimensions is 128 chains on the
    line.

    Args:
        regime: Regime of every chain.
        n: Number of real points of each chain, >= 1.
        t: Number of retrainings, >= 0.
        chains: Number of chains, >= 1.
        rng: Source of all randomness.
        latents: As for `retrain`.
        learner: (groups, dimension) -> a learner with a `mean` (groups, dimension).

    Returns:
        (t + 1, chains).

    Raises:
        ValueError: Unless the regime's λn is whole, as the laws that paths are compared with want
            it.
    """
    require_whole(regime.lam if isinstance(regime, HasLambda) else 1.0, n)
    groups = math.ceil(chains / _WIDTH)
    model = learner(groups, _WIDTH)
    generations = retrain(
        model,
        list(rng.standard_normal((groups, n, _WIDTH))),
        [regime] * groups,
        t,
        seed=int(rng.integers(2**62)),
        fresh=lambda n, rng: rng.standard_normal((n, _WIDTH)),
        latents=latents,
    )
    means = [model.mean.ravel()[:chains].copy() for _ in generations]  # type: ignore[attr-defined]
    return np.array(means)
