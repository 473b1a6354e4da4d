"""Typed records, there and back through a file, and files that are no history."""

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stability.loop.regimes import Exchange, FullySynthetic, Mix
from stability.runs.history import (
    SCHEMA,
    ChainRecord,
    History,
    HistoryError,
    HistoryLine,
    read_history,
)

numbers = st.one_of(
    st.floats(-1e99, 1e99), st.sampled_from([math.inf, -math.inf]), st.integers(0, 2**40)
)
records = st.builds(
    ChainRecord,
    regime=st.one_of(st.builds(Mix, st.floats(0, 1e3)), st.just(FullySynthetic())),
    seed=st.integers(0, 9),
    n=st.integers(0, 10**9),
    m=st.integers(1, 10**9),
    measured=st.dictionaries(
        st.sampled_from(["w1", "w2", "weights"]), st.one_of(numbers, st.lists(numbers, max_size=3))
    ),
    labels=st.dictionaries(st.sampled_from(["kind"]), st.sampled_from(["shift", "wave"])),
)


@given(record=records)
def test_a_record_comes_back_from_a_file(record, tmp_path_factory):
    file = tmp_path_factory.mktemp("run") / "history.jsonl"
    lines = [HistoryLine(t, (record,)) for t in range(2)]
    text = "".join(json.dumps({"t": line.t, **line.to_data()}) + "\n" for line in lines)
    file.write_text(text, encoding="utf-8")
    assert read_history(file) == History(tuple(lines))


def test_lambda_and_share_are_those_of_the_training_set():
    mixed, alone = ChainRecord(Mix(0.5), 0, 40, 20, {}), ChainRecord(FullySynthetic(), 0, 0, 40, {})
    assert (mixed.lam, mixed.share) == (0.5, 1 / 3)
    assert (alone.lam, alone.share) == (math.inf, 1.0)


def test_values_are_generations_by_seeds_for_each_row():
    rows = [(Mix(0.5), 0), (Mix(0.5), 1), (FullySynthetic(), 0)]
    lines = [
        HistoryLine(t, tuple(ChainRecord(g, s, 1, 1, {"w1": 10 * t + s}) for g, s in rows))
        for t in range(3)
    ]
    history = History(tuple(lines))
    values = history.values("w1")
    assert list(values) == ["λ = 0.5", "fully synthetic"]
    np.testing.assert_array_equal(values["λ = 0.5"], [[0, 1], [10, 11], [20, 21]])
    np.testing.assert_array_equal(values["fully synthetic"], [[0], [10], [20]])
    assert (history.seeds, history.keys(), len(history[1:])) == (1, ["w1"], 2)
    with pytest.raises(KeyError):
        history.values("w2")


def test_a_population_of_models_is_one_repeat():
    rows = [(Exchange.among(2, Mix(1.0)), s) for s in range(4)] + [(Mix(1.0), s) for s in range(3)]
    line = HistoryLine(0, tuple(ChainRecord(g, s, 1, 1, {"w1": 10.0**s}) for g, s in rows))
    repeats = History((line,)).repeats("w1")
    np.testing.assert_array_equal(repeats["λ = 1, 2 models exchange"], [[5.5, 550.0]])
    np.testing.assert_array_equal(repeats["λ = 1"], [[1.0, 10.0, 100.0]])


GOOD = {"regime": {"mix": {"lam": 1.0}}, "seed": 0, "n": 3, "m": 0, "measured": {"w1": 1.0}}


def written(tmp_path, *chains, **line):
    file = tmp_path / "history.jsonl"
    content = {"t": 0, "schema": SCHEMA, "chains": chains, **line}
    file.write_text(json.dumps(content) + "\n", encoding="utf-8")
    return file


@pytest.mark.parametrize(
    "change",
    [
        {"regime": "λ = 1"}, {"regime": {}}, {"seed": -1}, {"seed": True}, {"n": 2.0}, {"n": 0},
        {"measured": []}, {"measured": {"w1": None}}, {"measured": {"w1": "1"}},
        {"measured": {"w1": 1e300}}, {"measured": {"w1": True}}, {"measured": {"\x1b": 1}},
        {"measured": {"w1": [[10**400]]}}, {"labels": {"kind": 3}}, {"labels": []}, {"m": 2**64},
    ],
)  # fmt: skip
def test_what_is_no_record_is_refused_with_its_line(change, tmp_path):
    with pytest.raises(HistoryError, match=r"history.jsonl, line 1 is not generation 0 of a run"):
        read_history(written(tmp_path, GOOD | change))


def test_other_lines_are_refused(tmp_path):
    for line in ({"t": 1}, {"schema": 2}, {"chains": []}, {"chains": None}):
        with pytest.raises(HistoryError, match="line 1"):
            read_history(written(tmp_path, GOOD, **line))
    with pytest.raises(HistoryError, match="the same chain twice"):
        read_history(written(tmp_path, GOOD, GOOD))


def test_a_line_that_is_being_written_is_left_out(tmp_path):
    file = written(tmp_path, GOOD)
    with file.open("ab") as more:
        more.write(b'{"t": 1, "schema"')
    assert len(read_history(file)) == 1


def test_observers_return_numbers():
    for value in ("far", None, True, {"a": 1}):
        with pytest.raises(TypeError, match="observers must return numbers"):
            ChainRecord(Mix(1.0), 0, 1, 1, {"w1": value}).to_data()
    data = ChainRecord(Mix(1.0), 0, 1, 1, {"a": np.float32(0.5), "b": np.arange(2)}).to_data()
    assert data["measured"] == {"a": 0.5, "b": [0, 1]}
