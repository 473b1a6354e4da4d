"""Tables of a run for the terminal."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from toy.metrics import NoiseFloor

__all__ = ["by_regime", "print_tables", "shown_generations"]

History = Sequence[Mapping[str, Any]]


def by_regime(history: History, quantity: str) -> dict[str, np.ndarray]:
    """A recorded quantity as (T + 1, S) arrays, generations by seeds, for each regime in the order of the run."""
    names = list(dict.fromkeys(chain["regime"] for chain in history[0]["chains"]))
    return {
        name: np.array([[c[quantity] for c in line["chains"] if c["regime"] == name] for line in history], dtype=float)
        for name in names
    }


def shown_generations(last: int) -> list[int]:
    """The generations that the paper shows (0, 10, 20, 50 in Figure 4) and 5, as far as they exist, and the last."""
    return sorted({t for t in (0, 5, 10, 20, 50) if t < last} | {last})


def print_tables(console: Console, history: History, floor: NoiseFloor) -> None:
    """What each row trained on, and its distances to the truth, with mean ± sd over seeds where there are several."""
    regimes = by_regime(history, "w1")
    if len(regimes) == 1:
        _print_generations(console, history, floor)
    else:
        _print_data(console, history)
        for quantity, title, noise in (("w1", "W1", floor.w1), ("w2", "W2", floor.w2)):
            _print_distances(console, history, quantity, title, noise)


def _table(title: str) -> Table:
    return Table(
        title=title, box=SIMPLE_HEAD, pad_edge=False, collapse_padding=True, title_style="bold", caption_style=""
    )


def _mean_sd(values: np.ndarray) -> str:
    return f"{values.mean():.3f}" + (f" ± {values.std(ddof=1):.3f}" if len(values) > 1 else "")


def _floor(noise: tuple[float, float]) -> str:
    return f"{noise[0]:.3f} ± {noise[1]:.3f}"


def _lambda(chain: Mapping[str, Any]) -> str:
    return "∞" if chain["lambda"] is None else f"{chain['lambda']:g}"


def _print_generations(console: Console, history: History, floor: NoiseFloor) -> None:
    first = history[0]["chains"][0]
    seeds = len(history[0]["chains"])
    table = _table(f"{first['regime']}, {seeds} seed{'s' if seeds > 1 else ''}: distance to the truth")
    for column in ("t", "n", "m", "λ = m/n", "m/(n+m)", "W1", "W2", "‖θ − θ₀‖"):
        table.add_column(column, justify="right")
    for line in history:
        chain = line["chains"][0]
        values = [_mean_sd(np.array([c[q] for c in line["chains"]])) for q in ("w1", "w2", "parameter_distance")]
        row = [str(line["t"]), str(chain["n"]), str(chain["m"]), _lambda(chain), f"{chain['share']:.3f}", *values]
        table.add_row(*row)
    table.caption = f"n real and m synthetic points; noise floor W1 {_floor(floor.w1)}, W2 {_floor(floor.w2)}"
    console.print(table)


def _print_data(console: Console, history: History) -> None:
    table = _table(f"what generation {history[-1]['t']} was trained on")
    for column in ("regime", "n real", "m synthetic", "λ = m/n", "share m/(n+m)", "seeds"):
        table.add_column(column, justify="left" if column == "regime" else "right")
    chains = history[-1]["chains"]
    for name in by_regime(history, "w1"):
        own = [c for c in chains if c["regime"] == name]
        share = f"{own[0]['share']:.3f}"
        table.add_row(name, str(own[0]["n"]), str(own[0]["m"]), _lambda(own[0]), share, str(len(own)))
    console.print(table)


def _print_distances(console: Console, history: History, quantity: str, title: str, noise: tuple[float, float]) -> None:
    shown = shown_generations(len(history) - 1)
    table = _table(f"{title} to the truth after t retrainings")
    table.caption = f"noise floor {_floor(noise)}"
    table.add_column("regime")
    for t in shown:
        table.add_column(f"t = {t}", justify="right")
    for name, values in by_regime(history, quantity).items():
        table.add_row(name, *(_mean_sd(values[t]) for t in shown))
    console.print(table)
