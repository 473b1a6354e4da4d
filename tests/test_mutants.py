import json
from dataclasses import replace

import pytest

from stability.statements import STATEMENTS
from tests.support import mutants
from tests.support.mutants import ROOT, SLIPS, Mutants, Result, Slip, main, read, replaced, try_slip


def test_there_are_at_least_sixty_slips_and_each_changes_its_file():
    assert len(set(SLIPS)) == len(SLIPS) >= 60
    for slip in SLIPS:
        text = (ROOT / "stability" / slip.file).read_text(encoding="utf-8")
        assert replaced(text, slip) != text
        compile(replaced(text, slip), slip.file, "exec")
        assert slip.statement in STATEMENTS


def test_a_slip_that_is_not_in_its_file_is_an_error():
    with pytest.raises(ValueError, match="must have 'x' once, got 2"):
        replaced("x x", Slip("f.py", "x", "y", "lemma_a1"))


def test_a_slip_is_noticed_and_a_change_of_words_survives():
    wrong = next(slip for slip in SLIPS if slip.file.endswith("lemma_a1.py"))
    assert try_slip(wrong, 1, 300).killed_by == "violated: Lemma A.1 i"
    assert not try_slip(replace(wrong, new=wrong.old), 1, 300).killed_by


def test_a_repeated_run_does_only_what_is_missing(tmp_path, monkeypatch, capsys):
    tried = []

    def noticed(slip, seed, timeout_s):
        tried.append(slip)
        return Result(slip, "" if "sqrt" in slip.old else "violated: C")

    monkeypatch.setattr(mutants, "try_slip", noticed)
    config = Mutants(("correction",), results=tmp_path / "r.jsonl")
    main(config)
    lines = (tmp_path / "r.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
    (tmp_path / "r.jsonl").write_text("".join(lines[1:]), encoding="utf-8")
    main(config)
    assert tried == [*tried[:2], tried[0]]
    assert len(read(tmp_path / "r.jsonl")) == 2 == len([json.loads(line) for line in lines])
    assert "2 slips, 2 noticed, 0 survive" in capsys.readouterr().out
    with pytest.raises(SystemExit):  # the right constant is a root
        main(replace(config, statements=("weighted_real",), results=tmp_path / "s.jsonl"))


def test_processes_are_bounded():
    with pytest.raises(ValueError, match="--processes must be >= 1, got 0"):
        Mutants(processes=0)
