"""The page of related results: a table of what others have stated, and what is false as printed."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from stability.report.mathematics import mathematics
from stability.statements import GROUPS, import_statement
from stability.statements.claim import Claim
from stability.statements.examination import claims

__all__ = ["related"]

_GROUP = "Results of the literature"

_HEAD = """# Related results

What others have stated about loops of this kind, re-derived and checked: statement in one notation
($n$ real points, $m=\\lambda n$ synthetic ones a round, $c=\\frac{\\lambda}{1+\\lambda}$, $t$
retrainings), paper and module; status on the cases that are checked, and for a bound the largest
part of it that a case uses (1: tight). Statements are in our words. Derivations:
[the literature, re-derived](literature.md).

| statement, paper, module | status |
|---|---|
"""

_FALSE = """
## False as printed, or as often read

Each is refuted by a counterexample that `python -m stability MODULE` computes. [Counterexamples in
five lines](counterexamples.md) has the short ones, [Errata](errata.md) those of the paper.

| statement, paper, module | why it is false |
|---|---|
"""


def related(report: Mapping[str, Any]) -> str:
    """Make the table from the claims of the literature and the verdicts of a run.

    Args:
        report: Content of verdicts.json.

    Returns:
        Markdown, without the mark of generated pages.
    """
    verdicts = {each["statement"]: each["verdicts"] for each in report["statements"]}
    rows, false = [], []
    for name in GROUPS[_GROUP]:
        for claim in claims(import_statement(name)):
            # two columns: a phone has room for no more
            says = f"| {mathematics(claim.words)}<br>{mathematics(claim.source)}, `{name}` | "
            if claim.refuted_because:
                false.append(f"{says}{mathematics(claim.refuted_because)} |")
                continue
            own = [each for each in verdicts.get(name, ()) if each["claim"] == claim.id]
            rows.append(f"{says}{_status(own)}<br>{_tight(claim, own)} |")
    return _HEAD + "\n".join(rows) + "\n" + _FALSE + "\n".join(false) + "\n"


def _status(verdicts: Sequence[Mapping[str, Any]]) -> str:
    """Each status that occurs, with the number of cases."""
    found = [each["status"] for each in verdicts]
    return ", ".join(f"{status} ({found.count(status)})" for status in dict.fromkeys(found)) or "–"


def _tight(claim: Claim, verdicts: Sequence[Mapping[str, Any]]) -> str:
    """The largest part of a bound that is used; "equation" for one."""
    if claim.relation == "==":
        return "equation"
    used = []
    for each in verdicts:
        ratio = each["tightness"]
        if each["status"].startswith("holds") and isinstance(ratio, int | float) and ratio > 0:
            used.append(min(ratio, 1 / ratio))
    return f"bound, {max(used):.2g} used" if used and math.isfinite(max(used)) else "bound"
