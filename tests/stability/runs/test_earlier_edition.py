"""Runs of the previous edition, as its commands wrote them: opened, and not continued."""

import json
import shutil

import numpy as np
import pytest

from deep.reports.found_runs import find_settings
from stability import Accumulate, Curated, FreshReal, FullySynthetic, Result, Subsample
from stability.runs.history import HistoryError
from stability.runs.run_directory import RunDirectoryError
from tests.conftest import FIXTURES
from toy.compare import differences, read_plane_run
from toy.densities.preferences import REWARDS, right
from toy.experiment import Experiment
from toy.two_moons import TwoMoons, main

PLANE, IMAGES = FIXTURES / "earlier_two_moons", FIXTURES / "earlier_retrain"


def lines(folder):
    return [json.loads(line) for line in (folder / "history.jsonl").read_text().splitlines()]


def test_a_run_of_two_moons_is_opened():
    """--lambda 0.5 --regime subsample --fully-synthetic --reward right --seeds 2"""
    result = Result.open(PLANE)
    rows = [Curated(Subsample(Accumulate(0.5)), right), Curated(FullySynthetic(), right)]
    assert list(result.history.rows) == list(map(str, rows))
    assert result.finished
    for recorded, line in zip(lines(PLANE), result.history, strict=True):
        for old, chain in zip(recorded["chains"], line.chains, strict=True):
            assert (chain.seed, chain.n, chain.m) == (old["replica"], old["n"], old["m"])
            assert chain.measured["w2"] == old["w2"]
            assert chain.share == pytest.approx(old["share"])
    assert type(result.history.regimes[0]) is Curated
    assert {row.quantity for row in result.trends(["w1"]).rows} == {"w1"}
    assert "w2" in {record["quantity"] for record in result.records()}
    assert REWARDS["right"] is right


def test_a_run_of_images_is_opened():
    """deep.retrain edm --regime fresh --lambda 0.5 --seed 1 --metrics fd"""
    (setting,) = find_settings(IMAGES)
    (row,) = setting.rows
    assert setting.row_of(FreshReal(0.5)) == row == "fresh real data, λ = 0.5"
    assert setting.runs[0].features == "digits-encoder"
    for series in setting.series:
        expected = [
            one["value"]
            for line in lines(IMAGES)
            for one in line["chains"][0]["measurements"]
            if (one["reference"], one["images"]) == (series.reference, series.images)
        ]
        np.testing.assert_array_equal(setting.values(row, series)[:, 0], expected)
    floors = {one["floor"] for one in lines(IMAGES)[0]["chains"][0]["measurements"]}
    assert {float(setting.floor(series)[0]) for series in setting.series} == floors


def test_it_is_compared_with_runs_of_this_edition():
    run = read_plane_run(PLANE)
    rows = differences(run.history, run.history, 0.05)
    assert {row.status for row in rows} == {"undecided"}


def test_it_is_not_continued(tmp_path):
    shutil.copytree(PLANE, tmp_path / "run")
    before = (tmp_path / "run" / "history.jsonl").read_bytes()
    with pytest.raises(RunDirectoryError, match="of an earlier edition, which can be read") as told:
        main(TwoMoons(Experiment(out=tmp_path / "run")))
    assert "\n" not in str(told.value)
    assert (tmp_path / "run" / "history.jsonl").read_bytes() == before


def test_a_label_that_no_option_makes_stays_a_name(tmp_path):
    shutil.copytree(PLANE, tmp_path / "run")
    file = tmp_path / "run" / "history.jsonl"
    file.write_text(file.read_text().replace("fully synthetic, best of 2 by right", "λ = 7"))
    result = Result.open(tmp_path / "run")
    assert list(result.history.rows)[1] == "λ = 7"
    with pytest.raises(LookupError, match="known by its name only"):
        result.history.regimes[1].synthetic(3)


@pytest.mark.parametrize(
    "spoil", [b"[", b"null\n", b'{"t": 0}\n', b'{"t": 0, "chains": [{"regime": 3}]}\n']
)
def test_a_damaged_one_is_refused(spoil, tmp_path):
    shutil.copytree(PLANE, tmp_path / "run")
    (tmp_path / "run" / "history.jsonl").write_bytes(
        spoil if spoil != b"[" else b"[" * 10**5 + b"\n"
    )
    with pytest.raises(HistoryError, match=r"history.jsonl, line 1"):
        Result.open(tmp_path / "run")
