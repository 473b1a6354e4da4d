"""Sockets of a Ray of our own, and the notice of its death.

What a sweep makes of it: test_sweep.py.
"""

import os
import subprocess
import sys
import tempfile
from types import SimpleNamespace

import pytest

from stability.runs import ray_session
from stability.runs.ray_session import RayLostError, RayRefusedError, socket_folder

SOCKET = "session_2026-01-01_00-00-00_000000_4194304/sockets/plasma_store"  # as Ray names it
LONGEST = 103  # bytes of a socket's path, on every system


@pytest.fixture(autouse=True)
def folders(monkeypatch):
    """Environment of a usual machine."""
    for name in ("RAY_TMPDIR", "TMPDIR", "XDG_RUNTIME_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(tempfile, "tempdir", None)  # it is kept from its first use
    yield
    monkeypatch.setattr(tempfile, "tempdir", None)


@pytest.mark.parametrize("variable", ["RAY_TMPDIR", "TMPDIR"])
@pytest.mark.parametrize("length", [20, 90])
def test_the_path_is_short_enough_for_sockets_and_the_users_choice_where_that_is(
    variable, length, monkeypatch
):
    with tempfile.TemporaryDirectory(dir="/tmp") as base:
        chosen = os.path.join(base, "x" * (length - len(base) - 1))  # noqa: PTH118  # compared with text
        os.mkdir(chosen)  # noqa: PTH102
        monkeypatch.setenv(variable, chosen)
        monkeypatch.setattr(tempfile, "tempdir", None)
        with socket_folder() as folder:
            assert folder.is_dir()
            assert len(os.fsencode(folder / SOCKET)) <= LONGEST
            assert (str(folder.parent) == chosen) == (length == 20)
        assert not folder.exists()


def test_where_no_folder_will_do_the_line_says_which_variable_to_set(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "mkdtemp", lambda **_: (_ for _ in ()).throw(PermissionError()))
    with pytest.raises(RayRefusedError, match="set RAY_TMPDIR to one"), socket_folder():
        pass


def test_a_part_of_our_own_ray_that_died_is_noticed():
    pytest.importorskip("psutil")
    health = ray_session._Own()
    code = (
        "import ctypes, time; ctypes.CDLL(None).prctl(15, b'raylet'); print(flush=True); "
        "time.sleep(600)"
    )
    if sys.platform != "linux":
        pytest.skip("needs Linux's PR_SET_NAME")
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as raylet:
        assert raylet.stdout
        raylet.stdout.readline()
        health.require()
        health.require()
        raylet.kill()
        os.waitid(os.P_PID, raylet.pid, os.WEXITED | os.WNOWAIT)  # a zombie, as Ray's are
        with pytest.raises(RayLostError, match="a process of Ray died"):
            health.require()


@pytest.mark.parametrize(
    ("nodes", "lost"),
    [
        ([("a", True), ("b", True)], False),
        ([("a", False), ("b", True)], True),  # its raylet died
        ([("c", True)], True),  # another cluster at the same address
    ],
)
def test_a_cluster_that_does_not_know_us_is_lost(nodes, lost):
    ray = SimpleNamespace(
        remote=lambda **_: lambda function: function,
        get_runtime_context=lambda: SimpleNamespace(get_node_id=lambda: "a"),
        nodes=lambda: [{"NodeID": node, "Alive": alive} for node, alive in nodes],
    )
    health = ray_session._Joined(ray)
    if lost:
        with pytest.raises(RayLostError, match="does not know this machine"):
            health.require()
    else:
        health.require()
