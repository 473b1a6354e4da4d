import json
import math
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from stability.report import margin_left, write_report
from stability.report.figures import FIGURES, SHOWS
from stability.report.formulas import FORMULAS
from stability.runs.figure_style import Captioned
from stability.statements import STATEMENTS
from stability.statements.examination import Examination
from stability.statements.verdict import Status, Verdict


def drawn(rng):
    """Draw something; a page does not show this sentence."""
    figure = Figure()
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    axes.plot(rng.random(5), label="drawn")
    axes.legend()
    return figure


picture = Captioned(drawn, "A caption with <angles> & signs.")


@pytest.fixture
def page(monkeypatch, tmp_path):
    monkeypatch.setattr("stability.report.FIGURES", {"one": picture, "two": picture})
    monkeypatch.setattr("stability.report.SHOWS", dict.fromkeys(("one", "two"), ("theorem1",)))
    verdict = Verdict(
        "Claim <1>",
        "this & that",
        "i",
        1.0,
        "<=",
        math.inf,
        Status.VACUOUS,
        "m",
        assumptions={"α": math.inf},
        erratum="E1",
    )
    spoiled = Verdict(
        "Claim 1", "w", "spoiled", 3.0, "<=", 2.0, Status.VIOLATED, "m", false_alarm=1e-6
    )
    examined = Examination("theorem1", "Theorem 1: words.", (verdict,), (spoiled,), (spoiled,), 0.1)
    paths = write_report(tmp_path, [examined], seed=7)
    assert all(path.exists() for path in paths)
    return tmp_path, (tmp_path / "report.html").read_text(encoding="utf-8")


class References(HTMLParser):
    def __init__(self):
        super().__init__()
        self.outside, self.ids, self.tags = [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        for name, value in attrs:
            if name in ("src", "href", "xlink:href") and not (value or "").startswith("#"):
                self.outside.append(value)
            if name == "id":
                self.ids.append(value)


def test_the_page_needs_nothing_but_itself(page):
    parser = References()
    parser.feed(page[1])
    assert not parser.outside
    assert not {"script", "link", "iframe", "img"} & set(parser.tags)
    assert "@import" not in page[1]
    assert not re.search(r"url\((?!#)", page[1])


def test_figures_and_formulas_are_in_the_page(page):
    parser = References()
    parser.feed(page[1])
    assert parser.tags.count("svg") == 2
    assert len(parser.ids) == len(set(parser.ids)), (
        "an id stands twice, so that one figure may show another's parts"
    )
    assert "math" in parser.tags
    assert "drawn" in page[1]


def test_what_is_shown_is_escaped(page):
    assert "Claim &lt;1&gt;" in page[1]
    assert "this &amp; that" in page[1]
    assert "A caption with &lt;angles&gt; &amp; signs.</figcaption>" in page[1]


def test_what_is_written_for_programmers_is_not_shown(page):
    assert "does not show this sentence" not in page[1]


def test_numbers_that_are_not_finite_are_strings_in_json(page):
    verdict = json.loads((page[0] / "verdicts.json").read_text(encoding="utf-8"))["statements"][0][
        "verdicts"
    ][0]
    assert (verdict["stated"], verdict["assumptions"], verdict["margin"]) == (
        "inf",
        {"α": "inf"},
        "nan",
    )


def test_the_same_seed_draws_the_same_page(page, tmp_path_factory, monkeypatch):
    again = tmp_path_factory.mktemp("again")
    monkeypatch.setattr("stability.report.FIGURES", {"one": picture})
    examined = Examination("theorem1", "T.", (), (), (), 0.1)
    write_report(again, [examined], seed=7)
    write_report(page[0], [examined], seed=7)
    ours, theirs = ((folder / "figures" / "one.png").read_bytes() for folder in (again, page[0]))
    assert ours == theirs


def test_a_report_has_the_figures_of_what_it_examined(monkeypatch, tmp_path):
    monkeypatch.setattr("stability.report.FIGURES", {"one": picture, "two": picture})
    monkeypatch.setattr("stability.report.SHOWS", {"one": ("theorem1",), "two": ("theorem2",)})
    written = write_report(tmp_path, [Examination("theorem2", "T.", (), (), (), 0.1)], seed=7)
    assert {path.stem for path in written if path.suffix == ".png"} == {"two"}


def test_figures_show_statements_that_there_are():
    assert set(SHOWS) == set(FIGURES)
    assert {name for names in SHOWS.values() for name in names} <= set(STATEMENTS)


def test_a_headline_is_only_claimed_of_what_was_examined_and_came_out_right(
    page, tmp_path, monkeypatch
):
    assert 'class="headline"' not in page[1]
    monkeypatch.setattr("stability.report.FIGURES", {})
    rate = Verdict("S1", "w", "somewhere", 0.75, "<", 1.0, Status.HOLDS, "m")
    for status, shown in ((Status.HOLDS, True), (Status.VIOLATED, False)):
        other = Verdict("S2", "w", "i", 0.5, "==", 0.5, status, "m")
        write_report(
            tmp_path, [Examination("local_stability", "S1.", (rate, other), (), (), 0.1)], seed=7
        )
        text = (tmp_path / "report.html").read_text(encoding="utf-8")
        assert ("somewhere: ρ(J)=0.75" in re.sub("<[^>]*>", "", text)) == shown


def test_every_link_leads_somewhere_and_every_statement_is_in_the_contents(page):
    targets = re.findall(r'href="#([^"]+)"', page[1])
    assert {"theorem1", "glossary", "evidence", "figures", "E1"} <= set(targets)
    for target in targets:
        assert f'id="{target}"' in page[1], target


def test_a_spoiled_check_is_rejected_in_green_and_one_that_passes_is_in_red(tmp_path, monkeypatch):
    monkeypatch.setattr("stability.report.FIGURES", {})
    right = Verdict("C", "w", "i", 1.0, "<=", 2.0, Status.HOLDS, "m", erratum="E1")
    wrong = Verdict("C", "w", "i", 3.0, "<=", 2.0, Status.VIOLATED, "m")

    def badges(control):
        write_report(
            tmp_path, [Examination("theorem1", "T.", (right,), (wrong,), (control,), 0.1)], seed=7
        )
        text = (tmp_path / "report.html").read_text(encoding="utf-8")
        return re.findall('<span class="status ([a-z-]+)">', text)

    assert set(badges(wrong)) == {"holds", "rejected"}
    assert "violated" in badges(right)


@pytest.mark.parametrize(
    ("measured", "relation", "stated", "tolerance", "words"),
    [
        (0.0, "<=", 2.0, 0.0, "all"),
        (1.5, "<=", 2.0, 0.0, "25 %"),
        (2.0, "<=", 2.0, 0.0, "none"),
        (3.0, "<=", 2.0, 0.0, "fails"),
        (-1.0, "<", 0.0, 0.0, "sign only"),
        (1.0, "<=", math.inf, 0.0, "–"),
        (1.0, "==", 1.0, 0.5, "all"),
    ],
)
def test_a_margin_is_said_in_words_where_a_percentage_says_nothing(
    measured, relation, stated, tolerance, words
):
    verdict = Verdict(
        "C", "w", "i", measured, relation, stated, Status.HOLDS, "m", tolerance=tolerance
    )
    assert margin_left(verdict) == words


def test_every_formula_belongs_to_a_statement():
    assert set(FORMULAS) <= set(STATEMENTS)
    assert np.all([formula.count("{") == formula.count("}") for formula in FORMULAS.values()])
