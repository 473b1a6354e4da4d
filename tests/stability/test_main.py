import json
import math
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from stability import __main__ as main
from stability.runs.command_line import UsageError
from stability.runs.console import make_console
from stability.runs.processors import processors
from stability.runs.run_directory import RunDirectoryError
from stability.statements.examination import Examination
from stability.statements.run_claims import write_verdicts
from stability.statements.verdict import Status, Verdict
from tests.support.console_command import module_command
from tests.support.processes import is_alive, waited_for


def stability(*arguments):
    command = [sys.executable, "-m", "stability", *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, encoding="utf-8", timeout=120, check=False
    )


def examined(status):
    verdict = Verdict(
        "Claim 1", "words", "instance", 1.0, "<=", 2.0, status, "closed form; more", erratum="E1"
    )
    spoiled = Verdict("Claim 1", "words", "spoiled", 3.0, "<=", 2.0, Status.VIOLATED, "closed form")
    return Examination("lemma_a1", "Title", (verdict,), (), (spoiled,), 0.1)


def test_one_statement_is_checked_and_its_controls_listed():
    done = stability("lemma_a1", "--controls", "--seed", "3")
    assert done.returncode == 0, done.stderr
    assert "Lemma A.1 iii" in done.stdout
    assert done.stdout.count("rejected") >= 5
    assert "15 verdicts: 15 hold; 5 of 5 negative controls rejected" in done.stdout
    assert "--seed 3" in done.stdout


def test_claims_that_a_run_decided_are_listed_and_are_no_failure(tmp_path, monkeypatch, capsys):
    refuted = replace(examined(Status.VIOLATED).verdicts[0], claim="Figure 8, W1 grows")
    write_verdicts(tmp_path, "toy.figure8", "A run.", [refuted])
    monkeypatch.setattr(main, "examine_all", lambda *_: iter([examined(Status.HOLDS)]))
    main.run(main.Stability(statements=("lemma_a1",), runs=(tmp_path,), seed=1))
    printed = capsys.readouterr().out
    assert "Claims about runs" in printed
    assert "Figure 8, W1 grows" in printed
    assert "2 verdicts: 1 holds, 1 violated" in printed
    with pytest.raises(UsageError, match=r"--runs .*nothing: verdicts\.json"):
        main.run(main.Stability(statements=("lemma_a1",), runs=(tmp_path / "nothing",), seed=1))


def test_a_family_and_values_of_lambda_are_examined(capsys):
    main.run(main.Stability(statements=("proposition4",), family=("binomial",), lam=(0.5, 2.0)))
    printed = capsys.readouterr().out
    assert "binomial" in printed
    assert "λ = 0.5" in printed
    assert "λ = 2" in printed


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"lam": (-1.0,)}, "lam must be finite and >= 0, got -1"),
        ({"lam": (math.inf,)}, "lam must be finite and >= 0, got inf"),
        ({"family": ("nobody",)}, "family must be one of gaussian"),
        ({"seed": -1}, "seed must be >= 0, got -1"),
        ({"statements": (), "family": ("gamma",)}, "family and lam need a statement"),
    ],
)
def test_bad_options_are_refused(options, words):
    with pytest.raises(ValueError, match=re.escape(words)):
        main.Stability(**{"statements": ("theorem1",), **options})


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["theorem9"], "theorem9"),
        (["lemma_a1", "--family", "gamma"], "--family: lemma_a1 does not"),
    ],
)
def test_they_are_one_line_and_status_2(arguments, words, monkeypatch, capsys):
    done = module_command(monkeypatch, capsys, "stability", *arguments)
    assert done.returncode == 2
    assert words in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not done.stdout


@pytest.mark.parametrize(("status", "code"), [(Status.HOLDS, 0), (Status.VIOLATED, 1)])
def test_the_exit_status_tells_whether_all_came_out_right(monkeypatch, capsys, status, code):
    monkeypatch.setattr(main, "examine_all", lambda *arguments: iter([examined(status)]))
    if code:
        with pytest.raises(SystemExit) as leaving:
            main.run(main.Stability(statements=("lemma_a1",), seed=1))
        assert leaving.value.code == code
    else:
        main.run(main.Stability(statements=("lemma_a1",), seed=1))
    assert ("violated: Claim 1, instance" in capsys.readouterr().out) == bool(code)


@pytest.mark.parametrize("width", [80, 120])
def test_the_table_fits_and_cuts_no_word_and_the_summary_is_last(monkeypatch, capsys, width):
    words = "‖J‖₂ ≤ λ(α + εL)/(α − λ(α + εL)) misspecified constants everywhere"
    exact = Verdict("Theorem 1, sharp", words, "i", 1 / 3, "==", 1 / 3, Status.HOLDS, "m", 1e-10)
    silent = replace(exact, status=Status.NOT_APPLICABLE)
    console = make_console()
    console.width = width
    monkeypatch.setattr(main, "make_console", lambda **rest: console)
    examined = Examination("theorem1", "T", (exact, silent), (), (exact,), 0.1)
    console.print(main._claims_table("Statements", [examined]))
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= width
    shown = " ".join(lines).split()
    for word in (*words.split(), "0.333333", "applicable", "erratum", "notices"):
        assert word in shown

    monkeypatch.setattr(main, "examine_all", lambda *arguments: iter([examined]))
    with pytest.raises(SystemExit):
        main.run(main.Stability(statements=("theorem1",), seed=1))
    printed = capsys.readouterr().out
    assert printed.index("control not rejected") < printed.index("Summary")
    assert " ".join(printed.split()).endswith(
        "2 verdicts: 1 holds, 1 not applicable; 0 of 1 negative controls rejected; 0 s; --seed 1"
    )


def test_a_folder_of_somebody_else_is_refused_before_the_work(tmp_path):
    (tmp_path / "verdicts.json").write_text("mine")
    with pytest.raises(RunDirectoryError, match="is not empty and was not made by stability"):
        main.run(main.Stability(statements=("lemma_a1",), out=tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["verdicts.json"]
    assert (tmp_path / "verdicts.json").read_text() == "mine"


def test_out_holds_the_verdicts_and_a_page(monkeypatch, tmp_path):
    monkeypatch.setattr("stability.report.FIGURES", {})
    monkeypatch.setattr(main, "examine_all", lambda *arguments: iter([examined(Status.CORRECTED)]))
    main.run(main.Stability(statements=("lemma_a1",), seed=1, out=tmp_path / "report"))
    written = json.loads((tmp_path / "report" / "verdicts.json").read_text(encoding="utf-8"))
    assert written["seed"] == 1
    assert written["statements"][0]["verdicts"][0]["status"] == "holds with correction"
    assert "Claim 1" in (tmp_path / "report" / "report.html").read_text(encoding="utf-8")


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="needs /proc")
@pytest.mark.skipif(processors() < 2, reason="needs two processors: with one there is no worker")
def test_workers_end_with_a_command_that_is_terminated():
    command = [sys.executable, "-m", "stability", "theorem2", "stationary_error"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as running:
        # the two workers, and the process that tracks what they share
        waited_for(lambda: len(children_of(running.pid)) >= 3)
        children = children_of(running.pid)
        running.terminate()
    waited_for(lambda: not any(is_alive(child) for child in children))


def children_of(pid):
    try:
        words = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
    except OSError:
        return []
    return [int(word) for word in words]
