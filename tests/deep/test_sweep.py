"""Grids of runs: their commands, what becomes of those that die, and nothing lost when a process
or machine is.
"""

import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import redirect_stdout
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any

import filelock
import pytest

from deep.retrain import PresetChoice
from deep.retrain import commands as retrain_commands
from deep.sweep import Sweep, main
from stability.runs.command_line import UsageError, parse
from tests.support.processes import LIMIT_S, is_alive, waited_for
from tests.support.warm_process import start

ROOT = Path(__file__).parents[2]
TINY = ["--retrainings", "30", "--samples", "60", "--epochs", "8"]


# What is run


def test_a_run_for_each_seed_of_each_row_every_row_early(tmp_path):
    sweep = Sweep(
        "edm",
        lam=(0.0, 0.5),
        fully_synthetic=True,
        seeds=2,
        seed=7,
        out=tmp_path,
        options=("--k", "4"),
    )
    runs = sweep.runs()
    assert [run.name for run in runs] == [
        "lambda-0/seed-7",
        "lambda-0.5/seed-7",
        "fully-synthetic/seed-7",
        "lambda-0/seed-8",
        "lambda-0.5/seed-8",
        "fully-synthetic/seed-8",
    ]
    assert all(run.folder == tmp_path / run.name for run in runs)
    on_cpu = ["--threads", "1", "--device", "cpu", "--k", "4"]
    out = str(tmp_path / "lambda-0.5" / "seed-7")
    assert runs[1].arguments == [
        "-m",
        "deep.retrain",
        "edm",
        "--lambda",
        "0.5",
        "--seed",
        "7",
        "--out",
        out,
        *on_cpu,
    ]
    out = str(tmp_path / "fully-synthetic" / "seed-8")
    assert runs[5].arguments == [
        "-m",
        "deep.retrain",
        "edm",
        "--fully-synthetic",
        "--seed",
        "8",
        "--out",
        out,
        *on_cpu,
    ]


def test_values_of_lambda_that_are_close_have_folders_of_their_own():
    runs = Sweep("edm", lam=(0.1, 0.1000001, 1e-7, 10)).runs()
    assert len({run.folder for run in runs}) == 4


def test_several_gpus_are_started_by_torchrun_and_share_the_cores():
    (run,) = Sweep("ddpm", lam=(1.0,), gpus_per_run=4, cpus_per_run=16).runs()
    torchrun = [
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node",
        "4",
        "-m",
        "deep.retrain",
        "ddpm",
    ]
    assert run.arguments[: len(torchrun)] == torchrun
    assert run.arguments[-2:] == ["--threads", "4"]
    assert "--device" not in run.arguments


def test_toys_and_what_the_user_says_himself():
    (run,) = Sweep(
        "two_moons", lam=(1.0,), cpus_per_run=2, options=("--threads=1", "--device", "auto")
    ).runs()
    assert run.arguments[:2] == ["-m", "toy.two_moons"]
    assert run.arguments[-3:] == ["--threads=1", "--device", "auto"]
    assert "2" not in run.arguments


def test_the_default_folder_is_that_of_the_command_whatever_the_grid():
    sweep = Sweep("edm", lam=(0.0,), options=("--retrainings", "20"))
    assert sweep.folder.is_absolute()
    assert replace(sweep, lam=(1.0, 2.0), seeds=3, gpus_per_run=0.5).folder == sweep.folder
    assert (
        len(
            {sweep.folder, replace(sweep, options=()).folder, replace(sweep, command="ddpm").folder}
        )
        == 3
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("edm", "--lambda must have a value"),
        ("edm --lambda -1", "--lambda must be finite and >= 0, got -1"),
        ("edm --lambda nan", "--lambda must be finite and >= 0, got nan"),
        ("edm --lambda 1 1", "--lambda must not repeat a value, got 1 1"),
        ("edm --lambda 1 --seeds 0", "--seeds must be >= 1, got 0"),
        (
            "edm --lambda 1 2 --seeds 1000000000",
            "--seeds 1000000000 for 2 rows are 2e+09 runs; a sweep has at most 10,000",
        ),
        ("edm --lambda 1 --seed -1", "--seed must be >= 0, got -1"),
        ("edm --lambda 1 --retries -1", "--retries must be >= 0, got -1"),
        ("edm --lambda 1 --cpus-per-run 0", "--cpus-per-run must be finite and > 0, got 0"),
        (
            "edm --lambda 1 --gpus-per-run 1.5",
            "--gpus-per-run must be in [0, 1] or a whole number, got 1.5",
        ),
        (
            "edm --lambda 1 --gpus-per-run -1",
            "--gpus-per-run must be in [0, 1] or a whole number, got -1",
        ),
        ("run --lambda 1 --gpus-per-run 2", "--gpus-per-run must be at most 1 for run, got 2"),
        ("nothing --lambda 1", "nothing"),
    ],
)
def test_bad_options_are_one_line(options, message, capsys):
    with pytest.raises(SystemExit) as leaving:
        parse(Sweep, options.split())
    assert leaving.value.code == 2
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1


@pytest.mark.parametrize(
    "option", ["--lambda", "--seed=1", "--out=x", "--overwrite", "--fully_synthetic"]
)
def test_what_the_sweep_decides_cannot_be_handed_on(option):
    with pytest.raises(UsageError, match="must not stand after --"):
        Sweep("edm", lam=(1.0,), options=(option,))


def test_no_address_but_host_and_port(tmp_path, monkeypatch):
    pytest.importorskip("ray")
    monkeypatch.setattr(os, "environ", os.environ.copy())
    with pytest.raises(UsageError, match="--address somewhere: must be auto or host:port"):
        main(Sweep("edm", lam=(1.0,), out=tmp_path, address="somewhere"))


def test_a_folder_of_something_else_is_refused_and_left_as_it_was(tmp_path):
    (tmp_path / "lambda-1").mkdir()
    (tmp_path / "lambda-1" / "seed-0.log").write_text("precious")
    before = {str(path): path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    with pytest.raises(UsageError, match="is not empty and holds no sweep; choose another folder"):
        main(Sweep("run", lam=(1.0,), out=tmp_path))
    assert {str(path): path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


def test_a_sweep_that_does_not_begin_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UsageError, match="a sweep needs Ray"):
        main(Sweep("run", lam=(1.0,), out=tmp_path / "new" / "sweep"))
    assert not list(tmp_path.iterdir())


def test_more_processors_than_there_are_are_refused_before_a_folder_is_made(tmp_path):
    with pytest.raises(UsageError, match=r"--cpus-per-run 1e\+06 is more than this machine has"):
        main(Sweep("run", lam=(1.0,), cpus_per_run=1e6, out=tmp_path / "new" / "sweep"))
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_more_gpus_than_there_are_leave_no_folder(tmp_path, monkeypatch):
    """Only Ray knows how many there are."""
    pytest.importorskip("ray")
    monkeypatch.setattr(os, "environ", os.environ.copy())
    with pytest.raises(UsageError, match="--gpus-per-run 1000 is more than a machine has"):
        main(Sweep("edm", lam=(1.0,), gpus_per_run=1000, out=tmp_path / "new" / "sweep"))
    assert not list(tmp_path.iterdir())


def test_two_sweeps_do_not_share_a_folder(tmp_path):
    with (
        filelock.FileLock(tmp_path / ".sweep.lock"),
        pytest.raises(UsageError, match="in use by another sweep"),
    ):
        main(Sweep("edm", lam=(1.0,), out=tmp_path))


def test_without_ray_it_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "environ", os.environ.copy())
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UsageError, match=r'a sweep needs Ray: pip install "ray\[default\]>=2.40"'):
        main(Sweep("edm", lam=(1.0,), out=tmp_path))


def test_the_plan_of_the_documentation_prints_what_it_says():
    page = (ROOT / "docs" / "how-to" / "cluster.md").read_text(encoding="utf-8")
    found = re.search(
        r"```python\n(import torch.*?)```\n\nprints\n\n```text\n(.*?)```", page, re.DOTALL
    )
    assert found
    printed = StringIO()
    with redirect_stdout(printed):
        exec(found[1], {})
    assert printed.getvalue() == found[2]


def test_the_commands_of_the_documentation_are_understood():
    page = (ROOT / "docs" / "how-to" / "cluster.md").read_text(encoding="utf-8")
    commands = re.findall(r"-m deep\.sweep ((?:.|\n    --)*)", page)
    assert len(commands) == 3
    for command in commands:
        words = re.sub(r"[\\\"]|\$head|\$PWD/", "", command).split()
        own, each = words[: words.index("--")], words[words.index("--") + 1 :]
        sweep = parse(Sweep, own)
        retrain = parse(retrain_commands, [sweep.command, *each], PresetChoice)
        assert len(sweep.runs()) >= 14
        assert retrain.run.retrainings >= 10


# With Ray


@pytest.fixture
def surroundings():
    """Environment of a sweep's process: Ray's files go where they are removed; nothing is left
    in the home folder.
    """
    pytest.importorskip("ray")
    # short: it holds sockets, whose paths have at most 107 bytes
    folder = tempfile.mkdtemp(prefix="ray-", dir="/tmp")
    yield os.environ | {
        "PYTHONPATH": str(ROOT),
        "RAY_TMPDIR": folder,
        "RAY_AUTH_TOKEN": secrets.token_hex(16),
    }
    shutil.rmtree(folder, ignore_errors=True)


def started(surroundings, out, *options, command="two_moons", each=TINY):
    arguments = ["-m", "deep.sweep", command, *options, "--out", str(out), "--", *each]
    pipe = subprocess.PIPE
    return subprocess.Popen(
        [sys.executable, *arguments], env=surroundings, stdout=pipe, stderr=pipe, text=True
    )


def ended_well(process):
    said, complained = process.communicate(timeout=LIMIT_S)
    assert process.returncode == 0, said + complained
    assert complained == ""
    return said


def process_of(folder):
    """The run in `folder` and who waits for it, if it is at work: process numbers."""
    for entry in Path("/proc").iterdir():
        try:
            words = (
                (entry / "cmdline").read_bytes().decode().split("\0")
                if entry.name.isdecimal()
                else []
            )
            if (
                words[1:3] in (["-m", "toy.two_moons"], ["-m", "deep.retrain"])
                and str(folder) in words
            ):
                return int(entry.name), int(
                    (entry / "status").read_text().split("PPid:")[1].split()[0]
                )
        except OSError:
            continue  # it has just ended
    return None


def at_work(folder, generations=2):
    """The same, as soon as it has so many generations."""
    history = folder / "history.jsonl"
    waited_for(lambda: history.exists() and history.read_bytes().count(b"\n") >= generations)
    found = process_of(folder)
    assert found, "it was done before it could be disturbed"
    return found


class Undisturbed:
    """A run without a sweep, beside whatever else happens."""

    def __init__(self, out, *options, program=("toy.two_moons",), each=TINY):
        arguments = [
            "-m",
            *program,
            *options,
            "--threads",
            "1",
            "--device",
            "cpu",
            *each,
            "--out",
            str(out),
        ]
        self.command, self.out = start(*arguments), out

    @property
    def history(self):
        if self.command.returncode is None:
            self.command.communicate()
        assert self.command.returncode == 0
        return (self.out / "history.jsonl").read_bytes()


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
def test_a_worker_killed_in_the_middle_changes_nothing(tmp_path, surroundings):
    expected = Undisturbed(tmp_path / "alone", "--lambda", "0.5")
    sweep = started(surroundings, tmp_path / "sweep", "--lambda", "0.5")
    folder = tmp_path / "sweep" / "lambda-0.5" / "seed-0"
    run, worker = at_work(folder)
    os.kill(worker, signal.SIGKILL)
    waited_for(lambda: not is_alive(run))
    said = ended_well(sweep)
    assert said.split("died")[1].split()[1:7] == [
        "lambda-0.5/seed-0",
        "finished",
        "30",
        "of",
        "30",
        "1",
    ]
    assert (folder / "history.jsonl").read_bytes() == expected.history


def part_of_ray(sweep, name) -> Any:
    """A process of the Ray that a sweep started, by a part of its name, once it is there."""
    psutil = pytest.importorskip("psutil")

    def found():
        for process in psutil.Process(sweep.pid).children(recursive=True):
            try:
                if name in process.name() and process.status() != psutil.STATUS_ZOMBIE:
                    return process
            except psutil.NoSuchProcess:
                continue
        return None

    return waited_for(found)


def died_column(said):
    """Deaths of each run in the table at the end."""
    return [int(line.split()[-1]) for line in said.splitlines() if " of " in line]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
def test_a_ray_that_dies_is_started_again_and_its_death_is_none_of_the_run(tmp_path, surroundings):
    """Without its control service, the process that talks to Ray would be aborted after a
    minute.
    """
    expected = Undisturbed(tmp_path / "alone", "--lambda", "0.5")
    sweep = started(surroundings, tmp_path / "sweep", "--lambda", "0.5")
    folder = tmp_path / "sweep" / "lambda-0.5" / "seed-0"
    run, _ = at_work(folder)
    part_of_ray(sweep, "gcs_server").kill()
    waited_for(lambda: not is_alive(run))
    said, complained = sweep.communicate(timeout=LIMIT_S)
    assert sweep.returncode == 0, said + complained
    assert (
        complained
        == "warning: Ray died (a process of Ray died); it is started again, and the runs go on\n"
    )
    assert died_column(said) == [0]
    assert (folder / "history.jsonl").read_bytes() == expected.history
    assert list(Path(surroundings["RAY_TMPDIR"]).iterdir()) == []


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
@pytest.mark.parametrize("part", ["raylet", "DashboardAgent", "RuntimeEnvAgent", "gcs_server"])
def test_a_grid_goes_on_whatever_part_of_ray_dies(part, tmp_path, surroundings):
    out = tmp_path / "sweep"
    sweep = started(surroundings, out, "--lambda", "0", "1", "--seeds", "2")
    at_work(out / "lambda-0" / "seed-0")
    part_of_ray(sweep, part).kill()
    said, complained = sweep.communicate(timeout=LIMIT_S)
    assert sweep.returncode == 0, said + complained
    assert "it is started again" in complained
    assert died_column(said) == [0, 0, 0, 0]
    grid = [(lam, seed) for lam in "01" for seed in "01"]
    expected = [
        Undisturbed(tmp_path / (lam + seed), "--lambda", lam, "--seed", seed) for lam, seed in grid
    ]
    for (lam, seed), alone in zip(grid, expected, strict=True):
        assert (
            out / f"lambda-{lam}" / f"seed-{seed}" / "history.jsonl"
        ).read_bytes() == alone.history


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
def test_a_ray_that_dies_again_and_again_ends_in_one_line(tmp_path, surroundings):
    sweep = started(surroundings, tmp_path / "sweep", "--lambda", "0.5", "--retries", "0")
    at_work(tmp_path / "sweep" / "lambda-0.5" / "seed-0")
    part_of_ray(sweep, "raylet").kill()
    said, complained = sweep.communicate(timeout=LIMIT_S)
    assert sweep.returncode == 1, said + complained
    assert re.fullmatch(r"error: .*Ray.* died.*; the same command resumes\n", complained)
    assert "1 waiting" in said
    ended_well(started(surroundings, tmp_path / "sweep", "--lambda", "0.5", "--retries", "0"))


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
def test_kills_of_runs_workers_and_the_sweep_itself_change_nothing(tmp_path, surroundings):
    options = ["--lambda", "0", "1", "--fully-synthetic", "--seed", "5", "--retries", "9"]
    out = tmp_path / "sweep"
    sweep = started(surroundings, out, *options)
    first, second = out / "lambda-0" / "seed-5", out / "lambda-1" / "seed-5"
    os.kill(at_work(first)[0], signal.SIGKILL)
    os.kill(at_work(second)[1], signal.SIGKILL)
    for generations in (5, 9, 13):
        os.kill(at_work(first, generations)[0], signal.SIGKILL)
    marks = waited_for(lambda: sorted(out.rglob("*.finished.json")))
    assert isinstance(marks, list)
    running = [found for folder in out.glob("*/seed-?") if (found := process_of(folder))]
    sweep.kill()
    sweep.communicate()
    waited_for(lambda: not any(is_alive(run) or is_alive(worker) for run, worker in running))
    before = {mark: mark.stat().st_mtime_ns for mark in marks}
    said = ended_well(started(surroundings, out, *options))
    assert said.count("30 of 30") == 3
    # what was finished was not run again
    assert {mark: mark.stat().st_mtime_ns for mark in marks} == before
    regimes = {
        "lambda-0": ["--lambda", "0"],
        "lambda-1": ["--lambda", "1"],
        "fully-synthetic": ["--fully-synthetic"],
    }
    for row, regime in regimes.items():
        expected = Undisturbed(tmp_path / row, *regime, "--seed", "5")
        assert (out / row / "seed-5" / "history.jsonl").read_bytes() == expected.history


TINY_IMAGES = [
    "--first-images",
    "2560",
    "--images-per-retraining",
    "1280",
    "--retrainings",
    "3",
    "--real",
    "150",
    "--samples",
    "300",
    "--sample-batch",
    "20",
    "--grid",
    "9",
    "--metrics",
    "fd",
    "--checkpoint-seconds",
    "0",
]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
def test_workers_killed_in_training_in_sampling_and_in_writing_a_checkpoint_change_nothing(
    tmp_path, surroundings
):
    """Two values of λ and two seeds of an image model; one that is hit there is hit wherever it
    is by then.
    """
    out = tmp_path / "sweep"
    each = [*TINY_IMAGES, "--cache", str(tmp_path / "cache")]
    sweep = started(
        surroundings, out, "--lambda", "0.5", "1", "--seeds", "2", command="edm", each=each
    )
    places = {
        "lambda-0.5/seed-0": "fit-0001-*.pt",
        "lambda-1/seed-0": "samples-0002-*.pt",
        "lambda-1/seed-1": "../generation-*-partial",
    }
    while places:
        assert sweep.poll() is None, "it was done before it could be disturbed"
        for name, pattern in list(places.items()):
            if any((out / name / "checkpoints" / "unfinished").glob(pattern)) and (
                found := process_of(out / name)
            ):
                os.kill(found[1], signal.SIGKILL)
                del places[name]
        time.sleep(0.001)
    said = ended_well(sweep)
    assert [line.split()[-1] for line in said.splitlines() if "3 of 3" in line] == [
        "1",
        "1",
        "0",
        "1",
    ]
    each[-1] = str(tmp_path / "another cache")
    for row, lam in {"lambda-0.5": "0.5", "lambda-1": "1"}.items():
        for seed in "01":
            options = ["--lambda", lam, "--seed", seed]
            alone = Undisturbed(
                tmp_path / f"{row}-{seed}", *options, program=("deep.retrain", "edm"), each=each
            )
            assert (out / row / f"seed-{seed}" / "history.jsonl").read_bytes() == alone.history


LOSE_A_NODE = """
import subprocess, sys, time
from pathlib import Path
from ray.cluster_utils import Cluster

folder = Path(sys.argv[1])
head = {"num_cpus": 0, "object_store_memory": 10**8}
cluster = Cluster(initialize_head=True, head_node_args=head)
lost = cluster.add_node(num_cpus=1, object_store_memory=10**8)
sweep = subprocess.Popen([sys.executable, *sys.argv[2:], "--address", cluster.address, "--", *%r])
history = folder / "lambda-1" / "seed-0" / "history.jsonl"
while not (history.exists() and history.read_bytes().count(b"\\n") >= 3):
    assert sweep.poll() is None
    time.sleep(0.02)
cluster.remove_node(lost, allow_graceful=False)
time.sleep(3)
cluster.add_node(num_cpus=1, object_store_memory=10**8)
code = sweep.wait()
cluster.shutdown()
sys.exit(code)
""" % (TINY,)  # noqa: UP031


@pytest.mark.slow
def test_a_machine_lost_in_the_middle_changes_nothing(tmp_path, surroundings):
    out = tmp_path / "sweep"
    sweep = ["-m", "deep.sweep", "two_moons", "--lambda", "1", "--seeds", "2", "--out", str(out)]
    done = subprocess.run(
        [sys.executable, "-c", LOSE_A_NODE, str(out), *sweep],
        env=surroundings,
        capture_output=True,
        text=True,
        timeout=2 * LIMIT_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert [line.split()[-1] for line in done.stdout.splitlines() if "finished" in line] == [
        "1",
        "0",
        "finished",
    ]
    for seed in "01":
        expected = Undisturbed(tmp_path / seed, "--lambda", "1", "--seed", seed)
        assert (
            out / "lambda-1" / f"seed-{seed}" / "history.jsonl"
        ).read_bytes() == expected.history


LOSE_A_CLUSTER = """
import subprocess, sys, time
from pathlib import Path
from ray.cluster_utils import Cluster

folder, part, port = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
head = {"num_cpus": 1, "object_store_memory": 10**8, "gcs_server_port": port}
cluster = Cluster(initialize_head=True, head_node_args=head)
sweep = subprocess.Popen([sys.executable, *sys.argv[4:], "--address", cluster.address, "--", *%r])
history = folder / "lambda-1" / "seed-0" / "history.jsonl"
while not (history.exists() and history.read_bytes().count(b"\\n") >= 3):
    assert sweep.poll() is None
    time.sleep(0.02)
getattr(cluster.head_node, f"kill_{part}")()
time.sleep(3)
cluster.shutdown()
cluster = Cluster(initialize_head=True, head_node_args=head)
code = sweep.wait()
cluster.shutdown()
sys.exit(code)
""" % (TINY,)  # noqa: UP031


@pytest.mark.slow
@pytest.mark.parametrize("part", ["raylet", "gcs_server"])
def test_a_cluster_that_dies_and_comes_back_is_joined_again(part, tmp_path, surroundings):
    out = tmp_path / "sweep"
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    sweep = ["-m", "deep.sweep", "two_moons", "--lambda", "1", "--out", str(out)]
    words = [sys.executable, "-c", LOSE_A_CLUSTER, str(out), part, str(port), *sweep]
    done = subprocess.run(
        words, env=surroundings, capture_output=True, text=True, timeout=2 * LIMIT_S, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "it is joined again" in done.stderr
    assert died_column(done.stdout) == [0]
    expected = Undisturbed(tmp_path / "alone", "--lambda", "1", "--seed", "0")
    assert (out / "lambda-1" / "seed-0" / "history.jsonl").read_bytes() == expected.history


@pytest.mark.slow
def test_a_sick_run_does_not_stop_the_others(tmp_path, surroundings):
    """One that finds something else in its folder."""
    out = tmp_path / "sweep"
    (out / "lambda-0" / "seed-0").mkdir(parents=True)
    (out / "lambda-0" / "seed-0" / "thesis.tex").write_text("\\documentclass")
    (out / ".sweep.lock").touch()
    sweep = started(surroundings, out, "--lambda", "0", "1")
    said, complained = sweep.communicate(timeout=LIMIT_S)
    assert (sweep.returncode, complained) == (1, "")
    assert "1 failed, 1 finished" in said
    assert "lambda-0/seed-0: error: --out:" in said
    assert "is not empty and holds no run" in said
    assert (out / "lambda-1" / "seed-0" / "history.jsonl").read_bytes().count(b"\n") == 31
