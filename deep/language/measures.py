"""Measures of text: perplexity, variety, and which n-grams are still there."""

from collections.abc import Mapping

import numpy as np

from deep.language.survival import loss_rate
from stability.runs.observer import OF_THE_TRUTH, Quantity, TruthDraw, View

__all__ = ["ENTROPY", "PERPLEXITY", "SURVIVAL", "SURVIVAL_LAW", "TextMeasures", "grams"]

PERPLEXITY, DISTINCT, ENTROPY = "perplexity", "distinct-3", "entropy"
SURVIVAL, SURVIVAL_LAW = "survival", "survival, exact law"
N = 3
"""Characters of the n-grams."""


def grams(x: np.ndarray, n: int = N) -> tuple[np.ndarray, np.ndarray]:
    """Count the n-grams within windows.

    Args:
        x: Symbols below 256, (k, l) uint8, l >= n.
        n: Characters of an n-gram, 1 to 7.

    Returns:
        Different n-grams as whole numbers, and how often each is there.
    """
    width = x.shape[1] - n + 1
    parts = np.stack([x[:, i : i + width] for i in range(n)]).astype(np.int64)
    codes = (parts * 256 ** np.arange(n)[:, None, None]).sum(axis=0)
    return np.unique(codes, return_counts=True)


class TextMeasures:
    """Observer of text: windows (k, l) of symbols.

    Args:
        law: Whether to record beside the measured survival of n-grams the exact law of frequencies:
            it is known beside real data (`Mix`) and without them (`FullySynthetic`).
    """

    def __init__(self, law: bool) -> None:
        self._law = law
        found = [
            Quantity(
                PERPLEXITY,
                "Perplexity of held-out text",
                "perplexity of held-out text,\na character",
                from_zero=False,
                floor=OF_THE_TRUTH,
            ),
            Quantity(
                DISTINCT, "Different 3-grams over all 3-grams", from_zero=False, floor=OF_THE_TRUTH
            ),
            Quantity(
                ENTROPY,
                "Entropy of a character, bits",
                from_zero=False,
                floor=OF_THE_TRUTH,
            ),
            Quantity(
                SURVIVAL,
                "3-grams of the real text that are still there",
                from_zero=False,
                floor=OF_THE_TRUTH,
            ),
        ]

        if law:
            found.append(
                Quantity(
                    SURVIVAL_LAW,
                    "3-grams still there, exact law of frequencies",
                    from_zero=False,
                    floor=OF_THE_TRUTH,
                )
            )

        self.quantities = tuple(found)

    def floor(self, truth: TruthDraw, n: int, rng: np.random.Generator) -> dict[str, float]:
        """Measure new windows of the held-out text; they have no perplexity.

        Args:
            truth: Draws windows.
            n: Windows a set.
            rng: To draw with.

        Returns:
            The numbers by name.
        """
        x = truth(n, rng)
        return {**_variety(x), SURVIVAL: _survival(truth(n, rng), x)}

    def __call__(self, view: View) -> Mapping[str, float]:
        """Measure one generation of a chain.

        Args:
            view: What there is to see; its model has a density.

        Returns:
            The numbers by name.
        """
        x = view.samples
        found = {**_variety(x), SURVIVAL: _survival(view.real, x)}
        if view.log_prob is not None:
            nats = -float(view.log_prob(view.truth).mean()) / view.truth.shape[1]
            found[PERPLEXITY] = float(np.exp(nats))
        if self._law:
            rate = loss_rate(view.training.lam if view.t else 0.0, view.t)
            counts = grams(view.real)[1]
            found[SURVIVAL_LAW] = float(-np.expm1(-counts * rate).mean())
        return found


def _variety(x: np.ndarray) -> dict[str, float]:
    different, counts = grams(x)
    shares = np.bincount(x.ravel()) / x.size
    shares = shares[shares > 0]
    return {
        DISTINCT: len(different) / counts.sum(),
        ENTROPY: float(-(shares * np.log2(shares)).sum()),
    }


def _survival(real: np.ndarray, x: np.ndarray) -> float:
    """Share of the different n-grams of `real` that `x` holds."""
    known = grams(real)[0]
    return float(np.isin(known, grams(x)[0]).mean())
