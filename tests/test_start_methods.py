"""No process is forked: a fork copies locks and the threads of OpenMP in an unusable state."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("stability", "toy", "deep", "benchmarks")

MODULES = ("multiprocessing", "torch.multiprocessing")
OF_THE_MODULE = ("Pool", "Process", "Manager")
"""With the start method of the platform: fork on Linux, before Python 3.14."""


def forks(source: str) -> Iterator[str]:
    """Each call that forks, or may, as LINE: NAME."""
    tree = ast.parse(source)
    full = _imported(tree)
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        name = _dotted(node.func, full)
        if _may_fork(name, node):
            yield f"{node.lineno}: {name}"


def _imported(tree: ast.AST) -> dict[str, str]:
    """Full names of what the module imports, by the names that it has there."""
    full = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            full |= {name.asname: name.name for name in node.names if name.asname}
        elif isinstance(node, ast.ImportFrom):
            full |= {name.asname or name.name: f"{node.module}.{name.name}" for name in node.names}
    return full


def _dotted(function: ast.expr, full: dict[str, str]) -> str:
    """The name of what is called; of a call's result the last part alone."""
    match function:
        case ast.Name(id=name):
            return full.get(name, name)
        case ast.Attribute(value=value, attr=name):
            return f"{_dotted(value, full)}.{name}"
    return "…"


def _may_fork(name: str, call: ast.Call) -> bool:
    module, _, last = name.rpartition(".")
    given = {keyword.arg: keyword.value for keyword in call.keywords}
    if last in ("get_context", "set_start_method"):
        chosen = call.args[0] if call.args else given.get("method")
        return not (isinstance(chosen, ast.Constant) and chosen.value in ("spawn", "forkserver"))
    if module in MODULES and last in OF_THE_MODULE:
        return True
    if last == "ProcessPoolExecutor":
        return len(call.args) < 2 and "mp_context" not in given
    if last == "DataLoader":
        workers = given.get("num_workers", ast.Constant(0))
        none = isinstance(workers, ast.Constant) and workers.value == 0
        return not none and "multiprocessing_context" not in given
    if last == "Popen" or module == "subprocess":
        return "preexec_fn" in given  # runs Python between fork and exec
    return module in ("os", "pty") and last in ("fork", "forkpty")


def test_no_process_is_forked():
    files = [file for package in PACKAGES for file in (ROOT / package).rglob("*.py")]
    assert len(files) > 100
    found = {
        f"{file.relative_to(ROOT)}:{line}"
        for file in files
        for line in forks(file.read_text(encoding="utf-8"))
    }
    assert not found


@pytest.mark.parametrize(
    "source",
    [
        "import os; os.fork()",
        "import os as system; system.forkpty()",
        "from os import fork as split; split()",
        "import multiprocessing; multiprocessing.Pool(2)",
        "from multiprocessing import Process; Process(target=print)",
        "import torch.multiprocessing as mp; mp.Process(target=print)",
        "import multiprocessing as mp; mp.get_context('fork').Pool(2)",
        "import multiprocessing as mp; mp.get_context().Pool(2)",
        "import multiprocessing as mp; mp.get_context(method='fork')",
        "import multiprocessing as mp; mp.set_start_method('fork')",
        "from concurrent.futures import ProcessPoolExecutor; ProcessPoolExecutor(2)",
        "import concurrent.futures; concurrent.futures.ProcessPoolExecutor(max_workers=2)",
        "from torch.utils.data import DataLoader; DataLoader(x, num_workers=2)",
        "import subprocess; subprocess.Popen(['x'], preexec_fn=print)",
    ],
)
def test_whatever_forks_is_found(source):
    assert len(list(forks(source))) == 1


@pytest.mark.parametrize(
    "source",
    [
        "import multiprocessing as mp; mp.get_context('spawn').Pool(2)",
        "from multiprocessing import get_context; get_context('forkserver').Process()",
        "from concurrent.futures import ProcessPoolExecutor as P; P(2, mp_context=context)",
        "from concurrent.futures import ThreadPoolExecutor; ThreadPoolExecutor(2)",
        "from torch.utils.data import DataLoader; DataLoader(x, num_workers=0)",
        "import subprocess; subprocess.run(['x'])",
        "import psutil; psutil.Process(1)",
    ],
)
def test_whatever_does_not_fork_is_left_alone(source):
    assert not list(forks(source))
