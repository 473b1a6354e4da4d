"""What observers see, made of two arrays."""

import numpy as np

from stability.loop.regimes import TrainingSet
from stability.runs.observer import View

__all__ = ["view_of"]


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
