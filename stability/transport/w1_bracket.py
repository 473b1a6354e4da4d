"""W1 between any two laws in any dimension as an interval: couplings from above, witnesses from
below.

Upper bounds are mean costs of couplings (`stability.transport.couplings`), and for two normal laws
W2 in closed form. Between laws of few atoms W1 is a linear program.

Lower bounds are E_p φ − E_q φ with φ 1-Lipschitz (Kantorovich and Rubinstein), φ chosen on other
draws than those that its means are taken of.

Means are over independent batches. An end is off with probability at most 1e-4, by Student's t
over the batches.
"""

import math
from collections.abc import Callable

import numpy as np
import torch
from scipy.spatial.distance import cdist
from scipy.stats import t as student
from torch import Tensor

from stability.laws.bracket import Bracket
from stability.laws.capabilities import Discrete, Normal
from stability.laws.law import Data, Density, Empirical, Law, Member, as_law, draw
from stability.transport.assignment import assign
from stability.transport.couplings import (
    Points,
    codebook,
    common_latents,
    differences,
    matched,
    moved,
    potentials,
    quantised,
)
from stability.transport.wasserstein_1d import NoMoment, gaussian_w2, w1

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

_CENTRES = 1000
"""Centres of a quantisation."""
_MOST_ATOMS = 4_000_000
"""Cells of a linear program between atoms that is solved exactly."""
_IN_THE_PLANE = 2
"""Dimension up to which that may be better than a matching: its error falls as K^(−1/d)."""
_FEW_POINTS = 2000
"""Points up to which draws of the other law are moved to all of them."""
_MOVED, _MOVES = 1000, 8
"""Draws a batch that are moved to few points, and batches."""

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

    It is one number where the laws are one by construction, or have few atoms; on the line,
    between points and densities, it is quadrature with its error; else it is statistical (see
    above).

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
    atoms = _atoms(p), _atoms(q)
    if atoms[0] and atoms[1] and len(atoms[0][0]) * len(atoms[1][0]) <= _MOST_ATOMS:
        return _between_atoms(*atoms[0], *atoms[1])
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


def _atoms(law: Law) -> tuple[Points, np.ndarray] | None:
    """Points (k, d) and masses (k,) of a law that has no other; None for other laws."""
    if isinstance(law, Empirical):
        points, counts = np.unique(law.points.numpy(), axis=0, return_counts=True)
        return points, counts / counts.sum()
    if not (isinstance(law, Discrete) and law.atoms is not None and isinstance(law, Density)):
        return None
    points = torch.as_tensor(law.atoms, dtype=torch.float64)
    masses = law.log_prob(points).exp().detach().numpy()
    return points.numpy()[masses > 0], masses[masses > 0]


def _between_atoms(x: Points, x_mass: np.ndarray, y: Points, y_mass: np.ndarray) -> Bracket:
    _require_one_dimension(x, y)
    found = moved(x, x_mass / x_mass.sum(), y, y_mass)
    return Bracket(found, found, f"a linear program between {len(x)} and {len(y)} atoms")


def _sampled(p: Law, q: Law, seed: int) -> Bracket:
    """The best of all couplings, and the best witness; each end by t over batches."""
    if isinstance(p, Empirical):
        p, q = q, p
    pairs = [_pair(p, q, _COUPLED, seed, k) for k in range(_BATCHES)]
    uppers = {"common latents": [common_latents(x, y) for x, y in pairs]}
    sets = [_fresh(p, q, _MATCHED, seed, k) for k in range(_BATCHES)]
    uppers[f"optimal matching of {_MATCHED} draws"] = [matched(x, y) for x, y in sets]
    if isinstance(p, Density) and isinstance(q, Density):
        uppers[f"what differs at {_MATCHED} draws"] = [differences(p, q, x, y) for x, y in sets]
    uppers |= _by_points(p, q, seed)
    means = {words: _limit(costs, +1, _LEVEL / len(uppers)) for words, costs in uppers.items()}
    normal = _normal(p), _normal(q)
    if normal[0] and normal[1]:
        means["W2 of two normal laws"] = gaussian_w2(*normal[0], *normal[1])
    coupling = min(means, key=lambda words: means[words])

    x, y = _fresh(p, q, _TRAINED, seed, -1)
    words, witness = _best_witness(x, y, sets[0], q)
    gains = [_gain(witness, *_fresh(p, q, _COUPLED, seed, k), q) for k in range(1, _BATCHES)]
    low = max(0.0, _limit(gains, -1, _LEVEL))
    high = max(means[coupling], low)
    return Bracket(low, high, f"above by {coupling}, below by {words}")


def _by_points(p: Law, q: Law, seed: int) -> dict[str, list[float]]:
    """Costs through finitely many points: all of a law that has few, or centres of both laws."""
    few = _few_points(q)
    if few:
        draws = [_fresh(p, q, _MOVED, seed, k)[0] for k in range(_MOVES)]
        words = f"transport to all {len(few[0])} points"
        return {words: [moved(x, np.full(_MOVED, 1 / _MOVED), *few) for x in draws]}
    x, y = _fresh(p, q, _TRAINED, seed, -1)
    if x.shape[1] > _IN_THE_PLANE:
        return {}
    centres = codebook(x, y, _CENTRES, seed)
    sets = [_fresh(p, q, _COUPLED, seed, k) for k in range(_MOVES)]
    words = f"quantisation to {_CENTRES} points and back"
    return {words: [quantised(x, y, centres) for x, y in sets]}


def _few_points(law: Law) -> tuple[Points, np.ndarray] | None:
    """Points (k, d) and masses (k,) of an empirical law that has few; None for other laws."""
    few = isinstance(law, Empirical) and len(law.points) <= _FEW_POINTS
    return _atoms(law) if few else None


def _normal(law: Law) -> tuple[np.ndarray, np.ndarray] | None:
    """Mean (d,) and covariance (d, d) of a member of a family that says it is normal."""
    if not (isinstance(law, Member) and isinstance(law.family, Normal)):
        return None
    mean, covariance = law.family.mean_and_covariance(law.theta)
    return mean.numpy(), covariance.numpy()


def _pair(p: Law, q: Law, n: int, seed: int, k: int) -> tuple[Points, Points]:
    """n draws of each law from equal generators: a coupling, whatever the samplers do with them."""
    return _alike(draw(p, n, _generator(seed, 0, k)), draw(q, n, _generator(seed, 0, k)))


def _fresh(p: Law, q: Law, n: int, seed: int, k: int) -> tuple[Points, Points]:
    """n independent draws of each law."""
    return _alike(draw(p, n, _generator(seed, 1, k)), draw(q, n, _generator(seed, 2, k)))


def _alike(first: Tensor, second: Tensor) -> tuple[Points, Points]:
    _require_one_dimension(first, second)
    return first.numpy(), second.numpy()


def _require_one_dimension(first: Tensor | Points, second: Tensor | Points) -> None:
    if first.shape[1] != second.shape[1]:
        raise ValueError(
            f"data and family must have one dimension, got {second.shape[1]} and {first.shape[1]}"
        )


def _generator(seed: int, purpose: int, k: int) -> torch.Generator:
    state = np.random.SeedSequence((seed, purpose, k + 1)).generate_state(1, np.uint64)[0]
    return torch.Generator().manual_seed(int(state >> 1))


def _limit(values: list[float], sign: int, level: float) -> float:
    """A bound on the mean that is wrong with probability `level`, above it for sign = 1."""
    sample = np.array(values)
    error = sample.std(ddof=1) / math.sqrt(len(sample))
    return float(sample.mean() + sign * student.isf(level, len(sample) - 1) * error)


def _best_witness(
    x: Points, y: Points, small: tuple[Points, Points], q: Law
) -> tuple[str, Witness]:
    """The witness that tells most on draws that it was not made from."""
    half = len(x) // 2
    candidates = [
        (f"a projection of {x.shape[1]}", _along(direction, x[:half], y[:half]))
        for direction in _directions(x[:half], y[:half])
    ]
    centre = np.median(np.concatenate([x, y]), axis=0)
    candidates.append(("the distance from the middle", _radial(centre, x[:half], y[:half])))
    few = _few_points(q)
    if few:
        words = f"potentials of all {len(few[0])} points"
        candidates.append((words, _nearest(few[0], potentials(x[:_MOVED], *few))))
    else:
        candidates.append((f"potentials of {_MATCHED} draws", _potentials(*small)))
    return max(candidates, key=lambda named: _gain(named[1], x[half:], y[half:], q))


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
    """The dual solution of a matching."""
    return _nearest(y, assign(cdist(x, y)).column_potentials)


def _nearest(y: Points, levels: np.ndarray) -> Witness:
    """A dual solution at y (k, d), levels (k,), extended: φ(z) = min_j |z − y_j| − v_j."""
    return lambda points: (cdist(points, y) - levels).min(axis=1)
