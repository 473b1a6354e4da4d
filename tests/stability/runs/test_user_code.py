"""Errors of a user's own file are one line with its place; those of this project are not theirs."""

import pytest

from stability.loop.arguments import whole_number
from stability.planning.plan_inputs import load_learner
from stability.runs.study_script import load_study
from stability.runs.user_code import UserCodeError, failure_in_user_code, run_file


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("x = 1\ny =\n", "line 2: SyntaxError: invalid syntax"),
        ("import nothing_of_that_name\n", "line 1: ModuleNotFoundError: No module named"),
        ("def f():\n    return 1 / 0\n\nf()\n", "line 2: ZeroDivisionError: division by zero"),
    ],
)
def test_a_file_that_fails_names_its_line(tmp_path, monkeypatch, text, words):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(text)
    for read in (lambda: load_study(tmp_path / "mine.py"), lambda: load_learner("mine.py:A", None)):
        with pytest.raises(UserCodeError) as caught:
            read()
        assert str(caught.value).startswith(f"mine.py, {words}")


def test_a_file_is_run_once_and_imports_its_neighbours(tmp_path):
    (tmp_path / "beside_the_file.py").write_text("VALUE = 7\n")
    (tmp_path / "mine.py").write_text("from beside_the_file import VALUE\n")
    assert run_file(tmp_path / "mine.py", "mine_of_a_test").VALUE == 7
    with pytest.raises(UserCodeError, match=r"nothing\.py: there is no such file"):
        run_file(tmp_path / "nothing.py", "nothing_of_a_test")


def test_an_error_of_a_call_from_the_users_file_is_theirs(tmp_path):
    mine = "from stability.loop.arguments import whole_number\n\nwhole_number('x', 'n', 0)\n"
    (tmp_path / "mine.py").write_text(mine)
    with pytest.raises(
        UserCodeError, match=r"mine\.py, line 3: TypeError: n must be a whole number"
    ):
        run_file(tmp_path / "mine.py", "mine_of_a_test")


def test_an_error_within_this_project_is_not_theirs():
    with pytest.raises(TypeError) as caught:
        whole_number("x", "n", 0)
    assert failure_in_user_code(caught.value) is None
