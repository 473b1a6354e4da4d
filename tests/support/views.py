"""The views that observers get, made of two arrays."""

import numpy as np

from stability.loop.regimes import TrainingSet
from stability.loop.streams import Purpose, stream
from stability.runs.observer import View, as_floor

__all__ = ["floors_of", "view_of"]


def view_of(samples, truth, real=None, rng=None, log_prob=None, t=1):
    """A view of samples beside true points.

    Args:
        samples: (k, …).
        truth: (k, …).
        real: Training data; None: the true points.
        rng: Stream of the observer; None: a fixed one.
        log_prob: Density of the model.
        t: Generation.
    """
    real = truth if real is None else real
    rng = np.random.default_rng(0) if rng is None else rng
    training = TrainingSet(real, len(real))
    return View(
        t=t,
        chain=0,
        seed=0,
        samples=samples,
        training=training,
        truth=truth,
        real=real,
        log_prob=log_prob,
        rng=rng,
    )


def floors_of(observer, truth, n, seed):
    """Floors of an observer as a study makes them: mean and sd over 32 draws.

    Args:
        observer: The observer.
        truth: Draws true points.
        n: Points a set.
        seed: Of the study.
    """
    drawn = [observer.floor(truth, n, stream(seed, Purpose.FLOOR, k)) for k in range(32)]
    return {key: as_floor([values[key] for values in drawn]) for key in drawn[0]}
