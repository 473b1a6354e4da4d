"""A mutation: a named function replaced by a wrong one, and the claim that must then be violated.

It is the negative control of a claim. A check that does not notice a mutation proves nothing.
"""

import copy
import importlib
import math
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache, wraps
from typing import Any

import numpy as np

from stability.laws.bracket import Bracket
from stability.statements.claim import Claim
from stability.statements.verdict import Status, Verdict

__all__ = ["Mutation", "Replacement", "Seen", "instead", "replaced", "scaled"]

Replacement = Callable[[Callable[..., Any]], Callable[..., Any]]
"""The right function -> a wrong one."""

_MARGIN = 2.0
"""Distance of a mutation from 1 over that of the verdict's resolution, if it names no factor."""


@dataclass(frozen=True)
class Seen:
    """Verdicts of a statement's check on a case, with the right functions.

    Attributes:
        case: Arguments of the check.
        draws: Source of its draws as it was before; None for a check without chance.
        verdicts: Its answer.
    """

    case: Mapping[str, Any]
    draws: np.random.Generator | None
    verdicts: Sequence[Verdict]


@dataclass(frozen=True)
class Mutation:
    """A slip, and what it must break.

    Attributes:
        breaks: The claim.
        replaces: Dotted name of a function, a method or a property; it is replaced wherever a
            module of `stability` has it.
        words: What is wrong, in a few words.
        case: Arguments of the statement's `check`.
        by: The wrong function, made from the right one. None: the right one times a factor, twice
            as far from 1 as the resolution of the claim's verdict on this case.
    """

    breaks: Claim
    replaces: str
    words: str
    case: Mapping[str, Any]
    by: Replacement | None = None

    def run(
        self,
        check: Callable[..., list[Verdict]],
        rng: np.random.Generator | None,
        seen: Sequence[Seen] = (),
    ) -> Verdict:
        """The verdict on the claim under the mutation: violated if any is.

        Args:
            check: The statement's.
            rng: Passed on to `check` unless None.
            seen: What the right functions gave on some cases; such a case is not run again with
                them, and the mutation is run on its draws.

        Returns:
            The verdict, which names the slip.

        Raises:
            ValueError: If there is no verdict on the claim, or if no factor would be noticed.
        """
        by, words = self.by, self.words
        if by is None:
            right = next((each for each in seen if each.case == self.case), None)
            if right is None:
                draws = copy.deepcopy(rng)
                right = Seen(self.case, draws, check(**self.case, **_given(rng)))
            # on the same draws, so that the factor is enough
            factor, rng = self._factor(self._own(right.verdicts)), copy.deepcopy(right.draws)
            by, words = scaled(factor), f"{words} times {_number(factor)}"
        with replaced(self.replaces, by):
            wrong = self._own(check(**self.case, **_given(rng)))
        if not wrong:
            raise ValueError(f"no verdict on {self.breaks.id} in {self.case}")
        worst = min(wrong, key=lambda verdict: verdict.status is not Status.VIOLATED)
        return replace(worst, instance=f"{worst.instance}; {words}")

    def _own(self, verdicts: Sequence[Verdict]) -> list[Verdict]:
        """Verdicts on the claim that is to break."""
        return [verdict for verdict in verdicts if verdict.claim == self.breaks.id]

    def _factor(self, verdicts: list[Verdict]) -> float:
        """Factor on the function's value, in the direction that can be noticed.

        Raises:
            ValueError: If no verdict would notice any factor: its number lies below its tolerance.
        """
        noticed = [each.resolution for each in verdicts if math.isfinite(each.resolution)]
        if not noticed:
            seen = ", ".join(f"{each.resolution:g} ({each.status})" for each in verdicts) or "none"
            raise ValueError(
                f"no factor of {self.words} would be noticed by {self.breaks.id} in "
                f"{dict(self.case)}: resolutions {seen}; take a case whose number lies well above "
                "its tolerance"
            )

        factor = 1 + _MARGIN * (min(noticed) - 1)
        return 1 / factor if self.breaks.relation in ("<=", "<") else factor


def _given(rng: np.random.Generator | None) -> dict[str, Any]:
    return {} if rng is None else {"rng": rng}


def _number(factor: float) -> str:
    near = abs(factor - 1) < 1e-3
    return f"1 {'+' if factor > 1 else '−'} {abs(factor - 1):.1e}" if near else f"{factor:.4g}"


def scaled(factor: float) -> Replacement:
    """A factor on the value of a function; on each value, where it returns a tuple.

    Args:
        factor: Any number; it multiplies both ends of a `Bracket`.

    Returns:
        The replacement.
    """

    def by(right: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(right)
        def wrong(*arguments: Any, **named: Any) -> Any:
            value = right(*arguments, **named)
            if isinstance(value, Bracket):
                return value.map(lambda end: factor * end)
            if isinstance(value, tuple):
                return tuple(factor * part for part in value)
            return factor * value

        return wrong

    return by


def instead(wrong: Callable[..., Any]) -> Replacement:
    """Another function altogether.

    Args:
        wrong: The function to put in place of the right one.

    Returns:
        The replacement.
    """
    return lambda right: wrong


@contextmanager
def replaced(name: str, by: Replacement) -> Iterator[None]:
    """Replace a function wherever a module of `stability` has it, for a while.

    Results that functions of `stability` keep (`functools.cache`) are laid aside meanwhile, so that
    neither run sees the other's.

    Args:
        name: Dotted name, e.g. "stability.gaussian.alpha.alpha" or
            "stability.statements.assumption3.Constants.step".
        by: Makes the wrong function from the right one.

    Yields:
        Nothing: the function is replaced inside the `with` block.

    Raises:
        AttributeError: If there is no such function.
    """
    owner, attribute = _find(name)
    if attribute not in vars(owner):
        raise AttributeError(f"{owner.__name__} has no {attribute}")
    with _empty_caches():
        right = vars(owner)[attribute]
        if isinstance(right, property):
            assert right.fget is not None
            wrong: Any = property(by(right.fget))
        else:
            wrong = by(right)
        places = [(owner, attribute)]
        if not isinstance(owner, type):
            places += [each for each in _places()[id(right)] if each != (owner, attribute)]

        for place, key in places:
            setattr(place, key, wrong)
        try:
            yield
        finally:
            for place, key in places:
                setattr(place, key, right)


def _find(name: str) -> tuple[Any, str]:
    """The module or class that has the function, and the function's name in it."""
    path, _, attribute = name.rpartition(".")
    try:
        return importlib.import_module(path), attribute
    except ModuleNotFoundError:
        module, _, owner = path.rpartition(".")
        return getattr(importlib.import_module(module), owner), attribute


def _places() -> dict[int, list[tuple[Any, str]]]:
    """Find the places of each object in the modules of `stability`, in one pass over them.

    Returns:
        id of the object -> module and name of each place.
    """
    found = defaultdict(list)
    for name, module in list(sys.modules.items()):
        if name.startswith("stability."):
            for key, held in list(vars(module).items()):
                found[id(held)].append((module, key))
    return found


@contextmanager
def _empty_caches() -> Iterator[None]:
    """Put an empty copy in place of each function with a cache in a module of `stability`."""
    moved = []
    for places in _places().values():
        module, name = places[0]
        value = vars(module)[name]
        if not isinstance(value, _CACHED):
            continue
        options = value.cache_parameters()
        copied = lru_cache(options["maxsize"], options["typed"])(value.__wrapped__)
        moved.append((value, places, value.cache_info().misses))
        for place, key in places:
            setattr(place, key, copied)
    try:
        yield
    finally:
        for value, places, misses in moved:
            for place, key in places:
                setattr(place, key, value)
            if value.cache_info().misses != misses:  # reached all the same, from elsewhere
                value.cache_clear()


_CACHED = type(lru_cache(maxsize=1)(lambda: None))
