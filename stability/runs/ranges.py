"""Ranges of numeric options, checked before anything is done with them."""

import math
from typing import Any

from stability.runs.option_error import OptionError, option_name

__all__ = [
    "LARGEST_COUNT",
    "LARGEST_SEED",
    "MOST_IMAGES",
    "MOST_ROUNDS",
    "MOST_SEEDS",
    "MOST_STEPS",
    "MOST_SUBSETS",
    "MOST_THREADS",
    "require_positive",
    "require_range",
]

LARGEST_COUNT = 2**31 - 1
"""Largest number of points, images and widths: what compiled libraries count in 32 bits. Memory
ends before it."""
MOST_IMAGES = 10**15
"""Images that a training sees, counted with repetition: an exact number in float64."""
LARGEST_SEED = 2**64 - 1
"""Largest seed."""
MOST_ROUNDS = 1_000_000
"""Retrainings of a chain: weeks, at a second each."""
MOST_SEEDS = 100_000
"""Repeats of a row."""
MOST_STEPS = 1_000_000
"""Steps of a sampler or layers of a network, each of which waits for the one before."""
MOST_SUBSETS = 1_000_000
"""Random subsets of a kernel distance."""
MOST_THREADS = 4096
"""Threads of a process."""


def require_range(config: Any, **ranges: tuple[int, int]) -> None:
    """Check whole numbers of a configuration.

    Args:
        config: Object with the attributes that `ranges` names; one that is None is passed over.
        ranges: For each attribute, the least and the greatest value that it may have.

    Raises:
        ValueError: If one is outside; names the option, the bound and the value.
    """
    for name, (least, most) in ranges.items():
        value = getattr(config, name)
        option = f"{option_name(name)}"
        if value is None:
            continue
        if value < least:
            raise OptionError(f"{option} must be >= {least}, got {value}")
        if value > most:
            raise OptionError(f"{option} must be <= {most}, got {value}")


def require_positive(config: Any, *names: str) -> None:
    """Check real numbers of a configuration that must be finite and > 0.

    Args:
        config: Object with these attributes; one that is None is passed over.
        names: Names of the attributes.

    Raises:
        ValueError: If one is not; names the option, the bound and the value.
    """
    for name in names:
        value = getattr(config, name)
        if value is not None and not 0 < value < math.inf:
            raise OptionError(f"{option_name(name)} must be finite and > 0, got {value}")
