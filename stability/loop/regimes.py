"""Regimes: which data the next fit sees (Algorithm 1, line 5, and its variants).

A regime is a small frozen object with two methods: how many samples it wants of the present model,
and how it makes the next training set of them. It keeps no state: what a later round needs (for
`Accumulate`, every earlier synthetic set) is in the training set of the round before.

Six regimes stand alone. Seven more go around another one: `Subsample`, `Weighted`, `Curated` and
`Verified` change which of its points are used, and how much each counts; `Scheduled` changes how
many there are from round to round, `Exchange` which models drew them, and `Extrapolated` which
parameters.
"""

import dataclasses
import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Protocol

import numpy as np

from stability.loop.arguments import require_methods, require_number, whole_number
from stability.loop.capabilities import extrapolation_of, models_of, size_of_generation

__all__ = [
    "Accumulate",
    "AccumulateFresh",
    "Curated",
    "Exchange",
    "Extrapolated",
    "FreshReal",
    "FullySynthetic",
    "GenerationInputs",
    "Mix",
    "Regime",
    "ReplaceFraction",
    "Scheduled",
    "Selector",
    "Subsample",
    "TrainingSet",
    "Verified",
    "Weighted",
    "drawn_counts",
    "synthetic_count",
]


@dataclass(frozen=True)
class TrainingSet:
    """Data of one fit: `points` (n + m, …), the first n = `real` of them real, the rest drawn from
    earlier models.

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
class GenerationInputs:
    """Inputs from which a regime makes the next training set.

    Attributes:
        real: (n, …), the chain's fixed real data.
        previous: The training set of the fit before.
        synthetic: (m, …), fresh draws of the present model.
        fresh: k -> (k, …), new real data.
        rng: For choices that the regime makes at random.
        size: Number of points that stands for n in this round. None: n.
        peers: (m, …) draws of the present model of each chain that this one sees, itself included.
        place: Place of this chain among them.
    """

    real: np.ndarray
    previous: TrainingSet
    synthetic: np.ndarray
    fresh: Callable[[int], np.ndarray]
    rng: np.random.Generator
    size: int | None = None
    peers: tuple[np.ndarray, ...] = ()
    place: int = 0

    @property
    def n(self) -> int:
        """Number of points that this round takes for n."""
        return len(self.real) if self.size is None else self.size


class Regime(Protocol):
    """The rule by which a chain feeds on itself.

    `str(regime)` names it in tables, legends and files.
    """

    @property
    def needs_fresh_real(self) -> bool:
        """True if `next` draws new real data."""
        ...

    @property
    def weighted(self) -> bool:
        """True if `next` gives its points weights, so that only a learner that can weight its
        loss will do.
        """
        ...

    def synthetic(self, n: int) -> int:
        """Number of samples to draw from the model of each generation.

        Args:
            n: Number of real points.

        Returns:
            m >= 0.
        """
        ...

    def next(self, inputs: GenerationInputs) -> TrainingSet:
        """Make the training set of the next fit.

        Args:
            inputs: Real data, draws of the present model, and what else the round offers.

        Returns:
            The training set.
        """
        ...


def synthetic_count(lam: float, n: int) -> int:
    """floor(λ n) for the λ that was written: 0.29 · 100 is 29, though the nearest double to 0.29
    lies below it.

    Warns when it is 0 although λ > 0, since the chain then never sees its own data.

    Args:
        lam: λ, synthetic points per real point, finite, >= 0.
        n: Number of real points.

    Returns:
        m, the number of synthetic points.
    """
    m = math.floor(Fraction(repr(float(lam))) * n)
    if m == 0 and lam > 0:
        warnings.warn(
            f"floor(lam * n) is 0 for lam={lam}, n={n}: no synthetic data will be used",
            stacklevel=2,
        )
    return m


def drawn_counts(regimes: Sequence[Regime], n: int, t: int = 1) -> list[int]:
    """Count the synthetic points of a retraining, without the warning of `synthetic_count`.

    Args:
        regimes: The regimes.
        n: Real points.
        t: Generation that the retraining makes, >= 1.

    Returns:
        m of each regime.
    """
    with warnings.catch_warnings(action="ignore"):  # the loop itself warns
        return [regime.synthetic(size_of_generation(regime, n, t)) for regime in regimes]


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

    def next(self, inputs: GenerationInputs) -> TrainingSet:
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

    def next(self, inputs: GenerationInputs) -> TrainingSet:
        return TrainingSet(inputs.synthetic, real=0)

    def __str__(self) -> str:
        return "fully synthetic"


@dataclass(frozen=True)
class Accumulate(_PerRealPoint):
    """The real data and every synthetic set so far, floor(λ n) points each (Gerstgrasser et al.,
    arXiv:2404.01413).
    """

    def next(self, inputs: GenerationInputs) -> TrainingSet:
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

    def next(self, inputs: GenerationInputs) -> TrainingSet:
        real = inputs.fresh(inputs.n)
        return TrainingSet(np.concatenate([real, inputs.synthetic]), real=len(real))

    def __str__(self) -> str:
        return f"fresh real data, λ = {self.lam:g}"


LARGEST_DENOMINATOR = 10**6
"""Largest denominator of the fraction that a real share stands for: 1/(1 + λ) is meant exactly, not
as a double."""


@dataclass(frozen=True)
class AccumulateFresh:
    """Everything is kept, and each round adds n points, of which the share `real_fraction` is new
    real data and the rest samples of the present model: a web that fills with generated data.

    The first set is n real points. Each later batch has ceil(α n) real points, α the real share.
    For the mean of a Gaussian the variance falls as t^(−min(1, 2α)), and a bias of the model ends
    at 1/α of its size (Wang, Niu and Li, arXiv:2602.16065; Qiao et al., arXiv:2606.13732).

    Attributes:
        real_fraction: α, in [0, 1]. 0 is `Accumulate(1)`; λ synthetic points for a real one are
            α = 1/(1 + λ).
    """

    real_fraction: float
    needs_fresh_real = True
    weighted = False

    def __post_init__(self) -> None:
        require_number(self.real_fraction, "real_fraction")
        if not 0 <= self.real_fraction <= 1:
            raise ValueError(f"real_fraction must be in [0, 1], got {self.real_fraction}")

    def synthetic(self, n: int) -> int:
        alpha = Fraction(float(self.real_fraction)).limit_denominator(LARGEST_DENOMINATOR)
        return math.floor((1 - alpha) * n)

    def next(self, inputs: GenerationInputs) -> TrainingSet:
        fresh, before = inputs.fresh(inputs.n - len(inputs.synthetic)), inputs.previous
        old_real, old_synthetic = np.split(before.points, [before.real])
        points = np.concatenate([old_real, fresh, old_synthetic, inputs.synthetic])
        return TrainingSet(points, real=before.real + len(fresh))

    def __str__(self) -> str:
        return f"accumulate with new real data, α = {self.real_fraction:g}"


@dataclass(frozen=True)
class ReplaceFraction(_PerRealPoint):
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

    def next(self, inputs: GenerationInputs) -> TrainingSet:
        stay = inputs.n - len(inputs.synthetic)
        if stay > len(inputs.real):
            raise ArithmeticError(
                f"{stay} real points must stay, and there are {len(inputs.real)}: without new real "
                "data this regime cannot grow so far"
            )
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
        if models_of(self.regime) > 1:
            raise ValueError(
                "regime must be no Exchange, which goes around the others: write "
                f"Exchange({type(self).__name__}(…), mixing)"
            )

    @property
    def extrapolation(self) -> float:
        return extrapolation_of(self.regime)

    def size(self, n: int, t: int) -> int:
        return size_of_generation(self.regime, n, t)

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

    def next(self, inputs: GenerationInputs) -> TrainingSet:
        previous = inputs.previous.pool or inputs.previous
        pool = self.regime.next(dataclasses.replace(inputs, previous=previous))
        size = min(inputs.n, len(pool.points))
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

    def next(self, inputs: GenerationInputs) -> TrainingSet:
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

    def next(self, inputs: GenerationInputs) -> TrainingSet:
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

    def next(self, inputs: GenerationInputs) -> TrainingSet:
        """Make the training set of the samples that the verifier accepts.

        Args:
            inputs: Inputs of the round, with `tries` draws for each that is wanted.

        Returns:
            The training set that `regime` makes of them.

        Raises:
            ArithmeticError: If the verifier rejects every sample.
        """
        wanted = len(inputs.synthetic) // self.tries
        passed = inputs.synthetic[_judged(self.accepts, inputs.synthetic).astype(bool)][:wanted]
        if wanted and not len(passed):
            raise ArithmeticError(
                f"{_name(self.accepts)} accepts none of {len(inputs.synthetic)} samples"
            )
        return self.regime.next(dataclasses.replace(inputs, synthetic=passed))

    def __str__(self) -> str:
        return f"{self.regime}, verified by {_name(self.accepts)}"


@dataclass(frozen=True)
class Scheduled(_Around):
    """`regime` with n_t = n · factor^t · (t + 1)^power in the place of n: data that grow or shrink.

    In the round that makes generation t the regime asks for as many samples, and for as much new
    real data, as it would for n_t real points. The fixed real data stay what they are. Without real
    data the mean of a Gaussian has the variance Σ_{s ≤ t} n/n_s, in units of one fit's: it stays
    bounded if and only if Σ 1/n_t is finite, that is, for factor > 1, or factor = 1 and power > 1
    (Xu, He and Cheng, arXiv:2505.13947; Bakshi and Chakraborty, arXiv:2602.10531).

    Attributes:
        factor: Growth a round, > 0; below 1 data shrink.
        power: Exponent of t + 1.
    """

    factor: float = 1.0
    power: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("factor", "power"):
            require_number(getattr(self, name), name)
        if not 0 < self.factor < math.inf:
            raise ValueError(f"factor must be finite and > 0, got {self.factor}")
        if not math.isfinite(self.power):
            raise ValueError(f"power must be finite, got {self.power}")

    def size(self, n: int, t: int) -> int:
        """n_t, rounded, at least 1; `regime`'s own schedule, if it has one, gives n.

        Args:
            n: Number of real points.
            t: Generation that the round makes, >= 1.

        Returns:
            The number of points.

        Raises:
            ValueError: If there would be more than `LARGEST_SIZE`.
        """
        before = size_of_generation(self.regime, n, t)
        exponent = t * math.log(self.factor) + self.power * math.log(t + 1)
        if math.log(before) + exponent > math.log(LARGEST_SIZE):
            raise ValueError(
                f"the data of round {t} would have more than {LARGEST_SIZE:,} points, from n = {n}"
            )
        return max(1, round(before * math.exp(exponent)))

    def next(self, inputs: GenerationInputs) -> TrainingSet:
        return self.regime.next(inputs)

    def __str__(self) -> str:
        grows = [f" · {self.factor:g}^t"] if self.factor != 1 else []
        grows += [f" · (t+1)^{self.power:g}"] if self.power else []
        return f"{self.regime}, samples{''.join(grows)}"


@dataclass(frozen=True)
class Extrapolated(_Around):
    """`regime`, with samples of θ − w (θ′ − θ) instead of θ, where θ′ is θ trained on its own
    samples.

    What training on its own samples does to a model is taken back, w times. The next fit goes on
    from θ. A sampler that turns variance v into φ(v) is undone, to first order, at w = 1/φ′(v); to
    samplers that spread this applies as to those that shrink. The learner must be one of
    `stability.loop.extrapolation`. Source: Neon (arXiv:2510.03597).

    Attributes:
        extrapolation_weight: w, finite. 0: `regime` itself; −1: samples of θ′.
    """

    extrapolation_weight: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        require_number(self.extrapolation_weight, "extrapolation_weight")
        if not math.isfinite(self.extrapolation_weight):
            raise ValueError(
                f"extrapolation_weight must be finite, got {self.extrapolation_weight}"
            )
        if extrapolation_of(self.regime):
            raise ValueError("regime must not extrapolate itself")

    @property
    def extrapolation(self) -> float:
        """w."""
        return float(self.extrapolation_weight)

    def next(self, inputs: GenerationInputs) -> TrainingSet:
        return self.regime.next(inputs)

    def __str__(self) -> str:
        return f"{self.regime}, extrapolated by {self.extrapolation_weight:g}"


LARGEST_SIZE = 10**9
"""Points of a round beyond which a schedule is refused."""


@dataclass(frozen=True)
class Exchange(_Around):
    """K models with private real data, which train on each other's samples.

    The chains of one population are K neighbouring streams in the same regime. Of the m samples
    that `regime` asks for, model i takes the share `mixing[i][j]` from model j, draws that nobody
    else sees. For the means of Gaussians see Vu, Reeves and Wenger, arXiv:2505.21677: the samples
    of others help, because they come from other real data.

    Attributes:
        mixing: W, K rows of K numbers >= 0 with sum 1.
    """

    mixing: tuple[tuple[float, ...], ...]

    def __post_init__(self) -> None:
        super().__post_init__()
        rows = tuple(tuple(float(x) for x in row) for row in self.mixing)
        object.__setattr__(self, "mixing", rows)
        k = len(rows)
        if not (1 <= k <= MOST_MODELS and all(len(row) == k for row in rows)):
            raise ValueError(f"mixing must be a square matrix of 1 to {MOST_MODELS} rows")
        if not all(x >= 0 for row in rows for x in row):
            raise ValueError("mixing must have numbers >= 0")
        if not all(abs(math.fsum(row) - 1) < 1e-9 for row in rows):
            raise ValueError("mixing must have rows with sum 1")

    @classmethod
    def among(cls, models: int, regime: Regime, own: float | None = None) -> "Exchange":
        """Mix alike with all others.

        Args:
            models: K >= 2.
            regime: What each model does with the samples that it takes.
            own: Share of a model's own samples, in [0, 1]. None: 1/K, as that of any other.

        Returns:
            The regime.

        Raises:
            ValueError: If `own` is not in [0, 1].
        """
        k = whole_number(models, "models", 2)
        kept = 1 / k if own is None else own
        if not 0 <= kept <= 1:
            raise ValueError(f"own must be in [0, 1], got {own}")
        rest = (1 - kept) / (k - 1)
        rows = tuple(tuple(kept if i == j else rest for j in range(k)) for i in range(k))
        return cls(regime, rows)

    @property
    def models(self) -> int:
        """K."""
        return len(self.mixing)

    def counts(self, m: int) -> np.ndarray:
        """Count the samples that model i takes from model j.

        Args:
            m: Samples that each model takes.

        Returns:
            (K, K), rows with sum m: m W, rounded to the largest remainders.
        """
        wanted = m * np.array(self.mixing)
        counts = np.floor(wanted + 1e-9).astype(int)
        for i, row in enumerate(counts):
            left = m - int(row.sum())
            row[np.argsort(counts[i] - wanted[i], kind="stable")[:left]] += 1
        return counts

    def synthetic(self, n: int) -> int:
        """Number of draws of each model: as many as all models together take of the one most asked.

        Args:
            n: Number of real points of each model.

        Returns:
            The number of draws.
        """
        return int(self.counts(self.regime.synthetic(n)).sum(axis=0).max())

    def taken(self, peers: Sequence[np.ndarray], place: int, n: int) -> np.ndarray:
        """Collect the samples that one model takes.

        Args:
            peers: Draws of each of the K models, (k, …), with k = `synthetic(n)`.
            place: Number of the model, 0 … K − 1.
            n: Number of real points of each model.

        Returns:
            (m, …), as many as `regime` asks for.

        Raises:
            ArithmeticError: If the models draw different numbers, since they have different n.
            ValueError: If there are not K of them.
        """
        if len(peers) != self.models:
            raise ValueError(f"{self.models} models must see each other, got {len(peers)}")
        if {len(draws) for draws in peers} != {self.synthetic(n)}:
            raise ArithmeticError("models that see each other must have equally many real points")

        counts = self.counts(self.regime.synthetic(n))
        ends = counts.cumsum(axis=0)  # of the part of model j's draws that model i takes
        parts = zip(peers, counts[place], ends[place], strict=True)
        return np.concatenate([draws[end - count : end] for draws, count, end in parts])

    def next(self, inputs: GenerationInputs) -> TrainingSet:
        synthetic = self.taken(inputs.peers, inputs.place, inputs.n)
        return self.regime.next(dataclasses.replace(inputs, synthetic=synthetic))

    def __str__(self) -> str:
        shares = np.round(self.mixing, 12)  # 1 − 2/3 is not 1/3, as doubles
        others = ~np.eye(self.models, dtype=bool)
        alike, own = set(shares[others].tolist()), set(np.diag(shares).tolist())
        uniform = len(alike | own) == 1
        kind = "" if uniform else f", own share {min(own):.3g}" if len(own) == 1 else ", mixed"
        return f"{self.regime}, {self.models} models exchange{kind}"


MOST_MODELS = 100
"""Models of a population."""


def _require_selector(function: Selector, name: str) -> None:
    if not callable(function):
        raise TypeError(f"{name} must be a function (k, …) -> (k,), got {type(function).__name__}")


def _judged(function: Selector, points: np.ndarray) -> np.ndarray:
    """Values (k,) of a selector at points (k, …). ArithmeticError if they have another shape."""
    values = np.asarray(function(points))
    if values.shape != (len(points),):
        expected = (len(points),)
        raise ArithmeticError(
            f"{_name(function)} returned shape {values.shape}, expected {expected}"
        )
    return values


def _name(function: Selector) -> str:
    return getattr(function, "__name__", None) or str(function)
