"""Proofs by computer algebra, and by a proof assistant: how many of their steps are left unproved.

`stability.proofs.symbolic` reduces equations with sympy; `stability.proofs.coq` holds theorems that
Coq checks down to its axioms. Where Coq is not installed, those are skipped.
"""

from typing import Any

from stability.proofs.coq.check import MISSING, Checked, check_file, coq_version, reject
from stability.proofs.coq.theorems import DEVELOPMENTS, Development, Spoiled
from stability.proofs.symbolic import all_proofs
from stability.proofs.symbolic import controls as spoiled_proofs
from stability.proofs.symbolic.proof import Proof
from stability.statements.verdict import Evidence, MachineChecked, Status, Verdict, compare

__all__ = ["GRID", "check", "controls"]

GRID: tuple[dict[str, Any], ...] = ({"by": "computer algebra"}, {"by": "Coq"})


def check(by: str) -> list[Verdict]:
    """Check every proof of one kind: it holds if no step is left unproved.

    Args:
        by: "computer algebra" or "Coq".

    Returns:
        A verdict a proof or a file of theorems; one that is `skipped` where Coq is not installed.

    Raises:
        ValueError: If `by` is neither.
    """
    if by == "computer algebra":
        return [_verdict(proof) for proof in all_proofs()]
    if by != "Coq":
        raise ValueError(f'by must be "computer algebra" or "Coq", got {by!r}')
    if not coq_version():
        return [_skipped()]
    return [_machine_checked(each, check_file(each)) for each in DEVELOPMENTS]


def controls() -> list[Verdict]:
    """Proofs of spoiled statements: each is `violated`."""
    symbolic = [_verdict(proof) for proof in spoiled_proofs()]
    if not coq_version():
        return symbolic
    copies = [(each, spoiled) for each in DEVELOPMENTS for spoiled in each.spoiled]
    return [*symbolic, *(_rejected(each, spoiled) for each, spoiled in copies)]


def _verdict(proof: Proof) -> Verdict:
    return Verdict(
        claim=proof.claim,
        words=proof.statement,
        instance="for all values of its symbols",
        measured=len(proof.left),
        relation="==",
        stated=0,
        status=compare(len(proof.left), "==", 0),
        method=f"computer algebra, {len(proof.steps)} "
        f"steps{'; uses ' + '; '.join(proof.uses) if proof.uses else ''}",
        erratum=proof.erratum,
        note="; ".join(step.words for step in proof.left),
        evidence=Evidence.ALGEBRA,
    )


def _machine_checked(development: Development, checked: Checked) -> Verdict:
    unproved = len(checked.theorems) if checked.fault else 0
    return MachineChecked(
        claim=_claim(development),
        words=development.statement,
        instance="for all values of its symbols",
        measured=unproved,
        relation="==",
        stated=0,
        status=compare(unproved, "==", 0),
        method=f"Coq {coq_version()}, {development.name}.v: {len(checked.theorems)} theorems",
        erratum=development.erratum,
        note=checked.fault,
        evidence=Evidence.MACHINE,
        theorems=checked.theorems,
        axioms=checked.axioms,
        seconds=checked.seconds,
    )


def _rejected(development: Development, spoiled: Spoiled) -> Verdict:
    """Violated if Coq rejects the copy in a proof; not applicable if for another reason."""
    rejection = reject(development, spoiled)
    broken = int(bool(rejection.broken))
    accepted = not rejection.broken and rejection.message == "accepted"
    return Verdict(
        claim=f"{_claim(development)}: {spoiled.words}",
        words=f"a copy of {development.name}.v that is false: {spoiled.reason}",
        instance="for all values of its symbols",
        measured=broken,
        relation="==",
        stated=0,
        status=compare(broken, "==", 0) if broken or accepted else Status.NOT_APPLICABLE,
        method=f"Coq {coq_version()}",
        note=f"{rejection.broken or 'no proof'}: {rejection.message}",
        evidence=Evidence.MACHINE,
    )


def _skipped() -> Verdict:
    return Verdict(
        claim="Machine-checked proofs",
        words="; ".join(each.claim for each in DEVELOPMENTS),
        instance="for all values of its symbols",
        measured=float("nan"),
        relation="==",
        stated=0,
        status=Status.SKIPPED,
        method="Coq",
        note=MISSING,
        evidence=Evidence.MACHINE,
    )


def _claim(development: Development) -> str:
    return f"{development.claim}, machine-checked"
