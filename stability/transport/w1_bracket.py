"""W1 between any two laws in any dimension as an interval: couplings from above, witnesses from
below.

Upper bounds are mean costs of couplings. Two laws that are sampled from equal generators are one;
so is any transport between laws that have these for their mean: W1 is convex, hence W1(p, q) <= E
W1(p_N, q_N) for empirical laws of N draws, and for densities W1 is at most the mean cost of moving
the weighted differences, (p − q)/(p + q) at draws of (p + q)/2.

Lower bounds are E_p φ − E_q φ with φ 1-Lipschitz (Kantorovich and Rubinstein), φ chosen on other
draws than those that its means are taken of.

Both are averages over independent batches. An end is off with probability at most 1e-4, by
Student's t over the batches.
"""

import math
from collections.abc import Callable

import numpy as np
import torch
from scipy.spatial.distance import cdist
from scipy.stats import t as student
from torch import Tensor

from stability.laws.bracket import Bracket
from stability.laws.capabilities import Discrete
from stability.laws.law import Data, Density, Empirical, Law, Member, as_law, draw
from stability.transport.assignment import assign
from stability.transport.wasserstein_1d import NoMoment, w1

__all__ = ["same_law", "w1_bracket"]

_LEVEL = 1e-4
"""Probability that an end of the interval is on the wrong side of the distance."""
_BATCHES = 16
_COUPLED = 4096
"""Draws a batch where a coupling is a pair of draws."""
_MATCHED = 400
"""Draws a batch that are matched optimally; the time grows as their cube."""
_TRAINED = 5000
"""Draws on which one-dimensional witnesses are chosen."""
_MOST_DIRECTIONS = 12

Points = np.ndarray
"""Points of one law, (n, d)."""
Witness = Callable[[Points], np.ndarray]
"""A 1-Lipschitz function, (n, d) -> (n,)."""


def same_law(first: Law, second: Law) -> bool:
    """Tell whether two laws are one by construction: one member of one family.

    Args:
        first: Any law.
        second: Any law.

    Returns:
        True if they are; False where that cannot be seen.
    """
    if first is second:
        return True
    if not (isinstance(first, Member) and isinstance(second, Member)):
        return False
    one_family = first.family is second.family or bool(first.family == second.family)
    return one_family and torch.equal(first.theta, second.theta)


def w1_bracket(first: Data, second: Data, *, seed: int = 0) -> Bracket:
    """An interval that holds W1 between two laws.

    It is one number where the laws are one by construction; on the line, between points and
    densities, it is quadrature with its error; else it is statistical (see above).

    Args:
        first: A density, points (n, d), or a sampler.
        second: Likewise.
        seed: Of all draws, >= 0.

    Returns:
        The interval, in units of x; [inf, inf] where a law on the line has no mean.

    Raises:
        ValueError: If the laws differ in dimension, or the data are bad.
    """
    p, q = as_law(first), as_law(second)
    if same_law(p, q):
        return Bracket(0.0, 0.0, "the data are this member of the family")
    if all(_by_quadrature(law) for law in (p, q)):
        return _on_the_line(p, q)
    return _sampled(p, q, seed)


def _by_quadrature(law: Law) -> bool:
    """Tell whether a law is on the line, and more than a sampler."""
    on_the_line = draw(law, 1, torch.Generator().manual_seed(0)).shape[1] == 1
    atoms = isinstance(law, Discrete) and law.atoms is not None
    return on_the_line and (isinstance(law, Density | Empirical) or atoms)


def _on_the_line(p: Law, q: Law) -> Bracket:
    try:
        found = w1(p, q)
    except NoMoment as error:
        return Bracket(math.inf, math.inf, f"a law has no mean: {error}")
    low, high = max(found.value - found.error, 0.0), found.value + found.error
    return Bracket(low, high, "by quadrature")


def _sampled(p: Law, q: Law, seed: int) -> Bracket:
    """The best of all couplings, and the best witness; each end by t over batches."""
    pairs = [_pair(p, q, _COUPLED, seed, k) for k in range(_BATCHES)]
    uppers = {"common latents": [_coupled(x, y) for x, y in pairs]}
    sets = [_fresh(p, q, _MATCHED, seed, k) for k in range(_BATCHES)]
    uppers[f"optimal matching of {_MATCHED} draws"] = [_matched(x, y) for x, y in sets]
    if isinstance(p, Density) and isinstance(q, Density):
        uppers[f"what differs at {_MATCHED} draws"] = [_differences(p, q, x, y) for x, y in sets]
    means = {words: _limit(costs, +1, _LEVEL / len(uppers)) for words, costs in uppers.items()}
    coupling = min(means, key=lambda words: means[words])

    x, y = _fresh(p, q, _TRAINED, seed, -1)
    words, witness = _best_witness(x, y, sets[0])
    gains = [_gain(witness, *_fresh(p, q, _COUPLED, seed, k), q) for k in range(1, _BATCHES)]
    low = max(0.0, _limit(gains, -1, _LEVEL))
    high = max(means[coupling], low)
    return Bracket(low, high, f"above by {coupling}, below by {words}")


def _pair(p: Law, q: Law, n: int, seed: int, k: int) -> tuple[Points, Points]:
    """n draws of each law from equal generators: a coupling, whatever the samplers do with them."""
    return _alike(draw(p, n, _generator(seed, 0, k)), draw(q, n, _generator(seed, 0, k)))


def _fresh(p: Law, q: Law, n: int, seed: int, k: int) -> tuple[Points, Points]:
    """n independent draws of each law."""
    return _alike(draw(p, n, _generator(seed, 1, k)), draw(q, n, _generator(seed, 2, k)))


def _alike(first: Tensor, second: Tensor) -> tuple[Points, Points]:
    if first.shape[1] != second.shape[1]:
        raise ValueError(
            f"data and family must have one dimension, got {second.shape[1]} and {first.shape[1]}"
        )
    return first.numpy(), second.numpy()


def _generator(seed: int, purpose: int, k: int) -> torch.Generator:
    state = np.random.SeedSequence((seed, purpose, k + 1)).generate_state(1, np.uint64)[0]
    return torch.Generator().manual_seed(int(state >> 1))


def _limit(values: list[float], sign: int, level: float) -> float:
    """A bound on the mean that is wrong with probability `level`, above it for sign = 1."""
    sample = np.array(values)
    error = sample.std(ddof=1) / math.sqrt(len(sample))
    return float(sample.mean() + sign * student.isf(level, len(sample) - 1) * error)


def _coupled(x: Points, y: Points) -> float:
    return float(np.linalg.norm(x - y, axis=1).mean())


def _matched(x: Points, y: Points) -> float:
    cost = cdist(x, y)
    return float(cost[np.arange(len(x)), assign(cost).columns].mean())


def _differences(p: Density, q: Density, x: Points, y: Points) -> float:
    """Cost of moving (p − q)/(p + q) at draws of (p + q)/2, each side scaled to equal mass.

    What one side has too much goes to the middle of the draws, and back from there.
    """
    import ot  # it imports every array library: only where it is needed

    points = torch.from_numpy(np.concatenate([x, y]))
    gap = torch.tanh((p.log_prob(points) - q.log_prob(points)) / 2).numpy() / len(x)
    gap = np.where(np.isfinite(gap), gap, 0.0)
    place = np.concatenate([points.numpy(), np.median(points.numpy(), axis=0)[None]])
    mass = np.append(gap, -gap.sum())
    source, target = mass > 0, mass < 0
    if not source.any():
        return 0.0
    give, take = mass[source], -mass[target]
    cost = cdist(place[source], place[target])
    return float(ot.emd2(give / give.sum(), take / take.sum(), cost) * give.sum())


def _best_witness(x: Points, y: Points, small: tuple[Points, Points]) -> tuple[str, Witness]:
    """The witness that tells most on draws that it was not made from."""
    half = len(x) // 2
    candidates = [
        (f"a projection of {x.shape[1]}", _along(direction, x[:half], y[:half]))
        for direction in _directions(x[:half], y[:half])
    ]
    centre = np.median(np.concatenate([x, y]), axis=0)
    candidates.append(("the distance from the middle", _radial(centre, x[:half], y[:half])))
    candidates.append((f"potentials of {_MATCHED} draws", _potentials(*small)))
    return max(candidates, key=lambda named: _gain(named[1], x[half:], y[half:]))


def _gain(witness: Witness, x: Points, y: Points, q: Law | None = None) -> float:
    """E_p φ − E_q φ; over all points of an empirical q, not over draws of it."""
    if isinstance(q, Empirical):
        y = q.points.numpy()
    return float(witness(x).mean() - witness(y).mean())


def _directions(x: Points, y: Points) -> np.ndarray:
    """Unit vectors (k, d): differences of means and of covariances, and coordinates."""
    shift = x.mean(axis=0) - y.mean(axis=0)
    spread = np.atleast_2d(np.cov(x.T) - np.cov(y.T))
    vectors = np.concatenate([shift[None], np.linalg.eigh(spread)[1].T, np.eye(x.shape[1])])
    lengths = np.linalg.norm(vectors, axis=1)
    return (vectors[lengths > 0] / lengths[lengths > 0, None])[:_MOST_DIRECTIONS]


def _along(direction: np.ndarray, x: Points, y: Points) -> Witness:
    slope = _potential(x @ direction, y @ direction)
    return lambda points: slope(points @ direction)


def _radial(centre: np.ndarray, x: Points, y: Points) -> Witness:
    def reach(points: Points) -> np.ndarray:
        return np.linalg.norm(points - centre, axis=1)

    slope = _potential(reach(x), reach(y))
    return lambda points: slope(reach(points))


def _potential(a: np.ndarray, b: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """Kantorovich's potential on the line: of slope sign(G − F), by the draws of each law."""
    places = np.sort(np.concatenate([a, b]))
    inner = (places[1:] + places[:-1]) / 2
    below = [np.searchsorted(np.sort(v), inner, side="right") / len(v) for v in (a, b)]
    sign = np.sign(below[1] - below[0])
    heights = np.concatenate([[0.0], np.cumsum(sign * np.diff(places))])
    ends = sign[[0, -1]] if len(sign) else np.zeros(2)

    def potential(z: np.ndarray) -> np.ndarray:
        beyond = ends[0] * np.minimum(z - places[0], 0) + ends[1] * np.maximum(z - places[-1], 0)
        return np.interp(z, places, heights) + beyond

    return potential


def _potentials(x: Points, y: Points) -> Witness:
    """The dual solution of a matching, extended: φ(z) = min_j |z − y_j| − v_j."""
    found = assign(cdist(x, y))
    return lambda points: (cdist(points, y) - found.column_potentials).min(axis=1)
