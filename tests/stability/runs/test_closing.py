"""The last line of a command."""

from pathlib import Path

import pytest

from stability import Mix, Study
from stability.runs.closing import closing
from stability.runs.tables import print_result
from tests.support.kernels import Blur, Means


def run(out, quiet, answer=None):
    figures = [Path("figures") / "a.png"]
    more = {} if answer is None else {"answer": answer}
    finish = closing("a study", quiet, print_result, lambda result: figures, **more)
    return Study(
        learner=Blur, real=lambda n, rng: rng.standard_normal((n, 2)), samples=20,
        regimes=[Mix(1.0)], generations=2, observers=[Means()], out=out, finish=finish, threads=1,
    ).run()  # fmt: skip


@pytest.mark.parametrize("answer", [None, lambda result: "It does."])
def test_tables_then_the_answer_then_the_paths(tmp_path, capsys, answer):
    run(tmp_path / "run", quiet=False, answer=answer)
    lines = capsys.readouterr().out.splitlines()
    assert lines[-3:] == [
        str(tmp_path / "run" / "history.jsonl"),
        str(Path("figures") / "a.png"),
        str(tmp_path / "run" / "report.html"),
    ]
    assert lines[-5].startswith("a study: ")
    words = "It does." if answer else "One seed cannot tell whether distance of the mean grows: "
    assert lines[-4].startswith(words)
    assert any("Distance of the mean" in line for line in lines[:-5])


def test_quiet_leaves_the_paths(tmp_path, capsys):
    run(tmp_path / "run", quiet=True)
    assert len(capsys.readouterr().out.splitlines()) == 3
