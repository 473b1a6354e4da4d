"""How often each observer's floor holds under no change, and what it notices of a shift: python -m
stability.observers
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.table import Table
from scipy.stats import t as student_t

from stability.loop.regimes import TrainingSet
from stability.observers.distances import Distances
from stability.observers.memorisation import Memorisation
from stability.observers.moments import Moments
from stability.observers.two_sample import ClassifierTest, TwoSample
from stability.observers.user_function import UserFunction
from stability.runs.command_line import command
from stability.runs.console import make_console
from stability.runs.observer import Floor, Observer, TruthDraw, View, as_floor
from stability.runs.ranges import LARGEST_COUNT, LARGEST_SEED, require_range

__all__ = ["FloorCheck", "floor_of", "is_outside", "main", "shares_outside"]

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
            raise ValueError(f"--shift must be finite, got {self.shift}")


def _normal(n: int, rng: np.random.Generator, dimension: int) -> np.ndarray:
    return rng.standard_normal((n, dimension))


def _median_norm(x: np.ndarray) -> float:
    return float(np.median(np.linalg.norm(x, axis=1)))


def all_observers(dimension: int) -> list[Observer]:
    """One of each kind.

    Args:
        dimension: Of the points.
    """
    return [
        Distances(),
        Moments([f"x{i + 1}" for i in range(min(dimension, 1))] if dimension == 1 else ()),
        TwoSample(),
        ClassifierTest(),
        Memorisation(),
        UserFunction("median_norm", _median_norm, "Median of the norm (a user's function)"),
    ]


def floor_of(
    observer: Observer, truth: TruthDraw, n: int, rng: np.random.Generator
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
    """Whether a value lies outside what its floor predicts for one draw.

    Args:
        key: Of the quantity; of those that end in `_p` small values are outside.
        value: What was measured.
        floor: Its floor.
        level: Probability to lie inside under no change.
    """
    if key.endswith("_p"):
        return value <= 1 - level
    half = student_t.isf((1 - level) / 2, floor.draws - 1) * floor.sd
    # rounding alone may separate values that are all the same
    return abs(value - floor.mean) > half * np.sqrt(1 + 1 / floor.draws) + 1e-12


def shares_outside(
    observer: Observer,
    truth: TruthDraw,
    model: TruthDraw,
    n: int,
    repeats: int,
    rng: np.random.Generator,
) -> Mapping[str, float]:
    """How often each quantity of a model lies outside its floor, which is made anew each time.

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
            log_prob=None,
            rng=rng,
        )
        measured = observer(view)
        for key, floor in floors.items():
            outside.setdefault(key, []).append(is_outside(key, float(measured[key]), floor))
    return {key: float(np.mean(values)) for key, values in outside.items()}


def main(config: FloorCheck) -> None:
    """Print the table."""
    truth = partial(_normal, dimension=config.dimension)
    shift = np.eye(1, config.dimension)[0] * config.shift

    def shifted(n: int, rng: np.random.Generator) -> np.ndarray:
        return truth(n, rng) + shift

    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.title = (
        f"N(0, I) in {config.dimension} dimensions, n = {config.n}, {config.repeats} repeats"
    )
    table.add_column("observer")
    table.add_column("quantity")
    table.add_column("inside, no change (nominal 0.95)", justify="right")
    table.add_column(f"outside, shift {config.shift:g} sd", justify="right")
    rng = np.random.default_rng(config.seed)
    for observer in all_observers(config.dimension):
        inside, power = (
            shares_outside(observer, truth, model, config.n, config.repeats, rng)
            for model in (truth, shifted)
        )
        for key in inside:
            row = type(observer).__name__, key, f"{1 - inside[key]:.2f}", f"{power[key]:.2f}"
            table.add_row(*row)
    make_console().print(table)


if __name__ == "__main__":
    command(FloorCheck, main)
