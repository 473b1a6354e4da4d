import importlib
import json
import re
import sys
import types
from pathlib import Path

import numpy as np
import pytest

from stability.report import pages
from stability.report.formulas import typeset
from stability.report.mathematics import mathematics
from stability.report.pages import Pages, gallery, write
from stability.runs.command_line import UsageError
from stability.statements import STATEMENTS, examination, import_statement
from stability.statements.errata import ERRATA
from stability.statements.examination import claims, examine
from stability.statements.own_results import OWN_RESULTS
from stability.statements.verdict import Status

ROOT = Path(__file__).resolve().parents[3]
TEMPLATE = re.compile(r"<!-- template -->\n```python\n(.*?)```", re.S)


RUNS = ("toy.figure8", "toy.eight_gaussians", "deep.contraction", "deep.degradation")
"""Modules of the other packages that declare claims."""


def test_the_pages_are_up_to_date():
    command = f"python -m stability.report.pages docs --claims {' '.join(RUNS)}"
    for name, text in pages.pages(RUNS).items():
        written = (ROOT / "docs" / "theory" / name).read_text(encoding="utf-8")
        assert written == text, f"run {command}: {name}"


def test_claims_about_runs_are_in_the_index():
    index = pages.pages(RUNS)["claims.md"]
    for name in RUNS:
        own = claims(importlib.import_module(name))
        assert own
        for claim in own:
            assert f"**{mathematics(claim.id)}**" in index
            assert 0 < claim.error_rate <= 0.05
            assert claim.falsified_by
            assert claim.no_evidence
    assert examination.RUN_CLAIMS not in pages.pages()["claims.md"]


def test_the_index_has_a_row_and_a_fold_a_statement():
    index = pages.pages(RUNS)["claims.md"]
    names = re.findall(r"^### (\S+)$", index, flags=re.M)
    row = r"^\| \[(\S+)\]\(#\S+\) \| .* \| (\d+)(?:, \d+ false)? \|$"
    rows = dict(re.findall(row, index, flags=re.M))
    assert list(rows) == names
    assert index.count("<details markdown") == index.count("</details>") == len(names)
    for name, part in zip(names, re.split(r"^### \S+$", index, flags=re.M)[1:], strict=True):
        assert len(re.findall(r"^- Falsified by: ", part, flags=re.M)) == int(rows[name]), name
        assert part.index("<details") < part.index("- Falsified by: ") < part.index("</details>")


@pytest.mark.parametrize("name", ["toy.nothing", "stability.gaussian.alpha"])
def test_a_module_without_claims_is_refused(name):
    with pytest.raises(UsageError, match=f"--claims {name}: "):
        pages.pages((name,))


def test_every_claim_erratum_and_result_is_on_a_page():
    texts = pages.pages()
    for name in STATEMENTS:
        for claim in claims(import_statement(name)):
            assert mathematics(claim.id) in texts["claims.md"]
            assert not claim.erratum or claim.erratum in ERRATA
            assert not claim.refuted_because or mathematics(claim.id) in texts["errata.md"]
    assert list(OWN_RESULTS) == [f"S{k}" for k in range(1, 10)]
    for id_, result in OWN_RESULTS.items():
        page = texts[f"{id_.lower()}.md"]
        for part in ("## Statement", "## Proof", "## Check", "Known: ", "New to our knowledge: "):
            assert part in page
        assert (ROOT / "docs" / "theory" / result.page).exists()


def test_no_formula_is_left_as_source():
    for name, page in pages.pages().items():
        text = re.sub(r"\n\$\$\n.*?\n\$\$\n", "", page)  # the site's hook typesets these
        assert "\\frac" not in text, name
        assert "$" not in re.sub(r"<math.*?</math>", "", text), name


def test_mathematics_is_typeset_and_keeps_clear_of_markdown():
    text = typeset(r"a $\theta^\star_1*2$ b")
    assert text.startswith("a <math")
    assert text.endswith("</math> b")
    assert "*" not in text
    assert "_" not in text


def test_no_paragraph_begins_with_a_formula():
    for result in OWN_RESULTS.values():  # a paragraph that begins with <math> is no paragraph
        assert not result.statement.startswith("$")
        assert not result.proof.startswith("$")


def _verdict(claim, instance, status, relation="<=", tightness: float | str = 0.5):
    names = "claim", "instance", "status", "relation", "tightness", "stated"
    return dict(zip(names, (claim, instance, status, relation, tightness, 1.0), strict=True))


def test_the_gallery_has_a_row_a_claim_with_families_by_outcome():
    verdicts = [
        _verdict("A", "gamma, misspecified, λ = 1", "holds"),
        _verdict("A", "student_t, well specified, λ = 1", "vacuous", tightness="nan"),
        _verdict("A", "student_t, well specified, λ = 2", "holds", tightness=0.4),
        _verdict("A", "student_t, well specified, λ = 3", "holds", tightness=0.3),
        _verdict("B", "gamma, misspecified, λ = 1", "holds", "=="),
        _verdict("C", "n = 4", "holds"),
    ]
    text = gallery({"statements": [{"verdicts": verdicts}]})
    rows = text.partition("| claim | families |\n|---|---|\n")[2].splitlines()
    assert [_outcomes(row) for row in rows] == [
        {"tight": ["`gamma` 0.5"], "loose": ["`student_t` 0.4, 0.3"], "vacuous": ["`student_t`"]},
        {"holds": ["`gamma`"]},
    ]


def _outcomes(row):
    """Families by outcome, of one row of the gallery."""
    lines = row.removesuffix(" |").split(" | ")[1].split("<br>")
    return {
        outcome.strip("*"): families.split("; ")
        for outcome, _, families in (line.partition(": ") for line in lines)
    }


@pytest.mark.parametrize("family", ["binomial", "linkage"])
def test_the_gallery_has_what_a_run_finds(family):
    """One family of it, from the cases that are quick to check."""
    written = (ROOT / "docs" / "theory" / "gallery.md").read_text(encoding="utf-8").splitlines()
    rows = {line.split(" | ")[0]: line for line in written if line.startswith("| ")}
    module = import_statement("proposition3")
    (case,) = [case for case in module.GRID if case["family"] == family]
    found = gallery({"statements": [{"verdicts": [v.to_dict() for v in module.check(**case)]}]})
    for line in found.splitlines()[-4:]:
        claim = line.split(" | ")[0]
        known = _outcomes(rows[claim])
        for outcome, (entry,) in _outcomes(line).items():
            assert entry in known[outcome], f"make the gallery anew: {claim}"


def test_pages_go_into_the_documentation_alone(tmp_path):
    with pytest.raises(UsageError, match="must be the folder of the documentation"):
        write(Pages(tmp_path))
    (tmp_path / "theory").mkdir()
    every = [{"statement": name, "verdicts": []} for name in STATEMENTS]
    (tmp_path / "v.json").write_text(json.dumps({"statements": every[1:]}), encoding="utf-8")
    with pytest.raises(UsageError, match="must be of all statements, lacks lemma_a1"):
        write(Pages(tmp_path, tmp_path / "v.json"))
    assert not list((tmp_path / "theory").iterdir())
    (tmp_path / "v.json").write_text(json.dumps({"statements": every}), encoding="utf-8")
    write(Pages(tmp_path, tmp_path / "v.json"))
    written = {path.name for path in (tmp_path / "theory").iterdir()}
    assert written == {*pages.pages(), "gallery.md", "related-results.md"}


def test_a_statement_from_the_template(monkeypatch):
    """At most 40 lines; it is examined, its mutation is noticed, and it would be on the page."""
    text = (ROOT / "docs" / "how-to" / "add-a-statement.md").read_text(encoding="utf-8")
    (code,) = TEMPLATE.findall(text)
    assert len(code.splitlines()) <= 40
    module = types.ModuleType("stability.statements.coins")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    exec(compile(code, "template", "exec"), module.__dict__)
    monkeypatch.setattr(examination, "import_statement", lambda name: module)

    result = examine("coins", np.random.default_rng())
    assert result.title == "The mean of n coins: its variance is p(1 − p)/n."
    assert [verdict.status for verdict in result.verdicts] == [Status.HOLDS] * 2
    (control,) = result.controls
    assert control.status is Status.VIOLATED
    assert not result.failures
    page = pages._index({"Coins": ["coins"]}, {"coins": module}, {"coins": claims(module)})
    assert "**Coins** (Bernoulli (1713))" in page
