"""What a learner or a regime may offer beyond its protocol.

Structural: a class that has the attribute has the capability; nothing is inherited or registered.
"""

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np

__all__ = ["HasLambda", "HasLogProb", "SupportsWeights", "uses_weights"]


@runtime_checkable
class SupportsWeights(Protocol):
    """A learner that says whether `fit` uses the weights of a training set in its loss."""

    @property
    def weighs(self) -> bool:
        """True: `fit` uses them. False is the same as no such attribute."""
        ...


@runtime_checkable
class HasLogProb(Protocol):
    """A learner whose models have a density."""

    def log_prob(self, points: Sequence[np.ndarray]) -> Sequence[np.ndarray]:
        """Evaluate the log-density of each chain's model.

        Args:
            points: One array (k, …) a chain.

        Returns:
            One array (k,) a chain.
        """
        ...


@runtime_checkable
class HasLambda(Protocol):
    """A regime that is described by λ, synthetic points per real point."""

    @property
    def lam(self) -> float:
        """λ >= 0."""
        ...


def uses_weights(learner: Any) -> bool:
    """Tell whether a learner can be given weighted points.

    Args:
        learner: Any learner.

    Returns:
        True if it is a `SupportsWeights` whose `weighs` is true.
    """
    return isinstance(learner, SupportsWeights) and bool(learner.weighs)
