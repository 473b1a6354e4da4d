"""Command lines as learners: also those that are killed, hang, fail or write half a file."""

import json
import os
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stability.loop.regimes import FullySynthetic, Mix
from stability.loop.retraining import RetrainingError, retrain
from stability.runs.command_learner import from_commands
from stability.runs.run_layout import RunDirectoryError
from stability.runs.state_file import read_state, write_state
from tests.support.processes import is_alive, waited_for

TRAIN = """
import json, os, signal, sys, time
from pathlib import Path
import numpy as np
data, state, seed, out = sys.argv[1:]
with open("trained", "a") as file:
    file.write("x")
fault = Path("fault").read_text() if Path("fault").exists() else ""
x = np.load(data)
before = json.loads(Path(state).read_text())["fits"] if os.path.exists(state) else 0
text = json.dumps({"mean": x.mean(axis=0).tolist(), "sd": float(x.std()), "fits": before + 1})
if fault == "hangs":
    Path("pid").write_text(str(os.getpid()))
    time.sleep(600)
if fault == "half":
    Path(out).write_text(text[: len(text) // 2])
    os.kill(os.getpid(), signal.SIGKILL)
if fault == "half and well":
    Path("fault").unlink()
    Path(out).write_text(text[: len(text) // 2])
    sys.exit()
if fault == "killed":
    os.kill(os.getpid(), signal.SIGKILL)
if fault == "fails":
    sys.exit("error: no GPU is left")
if fault == "elsewhere":
    Path(out + ".json").write_text(text)
elif fault == "empty":
    Path(out).touch()
else:
    Path(out).write_text(text)
"""
SAMPLE = """
import json, sys
from pathlib import Path
import numpy as np
state, seed, count, out = sys.argv[1:]
fault = Path("sample-fault").read_text() if Path("sample-fault").exists() else ""
law = json.loads(Path(state).read_text())
rng = np.random.default_rng(None if fault == "own seed" else 7 if fault == "fixed" else int(seed))
n = int(count) - (fault == "short")
x = rng.normal(law["mean"], law["sd"], size=(n, len(law["mean"])))
np.save(out, x.astype(object) if fault == "objects" else x, allow_pickle=fault == "objects")
if fault == "cut":
    Path(out).write_bytes(Path(out).read_bytes()[:-8])
"""


PYTHON = shlex.quote(sys.executable)
COMMANDS: dict[str, Any] = {
    "train": f"{PYTHON} train.py {{data}} {{state}} {{seed}} {{out}}",
    "sample": f"{PYTHON} sample.py {{state}} {{seed}} {{count}} {{out}}",
}
REGIMES = [Mix(1.0), FullySynthetic()]


def write_scripts(folder):
    (folder / "train.py").write_text(TRAIN)
    (folder / "sample.py").write_text(SAMPLE)


@pytest.fixture
def commands(tmp_path, monkeypatch):
    """The two commands, in a folder in which `fault` is what goes wrong."""
    monkeypatch.chdir(tmp_path)
    write_scripts(tmp_path)
    return dict(COMMANDS)


@pytest.fixture
def real(rng):
    return [rng.standard_normal((12, 2))] * 2


@pytest.fixture(scope="module")
def begun(tmp_path_factory):
    """A run without faults, and one that has finished generation 0: its folder and state."""
    folder = tmp_path_factory.mktemp("begun")
    write_scripts(folder)
    real = [np.random.default_rng().standard_normal((12, 2))] * 2
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        learner = from_commands(**COMMANDS, folder=folder / "kept")(2)
        run = retrain(learner, real, REGIMES, 1, seed=3)
        start = next(run)
        write_state(folder / "state.pt", learner.state_dict())
        shutil.copytree(folder / "kept", folder / "kept-then")
        return folder, real, start, next(run)


def pid():
    return Path("pid").read_text()


def trained():
    return len(Path("trained").read_text())


def test_a_script_is_retrained_and_goes_on_from_its_state(commands, real):
    learner = from_commands(**commands)(2)
    seen = list(retrain(learner, real, REGIMES, 1, seed=0))
    assert [generation.samples[0].shape for generation in seen] == [(12, 2)] * 2
    contents = [chain["content"].tobytes() for chain in learner.state_dict()["chains"]]
    assert [json.loads(content)["fits"] for content in contents] == [2, 2]
    expected = seen[1].training[0].points.mean(axis=0)
    np.testing.assert_allclose(json.loads(contents[0])["mean"], expected, rtol=1e-12)
    assert not list(Path.cwd().glob("work-*"))


def test_a_draw_does_not_depend_on_how_many_follow(commands, real):
    learner = from_commands(**commands, block=20)(2)
    next(retrain(learner, real, REGIMES, 1, seed=0))
    few, many = (
        learner.sample([count, 1], [np.random.default_rng(5), np.random.default_rng(6)])[0]
        for count in (7, 45)
    )
    assert len(many) == 45
    np.testing.assert_array_equal(few, many[:7])


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("killed", "the train command of chain 0 was killed by SIGKILL; see "),
        ("half", "the train command of chain 0 was killed by SIGKILL; see "),
        ("hangs", r"the train command of chain 0 took longer than timeout_s = 2 and was ended"),
        ("fails", "train command of chain 0 ended with exit status 1: error: no GPU is left"),
        ("elsewhere", r"did not write \{out\}; it wrote state.json instead"),
        ("empty", "wrote a state of 0 bytes"),
        ("half and well", "the sample command of chain 0 ended with exit status 1: json"),
    ],
)
def test_a_train_command_that_fails_is_one_line_and_loses_nothing(
    commands, begun, fault, message, tmp_path
):
    folder, real, start, expected = begun
    shutil.copytree(folder / "kept-then", tmp_path / "kept")
    timeout = 2 if fault == "hangs" else 60

    def resumed(timeout_s):
        learner = from_commands(**commands, folder=tmp_path / "kept", timeout_s=timeout_s)(2)
        learner.load_state_dict(read_state(folder / "state.pt"))
        return next(retrain(learner, real, REGIMES, 1, seed=3, after=start))

    Path("fault").write_text(fault)
    with pytest.raises(RetrainingError, match=f"generation 1: .*{message}") as error:
        resumed(timeout)
    assert "\n" not in str(error.value)
    if fault == "hangs":
        waited_for(lambda: not is_alive(int(pid())))

    # another process, after the script is mended
    Path("fault").unlink(missing_ok=True)
    for x, y in zip(expected.samples, resumed(60).samples, strict=True):
        np.testing.assert_array_equal(x, y)


def test_what_other_chains_have_finished_is_not_trained_again(commands, real, tmp_path):
    broken = commands | {"train": commands["train"].replace("train.py", "second.py")}
    # fails from the second call on
    script = "import pathlib\nif pathlib.Path('once').exists(): raise SystemExit('error: full')\n"
    Path("second.py").write_text(script + "pathlib.Path('once').touch()\n" + TRAIN)
    learner = from_commands(**broken, folder=tmp_path / "kept")(2)
    other = [real[0], real[1] + 1]
    with pytest.raises(RetrainingError, match="chain 1 ended with exit status 1: error: full"):
        list(retrain(learner, other, REGIMES, 0, seed=0))
    assert trained() == 1

    Path("second.py").write_text(TRAIN)
    list(retrain(from_commands(**broken, folder=tmp_path / "kept")(2), other, REGIMES, 0, seed=0))
    assert trained() == 2


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("short", "the sample command of chain 0 was asked for 64 rows and wrote 63"),
        ("fixed", "the sample command gives the same rows on each call"),
        ("own seed", r"the sample command gives other points for the same \{seed\}"),
        ("objects", "wrote a file that holds Python objects, which could run code: not loaded"),
        ("cut", "wrote a file that says that it holds 1,024 bytes of numbers, and has 1,016"),
    ],
)
def test_a_sample_command_that_is_wrong_is_one_line(commands, real, fault, message):
    Path("sample-fault").write_text(fault)
    with pytest.raises(RetrainingError, match=message):
        list(retrain(from_commands(**commands)(2), real, REGIMES, 1, seed=0))


@pytest.mark.skipif(sys.platform != "linux", reason="needs Linux's PR_SET_PDEATHSIG")
def test_a_command_does_not_outlive_the_run(commands, tmp_path):
    Path("fault").write_text("hangs")
    code = (
        "import numpy as np\nfrom stability import Mix, from_commands, retrain\n"
        f"learner = from_commands(**{commands!r})(1)\n"
        "list(retrain(learner, [np.zeros((5, 2))], [Mix(1.0)], 1, seed=0))"
    )
    root = str(Path(__file__).parents[3])
    environment = os.environ | {"PYTHONPATH": root}
    with subprocess.Popen([sys.executable, "-c", code], env=environment) as run:
        waited_for(lambda: run.poll() is not None or (Path("pid").exists() and pid()))
        run.kill()
    waited_for(lambda: not is_alive(int(pid())))


def test_what_a_command_started_ends_with_it(commands, real):
    Path("train.py").write_text(
        "import subprocess, sys\nfrom pathlib import Path\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        "Path('pid').write_text(str(child.pid))\nsys.exit('error: lost')\n"
    )
    began = time.monotonic()
    with pytest.raises(RetrainingError, match="error: lost"):
        list(retrain(from_commands(**commands)(2), real, REGIMES, 0, seed=0))
    waited_for(lambda: not is_alive(int(pid())))
    assert time.monotonic() - began < 300


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"train": "python train.py {out}"}, r"train must have \{data\}, got python train.py"),
        ({"sample": "python s.py {state} {out}"}, r"sample must have \{count\}"),
        ({"train": "python t.py {data} {out} {gpu}"}, r"no other words in braces .* got \{gpu\}"),
        ({"train": "no-such-program {data} {out}"}, "a program that can be run, got no-such-pro"),
        ({"train": "python t.py {data} {out} {"}, "train has braces that are not closed"),
        ({"timeout_s": 0}, "timeout_s must be finite and > 0, got 0"),
    ],
)
def test_a_command_line_that_cannot_work_is_refused_at_once(change, message):
    arguments: Any = {**COMMANDS, **change}
    with pytest.raises(ValueError, match=message):
        from_commands(**arguments)


def test_a_folder_of_something_else_is_refused_and_left_as_it_was(commands, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "state-a").write_text("precious")
    with pytest.raises(RunDirectoryError, match="was not made by from_commands"):
        from_commands(**commands, folder=tmp_path / "mine")(1)
    assert (tmp_path / "mine" / "state-a").read_text() == "precious"
