"""Samples drawn in blocks of one size, so that a draw does not depend on how many follow it.

Most libraries draw n points at once from one seed, and their first k points are not those of a
draw of k. Some group them by component, as scikit-learn's `GaussianMixture.sample` does. So points
are drawn block by block, each from a seed of its own, and each block is shuffled.
"""

import math
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np

from stability.loop.arguments import numeric_array

__all__ = ["BLOCK", "Draw", "draw_in_blocks", "new_seed", "require_random_draws"]

BLOCK = 256
"""Points that a sampler is asked for at once."""
PROBE = 64
"""Points of the draws that are compared with each other."""
CHANCE = 1e-9
"""Largest probability with which honest draws may be taken for repeated ones."""

Draw = Callable[[int, int], Any]
"""(count, seed) -> points (count, …)."""


def new_seed(rng: np.random.Generator) -> int:
    """Draw a seed for a library, in [0, 2**31), which all of them take.

    Args:
        rng: Where it comes from.

    Returns:
        The seed.
    """
    return int(rng.integers(2**31))


def draw_in_blocks(
    draw: Draw, count: int, rng: np.random.Generator, name: str, block: int = BLOCK
) -> np.ndarray:
    """Draw points block by block, shuffled.

    Args:
        draw: Draws so many points from a seed.
        count: Points that are wanted, >= 0.
        rng: For the seeds and for the order within each block.
        name: What to call the sampler in an error.
        block: Points that the sampler is asked for at once, >= 1.

    Returns:
        (count, …). The first k points are those of a call with `count` = k.

    Raises:
        ArithmeticError: If `draw` returns another number of points than it was asked for, or no
            numbers.
    """
    # one block at least: its points tell the shape
    blocks = []
    for _ in range(max(1, math.ceil(count / block))):
        points = _points(draw(block, new_seed(rng)), block, name)
        blocks.append(points[rng.permutation(block)])
    return np.concatenate(blocks)[:count]


def require_random_draws(draw: Draw, rng: np.random.Generator, name: str) -> bool:
    """Refuse a sampler that returns the same points at each call.

    Args:
        draw: Draws so many points from a seed.
        rng: For two seeds.
        name: What to call the sampler in an error.

    Returns:
        Whether equal seeds gave equal points, so that a run can be repeated.

    Raises:
        ArithmeticError: If draws with different seeds are equal, point by point, and such points
            would be so with probability < `CHANCE` were they independent.
    """
    one, two = new_seed(rng), new_seed(rng)
    first, second, again = (_points(draw(PROBE, seed), PROBE, name) for seed in (one, two, one))
    if np.array_equal(first, second) and _equal_by_chance(first) < CHANCE:
        raise ArithmeticError(
            f"{name} gives the same rows on each call (a fixed seed inside): repeated calls are "
            "one sample, not fresh ones; let it take its seed from the argument"
        )
    return np.array_equal(first, again)


def _equal_by_chance(points: np.ndarray) -> float:
    """Probability that so many independent points are all equal to others, one by one."""
    counts = Counter(np.ascontiguousarray(row).tobytes() for row in points)
    pair = sum(count**2 for count in counts.values()) / len(points) ** 2
    return pair ** len(points)


def _points(drawn: Any, count: int, name: str) -> np.ndarray:
    """Convert drawn points to an array; of a pair (points, labels) take the points."""
    if isinstance(drawn, tuple) and len(drawn) == 2 and hasattr(drawn[0], "__len__"):
        drawn = drawn[0]
    try:
        points = numeric_array(drawn, f"what {name} returned")
    except (TypeError, ValueError) as error:
        raise ArithmeticError(str(error)) from None
    got = len(points) if points.ndim else 0
    if got != count:
        raise ArithmeticError(f"{name} was asked for {count} rows and returned {got}")
    return points
