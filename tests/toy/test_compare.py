import json
import os

import numpy as np
import pytest

from stability.loop.regimes import FullySynthetic, Mix
from stability.runs.command_line import command
from stability.runs.history import SCHEMA, History, HistoryLine
from stability.runs.run_layout import EDITION
from tests.conftest import FALSE_ALARM
from tests.support.histories import history_of
from toy.compare import Compare, differences, main

BOTH = (Mix(1.0), FullySynthetic())


def history(rng, seeds=8, generations=11, shift=0.0, regimes=BOTH):
    def noise():
        return 0.1 * rng.random((generations, seeds))

    return history_of(
        {
            "w1": {regime: 1 + shift + noise() for regime in regimes},
            "w2": {regime: 2 + noise() for regime in regimes},
        }
    )


def test_runs_that_are_alike_are_told_apart_at_the_level_only(rng):
    """Equal in law, so any of the four rows differs with probability <= level = FALSE_ALARM."""
    rows = differences(history(rng), history(rng), FALSE_ALARM)
    assert [(row.regime, row.quantity) for row in rows] == [
        (regime, quantity) for regime in ("λ = 1", "fully synthetic") for quantity in ("w1", "w2")
    ]
    assert {row.status for row in rows} == {"undecided"}


def test_a_shift_is_found_and_its_interval_holds_it(rng):
    """A mean of 9 generations has sd 0.01 a seed; half an interval is 0.01 √2/√8 times t(7) at
    1e-5/8, below 0.09.
    """
    rows = {
        (row.regime, row.quantity): row
        for row in differences(history(rng), history(rng, shift=0.5), FALSE_ALARM)
    }
    found = rows["λ = 1", "w1"]
    assert found.status == "holds"
    assert found.interval.low < 0.5 < found.interval.high
    assert rows["λ = 1", "w2"].status == "undecided"


def test_a_run_does_not_differ_from_itself(rng):
    same = history(rng)
    rows = differences(same, same, 0.05)
    assert {row.status for row in rows} == {"undecided"}
    assert all(row.interval.low == row.interval.high == 0 for row in rows)


def test_runs_are_compared_on_what_both_have(rng):
    long, short = history(rng), history(rng, shift=0.5)
    cut = History(
        tuple(
            HistoryLine(line.t, tuple(c for c in line.chains if c.seed < 5)) for line in short[:6]
        )
    )
    rows = differences(long, cut, 0.05)
    assert {row.seeds for row in rows} == {5}
    w1 = long.values("w1")["λ = 1"]
    assert rows[0].mean == pytest.approx(w1[1:6, :5].mean())


def test_other_regimes_are_refused(rng):
    with pytest.raises(ValueError, match="the same regimes, got λ = 1, fully synthetic and λ = 1"):
        differences(history(rng), history(rng, regimes=(Mix(1.0),)), 0.05)


def test_one_seed_is_refused(rng):
    with pytest.raises(ValueError, match="two seeds or more"):
        differences(history(rng, seeds=1), history(rng, seeds=1), 0.05)


OPTIONS = {
    "lam": [1.0], "regime": "mix", "fully_synthetic": True, "samples": 40, "seed": 0, "seeds": 8,
    "retrainings": 10, "latents": "fresh", "epochs": 2, "density": "moons", "model": "kde",
}  # fmt: skip


def write_run(folder, lines, **options):
    """A folder with what `toy.compare` reads; None leaves an option out."""
    folder.mkdir()
    config = {name: value for name, value in (OPTIONS | options).items() if value is not None}
    content = {"config": config | {EDITION: SCHEMA}, "environment": {}}
    (folder / "config.json").write_text(json.dumps(content))
    text = "".join(json.dumps({"t": line.t, **line.to_data()}) + "\n" for line in lines)
    (folder / "history.jsonl").write_text(text, encoding="utf-8")
    return folder


def run(capsys, *folders):
    """Exit status, output and the message of the command."""
    capsys.readouterr()  # what fixtures print
    status = 0
    try:
        command(Compare, main, list(map(str, folders)))
    except SystemExit as left:
        status = left.code
    said = capsys.readouterr()
    return status, said.out, said.err


def refused(capsys, *folders):
    """The one line by which the command refuses."""
    status, out, err = run(capsys, *folders)
    assert (status, out) == (2, "")
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    return err


def test_the_command_prints_the_rows_and_says_what_is_missing(tmp_path, capsys, rng):
    a, b = (write_run(tmp_path / name, history(rng)) for name in ("a", "b"))
    status, shown, _ = run(capsys, a, b)
    assert status == 0
    assert (shown.count("W1"), shown.count("W2")) == (2, 2)
    assert "compared: equal options" in shown
    missing = tmp_path / "c" / "config.json"
    assert refused(capsys, a, tmp_path / "c") == f"error: No such file or directory: {missing}\n"


@pytest.mark.parametrize(
    ("option", "value", "shown"),
    [
        ("samples", 400, "samples is 400 and 40"),
        ("density", "checkerboard", "density is checkerboard and moons"),
        ("density", {"a": 1}, "density is {'a': 1} and moons"),
        ("seed", 7, "seed is 7 and 0"),
        ("angles", "grid", "angles is grid and random"),
    ],
)
def test_runs_on_other_data_are_not_compared(option, value, shown, tmp_path, capsys, rng):
    lines = history(rng)
    a = write_run(tmp_path / "a", lines)
    b = write_run(tmp_path / "b", lines, **{option: value})
    assert shown in refused(capsys, a, b)
    assert shown.split(" is ")[0] in refused(capsys, b, a)


def test_runs_of_other_commands_on_the_same_data_are_compared(tmp_path, capsys, rng):
    """Two moons have no --density, and eight Gaussians their own names for the mixtures."""
    lines = history(rng)
    moons = write_run(tmp_path / "moons", lines, density=None, angles="random", model=None)
    eight = write_run(tmp_path / "eight", lines, density=None, mixture="ffjord", model=None)
    assert run(capsys, moons, write_run(tmp_path / "a", lines))[0] == 0
    assert run(capsys, eight, write_run(tmp_path / "b", lines, density="8gaussians-ffjord"))[0] == 0
    assert "density is 8gaussians-ffjord and moons" in refused(capsys, moons, eight)


def test_what_the_runs_differ_in_is_said(tmp_path, capsys, rng):
    a = write_run(tmp_path / "a", history(rng), threads=1)
    shorter = history(rng, seeds=5, generations=6)
    b = write_run(
        tmp_path / "b", shorter, model="flow", epochs=3, plan=32, seeds=5, retrainings=5, threads=2
    )
    _, shown, _ = run(capsys, a, b)
    words = " ".join(shown.split())
    assert "5 seeds" in words
    assert "compared: --epochs 2 → 3, --model kde → flow, --plan – → 32" in words
    assert "the part that both have of --retrainings 10 and 5, --seeds 8 and 5" in words
    assert "threads" not in words


def test_other_rows_are_refused(tmp_path, capsys, rng):
    a = write_run(tmp_path / "a", history(rng))
    b = write_run(tmp_path / "b", history(rng, regimes=(Mix(1.0),)), fully_synthetic=False)
    assert "must have the same regimes" in refused(capsys, a, b)


GOOD = {
    "regime": {"mix": {"lam": 1.0}}, "seed": 0, "n": 1, "m": 0, "measured": {"w1": 1, "w2": 1},
}  # fmt: skip


def damaged_line(t=0, schema=SCHEMA, **changes):
    return json.dumps({"t": t, "schema": schema, "chains": [GOOD | changes]}).encode() + b"\n"


DAMAGED = [
    b"",
    b"{\n",
    b"null\n",
    b"[]\n",
    b'{"t": 0, "schema": 3, "chains": []}\n',
    b'{"t": 0, "schema": 3, "chains": [{"regime": "a"}]}\n',
    damaged_line(measured={"w1": float("nan"), "w2": 1}),
    damaged_line(measured={"w1": "1", "w2": 1}),
    damaged_line(measured={"w1": "inf", "w2": 1}),
    damaged_line(measured={"w2": 1}),
    damaged_line().replace(b'"w1": 1', b'"w1": 1e999'),
    damaged_line(regime=["a"]),
    damaged_line(regime={"mix": {"lam": -1.0}}),
    damaged_line(regime={"unknown": {}}),
    damaged_line(n=0),
    damaged_line(t=1),
    damaged_line(schema=4),
    b'{"t": 0, "chains": ' + b"[" * 100_000 + b"\n",
    b"\xff\xfe\n",
]


@pytest.mark.parametrize("content", DAMAGED)
def test_a_damaged_history_is_one_line(content, tmp_path, capsys, rng):
    good = write_run(tmp_path / "good", history(rng))
    bad = write_run(tmp_path / "bad", [])
    (bad / "history.jsonl").write_bytes(content)
    assert str(bad / "history.jsonl") in refused(capsys, good, bad)
    assert str(bad / "history.jsonl") in refused(capsys, bad, good)


def test_a_generation_without_a_chain_is_damage_and_a_cut_line_is_not(tmp_path, capsys, rng):
    lines = history(rng)
    good = write_run(tmp_path / "good", lines)
    cut = write_run(tmp_path / "cut", lines)
    with (cut / "history.jsonl").open("ab") as file:
        file.write(b'{"t": 11, "chai')
    assert run(capsys, good, cut)[0] == 0
    lines = [*lines[:3], HistoryLine(3, lines[3].chains[:-1]), *lines[4:]]
    assert "line 4 has other chains" in refused(capsys, good, write_run(tmp_path / "bad", lines))


@pytest.mark.parametrize(
    "content",
    [
        "", "{", "null", "[]", "{}", '{"config": null}', '{"config": {"data": "digits", "seed": '
                                                         '0}}',
        '{"config": {"rounds": 3, "samples": 40, "seed": '
        '0}}', '{"config": ' + "[" * 100_000, "\x00",
    ],
)  # fmt: skip
def test_a_folder_of_something_else_is_one_line(content, tmp_path, capsys, rng):
    good = write_run(tmp_path / "good", history(rng))
    bad = write_run(tmp_path / "bad", history(rng))
    (bad / "config.json").write_text(content)
    assert str(bad) in refused(capsys, good, bad)


def test_a_pipe_in_the_place_of_a_file_does_not_hang(tmp_path, capsys, rng):
    good = write_run(tmp_path / "good", history(rng))
    bad = write_run(tmp_path / "bad", [])
    (bad / "history.jsonl").unlink()
    os.mkfifo(bad / "history.jsonl")
    assert "not a regular file" in refused(capsys, good, bad)


def test_a_level_is_a_probability(tmp_path):
    with pytest.raises(ValueError, match="level must be in"):
        Compare(tmp_path, tmp_path, level=np.float64(1.5))
