"""Conditions on a check that stop a release: `degrading or distance > 1.5`."""

import math
import operator
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from stability.planning.check_record import CheckResult
from stability.runs.untrusted import printable

__all__ = ["FailCondition", "parse_conditions"]

WORDS: dict[str, Callable[[CheckResult], bool]] = {
    "degrading": lambda result: result.outcome == "degrading",
    "undecided": lambda result: result.outcome == "undecided",
    "copies": lambda result: result.copies is not None and result.copies.memorised,
    "lost": lambda result: any(loss.alarm for look in result.looks for loss in look.losses),
}
VALUES: dict[str, Callable[[CheckResult], float]] = {
    "distance": lambda r: r.looks[-1].distance.ratio if r.looks[-1].distance else math.nan,
    "auc": lambda r: r.auc[0] if r.auc else math.nan,
    "quality": lambda r: r.fidelity.quality if r.fidelity else math.nan,
    "diversity": lambda r: r.fidelity.diversity if r.fidelity else math.nan,
    "target": lambda r: _target(r),
}
RELATIONS = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}
_COMPARISON = re.compile(r"(\w+)\s*(<=|>=|<|>)\s*([\d.]+(?:[eE][+-]?\d+)?)(x?)")


@dataclass(frozen=True)
class FailCondition:
    """One condition.

    Attributes:
        text: As it was written.
        name: A word, or the value that is compared.
        relation: `<`, `<=`, `>`, `>=`; empty for a word.
        bound: What the value is compared with.
    """

    text: str
    name: str
    relation: str = ""
    bound: float = 0.0

    def holds(self, result: CheckResult) -> bool:
        """Return whether the condition holds.

        Args:
            result: Result of the check.

        Returns:
            True also where the value is not known: a gate that cannot see does not open.
        """
        if not self.relation:
            return WORDS[self.name](result)
        value = VALUES[self.name](result)
        return math.isnan(value) or bool(RELATIONS[self.relation](value, self.bound))


def parse_conditions(texts: Sequence[str]) -> list[FailCondition]:
    """Read conditions.

    Args:
        texts: Each a word, a comparison, or several joined by `or`.

    Returns:
        The conditions.

    Raises:
        ValueError: If one is none of them; the message lists what is known.
    """
    found = []
    for text in texts:
        for part in re.split(r"\s+or\s+|,", text.strip()):
            one = part.strip()
            compared = _COMPARISON.fullmatch(one)
            if one in WORDS:
                found.append(FailCondition(one, one))
            elif (
                compared
                and compared[1] in VALUES
                and (compared[4] == "x") == (compared[1] == "target")
            ):
                found.append(FailCondition(one, compared[1], compared[2], float(compared[3])))
            else:
                raise ValueError(
                    f"fail-if must be {', '.join(WORDS)}, or a comparison such as distance > 1.5, "
                    f"auc > 0.7, quality < 0.8, diversity < 0.8 or target < 0.95x, got "
                    f"{printable(one)!r}"
                )

    return found


def _target(result: CheckResult) -> float:
    """Score of the model trained on the generation, times that of one trained on real rows."""
    score = result.target
    if score is None or score.drawn is None or not score.real > 0:
        return math.nan
    return score.drawn / score.real
