"""Answer of a check: both numbers, what was assumed and measured, and whether the statement
holds.
"""

import dataclasses
import html
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal

from stability.laws.bracket import Bracket
from stability.runs.outcome import Status

__all__ = ["Evidence", "MachineChecked", "Relation", "Status", "Verdict", "at_most", "compare"]

Relation = Literal["==", "<=", ">=", "<", ">"]


class Evidence(StrEnum):
    """The kinds of evidence behind a verdict, strongest first (docs/theory/proofs.md)."""

    MACHINE = "proved by machine"
    ALGEBRA = "proved by computer algebra"
    CERTIFIED = "certified by ball arithmetic"
    NUMERICAL = "checked numerically"


@dataclass(frozen=True)
class Verdict:
    """One statement on one instance: `measured` `relation` `stated`, up to `tolerance`.

    Attributes:
        claim: Id of the statement, e.g. "Theorem 1", or "Proposition 1, d > 1".
        words: What it says, in one sentence.
        instance: What it was checked on, e.g. "Student-t, λ = 0.05".
        assumptions: Name -> measured value, or the interval that holds it, for whatever the
            statement assumes (α, L, ε, radius, moments).
        measured: The two sides.
        stated: See `measured`.
        tolerance: Absolute slack in units of `stated`, with its reason in `method`.
        method: How `measured` was found (closed form, quadrature, simulation of so many chains …).
        scale: Size of the quantity whose difference is measured, where `stated` is 0; 0 if there is
            none.
        false_alarm: Probability of `violated` although the statement is true; 0 for deterministic
            checks.
        erratum: Id of the erratum that applies (E1, E2 …), or "".
        note: What holds instead, or the counterexample.
        evidence: Kind of evidence.
    """

    claim: str
    words: str
    instance: str
    measured: float
    relation: Relation
    stated: float
    status: Status
    method: str
    tolerance: float = 0.0
    scale: float = 0.0
    false_alarm: float = 0.0
    assumptions: Mapping[str, float | Bracket] = field(default_factory=dict)
    erratum: str = ""
    note: str = ""
    evidence: Evidence = Evidence.NUMERICAL

    @property
    def statement(self) -> str:
        """Id of the statement without its part: "Theorem 1" for the claim "Theorem 1, (11)"."""
        named = re.match(r"(Lemma [A-Z]\.|(Proposition|Theorem|Assumption) )\d|S\d", self.claim)
        return named[0] if named else self.claim.partition(",")[0]

    @property
    def comparison(self) -> str:
        """Both numbers, e.g. "0.5 ≤ 0.75"; "" for what was skipped."""
        if self.status is Status.SKIPPED:
            return ""
        sign = {"<=": "≤", ">=": "≥", "==": "="}.get(self.relation, self.relation)
        return f"{self.measured:.6g} {sign} {self.stated:.6g}"

    @property
    def tightness(self) -> float:
        """measured / stated: 1 is tight; nan where the ratio says nothing (stated 0 or
        infinite).
        """
        if self.stated == 0 or not math.isfinite(self.stated):
            return math.nan
        return self.measured / self.stated

    @property
    def margin(self) -> float:
        """Distance from failing: what is left of the tolerance for ==, of |stated| + tolerance for
        an inequality.

        1 is everything, 0 is nothing, and below 0 it fails; nan where the comparison says nothing.
        """
        allowed = self.tolerance if self.relation == "==" else abs(self.stated) + self.tolerance
        if not (math.isfinite(self.measured) and math.isfinite(allowed)):
            return math.nan
        gap = {
            "=": abs(self.measured - self.stated),
            "<": self.measured - self.stated,
            ">": self.stated - self.measured,
        }
        left = self.tolerance - gap[self.relation[0]]
        return left / allowed if allowed else math.copysign(math.inf, left) if left else 0.0

    @property
    def resolution(self) -> float:
        """The smallest factor by which the number could be wrong and still be noticed, > 1.

        `stated` is spoiled until the comparison fails: enlarged for >=, reduced for <=, either way
        for ==. Where `stated` is 0, `measured` is moved by a part of `scale` instead.

        Returns:
            The factor, found by bisection; inf if no factor up to 1e12 is noticed; nan where the
            claim does not hold, or compares a sign alone.
        """
        if self.status not in (Status.HOLDS, Status.CORRECTED):
            return math.nan
        if self.stated == 0 and not self.scale:
            return math.nan

        low, high = 0.0, math.log(1e12)
        if not self.is_rejected_at(math.exp(high)):
            return math.inf
        for _ in range(60):
            middle = (low + high) / 2
            low, high = (low, middle) if self.is_rejected_at(math.exp(middle)) else (middle, high)
        return math.exp(high)

    def is_rejected_at(self, factor: float) -> bool:
        """Tell whether the comparison fails once `stated` is wrong by a factor; for == in both
        directions.

        Args:
            factor: > 1.

        Returns:
            True if it fails.
        """
        if self.stated == 0:
            shifts = (self.scale * (factor - 1), -self.scale * (factor - 1))
            spoiled = [(self.measured + shift, 0.0) for shift in shifts]
        else:
            smaller, larger = sorted((self.stated / factor, self.stated * factor))
            spoiled = [(self.measured, smaller), (self.measured, larger)]
        if self.relation in ("<=", "<"):
            spoiled = spoiled[:1]
        elif self.relation in (">=", ">"):
            spoiled = spoiled[1:]
        return all(
            compare(measured, self.relation, stated, self.tolerance) is Status.VIOLATED
            for measured, stated in spoiled
        )

    def __str__(self) -> str:
        """Status, both numbers, the case and the claim, one line, and what else must be known."""
        line = f"{self.status}: {self.comparison} ({self.claim}; {self.instance})"
        return f"{line}: {self.note}" if self.note else line

    def _repr_html_(self) -> str:
        """A row a field, for a notebook."""
        assumed = ", ".join(f"{name} = {value:.5g}" for name, value in self.assumptions.items())
        rows = {
            "status": self.status.value,
            self.claim: self.words,
            "case": self.instance,
            "measured, stated": self.comparison,
            "assumed": assumed,
            "method": self.method,
            "note": self.note,
        }
        cells = "".join(
            f"<tr><th>{html.escape(name)}</th><td>{html.escape(value)}</td></tr>"
            for name, value in rows.items()
            if value
        )
        return f"<table>{cells}</table>"

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; numbers that are not finite become strings ("inf", "nan")."""
        derived = {
            "status": self.status.value,
            "tightness": self.tightness,
            "margin": self.margin,
            "resolution": self.resolution,
        }
        plain = {**dataclasses.asdict(self), **derived}
        return {name: _finite(value) for name, value in plain.items()}


@dataclass(frozen=True)
class MachineChecked(Verdict):
    """A file of theorems that Coq has checked.

    Attributes:
        theorems: Names of the theorems in it.
        axioms: Names of the axioms that they rest on.
        seconds: Time that Coq took.
    """

    theorems: tuple[str, ...] = ()
    axioms: tuple[str, ...] = ()
    seconds: float = 0.0


def _finite(value: Any) -> Any:
    if isinstance(value, Bracket):
        value = vars(value)
    if isinstance(value, Mapping):
        return {name: _finite(item) for name, item in value.items()}
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def compare(measured: float, relation: Relation, stated: float, tolerance: float = 0.0) -> Status:
    """HOLDS or VIOLATED: whether `measured` `relation` `stated` up to `tolerance`; a nan on
    either side is VIOLATED.

    Args:
        measured: The measured number.
        relation: Comparison that is claimed.
        stated: The claimed number.
        tolerance: Absolute slack, >= 0.

    Returns:
        HOLDS or VIOLATED.
    """
    gap = measured - stated
    holds = {
        "==": abs(gap) <= tolerance,
        "<=": gap <= tolerance,
        ">=": gap >= -tolerance,
        "<": gap < tolerance if tolerance else gap < 0,
        ">": gap > -tolerance if tolerance else gap > 0,
    }[relation]
    return Status.HOLDS if holds else Status.VIOLATED


def at_most(measured: float, limit: Bracket, tolerance: float = 0.0) -> Status:
    """Status of `measured` <= a limit that is known up to an interval.

    Args:
        measured: Any number.
        limit: The interval that holds the limit.
        tolerance: Absolute slack, >= 0.

    Returns:
        HOLDS if it is below the lower end, VIOLATED if it is above the upper end, else UNDECIDED.
    """
    if compare(measured, "<=", limit.low, tolerance) is Status.HOLDS:
        return Status.HOLDS
    above = compare(measured, "<=", limit.high, tolerance)
    return above if above is Status.VIOLATED else Status.UNDECIDED
