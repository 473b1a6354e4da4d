"""Regimes by name, as data for files, and back: `Mix(0.5)` is `{"mix": {"lam": 0.5}}`.

A label such as "λ = 0.5" is for people; nothing is ever read back from one.
"""

import dataclasses
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, NoReturn

import numpy as np

from stability.loop.capabilities import HasLambda
from stability.loop.regimes import (
    MOST_MODELS,
    Accumulate,
    AccumulateFresh,
    Curated,
    Exchange,
    Extrapolated,
    FreshReal,
    FullySynthetic,
    GenerationInputs,
    Mix,
    Regime,
    ReplaceFraction,
    Scheduled,
    Selector,
    Subsample,
    TrainingSet,
    Verified,
    Weighted,
)

__all__ = [
    "BY_LAMBDA",
    "NamedSelector",
    "RecordedRegime",
    "RegimeName",
    "order_of",
    "regime_from_data",
    "regime_to_data",
]

RegimeName = Literal[
    "mix", "synthetic", "accumulate", "accumulate-fresh", "fresh", "replace", "subsample"
]
"""Names of regimes on command lines."""

BY_LAMBDA: Mapping[str, Callable[[float], Regime]] = {
    "mix": Mix,
    "accumulate": Accumulate,
    "accumulate-fresh": lambda lam: AccumulateFresh(1 / (1 + lam)),
    "fresh": FreshReal,
    "replace": ReplaceFraction,
    "subsample": lambda lam: Subsample(Accumulate(lam)),
}
"""The regimes that take λ, by their names on command lines."""

_KINDS: Mapping[str, Callable[..., Regime]] = {
    "mix": Mix,
    "fully-synthetic": FullySynthetic,
    "accumulate": Accumulate,
    "fresh": FreshReal,
    "replace": ReplaceFraction,
    "subsample": Subsample,
    "weighted": Weighted,
    "curated": Curated,
    "verified": Verified,
    "accumulate-fresh": AccumulateFresh,
    "scheduled": Scheduled,
    "exchange": Exchange,
    "extrapolated": Extrapolated,
}
_OWN = "own"
LONGEST_NAME = 1000
"""Characters of a name that is read."""


@dataclass(frozen=True)
class NamedSelector:
    """A reward or verifier of which a file holds only the name.

    Attributes:
        name: Its name.
    """

    name: str

    def __call__(self, points: np.ndarray) -> NoReturn:
        """Raise: the function itself is not known here."""
        raise LookupError(f"{self.name} is known by its name only: pass it in selectors")

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True)
class RecordedRegime:
    """A user's regime of which a file holds only how it is called.

    Attributes:
        name: What `str` of the regime said.
        kind: Name of its class.
        lam: λ, synthetic points per real point; None if the regime has none.
    """

    name: str
    kind: str
    lam: float | None = None
    needs_fresh_real = False
    weighted = False

    def synthetic(self, n: int) -> NoReturn:
        """Raise: the regime itself is not known here.

        Args:
            n: Number of real points.

        Raises:
            LookupError: Always.
        """
        raise LookupError(f"regime '{self.name}' is known by its name only")

    def next(self, inputs: GenerationInputs) -> TrainingSet:
        """Raise: the regime itself is not known here.

        Args:
            inputs: Inputs of the round.

        Raises:
            LookupError: Always.
        """
        raise LookupError(f"regime '{self.name}' is known by its name only")

    def __str__(self) -> str:
        return self.name


def regime_to_data(regime: Regime) -> dict[str, Any]:
    """Describe a regime by plain values.

    Args:
        regime: Any regime.

    Returns:
        Its kind, and its parameters by name: `{"mix": {"lam": 0.5}}`. A regime inside another one
        is nested; a reward or verifier is its name. A class of a user's own is its label, the name
        of the class and λ if it has one.
    """
    for name, kind in _KINDS.items():
        if type(regime) is kind and dataclasses.is_dataclass(regime):
            return {
                name: {
                    field.name: _plain(getattr(regime, field.name))
                    for field in dataclasses.fields(regime)
                }
            }
    if isinstance(regime, RecordedRegime):
        return {_OWN: dataclasses.asdict(regime)}
    lam = float(regime.lam) if isinstance(regime, HasLambda) else None
    return {_OWN: {"name": str(regime), "kind": type(regime).__name__, "lam": lam}}


def regime_from_data(data: Any, selectors: Mapping[str, Selector] | None = None) -> Regime:
    """Make the regime that `regime_to_data` described.

    Args:
        data: A JSON value, which may come from a damaged file.
        selectors: Rewards and verifiers by name. Others become a `NamedSelector`.

    Returns:
        An equal regime; a `RecordedRegime` for a class of a user's own.

    Raises:
        ValueError: If `data` does not describe a regime.
    """
    if not isinstance(data, Mapping) or len(data) != 1:
        raise ValueError("a regime must be an object with one key, its kind")
    ((kind, parameters),) = data.items()
    if not isinstance(parameters, Mapping):
        raise ValueError("the parameters of a regime must be an object")

    made = {name: _value(name, value, selectors or {}) for name, value in parameters.items()}
    try:
        if kind == _OWN:
            return _recorded(**made)
        return _KINDS[kind](**made)
    except (KeyError, TypeError):
        raise ValueError("not a regime that is known here") from None


def order_of(regime: Regime) -> tuple[bool, list[int], str, float]:
    """Key to sort rows by: by kind and λ, regimes without λ last.

    Args:
        regime: Any regime.

    Returns:
        A value that compares with those of other regimes.
    """
    kinds, rest, lam = [], [], None
    data: Any = regime_to_data(regime)
    while isinstance(data, Mapping):
        ((kind, parameters),) = data.items()
        kinds.append([*_KINDS, _OWN].index(kind))
        lam = parameters.get("lam", lam)
        rest.append({k: v for k, v in parameters.items() if k not in ("lam", "regime")})
        data = parameters.get("regime")
    return lam is None, kinds, str(rest), math.inf if lam is None else float(lam)


def _plain(value: Any) -> Any:
    """A parameter as a JSON value."""
    if isinstance(value, int | float | np.number):
        return value.item() if isinstance(value, np.number) else value
    if isinstance(value, tuple):  # a matrix
        return [_plain(x) for x in value]
    if hasattr(value, "synthetic") and hasattr(value, "next"):
        return regime_to_data(value)
    return getattr(value, "__name__", None) or str(value)


def _value(name: str, value: Any, selectors: Mapping[str, Selector]) -> Any:
    """A parameter from a JSON value. ValueError if it can be none."""
    if name == "regime":
        return regime_from_data(value, selectors)
    if isinstance(value, str):
        if not value or len(value) > LONGEST_NAME:
            raise ValueError("a name in a regime must have 1 to 1000 characters")
        return value if name in ("name", "kind") else selectors.get(value, NamedSelector(value))
    if name == "mixing":
        return _matrix(value)
    if value is None or (isinstance(value, int | float) and not isinstance(value, bool)):
        return value
    raise ValueError("a parameter of a regime must be a number, a name or a regime")


def _matrix(value: Any) -> tuple[tuple[float, ...], ...]:
    """Shares of models. ValueError if they are none."""
    if not (isinstance(value, list) and 1 <= len(value) <= MOST_MODELS):
        raise ValueError(f"mixing must have 1 to {MOST_MODELS} rows")
    for row in value:
        if not (isinstance(row, list) and len(row) == len(value)):
            raise ValueError("mixing must be a square matrix")
        if not all(isinstance(x, int | float) and not isinstance(x, bool) for x in row):
            raise ValueError("mixing must have numbers")
    return tuple(tuple(map(float, row)) for row in value)


def _recorded(name: Any, kind: Any, lam: Any = None) -> RecordedRegime:
    """A `RecordedRegime`. ValueError for other types."""
    if not (isinstance(name, str) and isinstance(kind, str)):
        raise ValueError("a regime of one's own must have a name and a kind")
    if lam is not None and not (isinstance(lam, int | float) and lam >= 0):
        raise ValueError("lam must be >= 0")
    return RecordedRegime(name, kind, None if lam is None else float(lam))
