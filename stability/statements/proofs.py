"""Proofs by computer algebra, each as a verdict: how many of its steps are left unproved."""

from typing import Any

from stability.proofs.symbolic import all_proofs
from stability.proofs.symbolic import controls as spoiled_proofs
from stability.proofs.symbolic.proof import Proof
from stability.statements.verdict import Verdict, compare

__all__ = ["GRID", "check", "controls"]

GRID: tuple[dict[str, Any], ...] = ({},)


def check() -> list[Verdict]:
    """Every proof: it holds if each step was reduced to 0 or to True."""
    return [_verdict(proof) for proof in all_proofs()]


def controls() -> list[Verdict]:
    """Proofs of spoiled statements: each is `violated`."""
    return [_verdict(proof) for proof in spoiled_proofs()]


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
    )
