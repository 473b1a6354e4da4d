import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from stability.runs.figure_style import (
    FULLY_SYNTHETIC,
    Figure,
    figure_style,
    log_scale,
    regime_looks,
    save_figure,
)

ROOT = Path(__file__).parents[3]
MODULES = sorted(
    path for package in ("stability", "toy", "deep") for path in (ROOT / package).rglob("*.py")
)
USE = (
    "import stability.runs.figure_style, matplotlib, os; print(matplotlib.rcParams['backend'], "
    "os.environ['MPLBACKEND'])"
)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_matplotlib_is_imported_in_one_place(path):
    """Elsewhere, a backend that is missing would stop the import."""
    if path.name == "figure_style.py":
        pytest.skip("imports it")
    lines = path.read_text(encoding="utf-8").splitlines()
    assert not [
        line for line in lines if line.strip().startswith(("import matplotlib", "from matplotlib"))
    ]


@pytest.mark.parametrize(
    ("backend", "used"),
    [
        ("module://matplotlib_inline.backend_inline", None),
        ("module://nobody_has.this", None),
        ("no such backend", None),
        ("svg", "svg"),
        ("agg", "agg"),
    ],
)
def test_a_backend_that_is_missing_is_passed_over_and_any_other_kept(backend, used):
    done = subprocess.run(
        [sys.executable, "-c", USE],
        env=os.environ | {"MPLBACKEND": backend},
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    found, kept = done.stdout.strip().split(" ", 1)
    assert kept == backend
    assert used in (None, found)


def test_looks_tell_any_number_of_regimes_apart():
    for count in (1, 7, 8, 30):
        names = [*(f"λ = {k}" for k in range(count)), "fully synthetic"]
        looks = regime_looks(names)
        assert list(looks) == names
        assert looks["fully synthetic"] == FULLY_SYNTHETIC
        colours = [tuple(np.atleast_1d(look["color"]).tolist()) for look in looks.values()]
        assert len(set(colours)) == count + 1


def test_a_figure_has_the_same_bytes_a_day_later(tmp_path, monkeypatch):
    def written(name, day):
        monkeypatch.setenv("SOURCE_DATE_EPOCH", str(86_400 * day))  # what Matplotlib takes for now
        with figure_style():
            figure = Figure()
            figure.subplots().plot([1, 2])
            return [path.read_bytes() for path in save_figure(figure, tmp_path / name)]

    assert written("one", 1) == written("two", 2)


@pytest.mark.parametrize(("values", "plain"), [([0.94, 1.02], True), ([0.01, 100.0], False)])
def test_a_narrow_logarithmic_axis_has_plain_numbers(values, plain):
    figure = Figure()
    axes = figure.subplots()
    axes.plot(values)
    assert log_scale(axes)
    figure.draw_without_rendering()
    ticks = [*axes.get_yticklabels(which="minor"), *axes.get_yticklabels()]
    shown = [tick.get_text() for tick in ticks if tick.get_text()]
    assert shown
    assert plain == all(text.replace(".", "").isdigit() for text in shown)
