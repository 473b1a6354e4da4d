"""Copies of training data among samples, told from collapse by fresh true points."""

from dataclasses import dataclass

import numpy as np
from scipy.spatial import KDTree

from stability.observers.points import rows_of
from stability.runs.observer import OF_THE_TRUTH, Quantity, TruthDraw, View

__all__ = ["Memorisation", "memorisation"]


def memorisation(samples: np.ndarray, real: np.ndarray, fresh: np.ndarray) -> dict[str, float]:
    """Compare samples with training points and with as many new ones.

    Args:
        samples: (k, …).
        real: Training points, (n, …).
        fresh: New true points, (m, …). Of the larger set the first min(n, m) are used for
            `memorised`.

    Returns:
        `memorised`: share of the samples nearer to a training point than to any new one, ties
        counting half. It is ½ for samples that do not depend on the training points, whatever else
        is wrong with them, and 1 for copies. `copied`: share of the samples that equal a training
        point.
    """
    x, r, f = rows_of(samples), rows_of(real), rows_of(fresh)
    k = min(len(r), len(f))
    to_real, to_fresh = (KDTree(points[:k]).query(x)[0] for points in (r, f))
    nearer = np.where(to_real == to_fresh, 0.5, to_real < to_fresh)
    known = {row.tobytes() for row in np.ascontiguousarray(r + 0.0)}  # −0.0 equals 0.0
    copied = [row.tobytes() in known for row in np.ascontiguousarray(x + 0.0)]
    return {"memorised": float(nearer.mean()), "copied": float(np.mean(copied))}


@dataclass(frozen=True)
class Memorisation:
    """Shares of samples that are copies of real training data, or nearer to them than to new data.

    The truth must be other points than the real data, or `memorised` means nothing.
    """

    thread_safe = True
    quantities = (
        Quantity(
            "memorised",
            "Share of samples nearer to training data than to new data",
            "share nearer to training data",
            floor=OF_THE_TRUTH,
        ),
        Quantity("copied", "Share of samples that equal a training point", floor=OF_THE_TRUTH),
    )

    def floor(self, truth: TruthDraw, n: int, rng: np.random.Generator) -> dict[str, float]:
        """Measure three independent draws of the truth: samples, training data and new data.

        Args:
            truth: Draws true points.
            n: Points a set.
            rng: To draw with.

        Returns:
            Numbers by key.
        """
        return memorisation(*(truth(n, rng) for _ in range(3)))

    def __call__(self, view: View) -> dict[str, float]:
        """Measure the samples beside the real data and the true points.

        Args:
            view: Data of the chain.

        Returns:
            Numbers by key.
        """
        return memorisation(view.samples, view.real, view.truth)
