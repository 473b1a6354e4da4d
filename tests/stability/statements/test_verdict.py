"""A verdict for people: one line, and a table in a notebook."""

from stability.laws.bracket import Bracket
from stability.statements.verdict import Status, Verdict

VERDICT = Verdict(
    claim="Theorem 1, (11)",
    words="‖J‖₂ ≤ (11) < 1",
    instance="t on <data>, λ = 0.05",
    measured=0.06062,
    relation="<=",
    stated=0.2024,
    status=Status.UNDECIDED,
    method="quadrature",
    tolerance=1e-9,
    assumptions={"L": Bracket(2.0, float("inf")), "α": 0.41},
    note="L may be larger",
)


def test_a_verdict_is_one_line_that_says_everything():
    assert str(VERDICT) == (
        "undecided: 0.06062 ≤ 0.2024 (Theorem 1, (11); t on <data>, λ = 0.05): L may be larger"
    )


def test_a_notebook_shows_a_table_and_no_text_becomes_an_element():
    shown = VERDICT._repr_html_()
    assert shown.startswith("<table>")
    assert "t on &lt;data&gt;" in shown
    assert "L = ≥ 2, α = 0.41" in shown
    assert "<data>" not in shown
