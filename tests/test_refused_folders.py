"""Every command that writes a folder leaves one that is not its own as it was, to the last entry
and second.
"""

import runpy
import stat
import sys

import pytest

TINY = "--lambda 1 --samples 30 --threads 1 --device cpu"
COMMANDS = (
    f"toy.run --model kde --retrainings 1 {TINY}",
    f"toy.two_moons --retrainings 1 {TINY}",
    f"toy.contraction --model kde --rounds 1 {TINY}",
    "toy.figure8 --quick --threads 1 --device cpu",
    "deep.train edm --images 16 --threads 1 --device cpu",
    "deep.retrain edm --threads 1 --device cpu",
    "deep.sweep run --lambda 1",
    "toy.width_map --epochs 0",
    "toy.samplers",
    "toy.critical_lambda --loops Gaussian --lambda 1",
)


def listing(folder):
    """The listing of `find`: each entry's kind, size, time of change and content."""
    found = {}
    for entry in sorted(folder.rglob("*")):
        status = entry.lstat()
        content = entry.read_bytes() if stat.S_ISREG(status.st_mode) else b""
        found[str(entry)] = (status.st_mode, status.st_size, status.st_mtime_ns, content)
    return found


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("line", COMMANDS)
def test_a_folder_of_somebody_else_is_left_as_it_was(
    line, overwrite, tmp_path, capsys, monkeypatch
):
    module, *arguments = line.split()
    if overwrite and module in (
        "deep.sweep",
        "toy.width_map",
        "toy.samplers",
        "toy.critical_lambda",
    ):
        pytest.skip("has no --overwrite")
    folder = tmp_path / "mine"
    for name in (
        "thesis.tex",
        "Downloads/movie.partial",
        "samples/notes.txt",
        "config.json",
        "history.jsonl",
        "report.html",
        "verdicts.json",
        "width_map.png",
    ):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("{}")
    before = listing(tmp_path)

    given = [*arguments, "--out", str(folder), *(["--overwrite"] if overwrite else [])]
    monkeypatch.setattr(sys, "argv", [module, *given])
    monkeypatch.delitem(sys.modules, module, raising=False)  # or runpy warns of it
    with pytest.raises(SystemExit) as leaving:
        runpy.run_module(module, run_name="__main__")
    assert leaving.value.code == 2
    said = capsys.readouterr().err
    assert said.startswith("error: --out: ")
    assert said.count("\n") == 1
    assert listing(tmp_path) == before
