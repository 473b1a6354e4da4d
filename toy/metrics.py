"""What is measured at each generation: exact Wasserstein distances to the truth, and how far the parameters went."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from stability.retraining import Generation
from stability.streams import Purpose, stream
from stability.wasserstein import wasserstein
from toy.densities import Density

__all__ = ["Distances", "NoiseFloor", "noise_floor"]

FLOOR_PAIRS = 32


@dataclass(frozen=True)
class NoiseFloor:
    """W1 and W2 between two independent draws of the truth: the value that a perfect model would have, mean and sd."""

    w1: tuple[float, float]
    w2: tuple[float, float]


def noise_floor(truth: Density, n: int, seed: int, workers: int = 1, pairs: int = FLOOR_PAIRS) -> NoiseFloor:
    """The noise floor for n points a set, from `pairs` independent pairs; sd is that of one pair, not of the mean."""

    def distances(k: int) -> tuple[float, ...]:
        rng = stream(seed, Purpose.FLOOR, k)
        return wasserstein(truth(n, rng), truth(n, rng))

    with ThreadPoolExecutor(workers) as pool:
        w1, w2 = np.array(list(pool.map(distances, range(pairs)))).T
    return NoiseFloor(w1=(float(w1.mean()), float(w1.std(ddof=1))), w2=(float(w2.mean()), float(w2.std(ddof=1))))


class Distances:
    """An observer: measures each chain of a generation.

    `samples` drawn points are compared with as many fresh draws of `truth`, the same for chains with equal replica.
    """

    def __init__(self, truth: Density, samples: int, seed: int, replicas: Sequence[int], workers: int = 1) -> None:
        self._truth, self._samples, self._seed, self._replicas, self._workers = truth, samples, seed, replicas, workers
        self._origin: np.ndarray | None = None

    def __call__(self, generation: Generation, parameters: np.ndarray) -> list[dict[str, Any]]:
        """One record a chain: w1, w2 (units of x) and parameter_distance ‖θ_t − θ_0‖ from `parameters` (R, P)."""
        if generation.t == 0:
            self._origin = parameters.copy()
        if self._origin is None:
            raise ValueError("the parameters of generation 0 are not known: observe it, or load the observer's state")

        def distances(r: int) -> tuple[float, ...]:
            rng = stream(self._seed, Purpose.TRUTH, self._replicas[r], generation.t)
            return wasserstein(generation.samples[r][: self._samples], self._truth(self._samples, rng))

        with ThreadPoolExecutor(self._workers) as pool:
            measured = list(pool.map(distances, range(len(self._replicas))))
        moved = np.linalg.norm(parameters.astype(float) - self._origin, axis=1)
        return [
            {"w1": w1, "w2": w2, "parameter_distance": float(d)} for (w1, w2), d in zip(measured, moved, strict=True)
        ]

    def state_dict(self) -> dict[str, Any]:
        return {"origin": None if self._origin is None else torch.from_numpy(self._origin)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        origin = state["origin"]
        self._origin = None if origin is None else origin.numpy().copy()
