import resource
import subprocess
import sys
from pathlib import Path

import pytest

from stability.runs.command_line import UsageError
from stability.runs.memory_limit import Need, memory_limit, require_memory

ROOT = Path(__file__).parents[3]
PRINT = "from stability.runs.memory_limit import memory_limit; print(memory_limit())"
LIMIT = 20 * 2**30


def group(folder, content):
    """A folder like /proc/self of a process whose control group has this memory limit."""
    (folder / "proc").mkdir()
    (folder / "sys").mkdir()
    (folder / "proc" / "cgroup").write_text("0::/\n")
    (folder / "proc" / "mountinfo").write_text(
        f"30 20 0:1 / {folder}/sys rw - cgroup2 cgroup2 rw\n"
    )
    (folder / "sys" / "memory.max").write_text(content)
    return folder / "proc"


def test_the_limit_of_a_container_counts(tmp_path):
    assert memory_limit(group(tmp_path, "123456\n")) == 123456


def test_a_container_without_a_limit_has_the_memory_of_the_machine(tmp_path):
    assert (
        2**20 < memory_limit(group(tmp_path, "max\n")) <= memory_limit(tmp_path / "no such folder")
    )


def test_the_limit_of_ulimit_counts():
    done = subprocess.run(
        [sys.executable, "-c", PRINT],
        cwd=ROOT,
        capture_output=True,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_DATA, (LIMIT, LIMIT)),
    )
    assert 0 < float(done.stdout) <= LIMIT, done.stderr


def test_what_fits_passes_and_what_does_not_is_refused_by_its_largest_part():
    limit = memory_limit()
    require_memory([Need("one half", "--a", limit / 2), Need("less", "--b", limit / 4)])
    with pytest.raises(
        UsageError, match=r"^--b: this takes at least .* GB, of which .* GB for the rest; there are"
    ) as caught:
        require_memory([Need("one half", "--a", limit / 2), Need("the rest", "--b", limit)])
    assert "\n" not in str(caught.value)
