"""Couplings of two laws in any dimension: the mean cost of each is an upper bound on W1.

Costs are of one batch of draws, and their expectations are bounds, since W1 is convex: W1(p, q) <=
E W1(p_N, q_N) for empirical laws of N draws.
"""

from typing import Any

import numpy as np
import torch
from scipy.spatial import KDTree
from scipy.spatial.distance import cdist

from stability.laws.law import Density
from stability.transport.assignment import assign

__all__ = [
    "Points",
    "codebook",
    "common_latents",
    "differences",
    "matched",
    "moved",
    "potentials",
    "quantised",
]

Points = np.ndarray
"""Points of one law, (n, d)."""
_ROUNDS = 8
"""Rounds of Lloyd's algorithm."""
_MOST_STEPS = 10_000_000
"""Most steps of the network simplex."""


def common_latents(x: Points, y: Points) -> float:
    """Cost of moving each x to the y of its row.

    Args:
        x: Draws of one law, (n, d).
        y: Draws of the other from an equal generator, (n, d).

    Returns:
        The mean distance.
    """
    return float(np.linalg.norm(x - y, axis=1).mean())


def matched(x: Points, y: Points) -> float:
    """Cost of the optimal matching.

    Args:
        x: Draws of one law, (n, d).
        y: Draws of the other, (n, d).

    Returns:
        The least mean distance.
    """
    cost = cdist(x, y)
    return float(cost[np.arange(len(x)), assign(cost).columns].mean())


def differences(p: Density, q: Density, x: Points, y: Points) -> float:
    """Cost of moving (p − q)/(p + q) at draws of (p + q)/2, each side scaled to equal mass.

    What one side has too much goes to the middle of the draws, and back from there.

    Args:
        p: One law.
        q: The other.
        x: Draws of `p`, (n, d).
        y: Draws of `q`, (n, d).

    Returns:
        The cost.
    """
    points = torch.from_numpy(np.concatenate([x, y]))
    gap = torch.tanh((p.log_prob(points) - q.log_prob(points)) / 2).numpy() / len(x)
    gap = np.where(np.isfinite(gap), gap, 0.0)
    place = np.concatenate([points.numpy(), np.median(points.numpy(), axis=0)[None]])
    mass = np.append(gap, -gap.sum())
    source, target = mass > 0, mass < 0
    if not source.any():
        return 0.0
    return moved(place[source], mass[source], place[target], -mass[target])


def moved(x: Points, x_mass: np.ndarray, y: Points, y_mass: np.ndarray) -> float:
    """W1 between two laws on finitely many points, by the network simplex, times their mass.

    Args:
        x: Points of one, (k, d).
        x_mass: Their masses, (k,) > 0.
        y: Points of the other, (m, d).
        y_mass: Their masses, (m,) > 0; scaled to the sum of the first.

    Returns:
        The least cost.

    Raises:
        ArithmeticError: If the simplex does not end.
    """
    cost, total = cdist(x, y), float(x_mass.sum())
    return _solved(x_mass / total, y_mass / y_mass.sum(), cost)[0] * total


def potentials(x: Points, y: Points, y_mass: np.ndarray) -> np.ndarray:
    """The dual solution of moving equal masses to points.

    Args:
        x: Points of equal mass, (k, d).
        y: Points of the other law, (m, d).
        y_mass: Their masses, (m,) > 0.

    Returns:
        The potential of each y, (m,).

    Raises:
        ArithmeticError: If the simplex does not end.
    """
    equal = np.full(len(x), 1 / len(x))
    return _solved(equal, y_mass / y_mass.sum(), cdist(x, y))[1]["v"]


def _solved(
    x_mass: np.ndarray, y_mass: np.ndarray, cost: np.ndarray
) -> tuple[float, dict[str, Any]]:
    """The least cost, and the dual solution."""
    import ot  # it imports every array library: only where it is needed

    found, log = ot.emd2(x_mass, y_mass, cost, numItermax=_MOST_STEPS, log=True)
    if log["warning"]:
        raise ArithmeticError(f"no optimal transport was found: {log['warning']}")
    return float(found), log


def codebook(x: Points, y: Points, count: int, seed: int) -> Points:
    """Centres near draws of both laws, by Lloyd's algorithm.

    Args:
        x: Draws of one law, (n, d).
        y: Draws of the other, (n', d).
        count: Number of centres.
        seed: Of the first centres.

    Returns:
        Centres, (count, d).
    """
    both = np.concatenate([x, y])
    first = np.random.default_rng(seed).choice(len(both), min(count, len(both)), replace=False)
    centres = both[first]
    for _ in range(_ROUNDS):
        nearest = KDTree(centres).query(both)[1]
        sizes = np.bincount(nearest, minlength=len(centres))[:, None]
        sums = np.zeros_like(centres)
        np.add.at(sums, nearest, both)
        centres = np.where(sizes > 0, sums / np.maximum(sizes, 1), centres)
    return centres


def quantised(x: Points, y: Points, centres: Points) -> float:
    """Cost of moving each draw to its nearest centre, and the masses there optimally.

    W1(p, q) <= W1(p, p_K) + W1(p_K, q_K) + W1(q_K, q): the first and the last are the errors of the
    quantisation, and part of the cost.

    Args:
        x: Draws of one law, (n, d).
        y: Draws of the other, (n', d).
        centres: Not made from these draws, (K, d).

    Returns:
        The cost.
    """
    tree = KDTree(centres)
    (to_x, at_x), (to_y, at_y) = tree.query(x), tree.query(y)
    counts = [np.bincount(at, minlength=len(centres)) for at in (at_x, at_y)]
    masses = [count / count.sum() for count in counts]
    kept = [mass > 0 for mass in masses]
    between = moved(centres[kept[0]], masses[0][kept[0]], centres[kept[1]], masses[1][kept[1]])
    return float(to_x.mean()) + between + float(to_y.mean())
