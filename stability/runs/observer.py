"""Measurements of each generation: quantities, observers, and their noise floors.

An observer is any object with `quantities` and a call, which sees one chain, or `measure`, which
sees all of them; with `floor` if a perfect model has a value. Nothing is inherited or registered.
`stability.runs.study` asks it in every generation and records what it returns.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import numpy as np

from stability.loop.regimes import TrainingSet
from stability.loop.retraining import Generation
from stability.runs.history import HistoryLine

__all__ = [
    "NOISE_FLOOR",
    "OF_THE_TRUTH",
    "ChainsObserver",
    "Floor",
    "HasFloor",
    "Observer",
    "Quantity",
    "SupportsState",
    "SupportsThreads",
    "Tracker",
    "TruthDraw",
    "View",
    "as_floor",
]

NOISE_FLOOR = "noise floor"
"""Words for the floor of a distance: the least that is to be expected of it."""
OF_THE_TRUTH = "a sample of the truth"
"""Words for the floor of what is no distance: it may lie above what a model gets, or below."""


@dataclass(frozen=True)
class Quantity:
    """A measured number as tables and figures show it.

    Attributes:
        key: Its name in the history.
        title: Of its table. Default: the key.
        label: Of its axis. Default: the title.
        log: Whether its axis is logarithmic.
        from_zero: Whether a linear axis begins at 0.
        floor: Words for its floor, which is the least to be expected of a distance alone.
        shown: Whether tables and figures show it; other numbers are recorded only.
        about: What else readers need to know of it, plain values by name.
    """

    key: str
    title: str = ""
    label: str = ""
    log: bool = False
    from_zero: bool = True
    floor: str = NOISE_FLOOR
    shown: bool = True
    about: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "title", self.title or self.key)
        object.__setattr__(self, "label", self.label or self.title)


@dataclass(frozen=True)
class Floor:
    """Value of a quantity for a perfect model, under no change.

    Attributes:
        mean: Mean over draws of the truth, in the unit of the quantity.
        sd: Standard deviation of one draw, not of the mean.
        draws: Number of draws; the mean is right to sd/√draws. 0: not from draws.
    """

    mean: float
    sd: float
    draws: int = 0


def as_floor(values: Sequence[float]) -> Floor:
    """Summarise the values for draws of the truth.

    Args:
        values: A quantity of each draw, two or more.

    Returns:
        Their mean and standard deviation.
    """
    measured = np.asarray(values, dtype=float)
    return Floor(float(measured.mean()), float(measured.std(ddof=1)), len(measured))


class TruthDraw(Protocol):
    """Draws n points of a law, (n, …).

    The first k of n draws of one generator are its k draws.
    """

    def __call__(self, n: int, rng: np.random.Generator) -> np.ndarray: ...


@dataclass(frozen=True)
class View:
    """Data of one chain in one generation that an observer sees.

    Attributes:
        t: Number of retrainings so far.
        chain: Position of the chain in the run.
        seed: Which repeat it is, counted from 0; chains of a seed share their random numbers.
        samples: Draws of the model, (k, …).
        training: What the model was fitted on.
        truth: k true points. Of an array they are the same in every generation, of a law new ones
            in each, the same for all chains of a seed.
        real: The chain's real data, (n, …).
        log_prob: Points (j, …) -> log-density of the chain's model, (j,); None if it has none.
        rng: Stream of this chain and generation, for random choices of the observer.
    """

    t: int
    chain: int
    seed: int
    samples: np.ndarray
    training: TrainingSet
    truth: np.ndarray
    real: np.ndarray
    log_prob: Callable[[np.ndarray], np.ndarray] | None
    rng: np.random.Generator


class Observer(Protocol):
    """Measures one chain of one generation."""

    @property
    def quantities(self) -> Sequence[Quantity]:
        """Quantities that it measures, in the order of tables and figures."""
        ...

    def __call__(self, view: View) -> Mapping[str, Any]:
        """Measure.

        Args:
            view: What there is to see.

        Returns:
            Numbers (or lists of them) by key.
        """
        ...


@runtime_checkable
class ChainsObserver(Protocol):
    """Measures all chains of a generation at once; it needs no call."""

    @property
    def quantities(self) -> Sequence[Quantity]:
        """Quantities that it measures, in the order of tables and figures."""
        ...

    def measure(
        self, generation: Generation, learner: Any, views: Sequence[View]
    ) -> Sequence[Mapping[str, Any]]:
        """Measure all chains.

        Args:
            generation: The generation.
            learner: The learner after its fit.
            views: One a recorded chain.

        Returns:
            Numbers by key, one mapping a view.
        """
        ...


@runtime_checkable
class HasFloor(Protocol):
    """An observer that knows its value for a perfect model."""

    def floor(
        self, truth: TruthDraw, n: int, rng: np.random.Generator
    ) -> Mapping[str, float] | Mapping[str, Floor]:
        """Measure a perfect model once.

        Args:
            truth: Draws true points; two draws of one generator are independent.
            n: Points of each set that is compared.
            rng: To draw with.

        Returns:
            By key, the quantities that have a floor: of this one draw, which the study repeats; or
            as `Floor`, which is taken as it is.
        """
        ...


@runtime_checkable
class Tracker(Protocol):
    """An observer that is shown what all of them measured."""

    def track(self, line: HistoryLine) -> None:
        """Take note of a generation, just before it is recorded.

        Args:
            line: What was measured of all chains.
        """
        ...


@runtime_checkable
class SupportsState(Protocol):
    """An observer that remembers; its state is part of the checkpoint."""

    def state_dict(self) -> dict[str, Any]:
        """State: tensors, arrays, numbers, strings, lists and dictionaries."""
        ...

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go back to a state given by `state_dict`.

        Args:
            state: The state.
        """
        ...


@runtime_checkable
class SupportsThreads(Protocol):
    """An observer that may be called in several threads at once."""

    @property
    def thread_safe(self) -> bool:
        """Return whether it may be called in several threads."""
        ...
