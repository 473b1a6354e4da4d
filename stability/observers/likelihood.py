"""Likelihood of true points under a model that has a density."""

from collections.abc import Mapping
from typing import Protocol, runtime_checkable

import numpy as np

from stability.runs.observer import OF_THE_TRUTH, Quantity, TruthDraw, View

__all__ = ["KnownLaw", "Likelihood"]


@runtime_checkable
class KnownLaw(Protocol):
    """A law whose density can be evaluated."""

    def log_prob(self, x: np.ndarray) -> np.ndarray:
        """Log-density of points.

        Args:
            x: Points, (k, …).

        Returns:
            Log-density, (k,).
        """
        ...


class Likelihood:
    """Negative log-likelihood of new data, in nats a point, of models that have a density.

    Args:
        shown: Whether tables and figures show it.
    """

    def __init__(self, shown: bool = True) -> None:
        self._shown = shown
        self.quantities = (
            Quantity(
                "nll",
                "Negative log-likelihood of new data",
                "−log p of new data,\nnats a point",
                from_zero=False,
                floor=OF_THE_TRUTH,
                shown=shown,
            ),
        )

    def floor(self, truth: TruthDraw, n: int, rng: np.random.Generator) -> dict[str, float]:
        """Measure a draw of the truth under the truth, where that has a density.

        Args:
            truth: Draws true points.
            n: Points a set.
            rng: To draw with.

        Returns:
            The quantity by key; empty without a density, or where it is not shown.
        """
        if not (self._shown and isinstance(truth, KnownLaw)):
            return {}
        *_, fresh = (truth(n, rng) for _ in range(3))  # the draw that resemblance calls new data
        return {"nll": float(-truth.log_prob(fresh).mean())}

    def __call__(self, view: View) -> Mapping[str, float]:
        """Measure the true points under the chain's model.

        Args:
            view: Data of the chain.

        Returns:
            The quantity by key; empty for a model without a density.
        """
        if view.log_prob is None:
            return {}
        return {"nll": -float(view.log_prob(view.truth).mean())}
