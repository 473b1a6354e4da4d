"""What is measured at each generation: Wasserstein distances to the truth, memorisation, how far
parameters went.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from scipy.spatial import KDTree

from stability.loop.retraining import Generation
from stability.loop.streams import Purpose, stream
from stability.transport.wasserstein import wasserstein
from toy.densities.shapes import Distribution, KnownDensity

__all__ = [
    "DISTANCES",
    "OF_THE_TRUTH",
    "RESEMBLANCE",
    "Distances",
    "NoiseFloor",
    "Profile",
    "Quantity",
    "noise_floor",
    "profile_floor",
    "resemblance",
    "resemblance_floor",
    "sliced_wasserstein",
]

FLOOR_PAIRS = 32
DIRECTIONS = 64


@dataclass(frozen=True)
class Quantity:
    """A recorded number as tables and figures show it.

    Attributes:
        key: Its name in the history.
        title: Of its table.
        label: Of its axis.
        log: A logarithmic axis.
        from_zero: Whether a linear one begins at 0.
        floor: The words for its `NoiseFloor`, which is the least to be expected of a distance
            alone.
    """

    key: str
    title: str
    label: str
    log: bool = False
    from_zero: bool = True
    floor: str = "noise floor"


DISTANCES = (
    Quantity("w1", "W1 to the truth", "$W_1$ to the truth"),
    Quantity("w2", "W2 to the truth", "$W_2$ to the truth"),
)


OF_THE_TRUTH = "a sample of the truth"
"""Words for the floor of what is no distance: it may lie above what a model gets, or below."""

RESEMBLANCE = (
    Quantity("sliced", "Sliced W2 to the truth", "sliced $W_2$ to the truth"),
    Quantity(
        "memorised",
        "Share of samples nearer to training data than to new data",
        "share nearer to training data",
        floor=OF_THE_TRUTH,
    ),
    Quantity(
        "nll",
        "Negative log-likelihood of new data",
        "−log p of new data,\nnats a point",
        from_zero=False,
        floor=OF_THE_TRUTH,
    ),
)


@dataclass(frozen=True)
class Profile:
    """What is measured of a generation's samples alone, beside the distances.

    Attributes:
        measure: (n, 2) -> numbers and lists for the history.
        shown: Those that tables and figures show.
    """

    measure: Callable[[np.ndarray], dict[str, Any]]
    shown: tuple[Quantity, ...]


@dataclass(frozen=True)
class NoiseFloor:
    """What a perfect model would have, mean and sd: W1 and W2 between two independent draws of the
    truth, and the quantities of a profile, by key, of such a draw.

    Attributes:
        draws: So many pairs; the mean is right to sd/√draws.
    """

    w1: tuple[float, float]
    w2: tuple[float, float]
    profile: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    draws: int = FLOOR_PAIRS

    def of(self, quantity: Quantity) -> tuple[float, float]:
        """Mean and sd of a quantity; nan where they are not known."""
        return {"w1": self.w1, "w2": self.w2, **self.profile}.get(
            quantity.key, (math.nan, math.nan)
        )


def noise_floor(
    truth: Distribution, n: int, seed: int, workers: int = 1, pairs: int = FLOOR_PAIRS
) -> NoiseFloor:
    """The noise floor for n points a set, from `pairs` independent pairs; sd is that of one
    pair, not of the mean.
    """

    def distances(k: int) -> tuple[float, ...]:
        rng = stream(seed, Purpose.FLOOR, k)
        return wasserstein(truth(n, rng), truth(n, rng))

    with ThreadPoolExecutor(workers) as pool:
        w1, w2 = np.array(list(pool.map(distances, range(pairs)))).T
    return NoiseFloor(_mean_sd(w1), _mean_sd(w2), draws=pairs)


def profile_floor(
    profile: Profile, truth: Distribution, n: int, seed: int
) -> dict[str, tuple[float, float]]:
    """The shown quantities of a profile for n draws of the truth, mean and sd, by key."""
    drawn = [profile.measure(truth(n, stream(seed, Purpose.FLOOR, k))) for k in range(FLOOR_PAIRS)]
    return {q.key: _mean_sd(np.array([record[q.key] for record in drawn])) for q in profile.shown}


def sliced_wasserstein(x: np.ndarray, y: np.ndarray) -> float:
    """Sliced W2 of x and y, both (n, 2): the root mean square of W2 between projections onto 64
    lines, equally spaced.

    Exact for equally many points, n log n, and at most W2/√2, with equality for a shift.

    Raises:
        ValueError: For other sizes.
    """
    if x.shape != y.shape:
        raise ValueError(f"x and y must be of the same shape (n, 2), got {x.shape} and {y.shape}")
    angle = np.pi / DIRECTIONS * (np.arange(DIRECTIONS) + 0.5)
    lines = np.stack([np.cos(angle), np.sin(angle)])
    one, two = (np.sort(np.asarray(points, dtype=float) @ lines, axis=0) for points in (x, y))
    return float(np.sqrt(np.square(one - two).mean()))


def resemblance(x: np.ndarray, real: np.ndarray, fresh: np.ndarray) -> dict[str, float]:
    """Samples x (n, 2) beside the real training data and as many new draws of the truth, (n, 2)
    each.

    sliced: sliced W2 to the new draws. memorised: share of x nearer to a training point than to any
    new one. It is ½ for samples that do not depend on the training points, whatever else is wrong
    with them, and 1 for copies; so memorising is told from collapse.
    """
    nearest = (KDTree(points).query(x)[0] for points in (real, fresh))
    return {"sliced": sliced_wasserstein(x, fresh), "memorised": float(np.less(*nearest).mean())}


def resemblance_floor(truth: Distribution, n: int, seed: int) -> dict[str, tuple[float, float]]:
    """What a perfect model would have, mean and sd by key: of `resemblance`, and nll where
    `truth` has a density.
    """
    records = []
    for k in range(FLOOR_PAIRS):
        rng = stream(seed, Purpose.FLOOR, k)
        x, real, fresh = (truth(n, rng) for _ in range(3))
        records.append(resemblance(x, real, fresh))
        if isinstance(truth, KnownDensity):
            records[-1]["nll"] = float(-truth.log_prob(fresh).mean())
    return {key: _mean_sd(np.array([record[key] for record in records])) for key in records[0]}


def _mean_sd(values: np.ndarray) -> tuple[float, float]:
    return float(values.mean()), float(values.std(ddof=1))


class Distances:
    """An observer: measures each chain of a generation.

    `samples` drawn points are compared with as many fresh draws of `truth`, the same for chains
    with equal replica.
    """

    def __init__(
        self,
        truth: Distribution,
        samples: int,
        seed: int,
        replicas: Sequence[int],
        workers: int = 1,
    ) -> None:
        self._truth, self._samples, self._seed, self._replicas, self._workers = (
            truth,
            samples,
            seed,
            replicas,
            workers,
        )
        self._origin: np.ndarray | None = None

    def __call__(self, generation: Generation, parameters: np.ndarray) -> list[dict[str, Any]]:
        """One record a chain: w1, w2 (units of x) and parameter_distance ‖θ_t − θ_0‖ from
        `parameters` (R, P).
        """
        if generation.t == 0:
            self._origin = parameters.copy()
        if self._origin is None:
            raise ValueError(
                "the parameters of generation 0 are not known: observe it, or load the observer's "
                "state"
            )

        def distances(r: int) -> tuple[float, ...]:
            rng = stream(self._seed, Purpose.TRUTH, self._replicas[r], generation.t)
            return wasserstein(
                generation.samples[r][: self._samples], self._truth(self._samples, rng)
            )

        with ThreadPoolExecutor(self._workers) as pool:
            measured = list(pool.map(distances, range(len(self._replicas))))
        moved = np.linalg.norm(parameters.astype(float) - self._origin, axis=1)
        return [
            {"w1": w1, "w2": w2, "parameter_distance": float(d)}
            for (w1, w2), d in zip(measured, moved, strict=True)
        ]

    def state_dict(self) -> dict[str, Any]:
        return {"origin": None if self._origin is None else torch.from_numpy(self._origin)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        origin = state["origin"]
        self._origin = None if origin is None else origin.numpy().copy()
