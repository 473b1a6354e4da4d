"""Check of each observer's floor: how often it holds under no change, and what it notices of a
shift: python -m stability.observers
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from types import SimpleNamespace
from typing import Any, Protocol

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.table import Table
from scipy.stats import t as student_t

from stability.loop.regimes import TrainingSet
from stability.observers.distances import Distances
from stability.observers.likelihood import KnownLaw, Likelihood
from stability.observers.memorisation import Memorisation
from stability.observers.moments import Moments
from stability.observers.parameters import ParametersMoved
from stability.observers.two_sample import ClassifierTest, TwoSample
from stability.observers.user_function import UserFunction
from stability.runs.command_line import command
from stability.runs.console import make_console
from stability.runs.observer import Floor, HasFloor, Observer, TruthDraw, View, as_floor
from stability.runs.option_error import OptionError
from stability.runs.ranges import LARGEST_COUNT, LARGEST_SEED, require_range

__all__ = [
    "FloorCheck",
    "NormalLaw",
    "floor_of",
    "is_outside",
    "main",
    "moved_outside",
    "shares_outside",
]

FLOOR_DRAWS = 32
"""Draws behind a floor, as in a study."""


@dataclass(frozen=True)
class FloorCheck:
    """Check the floors of all observers on a normal law.

    For each quantity: how often, under no change, it lies in the 95 % interval that its floor
    predicts (a p-value: above 0.05), and how often it does not after a shift.
    """

    n: int = 200
    """Points a set."""
    dimension: int = 3
    """Dimension of the normal law."""
    shift: float = 0.5
    """Shift of the first coordinate, in standard deviations."""
    repeats: int = 100
    """Repeats of each."""
    seed: int = 0
    """Determines every random draw."""

    def __post_init__(self) -> None:
        require_range(
            self,
            n=(8, LARGEST_COUNT),
            dimension=(1, LARGEST_COUNT),
            repeats=(1, LARGEST_COUNT),
            seed=(0, LARGEST_SEED),
        )
        if not np.isfinite(self.shift):
            raise OptionError(f"--shift must be finite, got {self.shift}")


@dataclass(frozen=True, eq=False)
class NormalLaw:
    """A normal law with unit variances.

    Attributes:
        mean: (d,).
    """

    mean: np.ndarray

    def __call__(self, n: int, rng: np.random.Generator) -> np.ndarray:
        """Draw (n, d) points."""
        return self.mean + rng.standard_normal((n, len(self.mean)))

    def log_prob(self, x: np.ndarray) -> np.ndarray:
        """Log-density of points.

        Args:
            x: Points, (k, d).

        Returns:
            Log-density, (k,).
        """
        squares = ((x - self.mean) ** 2).sum(axis=1)
        return -squares / 2 - len(self.mean) * np.log(2 * np.pi) / 2


class _MeanLearner:
    """A learner whose parameters are the mean of its points, (1, d)."""

    def __init__(self, points: np.ndarray) -> None:
        self.parameters = points.mean(axis=0, keepdims=True)


def _median_norm(x: np.ndarray) -> float:
    return float(np.median(np.linalg.norm(x, axis=1)))


class FlooredObserver(Observer, HasFloor, Protocol):
    """An observer whose floor is compared with what it measures."""


def all_observers(dimension: int) -> list[FlooredObserver]:
    """One of each kind.

    Args:
        dimension: Of the points.
    """
    return [
        Distances(),
        Moments([f"x{i + 1}" for i in range(min(dimension, 1))] if dimension == 1 else ()),
        TwoSample(),
        ClassifierTest(),
        Likelihood(),
        Memorisation(),
        UserFunction("median_norm", _median_norm, "Median of the norm (a user's function)"),
    ]


def floor_of(
    observer: HasFloor, truth: TruthDraw, n: int, rng: np.random.Generator
) -> dict[str, Floor]:
    """The floors of an observer, as a study makes them.

    Args:
        observer: The observer.
        truth: Draws true points.
        n: Points a set.
        rng: To draw with.

    Returns:
        Mean and standard deviation by key.
    """
    drawn = [observer.floor(truth, n, rng) for _ in range(FLOOR_DRAWS)]
    return {key: as_floor([float(one[key]) for one in drawn]) for key in drawn[0]}  # pyright: ignore[reportArgumentType]


def is_outside(key: str, value: float, floor: Floor, level: float = 0.95) -> bool:
    """Return whether a value lies outside what its floor predicts for one draw.

    Args:
        key: Key of the quantity; of those that end in `_p` small values are outside.
        value: Measured value.
        floor: Floor of the quantity.
        level: Probability to lie inside under no change, in (0, 1).

    Returns:
        Whether it lies outside.
    """
    if key.endswith("_p"):
        return value <= 1 - level
    half = student_t.isf((1 - level) / 2, floor.draws - 1) * floor.sd
    # rounding alone may separate values that are all the same
    return abs(value - floor.mean) > half * np.sqrt(1 + 1 / floor.draws) + 1e-12


def shares_outside(
    observer: FlooredObserver,
    truth: TruthDraw,
    model: TruthDraw,
    n: int,
    repeats: int,
    rng: np.random.Generator,
) -> Mapping[str, float]:
    """Fraction of repeats in which each quantity of a model lies outside its floor.

    Every tenth repeat makes new floors.

    Args:
        observer: The observer.
        truth: Draws true points.
        model: Draws samples.
        n: Points a set.
        repeats: Number of repeats.
        rng: To draw with.

    Returns:
        Shares by key.
    """
    outside: dict[str, list[bool]] = {}
    floors = floor_of(observer, truth, n, rng)
    for i in range(repeats):
        if i % 10 == 0:
            floors = floor_of(observer, truth, n, rng)
        real = truth(n, rng)
        view = View(
            t=1,
            chain=0,
            seed=0,
            samples=model(n, rng),
            training=TrainingSet(real, n),
            truth=truth(n, rng),
            real=real,
            log_prob=model.log_prob if isinstance(model, KnownLaw) else None,
            rng=rng,
        )
        measured = observer(view)
        for key, floor in floors.items():
            outside.setdefault(key, []).append(is_outside(key, float(measured[key]), floor))

    return {key: float(np.mean(values)) for key, values in outside.items()}


def moved_outside(
    truth: TruthDraw, model: TruthDraw, n: int, repeats: int, rng: np.random.Generator
) -> Mapping[str, float]:
    """Fraction of repeats in which parameters move further than two fits to true points differ.

    The learner fits the mean. Such a floor needs refits, which a study does not make.

    Args:
        truth: Draws true points, to which generation 0 is fitted.
        model: Draws the points to which generation 1 is fitted.
        n: Points of a fit.
        repeats: Number of repeats.
        rng: To draw with.

    Returns:
        The share by key.
    """

    def moved(law: TruthDraw) -> float:
        observer = ParametersMoved()
        at: tuple[Any, Any] = SimpleNamespace(t=0), SimpleNamespace(t=1)
        observer.measure(at[0], _MeanLearner(truth(n, rng)), ())
        return observer.measure(at[1], _MeanLearner(law(n, rng)), ())[0]["parameter_distance"]

    outside = []
    for _ in range(repeats):
        floor = as_floor([moved(truth) for _ in range(FLOOR_DRAWS)])
        outside.append(is_outside("parameter_distance", moved(model), floor))
    return {"parameter_distance": float(np.mean(outside))}


def main(config: FloorCheck) -> None:
    """Print the table.

    Args:
        config: Sizes of the check, the shift and the seed.
    """
    truth = NormalLaw(np.zeros(config.dimension))
    shifted = NormalLaw(np.eye(1, config.dimension)[0] * config.shift)

    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.title = (
        f"N(0, I) in {config.dimension} dimensions, n = {config.n}, {config.repeats} repeats"
    )
    table.add_column("observer")
    table.add_column("quantity")
    table.add_column("inside, no change (nominal 0.95)", justify="right")
    table.add_column(f"outside, shift {config.shift:g} sd", justify="right")
    rng = np.random.default_rng(config.seed)
    checks = {
        type(observer).__name__: partial(shares_outside, observer)
        for observer in all_observers(config.dimension)
    }
    for name, outside in (checks | {"ParametersMoved": moved_outside}).items():
        inside, power = (
            outside(truth, model, config.n, config.repeats, rng) for model in (truth, shifted)
        )
        for key in inside:
            row = name, key, f"{1 - inside[key]:.2f}", f"{power[key]:.2f}"
            table.add_row(*row)
    make_console().print(table)


if __name__ == "__main__":
    command(FloorCheck, main)
