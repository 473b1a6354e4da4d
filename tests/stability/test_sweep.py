"""Studies as grids of runs: what runs, what is refused, and nothing lost when processes die."""

import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from stability.loop.regimes import FullySynthetic, Mix
from stability.runs.command_line import UsageError
from stability.runs.study_script import load_study, one_run
from stability.runs.user_code import UserCodeError
from stability.sweep import StudySweep, grid, main, row_name
from tests.support.processes import LIMIT_S, is_alive, waited_for

ROOT = Path(__file__).parents[2]
SCRIPT = """
import numpy as np
from sklearn.mixture import GaussianMixture
from stability import Mix, Study, from_estimator
from stability.observers.distances import Distances

def normal(n, rng):
    return rng.standard_normal((n, 2))

study = Study(
    learner=from_estimator(
        lambda seed: GaussianMixture(2, tol=0.1, reg_covar=0.01, random_state=seed)
    ),
    real=normal, samples=60, regimes=[Mix(0.5), Mix(1.0)], seeds=5, generations={generations},
    observers=[Distances(exact=False)], out="elsewhere",
)

if __name__ == "__main__":
    study.run()
"""


@pytest.fixture(autouse=True)
def search_path(monkeypatch):
    """A study's file puts its folder on the path."""
    monkeypatch.setattr(sys, "path", list(sys.path))


@pytest.fixture
def script(tmp_path):
    file = tmp_path / "mixture.py"
    file.write_text(SCRIPT.format(generations=2))
    return file


def test_a_run_for_each_row_and_seed_every_row_early(script, tmp_path):
    sweep = StudySweep(file=script, seeds=2, seed=7, out=tmp_path / "out", cpus_per_run=2)
    runs = grid(sweep, load_study(script))
    names = [f"lambda-{lam}/seed-{seed}" for seed in (7, 8) for lam in ("0.5", "1")]
    assert [run.name for run in runs] == names
    program = ["-m", "stability.runs.study_script", str(script), "--row", "1", "--seed", "7"]
    place = ["--out", str(tmp_path / "out" / names[1]), "--threads", "2", "--device", "cpu"]
    assert runs[1].arguments == [*program, *place]
    assert StudySweep(file=script).folder == Path.cwd() / "runs" / "sweep-mixture"


def test_a_run_is_one_row_with_one_seed(script, tmp_path):
    part = one_run(load_study(script), 1, 9, out=tmp_path / "run", progress=False)
    assert (part.regimes, part.seeds, part.seed) == ([Mix(1.0)], 1, 9)
    result = part.run()
    assert list(result.history.rows) == ["λ = 1"]
    assert len(result.history) == 3


def test_names_of_folders_are_plain():
    assert row_name(str(Mix(0.5))) == "lambda-0.5"
    assert row_name(str(FullySynthetic())) == "fully-synthetic"
    assert row_name("../λ = 1, « x »/..") == "lambda-1-x"
    assert row_name("«»") == "row"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "must make a Study named `study` .*, got nothing of that name"),
        ("study = 3", "must make a Study named `study` .*, got int"),
        (
            "from stability import GaussianLearner, Mix, Study\nimport numpy as np\n"
            "study = Study(learner=GaussianLearner(2, 1), real=np.zeros((9, 1)), seeds=2, "
            "regimes=[Mix(1.0)])",
            "learner must be a function of the number of chains, .* got one of 2 chains",
        ),
    ],
)
def test_a_file_without_a_study_that_can_be_divided_is_refused(text, message, tmp_path):
    (tmp_path / "file.py").write_text(text)
    sweep = StudySweep(file=tmp_path / "file.py", out=tmp_path / "out")
    with pytest.raises(UsageError, match=message):
        main(sweep)
    assert not (tmp_path / "out").exists()


def test_what_a_sweep_of_studies_cannot_do_is_refused(script, tmp_path):
    with pytest.raises(ValueError, match="gpus_per_run must be at most 1 for a study, got 2"):
        StudySweep(file=script, gpus_per_run=2)
    with pytest.raises(UserCodeError, match="there is no such file"):
        main(StudySweep(file=tmp_path / "nothing.py"))
    with pytest.raises(ValueError, match=r"are 2e\+04 runs; a sweep has at most 10,000"):
        main(StudySweep(file=script, seeds=10_000))


# With Ray


@pytest.fixture
def surroundings():
    """Environment of a sweep's process, whose files of Ray are removed."""
    pytest.importorskip("ray")
    folder = tempfile.mkdtemp(prefix="ray-", dir="/tmp")  # short: it holds sockets
    yield os.environ | {
        "PYTHONPATH": str(ROOT),
        "RAY_TMPDIR": folder,
        "RAY_AUTH_TOKEN": secrets.token_hex(16),
    }
    shutil.rmtree(folder, ignore_errors=True)


def started(surroundings, script, out):
    words = ["-m", "stability.sweep", str(script), "--seeds", "3", "--out", str(out)]
    pipe = subprocess.PIPE
    return subprocess.Popen(
        [sys.executable, *words], env=surroundings, stdout=pipe, stderr=pipe, text=True
    )


def ended_well(process):
    said, complained = process.communicate(timeout=LIMIT_S)
    assert process.returncode == 0, said + complained
    return said


def run_in(folder, generations=1):
    """Number of the process whose run in `folder` has so many generations."""
    history = folder / "history.jsonl"

    def found():
        if not history.exists() or history.read_bytes().count(b"\n") < generations:
            return None
        for entry in Path("/proc").iterdir():
            try:
                words = (entry / "cmdline").read_bytes().decode().split("\0")
            except (OSError, UnicodeDecodeError):
                continue
            if "stability.runs.study_script" in words[:3] and str(folder) in words:
                return int(entry.name)
        return None

    return int(str(waited_for(found)))


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
def test_kills_of_a_worker_and_of_the_sweep_change_nothing(tmp_path, surroundings):
    """2 values of λ × 3 seeds of a mixture's study."""
    script = tmp_path / "mixture.py"
    script.write_text(SCRIPT.format(generations=40))
    quiet, out = tmp_path / "quiet", tmp_path / "out"
    said = ended_well(started(surroundings, script, quiet))
    assert said.count("40 of 40") == 6

    sweep = started(surroundings, script, out)
    os.kill(run_in(out / "lambda-0.5" / "seed-0", 5), signal.SIGKILL)
    last = run_in(out / "lambda-1" / "seed-1", 5)
    sweep.kill()
    sweep.communicate()
    waited_for(lambda: not is_alive(last))
    said = ended_well(started(surroundings, script, out))
    assert said.count("40 of 40") == 6
    for lam in ("0.5", "1"):
        for seed in range(3):
            name = Path(f"lambda-{lam}") / f"seed-{seed}" / "history.jsonl"
            assert (out / name).read_bytes() == (quiet / name).read_bytes()
    assert re.search(r"\b6 finished\b", said)
