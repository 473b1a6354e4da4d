"""Completion of the command `retraining`, in the shells themselves."""

import shutil
import subprocess

import pytest

from stability.runs.completion import SHELLS
from tests.support.console_command import retraining

WORDS = {
    "retraining pl": ["plan"],
    "retraining ": ["check", "compare", "open", "plan", "run", "verify"],
    "retraining plan --reg": ["--regime"],
    "retraining check --toler": ["--tolerance"],
    "retraining open --no-br": ["--no-browser"],
}
ASK = {
    "bash": """
ask() {
    COMP_WORDS=("$@"); COMP_CWORD=$(( $# - 1 )); COMPREPLY=()
    _tyro_retraining; printf '%s\\n' "${COMPREPLY[@]}"
}
""",
    "zsh": """
_describe() { print -l -- "${completion_array[@]%%:*}" }
words=(retraining ""); CURRENT=2  # the file completes once when it is loaded
ask() { words=("$@"); CURRENT=$#; _tyro_retraining }
""",
}


@pytest.fixture(params=SHELLS)
def shell(request):
    if shutil.which(request.param) is None:
        pytest.skip(f"needs {request.param}")
    return request.param


def test_commands_and_options_are_completed(shell, tmp_path, monkeypatch, capsys):
    assert retraining(monkeypatch, "completion", shell) == 0
    script = tmp_path / "script"
    script.write_text(capsys.readouterr().out, encoding="utf-8")
    asked = "".join(
        f"echo '? {line}'\nask {' '.join(repr(word) for word in line.split(' '))}\n"
        for line in WORDS
    )
    (tmp_path / "asks").write_text(
        f"{ASK[shell]}\nsource {script} >/dev/null\n{asked}", encoding="utf-8"
    )
    done = subprocess.run(
        [shell, str(tmp_path / "asks")],
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    answers = dict(part.split("\n", 1) for part in done.stdout.split("? ")[1:])
    for line, expected in WORDS.items():
        found = [word for word in answers[line].split() if word not in ("-h", "--help")]
        assert sorted(found) == expected, (line, found)


@pytest.mark.parametrize("arguments", [(), ("tcsh",), ("bash", "zsh")])
def test_another_shell_is_refused_in_one_line(arguments, monkeypatch, capsys):
    assert retraining(monkeypatch, "completion", *arguments) == 2
    out, err = capsys.readouterr()
    assert (out, err) == ("", "error: completion must be followed by one of bash, zsh\n")
