"""The page of a run: what it says, and that nothing in a run becomes a part of the page itself."""

import re
from html import unescape
from html.parser import HTMLParser

import numpy as np
import pytest

from stability import FullySynthetic, Mix, Study
from stability.runs.page import last_generation_table, render_page
from tests.support.kernels import Blur, Means

HOSTILE = '<script>alert(1)</script>"><img src=x onerror=alert(1)>'


class Tags(HTMLParser):
    """Names and attributes of all elements, and the text within tables."""

    def __init__(self, page):
        super().__init__()
        self.names, self.addresses, self.open, self.in_tables = [], [], [], []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.names.append(tag)
        self.addresses += [value for name, value in attrs if name in ("src", "href")]
        if tag not in ("meta", "img", "input", "link", "br", "hr"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag in self.open:
            while self.open.pop() != tag:
                pass

    def handle_data(self, data):
        if "table" in self.open:
            self.in_tables.append(data)


def law(n, rng):
    return rng.standard_normal((n, 2))


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    return Study(
        learner=Blur,
        real=law,
        samples=30,
        regimes=[Mix(0.5), FullySynthetic()],
        seeds=2,
        generations=2,
        observers=[Means()],
        threads=1,
        out=tmp_path_factory.mktemp("page") / "<b>run",
    ).run()


def test_pages_of_a_run_are_equal_bytes(result, tmp_path):
    one, two = (result.report(tmp_path / name).read_bytes() for name in ("one.html", "two.html"))
    assert one == two


def test_the_page_shows_the_last_generation_the_floor_and_the_pictures(result):
    page = result.report().read_text(encoding="utf-8")
    tags = Tags(page)
    assert all(address.startswith("data:") for address in tags.addresses)
    assert not re.search(r"https?://(?!www\.w3\.org)", page)

    values = result.history.values("mean")
    for row, found in values.items():
        mean, sd = np.mean(found[-1]), np.std(found[-1], ddof=1)
        assert row in tags.in_tables
        assert any(cell.startswith(f"{mean:.4g} ± {sd:.2g}"[:6]) for cell in tags.in_tables)
    assert "a perfect model" in tags.in_tables
    # one picture a row and generation, and the curves
    assert page.count("data:image/png") == len(values) * 3
    assert page.count("data:image/svg+xml") == 1


def test_words_of_a_table_are_not_in_what_scrolls(result):
    """A phone would show their beginning only."""
    tags = Tags(result.report().read_text(encoding="utf-8"))
    assert not any("mean ± standard deviation over the seeds" in text for text in tags.in_tables)
    assert "caption" not in tags.names


def test_names_of_folders_and_options_are_text(result):
    for page in (result.report().read_text(encoding="utf-8"), last_generation_table(result)):
        assert "<b>run" not in page
        assert "<b>run" in unescape(page)


def page_with(text):
    """A page with a text at every place that a run fills."""
    cells = [text, text]
    section = {
        "name": text, "words": text, "last": 0, "generations": [0], "unfinished": 1,
        "tables": [{"caption": text, "heads": cells, "rows": [cells], "floor": cells}],
        "grids": [{"regime": text, "seed": 0, "images": {0: "data:,"}}], "grids_words": text,
        "pictures": [{"name": text, "caption": text, "source": "data:,"}],
        "config": {text: text}, "environment": {text: text}, "runs": [(text,) * 4],
    }  # fmt: skip
    return render_page(text, text, [section])


def test_nothing_of_a_section_becomes_an_element():
    page, plain = page_with(HOSTILE), page_with("x")
    assert HOSTILE not in page
    assert Tags(page).names == Tags(plain).names
    assert Tags(page).addresses == ["data:,"] * 2
