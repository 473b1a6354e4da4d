"""Pages of the documentation that are generated from the claims: python -m stability.report.pages

The index of claims, the errata, a page for each of our own results, and, from the verdicts of a
run, the gallery of statements and families and the table of related results.
"""

import importlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import tyro

from stability.report.formulas import FORMULAS, typeset
from stability.report.mathematics import mathematics
from stability.report.related import related
from stability.runs.atomic import atomic_write
from stability.runs.command_line import UsageError, command
from stability.runs.console import make_console, print_paths
from stability.statements import GROUPS, STATEMENTS, import_statement
from stability.statements.claim import Claim
from stability.statements.errata import ERRATA
from stability.statements.examination import RUN_CLAIMS, claims
from stability.statements.own_results import OWN_RESULTS, OwnResult
from stability.statements.verdict import Status

__all__ = ["Pages", "gallery", "pages"]

_GENERATED = "<!-- generated: python -m stability.report.pages docs -->\n\n"
_FOLDED = '<details markdown="1">\n<summary>Claims: {}</summary>'
TIGHT = 0.5
"""Part of a bound that a case uses, from which on the gallery calls it tight."""
_OUTCOMES = ("holds", "holds with correction", "tight", "loose")
_OUTCOMES += tuple(status.value for status in Status if status.value not in _OUTCOMES)
"""Outcomes in the gallery, in the order of its lines."""


@dataclass(frozen=True)
class Pages:
    """Write the generated pages of the documentation."""

    docs: tyro.conf.Positional[Path] = Path("docs")
    """Folder of the documentation; pages go to its folder `theory`."""
    verdicts: Path | None = None
    """verdicts.json of `python -m stability --out`; with it the gallery and the table of related
    results are written, too."""
    claims: tuple[str, ...] = ()
    """Modules outside of this package that declare claims, e.g. toy.figure8: for the index."""


def pages(others: Sequence[str] = ()) -> dict[str, str]:
    """The pages that need no run: name of the file in docs/theory -> text.

    Args:
        others: Modules outside of this package that declare claims.

    Returns:
        The pages.

    Raises:
        UsageError: If one of the modules cannot be imported, or declares no claim.
    """
    modules = {name: import_statement(name) for name in STATEMENTS}
    foreign = {name: _declaring(name) for name in others}
    groups = {**GROUPS, RUN_CLAIMS: tuple(foreign)} if foreign else GROUPS
    modules |= foreign
    declared = {name: claims(module) for name, module in modules.items()}
    everything = list({each.id: each for own in declared.values() for each in own}.values())
    return {
        "claims.md": _index(groups, modules, declared, others),
        "errata.md": _errata(everything),
        "own-results.md": _own_results(),
        **{
            f"{id_.lower()}.md": _result(id_, each, everything) for id_, each in OWN_RESULTS.items()
        },
    }


def _title(module: ModuleType) -> str:
    return " ".join((module.__doc__ or "").split("\n\n")[0].split())


def _index(
    groups: Mapping[str, Sequence[str]],
    modules: Mapping[str, ModuleType],
    declared: Mapping[str, Sequence[Claim]],
    others: Sequence[str] = (),
) -> str:
    option = f" --claims {' '.join(others)}" if others else ""
    parts = [
        _GENERATED.replace(" docs", f" docs{option}"),
        "# Index of claims\n\n"
        "Every claim that `python -m stability` decides, as it is declared in the code: its words, "
        "what would falsify it, and what does not count as evidence. A claim marked *false* is "
        "printed somewhere and refuted. A statement's claims unfold on a click.\n",
        _contents(groups, modules, declared),
    ]

    for title, names in groups.items():
        parts.append(f"\n## {title}\n")
        if title == RUN_CLAIMS:
            parts.append(
                "\nStated before a run, decided on its seeds by the command of the same name; the "
                "run's folder has their verdicts.\n"
            )
        for name in names:
            if not declared[name]:
                continue
            # the site's hook typesets it: a wide one scrolls, and the page does not
            lines = re.split(r",?\\qquad\s*", FORMULAS[name]) if name in FORMULAS else ()
            formula = "".join(f"\n$$\n{line}\n$$\n" for line in lines)
            parts.append(f"\n### {name}\n\n{mathematics(_title(modules[name]))}\n{formula}")
            parts.append(f"\n{_FOLDED.format(_counted(declared[name]))}\n")
            parts += [_claim(claim) for claim in declared[name]]
            parts.append("\n</details>\n")

    return "".join(parts)


def _contents(
    groups: Mapping[str, Sequence[str]],
    modules: Mapping[str, ModuleType],
    declared: Mapping[str, Sequence[Claim]],
) -> str:
    """A table of all statements: a link, what it is about, and the number of its claims."""
    rows = [
        f"| [{name}](#{name.replace('.', '')}) | {_in_table(_title(modules[name]))} "
        f"| {_counted(declared[name])} |\n"
        for names in groups.values()
        for name in names
        if declared[name]
    ]
    return "\n| statement | about | claims |\n|---|---|---|\n" + "".join(rows)


def _in_table(text: str) -> str:
    """A text of a table: a bar would end its cell."""
    return mathematics(text).replace("|", "&#124;")


def _counted(declared: Sequence[Claim]) -> str:
    false = sum(bool(claim.refuted_because) for claim in declared)
    return f"{len(declared)}{f', {false} false' if false else ''}"


def _declaring(name: str) -> ModuleType:
    """A module that declares claims, by its name."""
    try:
        module = importlib.import_module(name)
    except ImportError as error:
        raise UsageError(f"--claims {name}: {error}") from error
    if not claims(module):
        raise UsageError(f"--claims {name}: it declares no claim")
    return module


def _claim(claim: Claim) -> str:
    needs = f" Needs {mathematics(', '.join(map(str, claim.needs)))}." if claim.needs else ""
    erratum = f" Erratum [{claim.erratum}](errata.md)." if claim.erratum else ""
    error = mathematics(f"{claim.error_rate:g}")
    rate = f" Error rate of a verdict: {error}." if claim.error_rate else ""
    says = mathematics(claim.words.removesuffix(".")) + "."
    false = f" **False**: {mathematics(claim.refuted_because)}" if claim.refuted_because else ""
    return (
        f"\n**{mathematics(claim.id)}** ({mathematics(claim.source)}). {says}{false}\n\n"
        f"- Falsified by: {mathematics(claim.falsified_by)}\n"
        f"- No evidence: {mathematics(claim.no_evidence)}{needs}{erratum}{rate}\n"
    )


def _errata(everything: Sequence[Claim]) -> str:
    rows = [
        f"| [{id_}]({each.page}). {each.where}: {each.kind} | {typeset(each.printed)}"
        f"<br>*Holds:* {typeset(each.holds)} |"
        for id_, each in ERRATA.items()
    ]
    refuted = [claim for claim in everything if claim.refuted_because]

    return (
        f"{_GENERATED}# Errata\n\n"
        "Where the paper's statements, proofs or constants fail as printed, and what holds. "
        "Each is "
        "checked by `python -m stability --controls`: what is false comes out as *violated* on a "
        "counterexample, what holds instead holds on all cases.\n\n"
        "| place | as printed, and what holds |\n|---|---|\n"
        + "\n".join(rows)
        + "\n\n## Claims that are refuted\n\n"
        "Printed claims, readings of them, and our own results without one of their "
        "hypotheses.\n\n| claim | what it says, and why it is false |\n|---|---|\n"
        + "\n".join(
            f"| {mathematics(claim.id)}{f' ({claim.erratum})' if claim.erratum else ''} | "
            f"{mathematics(claim.words)}<br>*Refuted by:* {mathematics(claim.falsified_by)} "
            f"*Why:* {mathematics(claim.refuted_because)} |"
            for claim in refuted
        )
        + "\n\nBound (11) is not the best that the constants allow: "
        "[Theorem 1 and its best constant](theorem1.md). And its condition is not needed for local "
        "stability under exact likelihood: [S1](s1.md).\n"
    )


def _own_results() -> str:
    rows = [f"- [{id_}. {each.title}]({id_.lower()}.md)" for id_, each in OWN_RESULTS.items()]
    return (
        f"{_GENERATED}# Our own results\n\nResults of this project beyond the paper, each with its "
        "statement, proof, checks and what is new to our knowledge.\n\n" + "\n".join(rows) + "\n"
    )


def _result(id_: str, result: OwnResult, everything: Sequence[Claim]) -> str:
    named = re.compile(rf"\b{id_}\b")
    checks = [each for each in everything if named.search(each.source) or each.id.startswith(id_)]
    listed = "\n".join(
        f"- **{mathematics(each.id)}**: {mathematics(each.words.rstrip('.'))}. Falsified by: "
        f"{mathematics(each.falsified_by)}"
        for each in checks
        if not each.refuted_because
    )
    without = "\n".join(
        f"- **{mathematics(each.id)}**: {mathematics(each.refuted_because)}"
        for each in checks
        if each.refuted_because
    )
    limits = f"\n## Where it fails\n\n{without}\n" if without else ""
    none = "No claim of its own; see the proofs by computer algebra, `python -m stability proofs`."

    return (
        f"{_GENERATED}# {id_}. {result.title}\n\n## Statement\n\n{typeset(result.statement)}\n\n"
        f"## Proof\n\n{typeset(result.proof)} More: [{result.page}]({result.page}).\n\n"
        f"## Check\n\n{listed or none}\n{limits}\n"
        f"## Novelty\n\nKnown: {result.known}\n\nNew to our knowledge: {result.new}\n"
    )


def gallery(report: Mapping[str, Any]) -> str:
    """Statements and families: how each claim fares, from the verdicts of a run.

    Args:
        report: Content of verdicts.json.
    """
    cells: dict[str, dict[str, list[tuple[str, str]]]] = {}
    for statement in report["statements"]:
        for verdict in statement["verdicts"]:
            family, _, rest = verdict["instance"].partition(", ")
            if rest.startswith(("misspecified", "well specified")):
                row = cells.setdefault(verdict["claim"], {})
                row.setdefault(family, []).append(_cell(verdict))

    lines = [f"| {mathematics(claim)} | {_outcomes(row)} |" for claim, row in cells.items()]

    return (
        f"{_GENERATED}# Gallery: statements and families\n\n"
        "Each claim that depends on a family, on the cases that `python -m stability` "
        "examines. An equation *holds* or does not. A bound that holds is *tight* where at least "
        "half of it is used, else *loose*; the number says how much is used.\n\n"
        "| claim | families |\n|---|---|\n" + "\n".join(lines) + "\n"
    )


def _outcomes(row: Mapping[str, Sequence[tuple[str, str]]]) -> str:
    """A line an outcome, with its families."""
    found: dict[str, list[str]] = {}
    for family in sorted(row):
        for outcome in dict.fromkeys(outcome for outcome, _ in row[family]):
            used = dict.fromkeys(used for each, used in row[family] if each == outcome and used)
            found.setdefault(outcome, []).append(" ".join([f"`{family}`", ", ".join(used)]).strip())
    outcomes = sorted(found, key=_OUTCOMES.index)
    return "<br>".join(f"*{outcome}*: {'; '.join(found[outcome])}" for outcome in outcomes)


def _cell(verdict: Mapping[str, Any]) -> tuple[str, str]:
    """Outcome, and for an inequality that holds the part of the bound that is used."""
    used, status = verdict["tightness"], verdict["status"]
    bound = verdict["relation"] in ("<=", "<") and status == "holds"
    bound = bound and isinstance(verdict["stated"], float) and verdict["stated"] > 0
    if not (bound and isinstance(used, float) and used > 0):
        return status, ""
    return ("tight" if used >= TIGHT else "loose"), f"{used if used > 1e-6 else 0:.2g}"


def write(config: Pages) -> None:
    """Write the pages of the documentation.

    Args:
        config: Folder of the documentation, and optionally the verdicts of a run.

    Raises:
        UsageError: If the folder is not there, or the run did not examine all statements.
    """
    folder = config.docs / "theory"
    if not folder.is_dir():
        raise UsageError(f"{config.docs} must be the folder of the documentation")
    texts = pages(config.claims)
    if config.verdicts:
        report = json.loads(config.verdicts.read_text(encoding="utf-8"))
        seen = {each["statement"] for each in report["statements"]}
        if missing := [name for name in STATEMENTS if name not in seen]:
            # their rows would be emptied
            raise UsageError(f"{config.verdicts} must be of all statements, lacks {missing[0]}")

        texts |= {"gallery.md": gallery(report), "related-results.md": _GENERATED + related(report)}
    for name, text in texts.items():
        with atomic_write(folder / name) as file:
            file.write(text.encode())
    print_paths(make_console(), [folder / name for name in texts])


if __name__ == "__main__":
    command(Pages, write)
