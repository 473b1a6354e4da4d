"""A claim, declared once: its words, its source, what it needs, and what would refute it.

A statement's module computes numbers. `Claim.verdict` turns them into a `Verdict`, whose status
follows from the numbers alone.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from stability.laws.bracket import Bracket
from stability.statements.verdict import Evidence, Relation, Status, Verdict, compare

__all__ = ["ERROR_RATE", "FINITE_L", "Claim", "Premise"]

ERROR_RATE = 1e-6
"""False-alarm probability of a verdict on simulated data, unless a check is given another."""


@dataclass(frozen=True)
class Premise:
    """An assumption of a claim, as a comparison of a number that each verdict measures.

    Attributes:
        name: Key of the number in `Verdict.assumptions`.
        relation: The comparison.
        value: The other side of it.
        otherwise: Status of a verdict for which it is false: `VACUOUS` for a condition of the
            statement, `NOT_APPLICABLE` for an assumption about the family.
    """

    name: str
    relation: Relation
    value: float
    otherwise: Status = Status.VACUOUS

    def __str__(self) -> str:
        sign = {"<=": "≤", ">=": "≥", "==": "="}.get(self.relation, self.relation)
        return f"{self.name} {sign} {'∞' if math.isinf(self.value) else f'{self.value:g}'}"


FINITE_L = Premise("L", "<", math.inf, Status.NOT_APPLICABLE)
"""Assumption 1: the Lipschitz constant L is finite."""


@dataclass(frozen=True)
class Claim:
    """A statement that numbers decide: measured `relation` claimed, on every case.

    Attributes:
        id: Unique name, e.g. "Theorem 1, (11)".
        words: What it says, in one sentence.
        relation: How the measured number compares with the claimed one.
        source: Where it is stated: equation, own result or paper.
        falsified_by: What would refute it.
        no_evidence: What must not count as evidence for it.
        needs: Assumptions that each verdict measures; where one is false the claim says nothing.
        erratum: Id of the erratum about it (E1, E2 …), or "".
        error_rate: False-alarm probability of a verdict that rests on simulated data; 0 if every
            verdict is deterministic.
        values: Least and largest value that the measured number can have, whatever is true. A
            bound outside says nothing.
        refuted_because: Why the claim is false; "" for one that is to hold. What is printed and
            false is kept as a claim with its reason.
        evidence: Kind of evidence of its verdicts.
    """

    id: str
    words: str
    relation: Relation
    source: str
    falsified_by: str
    no_evidence: str
    needs: tuple[Premise, ...] = ()
    erratum: str = ""
    error_rate: float = 0.0
    values: tuple[float, float] = (-math.inf, math.inf)
    refuted_because: str = ""
    evidence: Evidence = Evidence.NUMERICAL

    def verdict(
        self,
        case: str,
        *,
        measured: float,
        claimed: float | Bracket,
        method: str,
        tolerance: float = 0.0,
        scale: float = 0.0,
        false_alarm: float = 0.0,
        assumptions: Mapping[str, float | Bracket] = MappingProxyType({}),
        in_place_of: Verdict | None = None,
        note: str = "",
    ) -> Verdict:
        """Compare two numbers.

        Args:
            case: What the claim is checked on.
            measured: Left side.
            claimed: Right side, or the interval that holds it.
            method: How `measured` was found, and why the tolerance is what it is.
            tolerance: Absolute slack, in the units of `claimed`.
            scale: Size of the quantity whose difference is measured, where `claimed` is 0; 0 if
                there is none.
            false_alarm: Probability of `violated` although the claim is true.
            assumptions: Measured values of what the claim assumes, or intervals that hold them;
                each need is among them.
            in_place_of: Verdict on the printed claim that this one corrects.
            note: What else the reader must know.

        Returns:
            The verdict. Its status is `VIOLATED` if the comparison fails, `CORRECTED` if it holds
            where the printed claim does not, `UNDECIDED` where an interval leaves it open,
            `VACUOUS` or `NOT_APPLICABLE` where the claim says nothing, and `HOLDS` otherwise.
        """
        ends = (claimed.low, claimed.high) if isinstance(claimed, Bracket) else (claimed, claimed)
        found = {compare(measured, self.relation, end, tolerance) for end in ends}
        status = self._silence(ends, assumptions) or (
            found.pop() if len(found) == 1 else Status.UNDECIDED
        )
        if status is Status.HOLDS and in_place_of and in_place_of.status is not Status.HOLDS:
            status = Status.CORRECTED

        return Verdict(
            claim=self.id,
            words=self.words,
            instance=case,
            measured=measured,
            relation=self.relation,
            stated=ends[1] if math.isfinite(ends[1]) else ends[0],
            status=status,
            method=method,
            tolerance=tolerance,
            scale=scale,
            false_alarm=false_alarm,
            assumptions=dict(assumptions),
            erratum=self.erratum,
            note=note,
            evidence=self.evidence,
        )

    def skipped(self, case: str, *, method: str, note: str) -> Verdict:
        """The verdict on a case that is not looked at.

        Args:
            case: What the claim would be checked on.
            method: How it would be checked.
            note: Why it is not.

        Returns:
            A verdict without numbers, `SKIPPED`.
        """
        silent = self.verdict(case, measured=math.nan, claimed=0, method=method, note=note)
        return replace(silent, status=Status.SKIPPED)

    def _silence(
        self, claimed: tuple[float, float], assumptions: Mapping[str, float | Bracket]
    ) -> Status | None:
        """Status of a case about which the claim says nothing; None if it says something."""
        for need in self.needs:
            value = assumptions[need.name]
            ends = {value.low, value.high} if isinstance(value, Bracket) else {value}
            if math.isinf(need.value):
                # what holds with a number that was only searched for holds with a larger one
                ends = {min(ends)}
            met = {compare(end, need.relation, need.value) for end in ends}
            if Status.VIOLATED in met:
                return need.otherwise if len(met) == 1 else Status.UNDECIDED

        low, high = self.values
        below = self.relation in ("<=", "<") and claimed[0] >= high
        above = self.relation in (">=", ">") and claimed[1] <= low
        return Status.VACUOUS if below or above else None
