import os
import subprocess
import sys
from pathlib import Path

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
