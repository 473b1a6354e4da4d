import json
import math

import numpy as np
import pytest

from stability.runs.trends import Interval
from stability.runs.untrusted import UntrustedFileError
from stability.statements.claim import Claim
from stability.statements.examination import RUN_CLAIMS, grouped
from stability.statements.run_claims import (
    ENOUGH_SEEDS,
    FILE,
    any_error,
    growth_verdict,
    interval_verdict,
    read_verdicts,
    sign_verdict,
    write_verdicts,
)
from stability.statements.verdict import Status, compare

CLAIM = Claim("C", "w", "<=", "here", "f", "n", error_rate=0.05)
GROWTH = Claim("G", "w", "<=", "here", "f", "n", needs=(ENOUGH_SEEDS,), error_rate=0.025)


@pytest.mark.parametrize(
    ("positive", "negative", "status"),
    [
        (5, 0, Status.HOLDS),  # 2^-5 < 0.05
        (4, 0, Status.UNDECIDED),  # 2^-4 > 0.05
        (0, 5, Status.VIOLATED),
        (3, 2, Status.UNDECIDED),
        (4, 1, Status.UNDECIDED),  # 6/32
    ],
)
def test_a_sign_is_found_its_opposite_is_or_neither(positive, negative, status):
    differences = np.array([1.0] * positive + [-1.0] * negative)
    verdict = sign_verdict(CLAIM, "run", differences, 0.05, "a retraining")
    assert verdict.status is status
    assert verdict.stated == verdict.false_alarm == 0.05
    assert f"{positive} of {positive + negative} seeds" in verdict.note


def test_growth_is_found_where_both_intervals_are_above_zero():
    flat, steep = np.array([-0.1, 0.0, 0.1]), np.array([0.9, 1.0, 1.1])
    assert growth_verdict(GROWTH, "run", steep, flat, "u").status is Status.VIOLATED
    assert growth_verdict(GROWTH, "run", steep, 1 + flat, "u").status is Status.HOLDS
    assert growth_verdict(GROWTH, "run", flat, -steep, "u").status is Status.HOLDS
    assert growth_verdict(GROWTH, "run", steep[:2], flat[:2], "u").status is Status.UNDECIDED


@pytest.mark.parametrize(
    ("relation", "mean", "status"),
    [
        ("==", 1.4, Status.HOLDS),
        ("==", 1.6, Status.VIOLATED),
        ("==", 0.4, Status.VIOLATED),
        ("<=", 0.4, Status.HOLDS),
        ("<=", 0.6, Status.UNDECIDED),
        ("<=", 1.4, Status.UNDECIDED),
        ("<=", 1.6, Status.VIOLATED),
        (">", 1.6, Status.HOLDS),
        (">", 1.4, Status.UNDECIDED),
        (">", 0.4, Status.VIOLATED),
    ],
)
def test_an_interval_holds_a_number_or_lies_on_one_side_of_it(relation, mean, status):
    claim = Claim("I", "w", relation, "here", "f", "n", error_rate=0.05)
    interval = Interval(mean, mean - 0.5, mean + 0.5, 0.05)
    verdict = interval_verdict(claim, "run", interval, 1.0, "five seeds")
    assert verdict.status is status
    assert verdict.stated == 1
    assert verdict.false_alarm == 0.05
    assert f"{mean:g} [" in verdict.note
    if status is not Status.UNDECIDED:
        assert compare(verdict.measured, relation, 1.0, verdict.tolerance) is status


def test_rates_add_up_to_one_at_most():
    assert any_error([CLAIM, GROWTH]) == pytest.approx(0.075)
    assert any_error([CLAIM] * 30) == 1


def test_verdicts_of_a_run_are_read_back(tmp_path):
    one = sign_verdict(CLAIM, "run", np.ones(5), 0.05, "a retraining")
    few = growth_verdict(GROWTH, "run", np.ones(1), np.ones(1), "u")  # its ends are infinite
    assert write_verdicts(tmp_path, "toy.figure8", "A run.", [one, few]) == tmp_path / FILE
    read = read_verdicts(tmp_path)
    assert (read.name, read.title, read.verdicts[0]) == ("toy.figure8", "A run.", one)
    assert read.verdicts[1].status is Status.UNDECIDED
    assert math.isinf(read.verdicts[1].measured)
    assert list(grouped([read])) == [RUN_CLAIMS]


@pytest.mark.parametrize(
    "change",
    [
        {"verdicts": []},
        {"verdicts": [{}]},
        {"verdicts": 3},
        {"title": 1},
    ],
)
def test_what_is_no_file_of_verdicts_is_refused(tmp_path, change):
    one = sign_verdict(CLAIM, "run", np.ones(5), 0.05, "a retraining")
    path = write_verdicts(tmp_path, "toy.figure8", "A run.", [one])
    content = json.loads(path.read_text(encoding="utf-8")) | change
    path.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(UntrustedFileError, match="holds no verdict"):
        read_verdicts(tmp_path)


@pytest.mark.parametrize(
    ("field", "value"), [("status", "fine"), ("relation", "!="), ("measured", "x"), ("words", 1)]
)
def test_a_verdict_with_a_wrong_field_is_refused(tmp_path, field, value):
    one = sign_verdict(CLAIM, "run", np.ones(5), 0.05, "a retraining")
    path = write_verdicts(tmp_path, "toy.figure8", "A run.", [one])
    content = json.loads(path.read_text(encoding="utf-8"))
    content["verdicts"][0][field] = value
    path.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(UntrustedFileError, match="holds no verdicts of a run"):
        read_verdicts(tmp_path)
