"""The measurements of a run, in its folder: written, read back, and refused where it is damaged."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stability.runs.history import HistoryError
from stability.runs.observer import Floor, Quantity
from stability.runs.run_layout import STUDY, config_digest
from stability.runs.study_file import UNKNOWN, StudyFile, read_study_file, write_study_file

QUANTITIES = (
    Quantity("w1", "W1 to the truth", "$W_1$", log=True),
    Quantity("fd train", "FD", shown=False, about={"metric": "fd", "images": 60}),
)
STUDY_FILE = StudyFile(QUANTITIES, {"w1": Floor(0.5, 0.1, 32)}, 20, "intervals cover", "every:5")


def test_it_comes_back_as_it_was(tmp_path):
    write_study_file(tmp_path, STUDY_FILE)
    found = read_study_file(tmp_path)
    assert found is not None
    assert list(found.quantities) == list(QUANTITIES)
    assert found.floor("w1") == Floor(0.5, 0.1, 32)
    assert found.floor("w2") is UNKNOWN
    assert [q.key for q in found.shown] == ["w1"]
    assert (found.generations, found.covers, found.keep_samples) == (
        20, "intervals cover", "every:5",
    )  # fmt: skip


def test_no_file_is_no_study(tmp_path):
    assert read_study_file(tmp_path) is None


@given(st.floats(), st.floats())
def test_every_number_comes_back(tmp_path_factory, mean, sd):
    folder = tmp_path_factory.mktemp("study")
    write_study_file(folder, StudyFile(QUANTITIES, {"w1": Floor(mean, sd, 1)}))
    found = read_study_file(folder)
    assert found is not None
    for one, other in ((found.floor("w1").mean, mean), (found.floor("w1").sd, sd)):
        drawn = other if abs(other) <= 1e100 else other * math.inf  # too large for a figure
        assert one == drawn or (math.isnan(one) and math.isnan(drawn))


def sealed(content):
    """With the digest that a file of this content has."""
    return content | {"digest": config_digest(content)}


@pytest.mark.parametrize(
    "change",
    [
        {"generations": -1},
        {"generations": 1.5},
        {"covers": 3},
        {"covers": "\x1b[31m"},
        {"floors": {"w1": [0.1, 0.2]}},
        {"floors": {"w1": ["a", 0.2, 1]}},
        {"quantities": [{"key": "w1"}]},
        {"quantities": [{"key": "w1", "title": "", "label": "", "about": {}, "more": 1}]},
        {"quantities": [{"key": "w1", "title": "", "label": "", "log": "no", "about": {}}]},
        {"schema": 99},
    ],
)
def test_a_file_with_another_content_is_refused_though_its_digest_fits(tmp_path, change):
    write_study_file(tmp_path, STUDY_FILE)
    content = json.loads((tmp_path / STUDY).read_text(encoding="utf-8"))
    content.pop("digest")
    (tmp_path / STUDY).write_text(json.dumps(sealed(content)))
    assert read_study_file(tmp_path) is not None  # the control: sealed as it was
    (tmp_path / STUDY).write_text(json.dumps(sealed(content | change)))
    with pytest.raises(HistoryError, match=r"study\.json is damaged"):
        read_study_file(tmp_path)


def test_a_changed_file_is_refused(tmp_path):
    write_study_file(tmp_path, STUDY_FILE)
    file = tmp_path / STUDY
    file.write_text(file.read_text(encoding="utf-8").replace("0.5", "0.6"), encoding="utf-8")
    with pytest.raises(HistoryError, match=r"study\.json is damaged"):
        read_study_file(tmp_path)
