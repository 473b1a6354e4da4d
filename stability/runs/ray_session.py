"""Ray as a grid of runs sees it: tasks go in and outcomes come out; the grid survives Ray's death.

Ray's death can abort the process that talks to it. So that is a process of its own: `RaySession`
starts it and hears from it, and this module is its program. The two exchange lines of JSON.
"""

import dataclasses
import json
import logging
import os
import queue
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from stability.runs.attached import ProcessExit, run_attached

__all__ = ["RayLostError", "RayRefusedError", "RaySession", "Resources", "Task", "socket_folder"]

ANSWER_SECONDS = 10.0
FAREWELL_SECONDS = 30.0  # for Ray to stop what it started
LOOK_SECONDS = 0.2
PROBE_SECONDS = 30.0
SETTLE_SECONDS = 1.0  # within which what dies with a raylet has died
DISCOVER_SECONDS = 5.0
OBJECT_STORE = 100 * 2**20  # bytes; what passes through Ray are short strings
QUIET = logging.ERROR

# A socket's path has at most 107 bytes (103 on macOS). Ray adds
# /session_2026-01-01_00-00-00_000000_4194304/sockets/plasma_store to the folder, and we add
# /ray-xxxxxxxx to the base.
_LONGEST_BASE = 103 - 66 - 13


class RayLostError(Exception):
    """Ray died, or the process that talks to it; what was at work is to be done again."""


class RayRefusedError(Exception):
    """Ray cannot be started, or there is none at the address."""


@dataclass(frozen=True)
class Resources:
    """Processor cores and GPUs: of a run, or of a machine."""

    cpus: float
    gpus: float


@dataclass(frozen=True)
class Task:
    """A program for `run_attached`; paths as strings."""

    arguments: list[str]
    folder: str
    log: str
    cwd: str


@contextmanager
def socket_folder() -> Iterator[Path]:
    """A new folder for the files of a Ray of our own, whose path is short enough for sockets;
    removed at the end.

    In RAY_TMPDIR or TMPDIR, or, where these are too long (SLURM), in XDG_RUNTIME_DIR or /tmp.

    Raises:
        RayRefusedError: If there is no such folder that can be written.
    """
    bases = [
        os.environ.get("RAY_TMPDIR"),
        tempfile.gettempdir(),
        os.environ.get("XDG_RUNTIME_DIR"),
        "/tmp",
    ]

    for base in bases:
        if not base or len(os.fsencode(base)) > _LONGEST_BASE:
            continue
        with suppress(OSError):
            folder = Path(tempfile.mkdtemp(prefix="ray-", dir=base))
            break
    else:
        raise RayRefusedError(
            "Ray's sockets need a folder that can be written, with a path of at most "
            f"{_LONGEST_BASE} bytes: "
            "set RAY_TMPDIR to one"
        )

    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class RaySession:
    """A Ray of our own, or one that is joined: from `start` to the end of a block.

    Args:
        address: Of the Ray to join, host:port or auto; None: start one.
        each: What Ray sets aside for a task.
        cpus: Processor cores of a Ray of our own.
        folder: Of the files of a Ray of our own; see `socket_folder`.
        log: File to which the process adds what it prints.

    Raises:
        RayRefusedError: From `start`, if Ray cannot be started or joined.
        RayLostError: From any method, if Ray died.
    """

    def __init__(
        self, address: str | None, each: Resources, cpus: int, folder: Path, log: Path
    ) -> None:
        self._order = {
            "address": address,
            "each": dataclasses.asdict(each),
            "cpus": cpus,
            "folder": str(folder),
        }
        self._log = log
        self._said: queue.Queue[dict[str, Any] | None] = queue.Queue()
        self.machines: list[Resources] = []

    def start(self) -> None:
        """Start or join Ray; `machines` is known then."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "stability.runs.ray_session"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env=os.environ | _settings(own=self._order["address"] is None),
                # Ctrl-C is for the sweep; all that Ray starts is known by this session
                start_new_session=True,
            )
        self._listener = threading.Thread(
            target=self._listen, args=(self._process.stdout,), daemon=True
        )
        self._listener.start()
        try:
            self._say(self._order)
            self.machines = [Resources(**machine) for machine in self._hear(None)["machines"]]
        except BaseException:
            self._end()
            raise

    def __enter__(self) -> "RaySession":
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        if kind is None or not issubclass(kind, RayLostError):
            with suppress(OSError, subprocess.TimeoutExpired):
                assert self._process.stdin
                self._process.stdin.close()  # says farewell
                self._process.wait(FAREWELL_SECONDS)
        self._end()

    def submit(self, name: str, task: Task) -> None:
        """Let Ray run the task; `ended` gives its outcome under this name.

        Args:
            name: Name of the task.
            task: Task to run.
        """
        self._say({"name": name, "task": dataclasses.asdict(task)})

    def ended(self, timeout: float) -> tuple[str, ProcessExit] | None:
        """Wait for a task to end.

        Args:
            timeout: Longest wait, in seconds.

        Returns:
            Name and outcome of a task that has ended; None if none did in time.

        Raises:
            RayLostError: If Ray, or the process that talks to it, ended.
            RayRefusedError: If Ray refused.
        """
        with suppress(queue.Empty):
            said = self._hear(timeout)
            return said["name"], ProcessExit(said["code"], said["message"])
        return None

    def _say(self, message: Mapping[str, Any]) -> None:
        assert self._process.stdin
        try:
            self._process.stdin.write(json.dumps(message).encode() + b"\n")
            self._process.stdin.flush()
        except OSError:  # nobody listens: the reason is among what was said
            pass

    def _hear(self, timeout: float | None) -> dict[str, Any]:
        said = self._said.get(timeout=timeout)
        if said is None:
            raise RayLostError("the process that talks to Ray ended")
        if "refused" in said:
            raise RayRefusedError(said["refused"])
        if "lost" in said:
            raise RayLostError(said["lost"])
        return said

    def _listen(self, lines: IO[bytes]) -> None:
        for line in lines:
            self._said.put(json.loads(line))
        self._said.put(None)

    def _end(self) -> None:
        """End all that was started in the session: runs are told to (torchrun hands that on),
        then all are killed.
        """
        # on Windows the first signal ends a process already
        for number in (signal.SIGTERM, getattr(signal, "SIGKILL", signal.SIGTERM)):
            for process in (found := _of_session(self._process.pid)):
                with suppress(ProcessLookupError, PermissionError):
                    os.kill(process, number)
            deadline = time.monotonic() + ANSWER_SECONDS
            while found and _of_session(self._process.pid) and time.monotonic() < deadline:
                self._process.poll()
                time.sleep(LOOK_SECONDS)
        self._process.wait()

        self._listener.join(ANSWER_SECONDS)
        for pipe in (self._process.stdin, self._process.stdout):
            with suppress(OSError):  # what was not written yet has no reader
                assert pipe
                pipe.close()


def _of_session(session: int) -> list[int]:
    """Numbers of the processes of a session, those that have ended not counted."""
    import psutil  # comes with Ray's extra

    if not hasattr(os, "getsid"):  # Windows has no sessions, but knows who started whom
        with suppress(psutil.Error):
            mother = psutil.Process(session)
            return [one.pid for one in (*mother.children(recursive=True), mother)]
        return []

    found = []
    for process in psutil.process_iter():
        with suppress(ProcessLookupError, PermissionError, psutil.Error):
            if os.getsid(process.pid) == session and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process.pid)
    return found


def _settings(own: bool) -> dict[str, str]:
    """Environment of the process that talks to Ray, beside ours."""
    settings = {"RAY_USAGE_STATS_ENABLED": "0"}  # reports nothing to anyone
    # nobody else may run code in it; without our own token it leaves one in the home folder
    if own:
        settings |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    return {name: value for name, value in settings.items() if name not in os.environ}


# From here on: the process that talks to Ray.


def _serve(say: Callable[..., None], orders: "queue.Queue[dict[str, Any] | None]") -> None:
    """Start or join Ray, then run what is ordered, until there is nobody who orders."""
    order = orders.get()
    assert order
    import ray

    try:
        _start(ray, order)
    except Exception as error:  # whatever Ray raises, there is none
        say(refused=" ".join(str(error).split()) or type(error).__name__)
        return

    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    say(machines=[{"cpus": node.get("CPU", 0), "gpus": node.get("GPU", 0)} for node in nodes])
    health = _Own() if order["address"] is None else _Joined(ray)
    _work(ray, Resources(**order["each"]), say, orders, health)
    ray.shutdown()


def _start(ray: Any, order: Mapping[str, Any]) -> None:
    if order["address"] is None:
        ray.init(
            "local",
            num_cpus=order["cpus"],
            include_dashboard=False,
            object_store_memory=OBJECT_STORE,
            log_to_driver=False,
            logging_level=QUIET,
            _temp_dir=order["folder"],
        )
    else:
        _require_answer(order["address"])
        ray.init(order["address"], log_to_driver=False, logging_level=QUIET)


def _require_answer(address: str) -> None:
    """OSError unless somebody is there: Ray itself would try for more than ten minutes."""
    if address != "auto":
        host, _, port = address.rpartition(":")
        if not host or not port.isdecimal():
            raise ValueError("must be auto or host:port")
        socket.create_connection((host, int(port)), timeout=ANSWER_SECONDS).close()


def _work(
    ray: Any,
    each: Resources,
    say: Callable[..., None],
    orders: "queue.Queue[dict[str, Any] | None]",
    health: "_Own | _Joined",
) -> None:
    """Submit what is ordered, say what ended.

    Ray itself repeats nothing: how often is counted by the sweep.
    """
    remote = ray.remote(
        num_cpus=each.cpus,
        num_gpus=each.gpus,
        max_retries=0,
        max_calls=1,  # a process a run: what one leaves behind in it, another does not find
    )(run_attached)
    at_work: dict[Any, str] = {}

    while True:
        with suppress(queue.Empty):
            while True:
                order = orders.get(timeout=0 if at_work else LOOK_SECONDS)
                if order is None:
                    return
                task = Task(**order["task"])
                paths = Path(task.folder), Path(task.log), Path(task.cwd)
                at_work[remote.remote(task.arguments, *paths)] = order["name"]

        ended, _ = ray.wait(list(at_work), timeout=LOOK_SECONDS) if at_work else ([], [])
        for one in ended:
            outcome, doubtful = _outcome(ray, one)
            if doubtful:
                health.require_after_a_death()
            say(name=at_work.pop(one), code=outcome.code, message=outcome.message)
        health.require()


def _outcome(ray: Any, task: Any) -> tuple[ProcessExit, bool]:
    """Return the outcome of a task, and False; if Ray lost its process or machine, that it died,
    and True: Ray itself may have.
    """
    try:
        return ray.get(task), False
    except ray.exceptions.RayTaskError as error:  # run_attached raised: OSError
        return ProcessExit(1, str(error.cause)), False
    except ray.exceptions.RayError as error:
        return ProcessExit(1, str(error).strip().splitlines()[0]), True


class _Own:
    """Health of a Ray that this process started: its control service, its raylet and the
    raylet's agents live.
    """

    def __init__(self) -> None:
        self._parts: dict[int, Any] = {}
        self._discover_at = 0.0

    def require(self) -> None:
        import psutil

        for part in self._parts.values():
            try:
                ended = part.status() == psutil.STATUS_ZOMBIE
            except psutil.NoSuchProcess:
                ended = True
            if ended:
                raise RayLostError("a process of Ray died")
        if time.monotonic() >= self._discover_at:
            self._discover_at = time.monotonic() + DISCOVER_SECONDS
            for process in psutil.Process().children(recursive=True):
                with suppress(psutil.NoSuchProcess):
                    name = process.name()
                    if name in ("gcs_server", "raylet") or "Agent" in name:
                        self._parts[process.pid] = process

    def require_after_a_death(self) -> None:
        """Was it Ray that died, or the task?"""
        time.sleep(SETTLE_SECONDS)
        self.require()


class _Joined:
    """Health of a Ray that somebody else started: it knows this machine, and runs a task that does
    nothing.

    A cluster that died and came back at the same address answers, but knows nothing of what was
    submitted.
    """

    def __init__(self, ray: Any) -> None:
        self._ray = ray
        self._nothing = ray.remote(num_cpus=0, max_retries=0)(_nothing)
        self._node = ray.get_runtime_context().get_node_id()
        self._look_at = 0.0

    def require(self) -> None:
        if time.monotonic() < self._look_at:
            return
        self._look_at = time.monotonic() + DISCOVER_SECONDS
        try:
            known = {node["NodeID"] for node in self._ray.nodes() if node["Alive"]}
        except Exception as error:  # of any of Ray's layers: there is no answer
            raise RayLostError(" ".join(str(error).split())) from None
        if self._node not in known:
            raise RayLostError("the cluster does not know this machine any more")

    def require_after_a_death(self) -> None:
        """Find out whether Ray died or the task alone. A Ray that is busy is alive.

        Raises:
            RayLostError: If it was Ray.
        """
        try:
            self._ray.get(self._nothing.remote(), timeout=PROBE_SECONDS)
        except self._ray.exceptions.GetTimeoutError:
            pass
        except self._ray.exceptions.RayError as error:
            raise RayLostError(str(error).strip().splitlines()[0]) from None
        self._look_at = 0.0
        self.require()


def _nothing() -> None:
    pass


def _main() -> None:
    """Lines in from standard input, lines out to standard output; what Ray prints goes to
    standard error.
    """
    answers = os.fdopen(os.dup(1), "w", buffering=1, encoding="utf-8")
    os.dup2(2, 1)
    orders: queue.Queue[dict[str, Any] | None] = queue.Queue()

    def listen() -> None:
        for line in sys.stdin:
            orders.put(json.loads(line))
        orders.put(None)

    def say(**message: Any) -> None:
        answers.write(json.dumps(message) + "\n")

    threading.Thread(target=listen, daemon=True).start()
    try:
        _serve(say, orders)
    except RayLostError as lost:
        say(lost=str(lost))
        os._exit(1)  # to stop a Ray that is dead takes it minutes


if __name__ == "__main__":
    _main()
