"""An interval that holds a number, and conditions that can then be undecided."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

__all__ = ["Bracket", "Condition"]


class Condition(StrEnum):
    """Truth of a condition on a number that is known up to an interval."""

    MET = "met"
    NOT_MET = "not met"
    UNDECIDED = "undecided"


@dataclass(frozen=True)
class Bracket:
    """The interval [low, high] that holds a number.

    Attributes:
        low: Lower bound, possibly −inf.
        high: Upper bound, possibly inf; equal to `low` where the number is known.
        reason: Where the two bounds come from, one line.

    Raises:
        ValueError: Unless low <= high.
    """

    low: float
    high: float
    reason: str = ""

    def __post_init__(self) -> None:
        if not self.low <= self.high:
            raise ValueError(f"low must be <= high, got {self.low} and {self.high}")

    @property
    def known(self) -> bool:
        """True if both ends are one number."""
        return self.low == self.high

    @property
    def middle(self) -> float:
        """The number in the middle; the finite end where one end is infinite."""
        if self.known or not math.isfinite(self.high):
            return self.low
        return (self.low + self.high) / 2 if math.isfinite(self.low) else self.high

    def below(self, limit: float) -> Condition:
        """Tell whether the number is below a limit.

        Args:
            limit: Any number.

        Returns:
            Met if both ends are below it, not met if none is, else undecided.
        """
        if self.high < limit:
            return Condition.MET
        return Condition.NOT_MET if self.low >= limit else Condition.UNDECIDED

    def __lt__(self, other: "float | Bracket") -> bool:
        """True if all of it lies below all of the other: the order of intervals."""
        return self.high < (other.low if isinstance(other, Bracket) else other)

    def __le__(self, other: "float | Bracket") -> bool:
        return self.high <= (other.low if isinstance(other, Bracket) else other)

    def __gt__(self, other: "float | Bracket") -> bool:
        return self.low > (other.high if isinstance(other, Bracket) else other)

    def __ge__(self, other: "float | Bracket") -> bool:
        return self.low >= (other.high if isinstance(other, Bracket) else other)

    def map(self, monotone: Callable[[float], float]) -> "Bracket":
        """The interval of a monotone function of the number, increasing or decreasing.

        Args:
            monotone: The function.

        Returns:
            Its values at both ends, in their order, with the same reason.
        """
        one, other = monotone(self.low), monotone(self.high)
        low, high = (other, one) if other < one else (one, other)
        return Bracket(low, high, self.reason)

    def __format__(self, spec: str) -> str:
        """One number where both ends print alike, `≥ low` where there is no upper bound."""
        low, high = format(self.low, spec), format(self.high, spec)
        if low.strip() == high.strip():
            return low
        if self.high == math.inf:
            return f"≥ {low.strip()}"
        return f"[{low.strip()}, {high.strip()}]"

    def __str__(self) -> str:
        return format(self, ".5g")
