"""The notebooks of the documentation run from their first cell to their last."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "docs" / "notebooks").glob("*.ipynb"))
EXECUTE = """
import sys, nbformat
from nbclient import NotebookClient
notebook = nbformat.read(sys.argv[1], as_version=4)
NotebookClient(notebook, timeout=300, kernel_name="python3").execute()
nbformat.write(notebook, sys.argv[1])
"""


def executed(notebook, folder):
    """Outputs of its cells of code; a process of its own talks to the kernel over sockets."""
    shutil.copytree(notebook.parent, folder, dirs_exist_ok=True)
    environment = os.environ | {"PYTHONPATH": str(ROOT), "JUPYTER_PLATFORM_DIRS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", EXECUTE, notebook.name],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    cells = json.loads((folder / notebook.name).read_text(encoding="utf-8"))["cells"]
    return [cell["outputs"] for cell in cells if cell["cell_type"] == "code"]


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.name)
def test_a_notebook_runs_and_every_result_is_shown(notebook, tmp_path):
    pytest.importorskip("nbclient")
    outputs = executed(notebook, tmp_path)
    kinds = {kind for cell in outputs for one in cell for kind in one.get("data", {})}
    assert {"text/html", "image/png"} <= kinds  # a table and a figure
    assert not any(one["output_type"] == "error" for cell in outputs for one in cell)
    assert (tmp_path / "runs" / "customers" / "report.html").is_file()


def test_notebooks_are_stored_without_outputs():
    assert NOTEBOOKS
    for notebook in NOTEBOOKS:
        cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
        assert not any(cell.get("outputs") for cell in cells)
