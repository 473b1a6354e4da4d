from dataclasses import replace

import pytest

from tests.support.reference_numbers import REFERENCES, table


@pytest.mark.parametrize("reference", REFERENCES, ids=lambda each: f"{each.module}: {each.what}")
def test_numbers_found_elsewhere_are_reprinted_or_corrected(reference):
    assert reference.agree() is not bool(reference.corrected)


def test_each_row_is_shown_and_a_number_that_differs_is_marked(monkeypatch):
    assert table().row_count == len(REFERENCES)
    first = REFERENCES[0]
    monkeypatch.setattr("tests.support.reference_numbers.REFERENCES", (first,))
    assert list(table().columns[-1].cells) == ["reprinted"]
    wrong = replace(first, written="3.02 5.20 7.51")
    monkeypatch.setattr("tests.support.reference_numbers.REFERENCES", (wrong,))
    assert "DIFFERS" in str(next(iter(table().columns[-1].cells)))
