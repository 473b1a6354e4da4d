"""Tables of a run for the terminal."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from toy.measures.metrics import DISTANCES, NoiseFloor, Quantity

__all__ = ["by_regime", "print_tables", "shown_generations"]

MOST_COLUMNS = 4  # of measured quantities side by side

History = Sequence[Mapping[str, Any]]


def by_regime(history: History, quantity: str) -> dict[str, np.ndarray]:
    """A recorded quantity as (T + 1, S) arrays, generations by seeds, for each regime in the
    order of the run.
    """
    names = list(dict.fromkeys(chain["regime"] for chain in history[0]["chains"]))
    return {
        name: np.array(
            [[c[quantity] for c in line["chains"] if c["regime"] == name] for line in history],
            dtype=float,
        )
        for name in names
    }


def shown_generations(last: int) -> list[int]:
    """The generations that the paper shows (0, 10, 20, 50, 100 in Figures 3, 4) and 5, if they
    exist, and the last.
    """
    return sorted({t for t in (0, 5, 10, 20, 50, 100) if t < last} | {last})


def print_tables(
    console: Console,
    history: History,
    floor: NoiseFloor,
    quantities: Sequence[Quantity] = DISTANCES,
) -> None:
    """What each row trained on, and what was measured, with mean ± sd over seeds where there are
    several.
    """
    regimes = by_regime(history, "w1")
    if len(regimes) == 1 and len(quantities) <= MOST_COLUMNS:
        _print_generations(console, history, floor, quantities)
    else:
        _print_data(console, history)
        for quantity in quantities:
            _print_quantity(console, history, quantity, floor)


def _table(title: str) -> Table:
    return Table(
        title=title,
        box=SIMPLE_HEAD,
        pad_edge=False,
        collapse_padding=True,
        title_style="bold",
        caption_style="",
    )


def _mean_sd(values: np.ndarray, style: str = ".3f") -> str:
    return f"{values.mean():{style}}" + (
        f" ± {values.std(ddof=1):{style}}" if len(values) > 1 else ""
    )


def _style(quantity: Quantity) -> str:
    return ".3g" if quantity.log else ".3f"


def _floor(noise: tuple[float, float]) -> str:
    if math.isnan(noise[0]):
        return "unknown"
    return f"{noise[0]:.3f} ± {noise[1]:.3f}"


def _floors(floor: NoiseFloor, quantities: Sequence[Quantity]) -> str:
    """The floors of all quantities, those of one kind together."""
    kinds = {
        kind: ", ".join(f"{_short(q)} {_floor(floor.of(q))}" for q in quantities if q.floor == kind)
        for kind in dict.fromkeys(quantity.floor for quantity in quantities)
    }
    return "; ".join(f"{kind} {values}" for kind, values in kinds.items()) + f" ({_spread(floor)})"


def _spread(floor: NoiseFloor) -> str:
    """What stands behind the ± of a floor; the mean itself is right to that over the root of the
    number.
    """
    return f"mean ± sd of {floor.draws} draws"


def _short(quantity: Quantity) -> str:
    return quantity.title.split(" to ")[0]


def _subject(quantities: Sequence[Quantity]) -> str:
    return "distance to the truth" if tuple(quantities) == DISTANCES else "what was measured"


def _lambda(chain: Mapping[str, Any]) -> str:
    return "∞" if chain["lambda"] is None else f"{chain['lambda']:g}"


def _print_generations(
    console: Console, history: History, floor: NoiseFloor, quantities: Sequence[Quantity]
) -> None:
    first = history[0]["chains"][0]
    seeds = len(history[0]["chains"])
    table = _table(
        f"{first['regime']}, {seeds} seed{'s' if seeds > 1 else ''}: {_subject(quantities)}"
    )
    names = [_short(quantity) for quantity in quantities]
    for column in ("t", "n", "m", "λ = m/n", "m/(n+m)", *names, "‖θ − θ₀‖"):
        table.add_column(column, justify="right")
    for line in history:
        chain = line["chains"][0]
        values = [
            _mean_sd(np.array([c[q.key] for c in line["chains"]]), _style(q)) for q in quantities
        ]
        moved = _mean_sd(np.array([c["parameter_distance"] for c in line["chains"]]))
        known = [
            str(line["t"]),
            str(chain["n"]),
            str(chain["m"]),
            _lambda(chain),
            f"{chain['share']:.3f}",
        ]
        row = [*known, *values, moved]
        table.add_row(*row)
    table.caption = f"n real and m synthetic points; {_floors(floor, quantities)}"
    console.print(table)


def _print_data(console: Console, history: History) -> None:
    table = _table(f"what generation {history[-1]['t']} was trained on")
    for column in ("regime", "n real", "m synthetic", "λ = m/n", "share m/(n+m)", "seeds"):
        table.add_column(column, justify="left" if column == "regime" else "right")
    chains = history[-1]["chains"]
    for name in by_regime(history, "w1"):
        own = [c for c in chains if c["regime"] == name]
        share = f"{own[0]['share']:.3f}"
        table.add_row(
            name, str(own[0]["n"]), str(own[0]["m"]), _lambda(own[0]), share, str(len(own))
        )
    console.print(table)


def _print_quantity(
    console: Console, history: History, quantity: Quantity, floor: NoiseFloor
) -> None:
    shown = shown_generations(len(history) - 1)
    table = _table(f"{quantity.title} after t retrainings")
    table.caption = f"{quantity.floor} {_floor(floor.of(quantity))} ({_spread(floor)})"
    table.add_column("regime")
    for t in shown:
        table.add_column(f"t = {t}", justify="right")
    for name, values in by_regime(history, quantity.key).items():
        table.add_row(name, *(_mean_sd(values[t], _style(quantity)) for t in shown))
    console.print(table)
