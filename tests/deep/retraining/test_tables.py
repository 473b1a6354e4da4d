"""Tables of a run of deep.retrain fit a terminal of 80 columns without cutting a word."""

from types import SimpleNamespace
from typing import Any

from rich.console import Console

from deep.retraining.tables import _metrics
from stability.runs.observer import Floor

NAMES = ("fd", "kd", "precision", "recall", "density", "coverage", "w2")


def study() -> Any:
    about = {"features": "digits-encoder", "images": 898, "reference": "train"}
    quantities = [SimpleNamespace(key=name, about={**about, "metric": name}) for name in NAMES]
    floors = dict.fromkeys(NAMES, Floor(0.8713, 0.0113, 9))
    return SimpleNamespace(quantities=quantities, floors=floors, floor=floors.get)


def history() -> Any:
    chains = [
        SimpleNamespace(row=row, measured=dict.fromkeys(NAMES, -0.012345))
        for row in ("λ = 1", "fully synthetic")
    ]
    return [SimpleNamespace(t=t, chains=chains) for t in range(6)]


def test_no_word_is_cut(capsys):
    console = Console(width=80)
    console.print(_metrics(history(), study(), (898, "train", 898), NAMES))
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    words = " ".join(lines).split()
    assert {*NAMES, "synthetic", "-0.0123", "0.871"} <= set(words)
    assert not any("…" in line for line in lines)
