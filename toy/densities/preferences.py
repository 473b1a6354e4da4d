"""Rewards and verifiers in two dimensions, for regimes that select samples: points (n, 2) ->
(n,).
"""

from collections.abc import Mapping
from typing import Literal

import numpy as np

from stability.loop.regimes import Selector

__all__ = ["REWARDS", "VERIFIERS", "Reward", "Verifier", "inner", "inward", "right", "right_half"]

Reward = Literal["right", "inward"]
Verifier = Literal["right-half", "inner"]


def right(x: np.ndarray) -> np.ndarray:
    """Return the first coordinate.

    Args:
        x: Points, (n, 2).

    Returns:
        (n,).
    """
    return x[:, 0]


def inward(x: np.ndarray) -> np.ndarray:
    """Return the distance to the origin, negative.

    Args:
        x: Points, (n, 2).

    Returns:
        (n,), <= 0.
    """
    return -np.linalg.norm(x, axis=1)


def right_half(x: np.ndarray) -> np.ndarray:
    """Test if the first coordinate is positive.

    Args:
        x: Points, (n, 2).

    Returns:
        (n,), booleans.
    """
    return x[:, 0] > 0


def inner(x: np.ndarray) -> np.ndarray:
    """Test if the distance to the origin is below 2.

    Args:
        x: Points, (n, 2).

    Returns:
        (n,), booleans.
    """
    return np.linalg.norm(x, axis=1) < 2


REWARDS: Mapping[Reward, Selector] = {"right": right, "inward": inward}
VERIFIERS: Mapping[Verifier, Selector] = {"right-half": right_half, "inner": inner}
