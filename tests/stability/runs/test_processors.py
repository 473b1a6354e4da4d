"""The number of processors that are ours: affinity, limits of control groups, environment."""

import os
import re
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import threadpoolctl
import torch

from stability.runs import processors as module
from stability.runs.command_line import UsageError
from stability.runs.processors import default_threads, local_processes, processors, use_threads

ROOT = Path(__file__).parents[3]
MANY = 64  # processors of the machine


@pytest.fixture(autouse=True)
def surroundings(monkeypatch):
    """A machine with 64 processors, all of them ours, whatever the test runs on; no control
    group.
    """
    monkeypatch.setattr(os, "cpu_count", lambda: MANY)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(MANY)), raising=False)
    monkeypatch.setattr(module, "PROC", Path("/nonexistent"))
    for name in ("OMP_NUM_THREADS", "LOCAL_WORLD_SIZE", "LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)


def control_group(root, cgroup, mountinfo, limits):
    """Files of /proc and of the groups mounted under `root`; limits: file name -> content."""
    (root / "proc").mkdir()
    (root / "proc" / "cgroup").write_text(cgroup)
    (root / "proc" / "mountinfo").write_text(mountinfo.replace("ROOT", str(root)))
    for name, content in limits.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(content)
    return root / "proc"


@pytest.mark.skipif(sys.platform != "linux", reason="needs an affinity")
def test_processors_that_the_affinity_excludes_are_not_ours(tmp_path):
    """In a process of its own, with the kernel's affinity."""
    code = (
        "import os; os.sched_setaffinity(0, [min(os.sched_getaffinity(0))]); os.cpu_count = "
        f"lambda: {MANY}; "
    )
    code += "from stability.runs.processors import processors; print(processors())"
    said = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        check=True,
    )
    assert said.stdout == b"1\n"


def test_without_affinity_and_limits_all_of_the_machine_are_ours(monkeypatch):
    assert processors() == MANY
    monkeypatch.delattr(os, "sched_getaffinity")
    assert processors() == MANY
    monkeypatch.setattr(os, "cpu_count", lambda: None)  # "undetermined"
    assert processors() == 1


VERSION_2 = "30 1 0:20 / ROOT/sys rw - cgroup2 cgroup rw,nsdelegate\n"
VERSION_1 = (
    "31 1 0:21 / ROOT/sys/memory rw - cgroup cgroup rw,memory\n"
    "32 1 0:22 INNER ROOT/sys/cpu rw,nosuid shared:9 - cgroup cgroup rw,cpu,cpuacct\n"
    "33 1 0:23 / ROOT/sys/unified rw - cgroup2 cgroup2 rw\n"
)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("max 100000", MANY),
        ("200000 100000", 2),
        ("150000 100000", 2),
        ("10000 100000", 1),
        ("100000 50000", 2),
        ("garbage", MANY),
        ("", MANY),
        ("1 2 3", MANY),
        ("100000 0", MANY),
        ("100000000 100000", MANY),
    ],
)
def test_the_limit_of_a_group_of_version_2_is_rounded_up(content, expected, tmp_path, monkeypatch):
    proc = control_group(tmp_path, "0::/job/step\n", VERSION_2, {"sys/job/step/cpu.max": content})
    monkeypatch.setattr(module, "PROC", proc)
    assert processors() == expected


def test_the_least_limit_of_the_groups_around_ours_counts(tmp_path, monkeypatch):
    limits = {
        "sys/job/step/cpu.max": "600000 100000",
        "sys/job/cpu.max": "300000 100000",
        "sys/cpu.max": "max 100000",
    }
    monkeypatch.setattr(
        module, "PROC", control_group(tmp_path, "0::/job/step\n", VERSION_2, limits)
    )
    assert processors() == 3


@pytest.mark.parametrize("group", ["/", "/../elsewhere", "/not/mounted/here"])
def test_in_a_container_the_mounted_group_is_ours(group, tmp_path, monkeypatch):
    """With a name space the path is /; without one it is a path that is not mounted."""
    proc = control_group(tmp_path, f"0::{group}\n", VERSION_2, {"sys/cpu.max": "400000 100000"})
    monkeypatch.setattr(module, "PROC", proc)
    assert processors() == 4


@pytest.mark.parametrize(("quota", "expected"), [("-1", MANY), ("250000", 3)])
@pytest.mark.parametrize("inner", ["/", "/docker/abc"])
def test_the_limit_of_a_group_of_version_1(inner, quota, expected, tmp_path, monkeypatch):
    """Args:
    inner: Part of the hierarchy that is mounted; with /docker/abc our group is at the mount
        point itself.
    """
    folder = "sys/cpu/docker/abc" if inner == "/" else "sys/cpu"
    limits = {f"{folder}/cpu.cfs_quota_us": f"{quota}\n", f"{folder}/cpu.cfs_period_us": "100000\n"}
    groups = "4:memory:/docker/other\n3:cpu,cpuacct:/docker/abc\n0::/\n"
    proc = control_group(tmp_path, groups, VERSION_1.replace("INNER", inner), limits)
    monkeypatch.setattr(module, "PROC", proc)
    assert processors() == expected


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, MANY),
        ({"OMP_NUM_THREADS": "3"}, 3),
        ({"OMP_NUM_THREADS": "4,2"}, 4),
        ({"OMP_NUM_THREADS": "1000"}, MANY),
        ({"OMP_NUM_THREADS": "many"}, MANY),
        ({"OMP_NUM_THREADS": "0"}, MANY),
        ({"OMP_NUM_THREADS": ""}, MANY),
        ({"LOCAL_WORLD_SIZE": "4"}, 16),
        ({"LOCAL_WORLD_SIZE": "100"}, 1),
        ({"LOCAL_WORLD_SIZE": "4", "OMP_NUM_THREADS": "1"}, 16),
    ],  # torchrun sets the latter
)
def test_the_default_number_of_threads(environment, expected, monkeypatch):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert default_threads() == expected


@pytest.mark.parametrize("value", ["0", "-1", "two", "", "1.5", "²"])
def test_a_number_of_processes_that_is_none_is_refused_by_name(value, monkeypatch):
    monkeypatch.setenv("LOCAL_WORLD_SIZE", value)
    with pytest.raises(
        UsageError, match="LOCAL_WORLD_SIZE in the environment must be a whole number >= 1, got"
    ):
        local_processes()


def test_the_default_is_not_that_of_the_moment():
    """A busy neighbour changes nothing."""
    before = default_threads()
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as neighbour:
        assert default_threads() == before
        neighbour.kill()


@pytest.fixture
def threads_restored():
    """One thread again, as for every test."""
    yield
    torch.set_num_threads(1)
    threadpoolctl.threadpool_limits(1, user_api="blas")


@pytest.mark.usefixtures("threads_restored")
def test_torch_and_numpy_use_as_many_threads_as_they_are_told():
    for threads in (2, 1):
        use_threads(threads)
        assert torch.get_num_threads() == threads
        libraries = [info for info in threadpoolctl.threadpool_info() if info["user_api"] == "blas"]
        assert libraries
        assert all(info["num_threads"] == threads for info in libraries)


@pytest.mark.usefixtures("threads_restored")
@pytest.mark.parametrize(
    ("ours", "threads", "environment", "message"),
    [
        (2, 2, {}, None),
        (1, 2, {}, "2 threads on 1 of our processors .* threads 1 "),
        (4, 2, {"LOCAL_WORLD_SIZE": "2"}, None),
        (4, 1, {"LOCAL_WORLD_SIZE": "8"}, None),
        (
            4,
            3,
            {"LOCAL_WORLD_SIZE": "2"},
            "3 threads in each of 2 processes on 4 of our processors .* threads 2 ",
        ),
        (4, 3, {"LOCAL_WORLD_SIZE": "2", "LOCAL_RANK": "1"}, None),
    ],  # the first process says it
)
def test_more_threads_than_processors_are_warned_of(
    ours, threads, environment, message, monkeypatch
):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(ours)), raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        use_threads(threads)
    assert len(said) == (message is not None)
    assert all(re.search(str(message), str(one.message)) for one in said)


def test_nobody_else_counts_processors():
    counts = re.compile(r"cpu_count|sched_getaffinity|hardware_concurrency|get_num_procs")
    sources = [
        path for package in ("stability", "toy", "deep") for path in (ROOT / package).rglob("*.py")
    ]
    assert len(sources) > 100
    assert [path.name for path in sources if counts.search(path.read_text())] == ["processors.py"]
