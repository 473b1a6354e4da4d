"""A user's own function as an observer."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from stability.runs.observer import NOISE_FLOOR, OF_THE_TRUTH, Quantity, TruthDraw, View

__all__ = ["UserFunction"]


@dataclass(frozen=True)
class UserFunction:
    """A number that a function gives of samples, or of samples and true points.

    Attributes:
        key: Its name in the history.
        function: (samples (k, …)) -> number; with `compares`, (samples, true points) -> number.
        title: Of its table. Default: the key.
        compares: Whether the function takes true points as well, as a distance does.
    """

    key: str
    function: Callable[..., float]
    title: str = ""
    compares: bool = False

    @property
    def quantities(self) -> tuple[Quantity, ...]:
        """The number."""
        floor = NOISE_FLOOR if self.compares else OF_THE_TRUTH
        return (Quantity(self.key, self.title, from_zero=self.compares, floor=floor),)

    def floor(self, truth: TruthDraw, n: int, rng: np.random.Generator) -> dict[str, float]:
        """Measure a draw of the truth (beside another one, where the function compares).

        Args:
            truth: Draws true points.
            n: Points a set.
            rng: To draw with.

        Returns:
            The number by key.
        """
        x = truth(n, rng)
        return self._measured(x, truth(n, rng) if self.compares else x)

    def __call__(self, view: View) -> dict[str, float]:
        """Measure the samples, beside the true points where the function compares.

        Args:
            view: Data of the chain.

        Returns:
            The number by key.

        Raises:
            TypeError: If the function does not return a number.
        """
        return self._measured(view.samples, view.truth)

    def _measured(self, x: np.ndarray, y: np.ndarray) -> dict[str, float]:
        value = np.asarray(self.function(x, y) if self.compares else self.function(x), dtype=float)
        if value.shape != ():
            raise TypeError(f"function of {self.key!r} must return a number, got {value.shape}")
        return {self.key: float(value)}
