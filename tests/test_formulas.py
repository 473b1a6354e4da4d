"""Formulas on the pages are typeset: none stands there as raw Unicode."""

import re
from pathlib import Path

import latex2mathml.converter
import pytest

DOCS = Path(__file__).parents[1] / "docs"
PAGES = sorted(DOCS.rglob("*.md"))

TYPESET = re.compile(r"```.*?```|`[^`\n]*`|\$\$.*?\$\$|\$[^$]+?\$|<math.*?</math>", re.DOTALL)
"""Code, LaTeX between dollars, and MathML."""
ADDRESS = re.compile(r"\]\([^)]*\)|https?://\S+")
RAW = re.compile(
    r"\w_\{|[^\W\d]\^[\w({∞*]|√|∑|‖|∇|[₀-₉ₜₛₙₖₗᵢⱼᵗˡᵏⁿᵈ]|(?<![\d×⁻⁰-⁹¹²³])[⁰⁴-⁹⁻]|[^\W\d][²³]"
)
"""A subscript, a power, a root, a norm: not λ = 0.5, σ or 10⁻³, which read well as they are."""


def raw_formulas(text: str) -> list[str]:
    """Lines of Markdown that hold a formula in Unicode, without their code and mathematics."""
    prose = TYPESET.sub(lambda match: "\n" * match[0].count("\n"), text)
    return [line for line in ADDRESS.sub("]", prose).splitlines() if RAW.search(line)]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(DOCS).as_posix())
def test_no_page_has_a_formula_in_unicode(page):
    assert raw_formulas(page.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "line",
    ["θ_{t+1} is next", "falls as α^t", "the error ‖θ‖", "√n", "with E s²", "G^∞", "vₜ", "A⁻¹"],
)
def test_a_raw_formula_is_found(line):
    assert raw_formulas(line) == [line]
    assert raw_formulas(f"`{line}`, and ${line}$, at λ = 0.5, 10⁻³ and 4·10⁻⁷") == []


def test_the_formulas_of_the_pages_can_be_typeset():
    """Each becomes MathML, and nothing of LaTeX is left in it."""
    for page in PAGES:
        prose = re.sub(
            r"```.*?```|`[^`\n]*`", "", page.read_text(encoding="utf-8"), flags=re.DOTALL
        )
        for block, inline in re.findall(r"\$\$(.*?)\$\$|\$([^$]+?)\$", prose, re.DOTALL):
            found = latex2mathml.converter.convert((block or inline).replace("\\|", "|"))
            text = re.sub(r"<[^>]*>", "", found)
            assert "\\" not in text, (page, block or inline)
            assert "$" not in text
