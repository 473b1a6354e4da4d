"""Regimes: which data the next fit sees (Algorithm 1, line 5, and its variants).

A regime is a small frozen object with two methods: how many samples it wants of the present model,
and how it makes the next training set of them. It keeps no state: what a later round needs (for
`Accumulate`, every earlier synthetic set) is in the training set of the round before.

Five regimes stand alone. Four more go around another one: `Subsample`, `Weighted`, `Curated` and
`Verified` change which of its points are used, and how much each counts.
"""

import dataclasses
import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Protocol

import numpy as np

from stability.loop.arguments import require_methods, require_number, whole_number

__all__ = [
    "Accumulate",
    "Curated",
    "FreshReal",
    "FullySynthetic",
    "Mix",
    "Regime",
    "ReplaceShare",
    "RoundInputs",
    "Selector",
    "Subsample",
    "TrainingSet",
    "Verified",
    "Weighted",
    "synthetic_count",
]


@dataclass(frozen=True)
class TrainingSet:
    """What one fit sees: `points` (n + m, …), the first n = `real` of them real, the rest drawn
    from earlier models.

    Attributes:
        weights: (n + m,), >= 0, how much each point counts in the loss, up to a common factor;
            None: all the same.
        pool: The larger set that the points were picked from, for a regime that comes back to it;
            no fit looks at it.
    """

    points: np.ndarray
    real: int
    weights: np.ndarray | None = None
    pool: "TrainingSet | None" = None

    @property
    def synthetic(self) -> int:
        """m, the number of synthetic points."""
        return len(self.points) - self.real

    @property
    def lam(self) -> float:
        """λ = m / n, synthetic points per real point (the paper's measure); inf without real
        data.
        """
        return self.synthetic / self.real if self.real else math.inf

    @property
    def share(self) -> float:
        """m / (n + m), the synthetic share of the data (the other measure in the literature), in
        [0, 1].
        """
        return self.synthetic / len(self.points)

    @property
    def normalised_weights(self) -> np.ndarray:
        """(n + m,), with sum 1."""
        weights = (
            np.ones(len(self.points))
            if self.weights is None
            else np.asarray(self.weights, dtype=float)
        )
        return weights / weights.sum()


@dataclass(frozen=True)
class RoundInputs:
    """What a regime may use to make the next training set.

    Attributes:
        real: (n, …), the chain's fixed real data.
        previous: The training set of the fit before.
        synthetic: (m, …), fresh draws of the present model.
        fresh: k -> (k, …), new real data.
        rng: For choices that the regime makes at random.
    """

    real: np.ndarray
    previous: TrainingSet
    synthetic: np.ndarray
    fresh: Callable[[int], np.ndarray]
    rng: np.random.Generator


class Regime(Protocol):
    """The rule by which a chain feeds on itself.

    `str(regime)` names it in tables, legends and files.
    """

    @property
    def needs_fresh_real(self) -> bool:
        """Whether `next` draws new real data."""
        ...

    @property
    def weighted(self) -> bool:
        """Whether `next` gives its points weights, so that only a learner that can weight its
        loss will do.
        """
        ...

    def synthetic(self, n: int) -> int:
        """Number m >= 0 of samples to draw from the model of each generation, for n real points."""
        ...

    def next(self, inputs: RoundInputs) -> TrainingSet:
        """The training set of the next fit."""
        ...


def synthetic_count(lam: float, n: int) -> int:
    """floor(λ n) for the λ that was written: 0.29 · 100 is 29, though the nearest double to 0.29
    lies below it.

    Warns when it is 0 although λ > 0, since the chain then never sees its own data.
    """
    m = math.floor(Fraction(repr(float(lam))) * n)
    if m == 0 and lam > 0:
        warnings.warn(
            f"floor(lam * n) is 0 for lam={lam}, n={n}: no synthetic data will be used",
            stacklevel=2,
        )
    return m


@dataclass(frozen=True)
class _PerRealPoint:
    """Shared by the regimes that take λ: `lam` synthetic points per real point, finite and >= 0."""

    lam: float
    needs_fresh_real = False
    weighted = False

    def __post_init__(self) -> None:
        require_number(self.lam, "lam")
        if not (math.isfinite(self.lam) and self.lam >= 0):
            raise ValueError(
                f"lam must be finite and >= 0, got {self.lam} (for no real data use FullySynthetic)"
            )

    def synthetic(self, n: int) -> int:
        return synthetic_count(self.lam, n)


@dataclass(frozen=True)
class Mix(_PerRealPoint):
    """All n real points and floor(λ n) samples of the present model: the paper's Algorithm 1,
    eq. (2).
    """

    def next(self, inputs: RoundInputs) -> TrainingSet:
        return TrainingSet(np.concatenate([inputs.real, inputs.synthetic]), real=len(inputs.real))

    def __str__(self) -> str:
        return f"λ = {self.lam:g}"


@dataclass(frozen=True)
class FullySynthetic:
    """n samples of the present model and no real data: the paper's "fully synthetic".

    It is not the limit λ → ∞ of `Mix`, where λn samples a generation leave no noise: here the
    sample stays at n.
    """

    needs_fresh_real = False
    weighted = False

    def synthetic(self, n: int) -> int:
        return n

    def next(self, inputs: RoundInputs) -> TrainingSet:
        return TrainingSet(inputs.synthetic, real=0)

    def __str__(self) -> str:
        return "fully synthetic"


@dataclass(frozen=True)
class Accumulate(_PerRealPoint):
    """The real data and every synthetic set so far, floor(λ n) points each (Gerstgrasser et al.,
    arXiv:2404.01413).
    """

    def next(self, inputs: RoundInputs) -> TrainingSet:
        return TrainingSet(
            np.concatenate([inputs.previous.points, inputs.synthetic]), real=inputs.previous.real
        )

    def __str__(self) -> str:
        return f"accumulate, λ = {self.lam:g}"


@dataclass(frozen=True)
class FreshReal(_PerRealPoint):
    """n new real points and floor(λ n) samples of the present model (Alemohammad et al.,
    arXiv:2307.01850).
    """

    needs_fresh_real = True

    def next(self, inputs: RoundInputs) -> TrainingSet:
        real = inputs.fresh(len(inputs.real))
        return TrainingSet(np.concatenate([real, inputs.synthetic]), real=len(real))

    def __str__(self) -> str:
        return f"fresh real data, λ = {self.lam:g}"


@dataclass(frozen=True)
class ReplaceShare(_PerRealPoint):
    """Samples of the present model take the place of real points, λ for each that stays, so that
    the size stays n.

    So the share s = λ/(1+λ) of the n points is synthetic. The real ones that stay are drawn anew
    each round, without replacement (if the same ones stayed, this would be `Mix(lam)` on fewer real
    points). As data sets get contaminated in Hataya et al., arXiv:2211.08095. For the mean of a
    Gaussian the error settles at 1 + λ(2+λ)/(1+2λ) times σ²/n.
    """

    def synthetic(self, n: int) -> int:
        lam = Fraction(repr(float(self.lam)))
        return math.floor(lam / (1 + lam) * n)

    def next(self, inputs: RoundInputs) -> TrainingSet:
        stay = len(inputs.real) - len(inputs.synthetic)
        real = inputs.rng.choice(inputs.real, stay, replace=False)
        return TrainingSet(np.concatenate([real, inputs.synthetic]), real=stay)

    def __str__(self) -> str:
        return f"replace a share, λ = {self.lam:g}"


@dataclass(frozen=True)
class _Around:
    """Shared by the regimes that go around another one."""

    regime: Regime

    def __post_init__(self) -> None:
        require_methods(self.regime, "regime", "synthetic", "next")

    @property
    def needs_fresh_real(self) -> bool:
        return self.regime.needs_fresh_real

    @property
    def weighted(self) -> bool:
        return self.regime.weighted

    def synthetic(self, n: int) -> int:
        return self.regime.synthetic(n)


@dataclass(frozen=True)
class Subsample(_Around):
    """n points of what `regime` would train on, n the number of real points; all of them if there
    are fewer.

    Drawn anew each round, without replacement, while the whole set is kept for the rounds that
    follow. Around `Accumulate(1)` this is accumulate-and-subsample (Kazdan et al.,
    arXiv:2410.16713); for the mean of a Gaussian the error then tends to π²/2 − 2 = 2.93 times σ²/n
    as n and t grow, between accumulating (π²/6) and replacing (t + 1).
    """

    def next(self, inputs: RoundInputs) -> TrainingSet:
        previous = inputs.previous.pool or inputs.previous
        pool = self.regime.next(dataclasses.replace(inputs, previous=previous))
        size = min(len(inputs.real), len(pool.points))
        # sorted: real points stay in front
        chosen = np.sort(inputs.rng.choice(len(pool.points), size, replace=False))
        weights = None if pool.weights is None else pool.weights[chosen]
        return TrainingSet(pool.points[chosen], int((chosen < pool.real).sum()), weights, pool)

    def __str__(self) -> str:
        return f"{self.regime}, n of them"


@dataclass(frozen=True)
class Weighted(_Around):
    """The data of `regime`, where the real points have the share `weight` of the loss and the
    synthetic the rest.

    Attributes:
        weight: w, in (0, 1). n/(n + m) is no weighting. Where there is one kind of points only, all
            count the same. Around `FreshReal(1/k)` the best weight is (√(k²+4k) − k)/2, the golden
            ratio 0.618 at k = 1 (He, Xu and Cheng, arXiv:2502.18049); with fixed real data any w <
            1 costs variance (`stability.statements.literature.weighted_real`).
    """

    weight: float

    def __post_init__(self) -> None:
        super().__post_init__()
        require_number(self.weight, "weight")
        if not 0 < self.weight < 1:
            raise ValueError(f"weight must be in (0, 1), got {self.weight}")

    @property
    def weighted(self) -> bool:
        return True

    def next(self, inputs: RoundInputs) -> TrainingSet:
        data = self.regime.next(inputs)
        if not (data.real and data.synthetic):
            return data
        each = self.weight / data.real, (1 - self.weight) / data.synthetic
        return dataclasses.replace(data, weights=np.repeat(each, (data.real, data.synthetic)))

    def __str__(self) -> str:
        return f"{self.regime}, weight {self.weight:.3g}"


Selector = Callable[[np.ndarray], np.ndarray]
"""Judges points, (k, …) -> (k,). Its name in tables and files is its `__name__`, or else its
`str`."""


@dataclass(frozen=True)
class Curated(_Around):
    """Each synthetic point is the one that a user picks of K samples x_1 … x_K: x_i with
    probability ∝ exp(r(x_i)).

    The curation of Ferbach et al., arXiv:2407.09499, whose K → ∞ tilts the model's law by exp(r).

    Attributes:
        reward: r.
        choices: K >= 1.
    """

    reward: Selector
    choices: int = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        _require_selector(self.reward, "reward")
        whole_number(self.choices, "choices", 1)

    def synthetic(self, n: int) -> int:
        return self.choices * self.regime.synthetic(n)

    def next(self, inputs: RoundInputs) -> TrainingSet:
        rewards = np.reshape(_judged(self.reward, inputs.synthetic), (-1, self.choices))
        if np.isnan(rewards).any():
            raise ArithmeticError(f"{_name(self.reward)} returned NaN")
        # argmax r + Gumbel ~ softmax(r)
        picked = (rewards + inputs.rng.gumbel(size=rewards.shape)).argmax(axis=1)
        chosen = inputs.synthetic[np.arange(len(picked)) * self.choices + picked]
        return self.regime.next(dataclasses.replace(inputs, synthetic=chosen))

    def __str__(self) -> str:
        return f"{self.regime}, best of {self.choices} by {_name(self.reward)}"


@dataclass(frozen=True)
class Verified(_Around):
    """Only samples that a verifier accepts: the first m of `tries` · m, or as many as there are, m
    that of `regime`.

    A filter as in Yi et al., arXiv:2510.16657: without real data the loop contracts to what the
    verifier prefers.

    Attributes:
        accepts: -> bool.
        tries: Samples drawn for each that is wanted, >= 1.
    """

    accepts: Selector
    tries: int = 4

    def __post_init__(self) -> None:
        super().__post_init__()
        _require_selector(self.accepts, "accepts")
        whole_number(self.tries, "tries", 1)

    def synthetic(self, n: int) -> int:
        return self.tries * self.regime.synthetic(n)

    def next(self, inputs: RoundInputs) -> TrainingSet:
        """ArithmeticError if the verifier rejects every sample."""
        wanted = len(inputs.synthetic) // self.tries
        passed = inputs.synthetic[_judged(self.accepts, inputs.synthetic).astype(bool)][:wanted]
        if wanted and not len(passed):
            raise ArithmeticError(
                f"{_name(self.accepts)} accepts none of {len(inputs.synthetic)} samples"
            )
        return self.regime.next(dataclasses.replace(inputs, synthetic=passed))

    def __str__(self) -> str:
        return f"{self.regime}, verified by {_name(self.accepts)}"


def _require_selector(function: Selector, name: str) -> None:
    if not callable(function):
        raise TypeError(f"{name} must be a function (k, …) -> (k,), got {type(function).__name__}")


def _judged(function: Selector, points: np.ndarray) -> np.ndarray:
    """What it says of each of the points (k, …): (k,). ArithmeticError if that is another shape."""
    values = np.asarray(function(points))
    if values.shape != (len(points),):
        expected = (len(points),)
        raise ArithmeticError(
            f"{_name(function)} returned shape {values.shape}, expected {expected}"
        )
    return values


def _name(function: Selector) -> str:
    return getattr(function, "__name__", None) or str(function)
