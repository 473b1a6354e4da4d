import json
import math
import re

import pytest

from stability.loop.regimes import Curated, Mix
from stability.planning.__main__ import main
from stability.planning.labels import RegimeError
from stability.planning.plan_page import gate_text, write_plan
from stability.planning.plan_record import percent, shown
from stability.planning.planner import plan
from stability.runs.run_layout import RunDirectoryError
from tests.support.console_command import module_command


def test_the_largest_lambda_in_one_sentence():
    found = plan(1000, tolerate=0.1)
    assert found.verdict == (
        "mix: up to λ = 0.362 (362 synthetic points a round for 1000 real ones, 27 % of the "
        "training set) keeps the root mean squared error within 10 % of that of the real data "
        "alone however long it runs."
    )
    row = next(row for row in found.rows if row["lam"] == 0.362)
    assert row["variance"] == pytest.approx((1 + 3 * 0.362) / (1 + 2 * 0.362))
    assert row["worth"] == pytest.approx(1000 / row["variance"])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"lam": 1.0, "tolerate": 0.12}, "mix at λ = 1: for 1 rounds"),
        ({"lam": 1.0}, "In the long run .* mix at λ = 1: 15 % above"),
        ({"regime": "fresh", "lam": 1.0, "generations": 50}, "fresh at λ = 1: 18 % below"),
        ({"regime": "synthetic", "generations": 3}, "After 3 rounds .* synthetic: 100 % above"),
        ({"regime": "synthetic"}, "synthetic: grows without limit"),
        ({"regime": "fresh"}, "every λ up to 16 keeps"),
        ({"tolerate": 0.1, "on": "variance"}, "up to λ = 0.12 .* keeps the variance"),
    ],
)
def test_what_is_left_out_is_solved_for(arguments, words):
    assert re.search(words, plan(100, **arguments).verdict), plan(100, **arguments).verdict


def test_real_points_for_an_error():
    found = plan(lam=1.0, error=0.02)
    n = 4 / 3 / 0.02**2
    assert found.rows[0]["worth"] == math.ceil(n)
    assert f"takes {math.ceil(n)} real points" in found.verdict
    assert (
        "more than any number" in plan(regime="accumulate", lam=1.0, error=0.02, bias=0.1).verdict
    )


def test_an_effective_sample_size_with_bias():
    """`FreshReal(1)` at B = n δ² = .02: worth 1/.747 of the real points."""
    found = plan(1000, regime="fresh", lam=1.0, bias=math.sqrt(0.02 / 1000))
    assert found.rows[0]["worth"] == pytest.approx(1000 / (2 / 3 + 4 * 0.02), rel=1e-6)
    assert any("best at λ = 1.19" in sentence for sentence in found.conditions)


def test_the_cheapest_regime_follows_the_prices():
    dear = plan(
        100, regime=["mix", "fresh"], lam=1.0, generations=5, cost_real=1.0, cost_synthetic=0.0
    )
    assert "Cheapest of these for the same error: mix" in dear.verdict
    free = plan(
        100, regime=["mix", "fresh"], lam=1.0, generations=5, cost_real=0.0, cost_synthetic=1.0
    )
    assert "Cheapest of these for the same error: fresh" in free.verdict


def test_a_rule_of_ones_own_is_planned_and_one_that_reads_values_refused():
    def half(lam):
        return Mix(lam / 2)

    found = plan(100, regime=half, tolerate=0.1, on="bias")
    assert max(r["lam"] for r in found.rows if r["bias"] <= 1.1 + 1e-9) == pytest.approx(
        0.2, abs=0.011
    )
    with pytest.raises(RegimeError, match="looks at the values"):
        plan(100, regime=lambda lam: Curated(Mix(lam), lambda points: points[:, 0]), lam=1.0)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"real": 0}, "real must be >= 1, got 0"),
        ({"real": 10, "lam": -1.0}, "lam must be finite and >= 0, got -1.0"),
        ({"real": 10, "tolerate": 0.0}, "tolerate must be finite and > 0, got 0.0"),
        ({"real": 10, "on": "speed"}, "on must be one of"),
        ({"real": 10, "regime": "mixed"}, "regime must be one of"),
        ({"real": 10, "generations": 0}, "generations must be >= 1, got 0"),
        ({"real": 10, "cost_real": 1.0}, "must be given together"),
        ({"real": 10, "error": 0.1}, "give real or error"),
        ({}, "give real, the number of real points"),
        ({"error": 0.1}, "give real, the number of real points"),
    ],
)
def test_bad_arguments_are_named(arguments, words):
    with pytest.raises(ValueError, match=words):
        plan(**arguments)


def test_a_plan_as_files(tmp_path):
    found = plan(50, regime=["mix", "accumulate"], lam=(0.1, 1.0), generations=5)
    written = write_plan(found, tmp_path / "out")
    assert {path.name for path in written} == {
        "plan.json",
        "plan.html",
        "gate.yaml",
        "plan.png",
        "plan.pdf",
    }
    kept = json.loads((tmp_path / "out" / "plan.json").read_text())
    assert kept["verdict"] == found.verdict
    assert kept["rows"][0]["variance"] == found.rows[0]["variance"]
    page = (tmp_path / "out" / "plan.html").read_text()
    assert page.count("<td") == 4 * len([v for v in found.rows[0].values() if v is not None])
    assert "<svg" in page
    assert not re.search(r"""(src|href)=["']?(https?:|//)""", page)  # opens without a network
    assert len(found.frame()) == 4
    assert found.verdict in found._repr_html_()

    write_plan(found, tmp_path / "out")  # its own folder is used again
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "mine.txt").write_text("mine")
    with pytest.raises(RunDirectoryError, match="was not made by"):
        write_plan(found, tmp_path / "other")


def test_the_gate_is_yaml_of_plain_values():
    lines = gate_text(plan(400, lam=1.0)).splitlines()
    assert lines[0].startswith("# ")
    values = dict(line.split(": ") for line in lines[1:])
    assert json.loads(values["alpha"]) == 0.05


def test_cells_of_tables():
    assert [percent(x) for x in (0.27, 0.004, 0.099, 0.995, 1.0, 2.61)] == [
        "27 %",
        "0.4 %",
        "9.9 %",
        "99.5 %",
        "100 %",
        "261 %",
    ]
    assert [shown({"worth": x}, "worth") for x in (1500.0, math.inf, 3, 0.12345, -2.5)] == [
        "1500",
        "∞",
        "3",
        "0.123",
        "−2.5",
    ]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["plan", "--real", "1000", "--tolerate", "ten"], "--tolerate must be a fraction > 0"),
        (["plan", "--real", "0"], "error: --real must be >= 1"),
        (["plan", "--real", "9", "--lambda", "-1"], "error: --lambda must be finite and >= 0"),
        (["plan", "data.csv"], "give one of --learner (a pilot is run), --round and --run"),
        (["plan", "--real", "9", "--learner", "a.py:B"], "error: --learner needs the real data"),
        (["plan", "--real", "5", "--regime", "mixed"], "regime"),
        (["forecast"], "the first argument must be one of"),
        ([], "the first argument must be one of"),
    ],
)
def test_bad_options_are_one_line_and_status_2(arguments, words, capsys):
    with pytest.raises(SystemExit) as left:
        main(arguments)
    assert left.value.code == 2
    error = capsys.readouterr().err
    assert words in error
    assert error.count("\n") == 1


def test_the_command_line_of_the_docs(monkeypatch, capsys):
    words = ["plan", "--real", "1000", "--regime", "mix", "--tolerate", "10%"]
    done = module_command(monkeypatch, capsys, "stability.planning", *words)
    assert done.returncode == 0
    assert "up to λ = 0.362" in done.stdout
