"""Optional capabilities of a learner or a regime, beyond its protocol.

Structural: a class that has the attribute has the capability; nothing is inherited or registered.
The functions below look for the attribute themselves: they are called for each chain and
generation, and `isinstance` of a protocol takes longer than the fit of a small model.
"""

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np

__all__ = [
    "HasExtrapolation",
    "HasLambda",
    "HasLogProb",
    "HasPopulation",
    "HasSize",
    "SupportsExtrapolation",
    "SupportsWeights",
    "extrapolation_of",
    "models_of",
    "size_of_generation",
    "uses_weights",
]


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


@runtime_checkable
class HasSize(Protocol):
    """A regime whose data grow or shrink."""

    def size(self, n: int, t: int) -> int:
        """Give the number of points that stands for n in one round.

        Args:
            n: Number of real points.
            t: Generation that the round makes, >= 1.

        Returns:
            The number, >= 1.
        """
        ...


@runtime_checkable
class HasPopulation(Protocol):
    """A regime whose chains see each other's samples."""

    @property
    def models(self) -> int:
        """K >= 1, number of chains that see each other."""
        ...


@runtime_checkable
class HasExtrapolation(Protocol):
    """A regime that samples beyond its model, away from what trained on its own samples."""

    @property
    def extrapolation(self) -> float:
        """w, the weight of the extrapolation; 0: none."""
        ...


@runtime_checkable
class SupportsExtrapolation(Protocol):
    """A learner whose parameters can be extrapolated."""

    def extrapolated(self, base: dict[str, Any], weights: np.ndarray) -> dict[str, Any]:
        """Compute the state with parameters θ − w (θ′ − θ), θ′ the present ones.

        Args:
            base: State of θ.
            weights: w of each chain, (R,).

        Returns:
            A state; all but the parameters is that of `base`.

        Raises:
            FloatingPointError: If there is no such model.
        """
        ...


def extrapolation_of(regime: Any) -> float:
    """Give the weight of a regime's extrapolation.

    Args:
        regime: Any regime.

    Returns:
        w; 0 for a regime that does not extrapolate.
    """
    return getattr(regime, "extrapolation", 0.0)


def size_of_generation(regime: Any, n: int, t: int) -> int:
    """Give the number of points that stands for n in a round.

    Args:
        regime: Any regime.
        n: Number of real points.
        t: Generation that the round makes, >= 1.

    Returns:
        Its size; n for a regime that does not say.
    """
    return regime.size(n, t) if callable(getattr(regime, "size", None)) else n


def models_of(regime: Any) -> int:
    """Give the number of chains that see each other's samples.

    Args:
        regime: Any regime.

    Returns:
        K; 1 for a regime that does not say.
    """
    return getattr(regime, "models", 1)


def uses_weights(learner: Any) -> bool:
    """Tell whether a learner can be given weighted points.

    Args:
        learner: Any learner.

    Returns:
        True if it is a `SupportsWeights` whose `weighs` is true.
    """
    return isinstance(learner, SupportsWeights) and bool(learner.weighs)
