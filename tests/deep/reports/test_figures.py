"""Figures of runs of deep.retrain: whatever the runs are like, all is drawn and every name is
whole.
"""

import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from deep.reports.figures import FIGURES, REAL_IMAGES, SCORES, metrics_over_generations
from deep.reports.found_runs import find_settings
from deep.retraining.figures import draw_figures
from stability.loop.regimes import Accumulate, FreshReal, FullySynthetic, Mix, Subsample
from stability.runs.figure_style import figure_style
from stability.runs.study_file import write_study_file
from tests.support.figures import clipped, overlapping
from tests.support.found_runs import study_of_made_up_runs, write_run

LONG = (FreshReal(0.123), Subsample(Accumulate(0.001)), Mix(1.0), FullySynthetic())


def setting_of(folder, **options):
    write_run(folder, **options)
    (setting,) = find_settings(folder)
    return setting


def rename(folder, name):
    """Another name for the first regime, as a file from elsewhere may have it."""
    path = folder / "history.jsonl"
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    for line in lines:
        line["chains"][0]["regime"] = {"own": {"name": name, "kind": "Own", "lam": None}}
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")


@pytest.mark.parametrize("name", FIGURES)
def test_long_names_are_whole(name, tmp_path):
    setting = setting_of(tmp_path, regimes=LONG)
    with figure_style():
        figure = FIGURES[name].draw(setting)
    assert figure is not None
    assert clipped(figure) == []
    assert overlapping(figure) == []


@pytest.mark.parametrize("name", ["$\\frac{$", "λ = " + "9" * 3000, "_two\nlines"])
def test_names_from_elsewhere_are_drawn_as_they_are(name, tmp_path, monkeypatch):
    """The reader refuses such names; figures can draw them all the same."""
    monkeypatch.setattr("stability.runs.history.name", str)
    monkeypatch.setattr("stability.loop.regime_data.LONGEST_NAME", 10**4)
    monkeypatch.setattr("deep.reports.found_runs._is_drawable", lambda name: True)
    write_run(tmp_path, generations=2)
    rename(tmp_path, name)
    (setting,) = find_settings(tmp_path)
    with figure_style():
        for draw, _ in FIGURES.values():
            figure = draw(setting)
            assert figure is not None
            assert clipped(figure) == []


@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 5, 7)])
def test_one_generation_of_any_images_is_drawn(shape, tmp_path, rng):
    write_run(tmp_path, generations=1)
    images = rng.integers(0, 256, (2, 5, *shape), dtype=np.uint8)
    np.savez(tmp_path / "samples" / "grid-0000.npz", images=images)
    (setting,) = find_settings(tmp_path)
    with figure_style():
        for draw, _ in FIGURES.values():
            figure = draw(setting)
            assert figure is not None
            assert clipped(figure) == []
    written = draw_figures(tmp_path)
    assert all(path.stat().st_size for path in written)
    with Image.open(tmp_path / "figures" / "samples.gif") as movie:
        assert getattr(movie, "n_frames", 1) == 1


def test_values_that_do_not_vary_are_drawn(tmp_path):
    """Nothing learned: weights stay, and every distance is 0."""
    write_run(tmp_path, generations=2)
    path = tmp_path / "history.jsonl"
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    for line in lines:
        for chain in line["chains"]:
            chain["measured"] = dict.fromkeys(chain["measured"], 0.0) | {"parameters": 100}
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    write_study_file(tmp_path, replace(study_of_made_up_runs(), floors={}))
    (setting,) = find_settings(tmp_path)
    with figure_style():
        for draw, _ in FIGURES.values():
            figure = draw(setting)
            assert figure is not None
            assert clipped(figure) == []


def test_only_distances_have_a_noise_floor(tmp_path):
    figure = metrics_over_generations(setting_of(tmp_path))
    for axes in figure.axes:
        labels = {line.get_label() for line in axes.lines}
        score = axes.get_ylabel().startswith(SCORES)
        assert (REAL_IMAGES in labels, "noise floor" in labels) == (score, not score)


def test_captions_are_sentences_for_readers():
    for _, caption in FIGURES.values():
        assert caption.endswith(".")
        assert "None" not in caption
