"""Algorithm 1: fit on real data, then again and again on data that the model itself helped to make.

This is the only retraining loop of the project: a 1-D Gaussian, a 2-D flow and a CIFAR-10 diffusion
model are learners handed to `retrain`. It computes and yields; watching (metrics, figures,
checkpoints, progress) happens outside.
"""

import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, Protocol, get_args, runtime_checkable

import numpy as np

from stability.loop.arguments import numeric_array, require_methods, whole_number
from stability.loop.capabilities import (
    HasExtrapolation,
    extrapolation_of,
    models_of,
    size_of_generation,
    uses_weights,
)
from stability.loop.regimes import GenerationInputs, Regime, TrainingSet
from stability.loop.streams import Purpose, stream

__all__ = [
    "FreshByGeneration",
    "FreshData",
    "Generation",
    "Latents",
    "Learner",
    "RetrainingError",
    "retrain",
]

Latents = Literal["fresh", "shared"]


class FreshData(Protocol):
    """Draws n new real points, (n, …)."""

    def __call__(self, n: int, rng: np.random.Generator) -> np.ndarray: ...


@runtime_checkable
class FreshByGeneration(Protocol):
    """New real data that are set aside for each round, instead of drawn by a generator."""

    def of_generation(self, t: int) -> FreshData:
        """New real data of one round.

        Args:
            t: Generation that the retraining makes, >= 1.

        Returns:
            A function that draws them.
        """
        ...


class RetrainingError(ArithmeticError):
    """A generation could not be finished; the message names it.

    Everything yielded before stays good.
    """


class Learner(Protocol):
    """A model class with its training procedure, for R chains side by side (R = 1 is the scalar
    case).

    Every list has one entry a chain. All randomness comes from the generators passed in; chain r
    uses `rngs[r]` alone, so that its draws do not depend on the chains beside it.
    """

    @property
    def chains(self) -> int:
        """R, the number of chains."""
        ...

    def reset(self, rngs: Sequence[np.random.Generator]) -> None:
        """Draw initial parameters, and forget the optimiser state.

        Args:
            rngs: One generator a chain.
        """
        ...

    def fit(self, datasets: Sequence[TrainingSet], rngs: Sequence[np.random.Generator]) -> None:
        """Continue from the present parameters and optimiser state on one data set a chain, of any
        sizes.

        Where a data set has weights, they are its points' weights in the loss. A learner that
        supports this has an attribute `weighs = True` (`SupportsWeights`); others are never given
        weights.

        Args:
            datasets: One training set a chain.
            rngs: One generator a chain.

        Raises:
            FloatingPointError: Naming chain and step, if the loss or a parameter is not finite.
        """
        ...

    def sample(
        self, counts: Sequence[int], rngs: Sequence[np.random.Generator]
    ) -> Sequence[np.ndarray]:
        """Draw samples of each chain's model.

        Draw i must not depend on how many follow it.

        Args:
            counts: Number of draws of each chain.
            rngs: One generator a chain.

        Returns:
            One array (counts[r], …) a chain.
        """
        ...

    def state_dict(self) -> dict[str, Any]:
        """Everything the next fit and the next sample depend on: tensors, numbers, strings,
        lists and dictionaries.
        """
        ...

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go back to an earlier state.

        Args:
            state: State that `state_dict` gave.
        """
        ...


@dataclass(frozen=True)
class Generation:
    """A finished generation: what it was fitted on, and what it draws.

    One entry a chain in each tuple.

    Attributes:
        t: Number of retrainings so far; at t = 0 the model has seen real data alone.
        training: The data of the fit that made this generation.
        samples: Its draws, (max(m, draws), …): the first m of them go into the next training set.
    """

    t: int
    training: tuple[TrainingSet, ...]
    samples: tuple[np.ndarray, ...]


def retrain(
    learner: Learner,
    real: Sequence[np.ndarray],
    regimes: Sequence[Regime],
    generations: int,
    *,
    seed: int,
    streams: Sequence[int] | None = None,
    draws: int = 0,
    fresh: FreshData | FreshByGeneration | None = None,
    latents: Latents = "fresh",
    from_scratch: bool = False,
    after: Generation | None = None,
) -> Iterator[Generation]:
    """Yield generations t = 0 … `generations` of each chain (Algorithm 1 of the paper).

    Args:
        learner: A learner of R chains.
        real: One data set (n, …) of real numbers a chain: an array, a tensor, a table of pandas or
            nested lists. Its type stays; where integers are mixed with samples that are floats,
            both become floats.
        regimes: One regime a chain.
        generations: Number of retrainings, >= 0; the last t.
        seed: Seed of every random number of the run, >= 0.
        streams: Random streams of each chain, default 0 … R−1. Chains with equal index share all
            random numbers.
        draws: Sample at least so many points of each generation, for whoever watches.
        fresh: (k, rng) -> (k, …) new real data, for regimes that need it; or an object whose
            `of_generation(t)` is such a function.
        latents: "fresh" draws independent sampling noise each generation, as in Algorithm 1;
            "shared" reuses the same noise each time, as the official EDM driver does (fixed seeds,
            deterministic sampler). This is another process with another stationary error: for a
            Gaussian mean 1 + λ times Cramér–Rao instead of (1 + 3λ)/(1 + 2λ).
        from_scratch: Start each fit from newly drawn parameters instead of the present parameters
            and optimiser state.
        after: Resume from this generation; `learner` must hold its state. Yields from
            t = after.t + 1.

    Yields:
        Each generation, once it is finished.

    Raises:
        ValueError: For bad arguments, before any work.
        TypeError: For arguments of a wrong type, before any work.
        RetrainingError: If a training set cannot be made, a fit or a sample fails or is not finite,
            or a fit changes its data in place.
    """
    require_methods(learner, "learner", "reset", "fit", "sample")
    _check_counts(learner, real, regimes, streams)
    real = [numeric_array(x, f"real[{r}]") for r, x in enumerate(real)]
    streams = (
        range(len(regimes)) if streams is None else [whole_number(r, "streams", 0) for r in streams]
    )
    generations, draws = (
        whole_number(generations, "generations", 0),
        whole_number(draws, "draws", 0),
    )
    seed = whole_number(seed, "seed", 0)
    _check_arguments(learner, real, regimes, fresh, latents)
    rounds = _Rounds(real, regimes, streams, seed, fresh)
    for t in (1, generations + 1):  # refuses a schedule that grows too far, before any work
        rounds.wanted.of_generation(t)

    def run(generation: Generation | None) -> Iterator[Generation]:
        for t in range(generation.t + 1 if generation else 0, generations + 1):
            try:
                training = (
                    rounds.training_sets(generation)
                    if generation
                    else [TrainingSet(x, real=len(x)) for x in real]
                )
                if t == 0 or from_scratch:
                    learner.reset(rounds.streams(Purpose.INIT, t))
                before = _checksums(training)
                learner.fit(training, rounds.streams(Purpose.FIT, t))
                _require_unchanged(before, training)
                counts = [max(m, draws) for m in rounds.wanted.of_generation(t + 1)]
                drawn = learner.sample(
                    counts, rounds.streams(Purpose.SAMPLE, t if latents == "fresh" else 0)
                )
                samples = _checked_samples(drawn, counts, real)
            except ArithmeticError as error:
                raise RetrainingError(f"generation {t}: {error}") from error

            generation = Generation(t, tuple(training), tuple(samples))
            yield generation

    return run(after)


class _Rounds:
    """The training sets and the random streams of every round of a loop."""

    def __init__(
        self,
        real: Sequence[np.ndarray],
        regimes: Sequence[Regime],
        streams: Sequence[int],
        seed: int,
        fresh: FreshData | FreshByGeneration | None,
    ) -> None:
        self._real, self._regimes, self._streams = real, regimes, streams
        self._seed, self._fresh = seed, fresh
        self._populations = _populations(regimes, streams)
        self.wanted = _Wanted(regimes, [len(x) for x in real])

    def streams(self, purpose: Purpose, t: int) -> list[np.random.Generator]:
        """A generator a chain.

        Args:
            purpose: Use of the numbers.
            t: Generation.
        """
        return [stream(self._seed, purpose, index, t) for index in self._streams]

    def training_sets(self, previous: Generation) -> list[TrainingSet]:
        """The next training set of each chain.

        Args:
            previous: The generation that the samples are from.
        """
        t = previous.t + 1
        used = [x[:m] for x, m in zip(previous.samples, self.wanted.of_generation(t), strict=True)]
        return [
            self._regimes[r].next(
                GenerationInputs(
                    real=self._real[r],
                    previous=previous.training[r],
                    synthetic=used[r],
                    fresh=self._fresh_data(r, t),
                    rng=rng,
                    size=self.wanted.size(r, t),
                    peers=tuple(used[peer] for peer in self._populations[r]),
                    place=self._populations[r].index(r),
                )
            )
            for r, rng in enumerate(self.streams(Purpose.CHOICE, t))
        ]

    def _fresh_data(self, r: int, t: int) -> Callable[[int], np.ndarray]:
        if not (self._fresh and self._regimes[r].needs_fresh_real):
            return _no_fresh_data
        fresh = self._fresh
        source = fresh.of_generation(t) if isinstance(fresh, FreshByGeneration) else fresh
        return partial(source, rng=stream(self._seed, Purpose.FRESH, self._streams[r], t))


class _Wanted:
    """Counts of the samples that each chain's regime takes in a round."""

    def __init__(self, regimes: Sequence[Regime], sizes: Sequence[int]) -> None:
        self._regimes, self._sizes = regimes, sizes
        self._known: dict[tuple[int, int], int] = {}  # a λ without points warns once

    def size(self, r: int, t: int) -> int:
        """Number of points that stands for n in one round of a chain.

        Args:
            r: Number of the chain.
            t: Generation that the round makes, >= 1.

        Returns:
            The number of points.
        """
        return size_of_generation(self._regimes[r], self._sizes[r], t)

    def of_generation(self, t: int) -> list[int]:
        """Samples of generation t − 1 that each chain takes.

        Args:
            t: Generation that the round makes, >= 1.

        Returns:
            One number a chain.
        """
        keys = [(r, self.size(r, t)) for r in range(len(self._regimes))]
        for r, n in keys:
            if (r, n) not in self._known:
                self._known[r, n] = self._regimes[r].synthetic(n)
        return [self._known[key] for key in keys]


def _populations(regimes: Sequence[Regime], streams: Sequence[int]) -> list[tuple[int, ...]]:
    """The chains that each chain sees, by index: K neighbouring streams in one regime.

    Raises:
        ValueError: If one of them is missing, or there twice.
    """
    found = []
    for regime, index in zip(regimes, streams, strict=True):
        k = models_of(regime)
        if k == 1:
            found.append((len(found),))
            continue

        first = index - index % k
        same = [
            (streams[r], r)
            for r, other in enumerate(regimes)
            if first <= streams[r] < first + k and (other is regime or other == regime)
        ]
        if [number for number, _ in sorted(same)] != list(range(first, first + k)):
            raise ValueError(
                f"regime '{regime}' needs the {k} chains with streams {first} to {first + k - 1}, "
                f"got {sorted(number for number, _ in same)}"
            )
        found.append(tuple(r for _, r in sorted(same)))
    return found


def _no_fresh_data(k: int) -> np.ndarray:
    raise ValueError(
        f"a regime asked for {k} new real points although its needs_fresh_real is False"
    )


def _check_counts(learner: Learner, real: Any, regimes: Any, streams: Any) -> None:
    """Each of them must be a list with one entry a chain."""
    chains = whole_number(getattr(learner, "chains", None), "learner.chains", 1)
    lists = {"real": real, "regimes": regimes} | ({} if streams is None else {"streams": streams})
    for name, values in lists.items():
        if isinstance(values, str) or not hasattr(values, "__len__"):
            raise TypeError(
                f"{name} must be a list with one entry a chain, got {type(values).__name__}"
            )
        if len(values) != chains:
            raise ValueError(
                f"{name} must have one entry for each of the {chains} chains, got {len(values)}"
            )


def _check_arguments(
    learner: Learner,
    real: Sequence[np.ndarray],
    regimes: Sequence[Regime],
    fresh: FreshData | FreshByGeneration | None,
    latents: Latents,
) -> None:
    if latents not in get_args(Latents):
        raise ValueError(f"latents must be one of {get_args(Latents)}, got {latents!r}")
    if fresh is not None and not (callable(fresh) or isinstance(fresh, FreshByGeneration)):
        raise TypeError(f"fresh must be a function (n, rng) -> (n, …), got {type(fresh).__name__}")

    for r, x in enumerate(real):
        if x.ndim == 0 or x.size == 0:
            raise ValueError(
                f"real data must have at least one point, got shape {x.shape} for chain {r}"
            )
        if not np.isfinite(x).all():
            raise ValueError(f"real data must be finite, got NaN or Inf in chain {r}")

    for r, regime in enumerate(regimes):
        require_methods(regime, f"regimes[{r}]", "synthetic", "next")
        if regime.needs_fresh_real and fresh is None:
            raise ValueError(f"regime '{regime}' draws new real data each round: pass fresh=")
        if extrapolation_of(regime) and not isinstance(learner, HasExtrapolation):
            raise ValueError(
                f"regime '{regime}' needs a learner that extrapolates: pass "
                "extrapolating(learner, regimes)"
            )
        if regime.weighted and not uses_weights(learner):
            raise ValueError(
                f"regime '{regime}' weights its points, which {type(learner).__name__} does not "
                "support"
            )


def _checksums(training: Sequence[TrainingSet]) -> list[int]:
    """A checksum of each chain's points; chains that share an array share its checksum."""
    known = {id(data.points): data.points for data in training}
    sums = {key: zlib.crc32(_as_bytes(points)) for key, points in known.items()}
    return [sums[id(data.points)] for data in training]


def _as_bytes(points: np.ndarray) -> memoryview:
    return np.ascontiguousarray(points).reshape(-1).view(np.uint8).data


def _require_unchanged(before: Sequence[int], training: Sequence[TrainingSet]) -> None:
    for r, (old, new) in enumerate(zip(before, _checksums(training), strict=True)):
        if old != new:
            raise ArithmeticError(
                f"the learner changed the training data of chain {r} in place: let fit copy them"
            )


def _checked_samples(
    samples: Any, counts: Sequence[int], real: Sequence[np.ndarray]
) -> list[np.ndarray]:
    """The samples as arrays.

    Raises:
        ArithmeticError: If they are not finite numbers of the shapes asked for.
    """
    if isinstance(samples, str) or not hasattr(samples, "__len__"):
        raise ArithmeticError(
            f"the learner returned {type(samples).__name__}, not a list of samples, one a chain"
        )
    if len(samples) != len(counts):
        raise ArithmeticError(
            f"the learner returned {len(samples)} sets of samples for {len(counts)} chains"
        )

    checked = []
    for r, (drawn, count, reference) in enumerate(zip(samples, counts, real, strict=True)):
        try:
            x = numeric_array(drawn, f"its samples for chain {r}")
        except (TypeError, ValueError) as error:
            raise ArithmeticError(f"the learner returned no numbers: {error}") from None
        expected = (count, *reference.shape[1:])
        if x.shape != expected:
            raise ArithmeticError(
                f"the learner returned samples of shape {x.shape} for chain {r}, expected "
                f"{expected}"
            )
        if not np.isfinite(x).all():
            raise ArithmeticError(f"the learner returned samples with NaN or Inf for chain {r}")
        checked.append(x)
    return checked
