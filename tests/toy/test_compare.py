import json

import numpy as np
import pytest

from stability.command_line import command
from tests.conftest import FALSE_ALARM
from toy.compare import Compare, differences, main


def history(rng, seeds=8, generations=11, shift=0.0, regimes=("λ = 1", "fully synthetic")):
    return [
        {
            "t": t,
            "chains": [
                {"regime": name, "replica": r, "w1": 1 + shift + 0.1 * rng.random(), "w2": 2 + 0.1 * rng.random()}
                for name in regimes
                for r in range(seeds)
            ],
        }
        for t in range(generations)
    ]


def test_runs_that_are_alike_are_told_apart_at_the_level_only(rng):
    """Equal in law, so any of the four rows differs with probability <= level = FALSE_ALARM."""
    rows = differences(history(rng), history(rng), FALSE_ALARM)
    assert [(row.regime, row.quantity) for row in rows] == [
        (regime, quantity) for regime in ("λ = 1", "fully synthetic") for quantity in ("w1", "w2")
    ]
    assert not any(row.different for row in rows)


def test_a_shift_is_found_and_its_interval_holds_it(rng):
    """A mean of 9 generations has sd 0.01 a seed; half an interval is 0.01 √2/√8 times t(7) at 1e-5/8, below 0.09."""
    rows = {(row.regime, row.quantity): row for row in differences(history(rng), history(rng, shift=0.5), FALSE_ALARM)}
    found = rows["λ = 1", "w1"]
    assert found.different
    assert found.low < 0.5 < found.high
    assert not rows["λ = 1", "w2"].different


def test_a_run_does_not_differ_from_itself(rng):
    same = history(rng)
    assert not any(row.different for row in differences(same, same, 0.05))
    assert all(row.low == row.high == 0 for row in differences(same, same, 0.05))


def test_runs_are_compared_on_what_both_have(rng):
    long, short = history(rng), history(rng, shift=0.5)
    cut = [
        {"t": line["t"], "chains": [chain for chain in line["chains"] if chain["replica"] < 5]} for line in short[:6]
    ]
    rows = differences(long, cut, 0.05)
    assert {row.seeds for row in rows} == {5}
    w1 = np.array([[c["w1"] for c in line["chains"] if c["regime"] == "λ = 1"] for line in long])
    assert rows[0].mean == pytest.approx(w1[1:6, :5].mean())


def test_other_regimes_are_refused(rng):
    with pytest.raises(ValueError, match="the same regimes, got λ = 1, fully synthetic and λ = 1"):
        differences(history(rng), history(rng, regimes=("λ = 1",)), 0.05)


def test_one_seed_is_refused(rng):
    with pytest.raises(ValueError, match="two seeds or more"):
        differences(history(rng, seeds=1), history(rng, seeds=1), 0.05)


def test_the_command_prints_the_rows_and_says_what_is_missing(tmp_path, capsys, rng):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        lines = "".join(json.dumps(line) + "\n" for line in history(rng))
        (tmp_path / name / "history.jsonl").write_text(lines, encoding="utf-8")
    command(Compare, main, [str(tmp_path / "a"), str(tmp_path / "b")])
    shown = capsys.readouterr().out
    assert (shown.count("W1"), shown.count("W2")) == (2, 2)
    with pytest.raises(SystemExit) as left:
        command(Compare, main, [str(tmp_path / "a"), str(tmp_path / "c")])
    assert left.value.code == 2
    assert capsys.readouterr().err == f"error: No such file or directory: {tmp_path / 'c' / 'history.jsonl'}\n"


@pytest.mark.parametrize(
    ("content", "words"),
    [("", "has no W1 and W2"), ('{"t": 0, "chains": [{"regime": "λ = 1"}]}\n', "has no W1 and W2"), ("{\n", "damaged")],
)
def test_a_history_of_something_else_is_one_line(content, words, tmp_path, capsys):
    (tmp_path / "history.jsonl").write_text(content, encoding="utf-8")
    with pytest.raises(SystemExit) as left:
        command(Compare, main, [str(tmp_path), str(tmp_path)])
    said = capsys.readouterr().err
    assert left.value.code == 2
    assert words in said
    assert said.count("\n") == 1


def test_a_level_is_a_probability(tmp_path):
    with pytest.raises(ValueError, match="--level must be in"):
        Compare(tmp_path, tmp_path, level=np.float64(1.5))
