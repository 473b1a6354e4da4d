"""Random streams that depend on what they are for, and on nothing else.

Every random draw of a run comes from a generator keyed by (seed, purpose, index, generation). So
a draw does not depend on how many chains run side by side, on their order, on the number of
threads, or on where a run was interrupted: a resumed run asks for the same keys and needs no stored
generator state. Two chains with the same index share all their streams: the common random
numbers that make two values of λ comparable.
"""

from enum import IntEnum

import numpy as np

__all__ = ["Purpose", "stream"]


class Purpose(IntEnum):
    """Purpose of a stream.

    The numbers are part of the result of a seed: append, never renumber.
    """

    REAL = 0  # the real data set
    INIT = 1  # initial parameters of the model
    FIT = 2  # everything random in a fit: order of the data, source points, times
    SAMPLE = 3  # the latents that the model maps to samples
    FRESH = 4  # new real data, for regimes that draw it each round
    TRUTH = 5  # draws of the true distribution that samples are compared with
    FLOOR = 6  # pairs of draws of the true distribution, for the noise floor
    CHOICE = 7  # which points a regime picks
    OBSERVE = 8  # random choices of an observer


def stream(seed: int, purpose: Purpose, index: int, generation: int = 0) -> np.random.Generator:
    """The generator of one key: always the same one for the same four numbers.

    Args:
        seed: Seed of the run, >= 0.
        purpose: Purpose of the stream.
        index: Number of the chain's streams, >= 0.
        generation: Generation t >= 0.

    Returns:
        A new generator, at the start of its stream.

    Raises:
        ValueError: If a number is negative (from `numpy.random.SeedSequence`).
    """
    return np.random.default_rng(
        np.random.SeedSequence(seed, spawn_key=(purpose, index, generation))
    )
