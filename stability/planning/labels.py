"""Labels propagated through a regime: which points each training set uses, and their weights.

A regime that does not look at the values of points can be run on labels instead of points. The
training sets of labels say which earlier points every fit uses, so that means and covariances of a
linear functional follow exactly (`stability.planning.response`). No random number is drawn: a
random subset is kept as "k of these, without replacement".
"""

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stability.loop.arguments import require_methods, whole_number
from stability.loop.capabilities import models_of, size_of_generation
from stability.loop.regimes import (
    Curated,
    Exchange,
    Extrapolated,
    GenerationInputs,
    Regime,
    Scheduled,
    Subsample,
    TrainingSet,
    Verified,
    Weighted,
)

__all__ = [
    "FRESH",
    "MOST_LABELS",
    "REAL",
    "Composition",
    "Draw",
    "Propagation",
    "RegimeError",
    "propagate",
]

MOST_LABELS = 20_000_000
"""Labels of all rounds together, beyond which `propagate` refuses."""
REAL, FRESH = -1, -2
"""Origins of points that no model drew."""
PICKED = -1
"""Label of a point that was picked at random, once nobody may ask which one it was."""
NEGLIGIBLE = 1e-16
"""Probability of a count below which the count is left out of a hypergeometric law."""

Points = NDArray[np.int64]


class RegimeError(ValueError):
    """The rule of a regime cannot be planned from theory; the message says why."""


@dataclass(frozen=True)
class Draw:
    """`count` points drawn without replacement from `cells`; each drawn point has weight `weight`.

    Attributes:
        cells: (K,), number of points of each cell that can be drawn.
        count: Points that are drawn. Equal to `cells.sum()`: all of them are used.
        weight: Weight of each drawn point in the training set; all weights of a set sum to 1.
    """

    cells: NDArray[np.int64]
    count: int
    weight: float


@dataclass(frozen=True)
class Composition:
    """One composition of a training set.

    Attributes:
        probability: Probability of this composition.
        draws: Independent draws that make the set.
    """

    probability: float
    draws: tuple[Draw, ...]


@dataclass(frozen=True)
class Propagation:
    """Training sets of every fit of a chain, in terms of cells of exchangeable points.

    A cell holds points of one origin that all training sets use alike. Of a population of models
    all fits count, those of one generation one after the other: fit number `models` · t + i.

    Attributes:
        n: Number of real points of a model.
        origin: (K,), the origin of each cell: `REAL`, `FRESH` (new real points), or the number of
            the fit whose model drew it.
        sizes: (K,), number of points of each cell.
        training: For each fit, the possible compositions of its training set.
        synthetic: m, number of samples that the regime wants of each model after the first fit.
        models: Models that train on each other's samples.
    """

    n: int
    origin: NDArray[np.int64]
    sizes: NDArray[np.int64]
    training: tuple[tuple[Composition, ...], ...]
    synthetic: int
    models: int = 1

    @property
    def generations(self) -> int:
        """Number of retrainings."""
        return len(self.training) // self.models - 1

    def size(self, t: int) -> int:
        """Points of training set t of the first model, in its first composition.

        Args:
            t: Generation, 0 <= t <= `generations`.

        Returns:
            Their number.
        """
        return sum(draw.count for draw in self.training[self.models * t][0].draws)

    def origins_of(self, t: int) -> tuple[float, NDArray[np.float64]]:
        """Expected weights in training set t of the first model, by origin.

        Args:
            t: Generation, 0 <= t <= `generations`.

        Returns:
            The weight of real points, and (generations,) weights of the draws of each generation.
        """
        weights = np.zeros(len(self.sizes))
        for outcome in self.training[self.models * t]:
            for draw in outcome.draws:
                fraction = draw.count / draw.cells.sum()
                weights += outcome.probability * draw.weight * fraction * draw.cells
        models = np.zeros(self.generations)
        is_model = self.origin >= 0
        np.add.at(models, self.origin[is_model] // self.models, weights[is_model])
        return float(weights[~is_model].sum()), models


@dataclass(frozen=True)
class _Draw:
    """`Draw`, but of labelled points."""

    points: Points
    count: int
    weight: float


_Outcomes = list[tuple[float, list[_Draw]]]


def propagate(regime: Regime, n: int, generations: int) -> Propagation:
    """Run a regime on labels.

    Args:
        regime: Any regime whose `next` does not look at the values of its points. It may pick
            random points by `rng.choice(points, k, replace=False)`; `Subsample` is known too.
        n: Number of real points, >= 1.
        generations: Number of retrainings, >= 0.

    Returns:
        The composition of every training set.

    Raises:
        RegimeError: If `next` looks at values (`Curated`, `Verified`), makes new points, or draws
            random numbers in another way.
        ValueError: If an argument is out of range, or there are more than `MOST_LABELS` labels.
    """
    require_methods(regime, "regime", "synthetic", "next")
    n, generations = whole_number(n, "n", 1), whole_number(generations, "generations", 0)
    k, sizes = models_of(regime), [size_of_generation(regime, n, t + 1) for t in range(generations)]
    counts = [whole_number(regime.synthetic(m), "regime.synthetic(n)", 0) for m in sizes]
    m = counts[0] if counts else whole_number(regime.synthetic(n), "regime.synthetic(n)", 0)
    if k * (n + sum(counts) + sum(sizes)) > MOST_LABELS:
        raise ValueError(
            f"the labels of all rounds must be <= {MOST_LABELS:,}, got n = {n}, m = {m}, "
            f"generations = {generations}, models = {k}"
        )

    real = np.arange(k * n).reshape(k, n)
    origin, used = [np.full(k * n, REAL)], k * n
    previous = [TrainingSet(x, real=n) for x in real]
    rounds: list[_Outcomes] = [[(1.0, [_Draw(x, n, 1 / n)])] for x in real]
    for t, (size, count) in enumerate(zip(sizes, counts, strict=True)):
        drawn = used + np.arange(k * count).reshape(k, count)
        origin += [np.full(count, k * t + i) for i in range(k)]
        used += k * count
        for i in range(k):
            labels = _Labels(real[i], previous[i], drawn[i], used, size, tuple(drawn), i)
            previous[i], outcomes = labels.training_set(regime)
            origin.append(np.full(labels.fresh_count, FRESH))
            used += labels.fresh_count
            rounds.append(outcomes)
    return _by_cells(n, m, np.concatenate(origin), rounds, k)


@dataclass
class _Labels:
    """The inputs of one round, as labels.

    `training_set` returns the labels that a later round may come back to, and the composition.
    """

    real: Points
    previous: TrainingSet
    synthetic: Points
    next_label: int
    size: int
    peers: tuple[Points, ...]
    place: int
    fresh_count: int = 0

    def training_set(self, regime: Regime) -> tuple[TrainingSet, _Outcomes]:
        if isinstance(regime, Curated | Verified):
            raise RegimeError(
                f"regime '{regime}' looks at the values of points, so theory alone says nothing; "
                "plan it from measured rounds"
            )
        if isinstance(regime, Exchange):
            self.synthetic = regime.taken(self.peers, self.place, self.size)
            return self.training_set(regime.regime)
        if isinstance(regime, Scheduled | Extrapolated):  # of when, and of what draws
            return self.training_set(regime.regime)
        if isinstance(regime, Subsample):
            return self._subsample(regime)
        if isinstance(regime, Weighted):
            inner = dataclasses.replace(self)
            _, outcomes = inner.training_set(regime.regime)
            if not _is_certain(outcomes):
                return self._weighted(regime)
        return self._run(regime)

    def _run(self, regime: Regime) -> tuple[TrainingSet, _Outcomes]:
        """Call `regime.next` with two encodings of the labels; both must give the same labels."""
        first, picks, fresh = self._decoded(regime, 1.0)
        second, *_ = self._decoded(regime, -2.5)
        same = len(first.points) == len(second.points) and np.array_equal(
            first.points, second.points
        )
        if not (same and np.allclose(first.normalised_weights, second.normalised_weights)):
            raise RegimeError(
                f"regime '{regime}' looks at the values of points, so theory alone says nothing; "
                "plan it from measured rounds"
            )

        if np.any(first.points == PICKED):
            raise RegimeError(f"regime '{regime}' comes back to points that it picked at random")
        self.fresh_count = fresh
        weights = np.bincount(first.points, first.normalised_weights)
        draws = _draws(regime, first.points, weights, picks)
        for fellows, count in picks:  # only which ones is unknown, so no later round may ask
            first.points[np.isin(first.points, fellows[:count])] = PICKED
        return first, [(1.0, draws)]

    def _decoded(
        self, regime: Regime, scale: float
    ) -> tuple[TrainingSet, list[tuple[Points, int]], int]:
        """The labels of the next training set, the random picks, and how many fresh labels.

        The point of label i is handed out as scale · (i + 1).
        """
        fresh: list[Points] = []

        def draw_fresh(k: int) -> NDArray:
            first = self.next_label + sum(map(len, fresh))
            fresh.append(np.arange(first, first + k))
            return _encoded(fresh[-1], scale)

        choices = _Choices(str(regime))
        data = regime.next(
            GenerationInputs(
                real=_encoded(self.real, scale),
                previous=_encoded_set(self.previous, scale),
                synthetic=_encoded(self.synthetic, scale),
                fresh=draw_fresh,
                rng=choices,  # type: ignore[arg-type]  # it refuses what is not known
                size=self.size,
            )
        )
        known = np.zeros(self.next_label + sum(map(len, fresh)) + 1, dtype=bool)
        for labels in (self.real, *_labels_of(self.previous), self.synthetic, *fresh):
            known[labels] = True  # label -1 is the last entry
        decode = _Decoder(known, scale, str(regime))
        picks = [(decode(points), count) for points, count in choices.picks]
        return _decoded_set(data, decode), picks, sum(map(len, fresh))

    def _subsample(self, regime: Subsample) -> tuple[TrainingSet, _Outcomes]:
        self.previous = self.previous.pool or self.previous
        pool, outcomes = self.training_set(regime.regime)
        size = min(self.size, len(pool.points))
        kept = TrainingSet(pool.points, pool.real, pool.weights, pool)
        if size == len(pool.points):
            return kept, outcomes

        if not _is_certain(outcomes) or len(np.unique(pool.points)) < len(pool.points):
            raise RegimeError(f"regime '{regime}' picks from what is itself picked at random")
        return kept, _picked(regime, pool, size)

    def _weighted(self, regime: Weighted) -> tuple[TrainingSet, _Outcomes]:
        """`Weighted` around random picks: weights depend on how many real points are picked."""
        previous, outcomes = self.training_set(regime.regime)
        data = previous.pool or previous
        real = np.unique(data.points[: data.real])
        weighted: _Outcomes = []
        for probability, draws in outcomes:
            for chance, kinds in _by_kind(draws, real):
                weighted.append((probability * chance, _reweighted(kinds, regime.weight)))
        return previous, weighted


class _Choices:
    """Stands in for the generator of a regime: notes what is picked, and draws nothing."""

    def __init__(self, name: str) -> None:
        self._name = name
        self.picks: list[tuple[NDArray, int]] = []

    def choice(self, a: Any, size: int = 1, replace: bool = True, **rest: Any) -> NDArray:
        """Note a choice; return the first `size` points of `a`, which stand for any others.

        Args:
            a: Points to choose from, shape (k, …).
            size: Number of points to choose.
            replace: Must be false.
            rest: Must be empty.

        Returns:
            The points, (size, …).

        Raises:
            RegimeError: If it is a choice of positions, with replacement or with probabilities.
        """
        if replace or rest or np.ndim(a) == 0:
            self._refuse("choice of positions, with replacement or with probabilities")
        self.picks.append((np.asarray(a), int(size)))
        return np.asarray(a)[: int(size)]

    def __getattr__(self, method: str) -> Any:
        if method.startswith("__"):
            raise AttributeError(method)
        return self._refuse(method)

    def _refuse(self, what: str) -> Any:
        raise RegimeError(
            f"regime '{self._name}' draws random numbers ({what}); theory knows "
            "rng.choice(points, k, replace=False) and Subsample only"
        )


@dataclass(frozen=True)
class _Decoder:
    """Labels of points that were handed out as scale · (label + 1)."""

    known: NDArray[np.bool_]
    scale: float
    name: str

    def __call__(self, points: Any) -> Points:
        values = np.asarray(points, dtype=float).reshape(len(points), -1)
        if values.shape[1] == 1 or not values.size:
            values = values.ravel()
            labels = np.rint(values / self.scale).astype(np.int64) - 1
            inside = (labels >= PICKED) & (labels < len(self.known) - 1)
            known = inside.all() and self.known[labels].all()
            if known and np.array_equal(self.scale * (labels + 1.0), values):
                return labels
        raise RegimeError(
            f"regime '{self.name}' makes new points, so theory alone says nothing; plan it from "
            "measured rounds"
        )


def _encoded(labels: Points, scale: float) -> NDArray[np.float64]:
    return scale * (labels[:, None].astype(np.float64) + 1)


def _encoded_set(data: TrainingSet, scale: float) -> TrainingSet:
    pool = None if data.pool is None else _encoded_set(data.pool, scale)
    return TrainingSet(_encoded(data.points, scale), data.real, data.weights, pool)


def _decoded_set(data: TrainingSet, decode: _Decoder) -> TrainingSet:
    pool = None if data.pool is None else _decoded_set(data.pool, decode)
    return TrainingSet(decode(data.points), data.real, data.weights, pool)


def _labels_of(data: TrainingSet) -> list[Points]:
    return [data.points] + ([] if data.pool is None else _labels_of(data.pool))


def _is_certain(outcomes: _Outcomes) -> bool:
    """Return whether nothing is picked at random."""
    return len(outcomes) == 1 and all(d.count == len(d.points) for d in outcomes[0][1])


def _draws(
    regime: Regime, points: Points, weights: NDArray, picks: list[tuple[Points, int]]
) -> list[_Draw]:
    """The draws that make a training set, with the picked points put back among their fellows."""
    rest = np.ones(len(weights), dtype=bool)
    draws = []
    for fellows, count in picks:
        chosen = fellows[:count]
        used = weights[chosen[chosen < len(weights)]]
        taken = np.bincount(points, minlength=len(weights))[chosen[chosen < len(weights)]]
        if len(used) < count or np.any(taken != 1) or np.ptp(used) > 1e-12 * used.max(initial=0):
            raise RegimeError(
                f"regime '{regime}' uses the points that it picks at random in a way that theory "
                "does not know"
            )
        if count:
            draws.append(_Draw(fellows, count, float(used[0])))
        rest[chosen] = False

    certain = np.flatnonzero(rest & (weights > 0))
    values, kind = np.unique(weights[certain], return_inverse=True)
    for k, weight in enumerate(values):
        same = certain[kind == k]
        draws.append(_Draw(same, len(same), float(weight)))
    return draws


def _picked(regime: Regime, pool: TrainingSet, size: int) -> _Outcomes:
    """`size` points picked from a pool, whose points have at most two different weights."""
    weights = pool.normalised_weights
    values, kind = np.unique(weights, return_inverse=True)
    groups = [pool.points[kind == k] for k in range(len(values))]
    if len(values) == 1:
        return [(1.0, [_Draw(groups[0], size, 1 / size)])]
    if len(values) > 2:
        raise RegimeError(f"regime '{regime}' picks from points of more than two weights")

    outcomes: _Outcomes = []
    for count, chance in _hypergeometric(len(groups[0]), len(groups[1]), size):
        total = count * values[0] + (size - count) * values[1]
        draws = [
            _Draw(group, k, float(value / total))
            for group, k, value in zip(groups, (count, size - count), values, strict=True)
            if k
        ]
        outcomes.append((chance, draws))
    return outcomes


def _by_kind(
    draws: list[_Draw], real: Points
) -> list[tuple[float, tuple[list[_Draw], list[_Draw]]]]:
    """Each way in which draws split into real and synthetic points, with its probability."""
    ways: list[tuple[float, tuple[list[_Draw], list[_Draw]]]] = [(1.0, ([], []))]
    for draw in draws:
        is_real = np.isin(draw.points, real)
        kinds = draw.points[is_real], draw.points[~is_real]
        splits = _hypergeometric(len(kinds[0]), len(kinds[1]), draw.count)
        ways = [
            (
                p * chance,
                (
                    [*first, _Draw(kinds[0], k, draw.weight)] if k else first,
                    [*second, _Draw(kinds[1], draw.count - k, draw.weight)]
                    if draw.count > k
                    else second,
                ),
            )
            for p, (first, second) in ways
            for k, chance in splits
        ]
    return ways


def _reweighted(kinds: tuple[list[_Draw], list[_Draw]], weight: float) -> list[_Draw]:
    """Draws of real and synthetic points with the weights that `Weighted` gives them."""
    counts = [sum(draw.count for draw in draws) for draws in kinds]
    if not all(counts):
        return [_Draw(d.points, d.count, 1 / sum(counts)) for draws in kinds for d in draws]
    each = weight / counts[0], (1 - weight) / counts[1]
    return [
        _Draw(d.points, d.count, w) for draws, w in zip(kinds, each, strict=True) for d in draws
    ]


def _hypergeometric(first: int, second: int, size: int) -> list[tuple[int, float]]:
    """Law of the number of points of the first kind among `size` of first + second points."""
    from scipy.stats import hypergeom

    counts = np.arange(max(0, size - second), min(first, size) + 1)
    chances = hypergeom.pmf(counts, first + second, first, size) if len(counts) > 1 else [1.0]
    return [(int(k), float(p)) for k, p in zip(counts, chances, strict=True) if p > NEGLIGIBLE]


def _by_cells(n: int, m: int, origin: NDArray, rounds: list[_Outcomes], models: int) -> Propagation:
    """Group points of one origin that every draw treats alike."""
    cell = np.unique(origin, return_inverse=True)[1].ravel()
    for outcomes in rounds:
        for points in _distinct_sets(outcomes).values():
            cell = _refined(cell, points)

    number = int(cell.max()) + 1
    first = np.zeros(number, dtype=np.int64)
    first[cell[::-1]] = np.arange(len(cell))[::-1]
    training = tuple(_counted(outcomes, cell, number) for outcomes in rounds)
    return Propagation(n, origin[first], np.bincount(cell), training, m, models)


def _refined(cell: NDArray, points: Points) -> NDArray:
    """Split each cell into the points that belong to `points` and the others."""
    sizes = np.bincount(cell)
    inside = np.bincount(cell[points], minlength=len(sizes))
    split = np.flatnonzero((inside > 0) & (inside < sizes))
    if not len(split):
        return cell

    number = np.full(len(sizes), -1)
    number[split] = len(sizes) + np.arange(len(split))
    moved = points[number[cell[points]] >= 0]
    cell = cell.copy()
    cell[moved] = number[cell[moved]]
    return cell


def _counted(outcomes: _Outcomes, cell: NDArray, number: int) -> tuple[Composition, ...]:
    """The outcomes with numbers of points of each cell in place of labels."""
    counts = {
        key: np.bincount(cell[points], minlength=number)
        for key, points in _distinct_sets(outcomes).items()
    }
    return tuple(
        Composition(chance, tuple(Draw(counts[id(d.points)], d.count, d.weight) for d in draws))
        for chance, draws in outcomes
    )


def _distinct_sets(outcomes: _Outcomes) -> dict[int, Points]:
    """The different sets of points of the draws of all outcomes, by identity."""
    return {id(d.points): d.points for _, draws in outcomes for d in draws}
