"""`check` as a user runs it: one word first, an exit status, a state, a page, and bad input."""

import json
import xml.etree.ElementTree as ET

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from stability.planning.__main__ import main
from stability.planning.check_command import read_gate
from stability.planning.fail_if import parse_conditions
from stability.planning.monitor import check
from stability.runs.command_line import UsageError


@pytest.fixture
def run(capsys, monkeypatch, tmp_path):
    """Run a command in a folder: its status, output and errors."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        capsys.readouterr()  # seeds that fixtures printed
        with pytest.raises(SystemExit) as left:
            main(list(map(str, arguments)))
        shown = capsys.readouterr()
        return left.value.code, shown.out, shown.err

    return run


def write(path, frame):
    path.parent.mkdir(parents=True, exist_ok=True)
    frame.to_csv(path, index=False)


def frame(rng, n=400, shift=0.0):
    return pd.DataFrame(
        {
            "x": shift + rng.standard_normal(n),
            "c": rng.choice(["a", "b", "c"], n, p=[0.5, 0.3, 0.2]),
        }
    )


def test_a_drift_is_degrading_and_generations_are_counted_as_people_do(run, tmp_path, rng):
    write(tmp_path / "real" / "data.csv", frame(rng))
    for k in (1, 2, 10):
        write(tmp_path / f"gen{k}" / "data.csv", frame(rng, shift=0.5 * k))
    status, out, _ = run("check", "gen1", "gen10", "gen2", "--real", "real")
    assert status == 1
    assert out.splitlines()[0].startswith("degrading since gen")
    assert "× that of real data of the same size in gen10" in out
    assert "rows are too few" not in out


def test_few_rows_are_undecided_and_it_says_how_many_would_do(run, tmp_path, rng):
    write(tmp_path / "real.csv", frame(rng, 150))
    write(tmp_path / "gen1.csv", frame(rng, 8))
    status, out, _ = run("check", "gen1.csv", "--real", "real.csv", "--alpha", "1e-6")
    assert status == 3
    assert out.startswith("undecided")
    assert "150 real rows and 8 a generation are too few" in out


def test_many_rows_without_a_change_are_no_change(run, tmp_path, rng):
    write(tmp_path / "real.csv", frame(rng, 3000))
    write(tmp_path / "gen1.csv", frame(rng, 3000))
    arguments = ("--effect", "0.6", "--share", "0.6", "--alpha", "1e-6")
    status, out, _ = run("check", "gen1.csv", "--real", "real.csv", *arguments)
    assert status == 0
    assert out.startswith("no change found")


def test_a_state_goes_on_where_it_was(run, tmp_path, rng):
    write(tmp_path / "real.csv", frame(rng))
    for k in (1, 2, 3):
        write(tmp_path / f"gen{k}.csv", frame(rng, shift=0.1 * k))
    names = [f"gen{k}.csv" for k in (1, 2, 3)]
    _, whole, _ = run("check", *names, "--real", "real.csv")

    run("check", names[0], "--real", "real.csv", "--state", "watch.json")
    run("check", "--state", "watch.json", names[1])
    _, parts, _ = run("check", "--state", "watch.json", names[2])
    assert parts.splitlines()[:6] == whole.splitlines()[:6]
    _, again, _ = run("check", "--state", "watch.json")
    assert again.splitlines()[0] == whole.splitlines()[0]
    assert run("verify", "watch.json")[0] == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("gen1.csv",), "gen1.csv was seen before"),
        (("gen0.csv",), "gen0.csv comes after gen1.csv: wrong order"),
        (("gen2.csv", "--alpha", "0.1"), "--alpha: watch.json was begun with 0.05"),
        (("gen2.csv", "--real", "gen1.csv"), "watch.json watches"),
    ],
)
def test_what_was_fixed_before_the_first_look_cannot_change(run, tmp_path, rng, arguments, message):
    for name in ("real", "gen0", "gen1", "gen2"):
        write(tmp_path / f"{name}.csv", frame(rng))
    run("check", "gen1.csv", "--real", "real.csv", "--state", "watch.json")
    before = (tmp_path / "watch.json").read_bytes()
    status, _, err = run("check", *arguments, "--state", "watch.json")
    assert status == 2
    assert message in err
    assert (tmp_path / "watch.json").read_bytes() == before


def test_a_look_is_remembered_even_if_nobody_reads_it(run, tmp_path, rng, monkeypatch):
    """As `check … | head` does."""
    for name in ("real.csv", "gen1.csv", "gen2.csv"):
        write(tmp_path / name, frame(rng))
    run("check", "gen1.csv", "--real", "real.csv", "--state", "watch.json")

    def closed(result):
        raise BrokenPipeError

    with monkeypatch.context() as patch:
        patch.setattr("stability.planning.check_command._print", closed)
        with pytest.raises(BrokenPipeError):
            main(["check", "--state", "watch.json", "gen2.csv"])
    _, said, _ = run("verify", "watch.json")
    assert "a watch of 2 generations, the last one gen2.csv" in said


def test_a_state_is_refused_when_it_or_the_real_data_changed(run, tmp_path, rng):
    write(tmp_path / "real.csv", frame(rng))
    write(tmp_path / "gen1.csv", frame(rng))
    run("check", "gen1.csv", "--real", "real.csv", "--state", "watch.json")
    content = json.loads((tmp_path / "watch.json").read_text())
    content["seen"] = 7
    (tmp_path / "changed.json").write_text(json.dumps(content))
    status, _, err = run("check", "--state", "changed.json")
    assert (status, "is damaged" in err) == (2, True)
    assert run("verify", "changed.json")[0] == 1
    write(tmp_path / "real.csv", frame(rng))
    status, _, err = run("check", "--state", "watch.json")
    assert (status, "changed since the watch began" in err) == (2, True)


def test_a_report_is_a_page_numbers_and_test_cases(run, tmp_path, rng):
    write(tmp_path / "real.csv", frame(rng))
    write(tmp_path / "gen1.csv", frame(rng, shift=2.0))
    status, out, _ = run(
        "check", "gen1.csv", "--real", "real.csv", "--out", "report", "--fail-if", "distance > 2"
    )
    assert status == 1
    assert "fails: distance > 2" in out
    page = (tmp_path / "report" / "check.html").read_text()
    assert "Degrading since gen1.csv" in page
    assert 'src="http' not in page
    assert "url(http" not in page
    numbers = json.loads((tmp_path / "report" / "check.json").read_text())
    assert (numbers["verdict"], numbers["status"]) == ("degrading since gen1.csv", 1)
    suite = ET.fromstring((tmp_path / "report" / "check.xml").read_text())
    assert (suite.get("tests"), suite.get("failures")) == ("2", "2")


def test_with_fail_if_the_status_is_that_of_the_conditions(run, tmp_path, rng):
    write(tmp_path / "real.csv", frame(rng))
    write(tmp_path / "gen1.csv", frame(rng, shift=2.0))
    assert run("check", "gen1.csv", "--real", "real.csv", "--fail-if", "copies")[0] == 0
    (tmp_path / "gate.yaml").write_text("# a plan\ntolerance: 3.0\nfail_if: degrading\n")
    status, out, _ = run("check", "gen1.csv", "--real", "real.csv", "--gate", "gate.yaml")
    assert status == 0
    assert "τ = 3 sd" in out


def test_text_in_files_is_shown_and_not_obeyed(run, tmp_path, rng):
    evil = "<script>alert(1)</script>[bold]"
    real, drawn = frame(rng).rename(columns={"x": evil}), frame(rng).rename(columns={"x": evil})
    drawn.loc[:50, "c"] = evil
    write(tmp_path / "real.csv", real)
    write(tmp_path / "gen1.csv", drawn)
    _, out, _ = run("check", "gen1.csv", "--real", "real.csv", "--out", "report")
    assert "[bold]" in out
    assert "<script>" not in (tmp_path / "report" / "check.html").read_text()


def bad_files(folder, rng):
    """Files that cannot be used, beside good ones."""
    good = frame(rng, 60)
    for name, table in {
        "real": good,
        "lacks": good[["x"]],
        "more": good.assign(z=1.5),
        "one": good.iloc[:1],
        "none": good.iloc[:0],
        "words": good.assign(x="ten"),
    }.items():
        write(folder / f"{name}.csv", table)
    (folder / "twice.csv").write_text("x,x\n1.5,2.5\n")
    (folder / "binary.csv").write_bytes(b"\0\1\2\n\3")
    np.save(folder / "real.npy", rng.standard_normal((60, 2)))
    np.save(folder / "wide.npy", rng.standard_normal((60, 3)))
    np.save(folder / "pickle.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    np.savez(folder / "two.npz", a=np.zeros((5, 2)), b=np.zeros(5))
    (folder / "empty").mkdir()
    for name, size in (("a", (4, 4)), ("b", (5, 4))):
        (folder / "pictures").mkdir(exist_ok=True)
        Image.new("RGB", size).save(folder / "pictures" / f"{name}.png")
    (folder / "picture").mkdir()
    Image.new("RGB", (4, 4)).save(folder / "picture" / "a.png")
    (folder / "bad.yaml").write_text("alpha: [1, 2]\n")
    (folder / "odd.yaml").write_text("colour: red\n")


BAD = [
    (("lacks.csv",), "lacks.csv: lacks the column c"),
    (("more.csv",), "more.csv: has a column z that the real data lack"),
    (("one.csv",), "one.csv: 1 row; at least 2 are needed"),
    (("none.csv",), "none.csv: 0 rows"),
    (("words.csv",), "column x holds 'ten' in row 1"),
    (("twice.csv",), "duplicate column 'x'"),
    (("binary.csv",), "binary.csv"),
    (("nothing.csv",), "nothing.csv"),
    (("wide.npy", "--real", "real.npy"), "has a column x2 that the real data lack"),
    (("pickle.npy", "--real", "real.npy"), "holds Python objects"),
    (("two.npz", "--real", "real.npy"), "holds a (5, 2), b (5,): name one with --array"),
    (("empty",), "holds no table, array or picture"),
    (("pictures", "--real", "pictures"), "5×4 pixels, others have 4×4"),
    (("picture", "--real", "picture", "--features", "os:nothing"), "has no attribute 'nothing'"),
    (("picture", "--real", "picture", "--features", "colours"), "--features must be pixels"),
    (("real.csv", "--alpha", "2"), "--alpha must be in (0, 1), got 2"),
    (("real.csv", "--tolerance", "-1"), "--tolerance must be finite and >= 0, got -1"),
    (("real.csv", "--target", "y"), "target must name a column of the real data, got y"),
    (("real.csv", "--fail-if", "sad"), "--fail-if must be degrading"),
    (("real.csv", "--gate", "bad.yaml"), "alpha must not be [1, 2]"),
    (("real.csv", "--gate", "odd.yaml"), "unknown option colour"),
    (("real.csv", "real.csv"), "real.csv is given twice"),
    ((), "no generation to check"),
    (("real.csv", "--out", "empty/../pictures"), "is not empty and was not made by check"),
]


@pytest.mark.parametrize(("arguments", "message"), BAD, ids=[message for _, message in BAD])
def test_bad_input_is_one_line_and_writes_nothing(arguments, message, run, tmp_path, rng):
    bad_files(tmp_path, rng)
    real = () if "--real" in arguments else ("--real", "real.csv")
    before = sorted(tmp_path.rglob("*"))
    status, out, err = run("check", *arguments, *real)
    assert status == 2
    assert out == ""
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert message in err
    assert sorted(tmp_path.rglob("*")) == before


def test_conditions_are_read_and_compared():
    names = [c.name for c in parse_conditions(["degrading or auc > 0.7", "target < 0.95x"])]
    assert names == ["degrading", "auc", "target"]
    for text in ("auc >", "target < 0.95", "distance > 2x", "", "lost or"):
        with pytest.raises(ValueError, match="fail-if must be"):
            parse_conditions([text])


def test_a_condition_that_cannot_be_seen_fails(rng):
    result = check([frame(rng, 10)], frame(rng, 100))
    (condition,) = parse_conditions(["auc > 0.7"])
    assert result.auc is None
    assert condition.holds(result)


def test_the_function_returns_a_record(rng):
    real = rng.standard_normal((500, 2))
    result = check([real[:250], rng.standard_normal((250, 2)) + 3], real)
    assert result.verdict == "degrading since gen2"
    found = result.frame()
    assert set(found.columns) == {"generation", "quantity", "value"}
    far = found[(found.quantity == "distance") & (found.generation == "gen2")].value.item()
    last = result.looks[1].distance
    assert last is not None
    assert far == last.ratio > 2
    assert json.loads(json.dumps(result.to_dict()))["outcome"] == "degrading"
    assert "degrading since gen2" in result._repr_html_()
    assert len(result.plot().axes) == 2
    with pytest.raises(ValueError, match="alpha must be in"):
        check([real], real, alpha=0)


def test_copies_and_repeated_seeds_are_said(rng):
    real = pd.DataFrame(rng.standard_normal((300, 3)), columns=list("abc"))
    result = check([real.sample(frac=1, random_state=0)], real)
    assert result.copies is not None
    assert result.copies.memorised
    assert result.outcome != "degrading"
    z = rng.standard_normal((300, 3))
    said = check([z, 0.1 + z, 0.15 + z], real.to_numpy()).remarks
    assert any("the sampler repeats its seed" in line for line in said)


def test_dependent_rows_raise_no_alarm(rng):
    def stretch():
        return pd.DataFrame({"x": np.cumsum(rng.standard_normal(700))})

    result = check([stretch()], stretch(), alpha=1e-6)
    assert result.outcome == "undecided"
    assert any("rows depend on each other" in line for line in result.remarks)


def test_a_gate_is_read(tmp_path):
    path = tmp_path / "gate.yaml"
    path.write_text('# sentence\nalpha: 0.01\ncategorical: ["a"]\nfail_if: ["lost", "auc > 0.9"]\n')
    assert read_gate(path) == ({"alpha": 0.01, "categorical": ("a",)}, ["lost", "auc > 0.9"])
    path.write_text("null: rows\n")  # an unquoted null is no text in YAML
    assert read_gate(path) == ({"null": "rows"}, [])
    path.write_text("3: 4\n")
    with pytest.raises(UsageError, match="unknown option 3"):
        read_gate(path)
    path.write_text("!!python/object/apply:os.getcwd []\n")
    with pytest.raises(UsageError):
        read_gate(path)


def test_the_first_argument_names_a_command(run, capsys):
    status, _, err = run("chekc")
    assert (status, "must be one of" in err) == (2, True)
    main(["--help"])
    assert "check" in capsys.readouterr().out
