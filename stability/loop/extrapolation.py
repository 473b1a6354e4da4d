"""Negative extrapolation: samples of a model that has taken back what training on its own samples
does to it.

A model θ draws samples, and is trained on them alone: θ′. Samples then come from θ − w (θ′ − θ).
Source: Neon (arXiv:2510.03597).
"""

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np

from stability.loop.capabilities import HasLogProb, SupportsExtrapolation, extrapolation_of
from stability.loop.regimes import Regime, TrainingSet
from stability.loop.wrapped_learner import WithDensity, WrappedLearner

__all__ = ["ExtrapolatedDensity", "ExtrapolatedLearner", "extrapolating"]


def extrapolating(learner: Any, regimes: Sequence[Regime]) -> Any:
    """Give a learner what `Extrapolated` regimes need.

    Args:
        learner: Any learner.
        regimes: One a chain, or a part of the chains that the others repeat.

    Returns:
        The learner itself if none of them extrapolates, or else around it an `ExtrapolatedLearner`,
        which has a density if it has.

    Raises:
        TypeError: If its parameters cannot be extrapolated.
    """
    weights = [extrapolation_of(regime) for regime in regimes]
    if not any(weights):
        return learner
    weights *= learner.chains // len(weights)
    kind = ExtrapolatedDensity if isinstance(learner, HasLogProb) else ExtrapolatedLearner
    return kind(learner, weights)


class ExtrapolatedLearner(WrappedLearner):
    """A learner that draws from θ − w (θ′ − θ), while the next fit goes on from θ.

    θ′ is θ trained, as in any fit, on as many of its own samples as its training set had points.

    Args:
        learner: A learner that is a `SupportsExtrapolation`.
        weights: w of each chain.
    """

    def __init__(self, learner: Any, weights: Sequence[float]) -> None:
        chains = learner.chains
        if not isinstance(learner, SupportsExtrapolation):
            raise TypeError(
                f"learner must have parameters that can be extrapolated (a method extrapolated), "
                f"got {type(learner).__name__}"
            )
        if len(weights) != chains:
            raise ValueError(
                f"weights must have one entry for each of the {chains} chains, got {len(weights)}"
            )
        super().__init__(learner)
        self.extrapolation = np.array(weights, dtype=float)
        self._base: dict[str, Any] | None = None

    def reset(self, rngs: Sequence[np.random.Generator]) -> None:
        self._base = None
        self._learner.reset(rngs)

    def fit(self, datasets: Sequence[TrainingSet], rngs: Sequence[np.random.Generator]) -> None:
        """Fit θ, then θ′ to its samples, and extrapolate.

        Args:
            datasets: One training set a chain.
            rngs: One generator a chain.
        """
        learner = self._learner
        if self._base is not None:
            learner.load_state_dict(self._base)
        learner.fit(datasets, rngs)
        base = copy.deepcopy(learner.state_dict())

        draws, fits = zip(*(rng.spawn(2) for rng in rngs), strict=True)
        own = learner.sample([len(data.points) for data in datasets], draws)
        learner.fit([TrainingSet(np.asarray(x), real=0) for x in own], fits)

        learner.load_state_dict(learner.extrapolated(base, self.extrapolation))
        self._base = base

    def state_dict(self) -> dict[str, Any]:
        return {"base": self._base, "extrapolated": self._learner.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._base = copy.deepcopy(state["base"])
        self._learner.load_state_dict(state["extrapolated"])


class ExtrapolatedDensity(WithDensity, ExtrapolatedLearner):
    """An `ExtrapolatedLearner` with a density."""
