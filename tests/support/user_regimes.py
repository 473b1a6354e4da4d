"""Regimes as a user may write them."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from stability.loop.regimes import GenerationInputs, TrainingSet


@dataclass(frozen=True)
class UserRegime:
    """A regime of a user: `rule` makes the next training set."""

    rule: Callable[[GenerationInputs], TrainingSet]
    needs_fresh_real = False
    weighted = False

    def synthetic(self, n):
        return n

    def next(self, inputs):
        return self.rule(inputs)

    def __str__(self):
        return "mine"


def last_two(inputs):
    """The two latest synthetic sets, half of the real data, and each new point counts double."""
    n = len(inputs.real)
    kept = inputs.previous.points[inputs.previous.real :][-n:]
    points = np.concatenate([inputs.real[: n // 2], kept, inputs.synthetic])
    weights = np.repeat([1.0, 2.0], (len(points) - n, n))
    return TrainingSet(points, n // 2, weights)


def random_half(inputs):
    n = len(inputs.real)
    kept = inputs.rng.choice(inputs.real, n // 2, replace=False)
    return TrainingSet(np.concatenate([kept, inputs.synthetic]), n // 2)
