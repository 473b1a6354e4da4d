import os
import subprocess
import sys
from pathlib import Path

import pytest

from stability.machine.compiled import compiled

ROOT = Path(__file__).parents[3]
CALL = """
import sys
sys.path.append({root!r})
import numba.core.caching as caching
for cache in [one for one in vars(caching).values() if hasattr(one, "_locator_classes")]:
    names = cache._locator_classes
    cache._locator_classes = [one for one in names if "UserProvided" in one.__name__]
import kernel
print(kernel.twice(21))
"""
KERNEL = """
from stability.machine.compiled import compiled
@compiled()
def twice(x):
    return 2 * x
"""


def test_a_compiled_function_computes_what_it_says():
    @compiled(fastmath=True)
    def twice(x):
        return 2 * x

    assert twice(21) == twice.py_func(21) == 42


def test_without_a_folder_for_machine_code_it_is_kept_among_temporary_files(tmp_path):
    (tmp_path / "kernel.py").write_text(KERNEL)
    environment = os.environ | {"TMPDIR": str(tmp_path)}
    environment.pop("NUMBA_CACHE_DIR", None)
    done = subprocess.run(
        [sys.executable, "-c", CALL.format(root=str(ROOT))],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.stdout == "42\n", done.stderr
    assert list(tmp_path.glob("iterative-retraining-*/numba/**/kernel.twice*.nbi"))


@pytest.mark.parametrize("module", ["deep.networks.norm_silu_cpu", "toy.learners.temporal_cpu"])
def test_threads_of_compiled_code_leave_those_of_torch_as_they_are(module):
    """By itself numba sets torch's threads to its own number, where both share one OpenMP."""
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "import torch\n"
            "torch.set_num_threads(1)\n"
            "torch.get_num_threads()\n"  # as its operations do, sets the number once for all
            f"import {module}, numba\n"
            "print(torch.get_num_threads(), numba.get_num_threads())",
        ],
        env=os.environ | {"NUMBA_NUM_THREADS": "3"},
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.stdout == "1 3\n", done.stderr
