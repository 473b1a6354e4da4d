"""Observers of 2-D models: Wasserstein distances to the truth, memorisation, likelihood, and how
far parameters went.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.spatial import KDTree

from stability.loop.retraining import Generation
from stability.runs.observer import OF_THE_TRUTH, Quantity, TruthDraw, View
from stability.transport.wasserstein import wasserstein
from toy.densities.shapes import KnownDensity

__all__ = [
    "DISTANCES",
    "ExactDistances",
    "Likelihood",
    "ParametersMoved",
    "Profile",
    "Resemblance",
    "resemblance",
    "sliced_wasserstein",
]

DIRECTIONS = 64

DISTANCES = (
    Quantity("w1", "W1 to the truth", "$W_1$ to the truth"),
    Quantity("w2", "W2 to the truth", "$W_2$ to the truth"),
)


@dataclass(frozen=True)
class ExactDistances:
    """Exact W1 and W2 between samples and true points, in units of x.

    Attributes:
        most: Points a set, at most: exact transport takes n³.
    """

    most: int
    quantities = DISTANCES
    thread_safe = True

    def floor(self, truth: TruthDraw, n: int, rng: np.random.Generator) -> dict[str, float]:
        """Between two independent draws of the truth."""
        k = min(n, self.most)
        return _distances(truth(k, rng), truth(k, rng))

    def __call__(self, view: View) -> dict[str, float]:
        """Between the samples and as many true points."""
        return _distances(view.samples[: self.most], view.truth[: self.most])


def _distances(x: np.ndarray, y: np.ndarray) -> dict[str, float]:
    w1, w2 = wasserstein(x, y)
    return {"w1": w1, "w2": w2}


@dataclass(frozen=True)
class Profile:
    """What is measured of a generation's samples alone.

    Attributes:
        describe: (n, 2) -> numbers and lists for the history.
        quantities: Those that tables and figures show.
    """

    describe: Callable[[np.ndarray], dict[str, Any]]
    quantities: tuple[Quantity, ...]

    def floor(self, truth: TruthDraw, n: int, rng: np.random.Generator) -> dict[str, float]:
        """Of a draw of the truth."""
        found = self.describe(truth(n, rng))
        return {quantity.key: found[quantity.key] for quantity in self.quantities}

    def __call__(self, view: View) -> dict[str, Any]:
        """Of the samples."""
        return self.describe(view.samples)


class ParametersMoved:
    """‖θ_t − θ_0‖ of a learner with `parameters`, (R, P)."""

    quantities = (
        Quantity("parameter_distance", "Distance of the parameters", "‖θ − θ₀‖", shown=False),
    )

    def __init__(self) -> None:
        self._origin: np.ndarray | None = None

    def floor(self, truth: TruthDraw, n: int, rng: np.random.Generator) -> dict[str, float]:
        """It has none."""
        return {}

    def __call__(self, view: View) -> dict[str, float]:
        """Raise: parameters are those of the learner, not of a view."""
        raise TypeError("parameter distances are measured of all chains at once")

    def measure(
        self, generation: Generation, learner: Any, views: Sequence[View]
    ) -> list[dict[str, float]]:
        """Measure all chains.

        Raises:
            ValueError: If generation 0 was not seen and no state was loaded.
        """
        parameters = learner.parameters
        if generation.t == 0:
            self._origin = parameters.copy()
        if self._origin is None:
            raise ValueError(
                "the parameters of generation 0 are not known: observe it, or load the observer's "
                "state"
            )
        moved = np.linalg.norm(parameters.astype(float) - self._origin, axis=1)
        return [{"parameter_distance": float(distance)} for distance in moved]

    def state_dict(self) -> dict[str, Any]:
        return {"origin": self._origin}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._origin = state["origin"]


class Resemblance:
    """Sliced W2 to the truth, and how many samples resemble training data.

    Args:
        shown: Whether tables and figures show it.
    """

    def __init__(self, shown: bool = True) -> None:
        self._shown = shown
        self.quantities = (
            Quantity("sliced", "Sliced W2 to the truth", "sliced $W_2$ to the truth", shown=shown),
            Quantity(
                "memorised",
                "Share of samples nearer to training data than to new data",
                "share nearer to training data",
                floor=OF_THE_TRUTH,
                shown=shown,
            ),
        )

    def floor(self, truth: TruthDraw, n: int, rng: np.random.Generator) -> dict[str, float]:
        """Of three independent draws of the truth: samples, training data and new data."""
        if not self._shown:
            return {}
        return resemblance(*(truth(n, rng) for _ in range(3)))

    def __call__(self, view: View) -> dict[str, float]:
        """Of the samples beside the real data and new true points."""
        return resemblance(view.samples, view.real, view.truth)


class Likelihood:
    """Negative log-likelihood of new data, in nats a point, of models that have a density.

    Args:
        shown: Whether tables and figures show it.
    """

    def __init__(self, shown: bool = True) -> None:
        self._shown = shown
        self.quantities = (
            Quantity(
                "nll",
                "Negative log-likelihood of new data",
                "−log p of new data,\nnats a point",
                from_zero=False,
                floor=OF_THE_TRUTH,
                shown=shown,
            ),
        )

    def floor(self, truth: TruthDraw, n: int, rng: np.random.Generator) -> dict[str, float]:
        """Of a draw of the truth under the truth, where that has a density."""
        if not (self._shown and isinstance(truth, KnownDensity)):
            return {}
        *_, fresh = (truth(n, rng) for _ in range(3))  # the draw that resemblance calls new data
        return {"nll": float(-truth.log_prob(fresh).mean())}

    def __call__(self, view: View) -> Mapping[str, float]:
        """Of the true points under the chain's model."""
        if view.log_prob is None:
            return {}
        return {"nll": -float(view.log_prob(view.truth).mean())}


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
