"""A learner around another, which does as that does: the base of those that change one thing."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from stability.loop.capabilities import uses_weights
from stability.loop.regimes import TrainingSet

__all__ = ["WithDensity", "WrappedLearner", "unwrapped"]


class WrappedLearner:
    """A learner of R chains that does as another does.

    Args:
        learner: The other.
    """

    def __init__(self, learner: Any) -> None:
        self._learner = learner

    @property
    def chains(self) -> int:
        return self._learner.chains

    @property
    def parameters(self) -> np.ndarray:
        """Parameters that samples are drawn with, (R, …)."""
        return self._learner.parameters

    @property
    def weighs(self) -> bool:
        return uses_weights(self._learner)

    def reset(self, rngs: Sequence[np.random.Generator]) -> None:
        self._learner.reset(rngs)

    def fit(self, datasets: Sequence[TrainingSet], rngs: Sequence[np.random.Generator]) -> None:
        self._learner.fit(datasets, rngs)

    def sample(
        self, counts: Sequence[int], rngs: Sequence[np.random.Generator]
    ) -> Sequence[np.ndarray]:
        return self._learner.sample(counts, rngs)

    def state_dict(self) -> dict[str, Any]:
        return self._learner.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._learner.load_state_dict(state)


class WithDensity(WrappedLearner):
    """A learner that does as another does which has a density."""

    def log_prob(self, points: Sequence[np.ndarray]) -> Sequence[np.ndarray]:
        """Log-density of each chain's model, at its present parameters.

        Args:
            points: One array a chain, (k, …).

        Returns:
            One array (k,) a chain.
        """
        return self._learner.log_prob(points)


def unwrapped(learner: Any) -> Any:
    """Find the learner inside all wrappers.

    Args:
        learner: Any learner.

    Returns:
        The innermost one; the learner itself if nothing is around it.
    """
    while isinstance(learner, WrappedLearner):
        learner = learner._learner
    return learner
