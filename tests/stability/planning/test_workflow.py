"""From a plan to continuous integration: the line that the documentation prints, in a shell."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from stability.planning.__main__ import main
from stability.planning.check_command import read_gate

ROOT = Path(__file__).parents[3]
LEARNER = """
import numpy as np

class Normal:
    def fit(self, points):
        self.mean, self.root = points.mean(axis=0), np.linalg.cholesky(np.cov(points.T))

    def sample(self, count, seed):
        noise = np.random.default_rng(seed).standard_normal((count, len(self.mean)))
        return self.mean + noise @ self.root.T
"""


def step():
    """The command of the workflow of docs/how-to/plan.md."""
    page = (ROOT / "docs/how-to/plan.md").read_text()
    found = re.search(r"# \.github/workflows/.*\n- run: (.*)\n", page)
    assert found is not None
    return found[1]


@pytest.fixture(scope="module")
def planned(tmp_path_factory):
    """A folder with real data and a plan, and the real rows."""
    folder = tmp_path_factory.mktemp("workflow")
    real = pd.DataFrame(np.random.default_rng().standard_normal((400, 2)), columns=["x", "y"])
    real.to_csv(folder / "real.csv", index=False)
    np.save(folder / "real.npy", real.to_numpy())
    (folder / "normal.py").write_text(LEARNER)
    main([
        "plan", str(folder / "real.npy"), "--learner", f"{folder / 'normal.py'}:Normal",
        "--lambda", "0.5", "--generations", "2", "--repeats", "2", "--tolerate", "50%",
        "--out", str(folder / "plan"),
    ])  # fmt: skip
    return folder, real


@pytest.mark.parametrize(("shift", "status"), [(0.0, 0), (5.0, 1)])
def test_the_step_of_the_workflow_fails_when_the_loop_degrades(shift, status, planned):
    """Without a change the generations are the real rows themselves, so that no draw is unlucky."""
    folder, real = planned
    for k in (1, 2):
        (folder / f"gen{k}").mkdir(exist_ok=True)
        rows = real.sample(frac=1, random_state=k) + shift
        rows.to_csv(folder / f"gen{k}" / "drawn.csv", index=False)

    environment = os.environ | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
    }
    done = subprocess.run(
        ["bash", "-c", step()],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == status, done.stdout + done.stderr
    assert (folder / "report" / "check.html").is_file()
    assert ("fails: degrading" in done.stdout) == (status == 1)


def test_the_gate_of_a_mix_compares_with_the_rows_that_it_is_trained_on(planned):
    folder, _ = planned
    options, conditions = read_gate(folder / "plan" / "gate.yaml")
    assert options["null"] == "rows"
    assert options["tolerance"] >= 2 / np.sqrt(400)
    assert conditions[0] == "degrading"
