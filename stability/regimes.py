"""Regimes: which data the next fit sees (Algorithm 1, line 5, and its variants).

A regime is a small frozen object with two methods: how many samples it wants of the present model, and how it makes
the next training set of them. It keeps no state: what a later round needs (for `Accumulate`, every earlier synthetic
set) is in the training set of the round before.
"""

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import ClassVar, Protocol

import numpy as np

__all__ = [
    "Accumulate",
    "FreshReal",
    "FullySynthetic",
    "Mix",
    "Regime",
    "RoundInputs",
    "TrainingSet",
    "synthetic_count",
]


@dataclass(frozen=True)
class TrainingSet:
    """What one fit sees: `points` (n + m, …), the first n = `real` of them real, the rest drawn from earlier models."""

    points: np.ndarray
    real: int

    @property
    def synthetic(self) -> int:
        """m, the number of synthetic points."""
        return len(self.points) - self.real

    @property
    def lam(self) -> float:
        """λ = m / n, synthetic points per real point (the paper's measure); inf without real data."""
        return self.synthetic / self.real if self.real else math.inf

    @property
    def share(self) -> float:
        """m / (n + m), the synthetic share of the data (the other measure in the literature), in [0, 1]."""
        return self.synthetic / len(self.points)


@dataclass(frozen=True)
class RoundInputs:
    """What a regime may use to make the next training set.

    real: (n, …), the chain's fixed real data.   previous: the training set of the fit before.
    synthetic: (m, …), fresh draws of the present model.   fresh: k -> (k, …), new real data.
    """

    real: np.ndarray
    previous: TrainingSet
    synthetic: np.ndarray
    fresh: Callable[[int], np.ndarray]


class Regime(Protocol):
    """The rule by which a chain feeds on itself. `str(regime)` names it in tables, legends and files."""

    needs_fresh_real: ClassVar[bool]
    """Whether `next` draws new real data."""

    def synthetic(self, n: int) -> int:
        """Number m >= 0 of samples to draw from the model of each generation, for n real points."""
        ...

    def next(self, inputs: RoundInputs) -> TrainingSet:
        """The training set of the next fit."""
        ...


def synthetic_count(lam: float, n: int) -> int:
    """floor(λ n) for the λ that was written: 0.29 · 100 is 29, though the nearest double to 0.29 lies below it.

    Warns when it is 0 although λ > 0, since the chain then never sees its own data.
    """
    m = math.floor(Fraction(repr(float(lam))) * n)
    if m == 0 and lam > 0:
        warnings.warn(f"floor(lam * n) is 0 for lam={lam}, n={n}: no synthetic data will be used", stacklevel=2)
    return m


@dataclass(frozen=True)
class _PerRealPoint:
    """Shared by the regimes that take λ: `lam` synthetic points per real point, finite and >= 0."""

    lam: float
    needs_fresh_real: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if not (math.isfinite(self.lam) and self.lam >= 0):
            raise ValueError(f"lam must be finite and >= 0, got {self.lam} (for no real data use FullySynthetic)")

    def synthetic(self, n: int) -> int:
        return synthetic_count(self.lam, n)


@dataclass(frozen=True)
class Mix(_PerRealPoint):
    """All n real points and floor(λ n) samples of the present model: the paper's Algorithm 1, eq. (2)."""

    def next(self, inputs: RoundInputs) -> TrainingSet:
        return TrainingSet(np.concatenate([inputs.real, inputs.synthetic]), real=len(inputs.real))

    def __str__(self) -> str:
        return f"λ = {self.lam:g}"


@dataclass(frozen=True)
class FullySynthetic:
    """n samples of the present model and no real data: λ → ∞, the paper's "fully synthetic"."""

    needs_fresh_real: ClassVar[bool] = False

    def synthetic(self, n: int) -> int:
        return n

    def next(self, inputs: RoundInputs) -> TrainingSet:
        return TrainingSet(inputs.synthetic, real=0)

    def __str__(self) -> str:
        return "fully synthetic"


@dataclass(frozen=True)
class Accumulate(_PerRealPoint):
    """The real data and every synthetic set so far, floor(λ n) points each (Gerstgrasser et al., arXiv:2404.01413)."""

    def next(self, inputs: RoundInputs) -> TrainingSet:
        return TrainingSet(np.concatenate([inputs.previous.points, inputs.synthetic]), real=inputs.previous.real)

    def __str__(self) -> str:
        return f"accumulate, λ = {self.lam:g}"


@dataclass(frozen=True)
class FreshReal(_PerRealPoint):
    """n new real points and floor(λ n) samples of the present model (Alemohammad et al., arXiv:2307.01850)."""

    needs_fresh_real: ClassVar[bool] = True

    def next(self, inputs: RoundInputs) -> TrainingSet:
        real = inputs.fresh(len(inputs.real))
        return TrainingSet(np.concatenate([real, inputs.synthetic]), real=len(real))

    def __str__(self) -> str:
        return f"fresh real data, λ = {self.lam:g}"
