"""Errors of the numbers of an analysis, from the same numbers with perturbed moments.

Where expectations are quadrature, the moments are moved at random within their numerical errors,
and an error is the largest change that follows. Where they are means of draws, each batch of draws
is left out in turn (the delete-a-batch jackknife), and an error is the half-width of a 95 %
interval: Student's t times the jackknife's standard error, and its estimate of the bias, which
matters where eigenvalues lie closer than noise can tell apart.

Source: Shao and Tu, "The Jackknife and Bootstrap" (1995), section 2.3.
"""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.stats import t as student

__all__ = ["BATCHES", "Replicates", "ScoreMoments", "perturbed"]

BATCHES = 20
"""Batches that are left out in turn, and perturbations of quadrature."""
_CONFIDENCE = 0.95


@dataclass(frozen=True)
class ScoreMoments:
    """θ*, and what the law of the data and the model say of the derivatives there.

    Attributes:
        theta: (P,) θ*.
        A: (P, P) E_data ∇² log p.
        B: (P, P) E_p ∇² log p.
        C: (P, P) E_data s sᵀ, s the score.
        fisher: (P, P) E_p s sᵀ.
    """

    theta: np.ndarray
    A: np.ndarray
    B: np.ndarray
    C: np.ndarray
    fisher: np.ndarray


@dataclass(frozen=True)
class Replicates:
    """ScoreMoments as they might have come out.

    Attributes:
        moments: One for each batch left out, or for each perturbation.
        method: Which of the two; "exact" where nothing is left open.
    """

    moments: tuple[ScoreMoments, ...]
    method: Literal["exact", "quadrature", "jackknife"]

    def error(self, value: np.ndarray, replicates: np.ndarray) -> np.ndarray:
        """Error of a number.

        Args:
            value: The number, of any shape (...).
            replicates: The same from each of `moments`, (R, ...).

        Returns:
            Largest change, or half-width of a 95 % interval (see the module); (...).
        """
        if self.method == "exact":
            return np.zeros_like(value)
        if self.method == "quadrature":
            return _changes(replicates, value).max(axis=0)
        count, finite = len(replicates), np.isfinite(replicates).all(axis=0) & np.isfinite(value)
        if not np.all(finite):
            masked = self.error(np.where(finite, value, 0.0), np.where(finite, replicates, 0.0))
            return np.where(finite, masked, math.inf)
        middle = replicates.mean(axis=0)
        standard = np.sqrt((count - 1) / count * np.square(replicates - middle).sum(axis=0))
        bias = (count - 1) * np.abs(middle - value)
        return student.isf((1 - _CONFIDENCE) / 2, count - 1) * standard + bias


def _changes(replicates: np.ndarray, value: np.ndarray) -> np.ndarray:
    """|replicates − value|; 0 where both are one infinity."""
    same = replicates == value
    return np.abs(np.where(same, 0.0, replicates) - np.where(same, 0.0, value))


def perturbed(moments: ScoreMoments, errors: ScoreMoments, seed: int) -> Replicates:
    """ScoreMoments moved by their errors, with signs at random.

    Args:
        moments: As computed.
        errors: The absolute error of each entry.
        seed: Of the signs, >= 0.

    Returns:
        As many replicates as there are batches elsewhere.
    """
    rng = np.random.default_rng(seed)
    if not any(np.any(value) for value in vars(errors).values()):
        return Replicates((), "exact")

    def moved(value: np.ndarray, error: np.ndarray) -> np.ndarray:
        step = error * rng.choice([-1.0, 1.0], value.shape)
        return value + ((step + step.T) / math.sqrt(2) if value.ndim == 2 else step)

    replicates = tuple(
        ScoreMoments(*(moved(vars(moments)[name], vars(errors)[name]) for name in vars(moments)))
        for _ in range(BATCHES)
    )
    return Replicates(replicates, "quadrature")
