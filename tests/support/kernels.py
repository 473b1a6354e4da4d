"""A learner of a user's own: it keeps its training points and draws them again, blurred."""

from typing import Any

import numpy as np

from stability.runs.observer import Quantity, View

__all__ = ["Blur", "Means"]


class Blur:
    """R chains."""

    def __init__(self, chains: int) -> None:
        self.points: list[Any] = [None] * chains

    @property
    def chains(self):
        return len(self.points)

    def reset(self, rngs):
        pass

    def fit(self, datasets, rngs):
        self.points = [np.array(data.points) for data in datasets]

    def sample(self, counts, rngs):
        return [
            x[rng.integers(len(x), size=k)] + 0.1 * rng.standard_normal((k, *x.shape[1:]))
            for x, k, rng in zip(self.points, counts, rngs, strict=True)
        ]

    def state_dict(self):
        return {"points": self.points}

    def load_state_dict(self, state):
        self.points = list(state["points"])


class Means:
    """An observer of distances between means."""

    quantities = (Quantity("mean", "Distance of the mean"), Quantity("hidden", shown=False))

    def floor(self, truth, n, rng) -> Any:
        return {"mean": float(np.linalg.norm(truth(n, rng).mean(0) - truth(n, rng).mean(0)))}

    def __call__(self, view: View):
        gap = view.samples.mean(0) - view.truth.mean(0)
        return {"mean": float(np.linalg.norm(gap)), "hidden": float(view.rng.random())}
