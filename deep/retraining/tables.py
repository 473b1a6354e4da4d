"""Tables of one run of deep.retrain for the terminal."""

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

__all__ = ["print_tables"]

History = Sequence[Mapping[str, Any]]
ALL_GENERATIONS = 5  # retrainings of which each is shown; of more, the paper's and the last


def print_tables(console: Console, history: History) -> None:
    """What each row was trained on, and for each reference what was measured, below what real
    images get.
    """
    console.print(_data(history[-1]))
    for compared, group in groupby(history[0]["chains"][0]["measurements"], _compared):
        console.print(_metrics(history, compared, list(group)))


def _data(last: Mapping[str, Any]) -> Table:
    table = _table(
        f"What generation {last['t']} was trained on",
        ("regime", "n", "m", "λ = m/n", "m/(n+m)", "images seen", "‖θ − θ₀‖/p"),
    )
    for chain in last["chains"]:
        lam = "∞" if chain["lambda"] is None else f"{chain['lambda']:g}"
        moved = f"{chain['parameter_distance'] / chain['parameters']:.3g}"
        counts = (
            str(chain["n"]),
            str(chain["m"]),
            lam,
            f"{chain['share']:.3f}",
            f"{chain['images_seen']:,}",
        )
        table.add_row(chain["regime"], *counts, moved)
    p = last["chains"][0]["parameters"]
    table.caption = (
        f"n real and m synthetic images; θ: average weights, p = {p:,} of them; "
        f"‖θ − θ₀‖/p of new weights: {last['random_parameter_distance'] / p:.3g}"
    )
    return table


def _metrics(
    history: History, compared: tuple[int, str, int], first: Sequence[Mapping[str, Any]]
) -> Table:
    """Args:
    compared: Generated images, reference, and its images.
    first: What was measured so of the first generation.
    """
    images, reference, count = compared
    names = [one["metric"].removesuffix(f"_{images}").split("-")[0] for one in first]
    table = _table(
        f"{images} generated images against {count} ({reference}), in features of "
        f"{history[0]['features']}",
        ("regime", "t", *names),
    )
    if first[0]["floor"] is not None:
        table.add_row("real images", "", *map(_floor, first))
        table.caption = (
            f"real images: {images} others ± standard error; the floor of a distance, "
            "not of a share"
        )
    for r, chain in enumerate(history[0]["chains"]):
        table.add_section()
        for line in _shown(history):
            values = [
                one["value"]
                for one in line["chains"][r]["measurements"]
                if _compared(one) == compared
            ]
            table.add_row(chain["regime"], str(line["t"]), *map(_number, values))
    return table


def _shown(history: History) -> History:
    last = len(history) - 1
    return [
        line for line in history if last <= ALL_GENERATIONS or line["t"] in (0, 5, 10, 15, last)
    ]


def _compared(one: Mapping[str, Any]) -> tuple[int, str, int]:
    return one["images"], one["reference"], one["reference_images"]


def _floor(one: Mapping[str, Any]) -> str:
    error = one.get("floor_error")  # histories of earlier versions have none
    return _number(one["floor"]) + ("" if error is None else f" ± {error:.2g}")


def _number(value: float) -> str:
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"


def _table(title: str, columns: Sequence[str]) -> Table:
    table = Table(
        title=title, box=SIMPLE_HEAD, pad_edge=False, collapse_padding=True, title_style="bold"
    )
    for column in columns:
        table.add_column(column, justify="left" if column == "regime" else "right")
    return table
