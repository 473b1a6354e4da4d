"""Tables of a run for the terminal."""

import math
from collections.abc import Sequence

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from stability.runs.history import ChainRecord, History
from stability.runs.observer import Floor, Quantity
from stability.runs.result import Result
from stability.runs.study_file import StudyFile

__all__ = [
    "lambda_cell",
    "mean_sd",
    "plain_table",
    "print_result",
    "print_tables",
    "shown_generations",
]

MOST_COLUMNS = 4  # of measured quantities side by side


def shown_generations(last: int) -> list[int]:
    """The generations that the paper shows (0, 10, 20, 50, 100 in Figures 3, 4) and 5, if they
    exist, and the last.

    Args:
        last: The last generation, >= 0.

    Returns:
        The generations, ascending.
    """
    return sorted({t for t in (0, 5, 10, 20, 50, 100) if t < last} | {last})


def print_result(console: Console, result: Result) -> None:
    """Print the tables of a run; a row alone leaves room for the distance of the parameters.

    Args:
        console: Where to print.
        result: The run.
    """
    measured = result.history.keys()
    moved = "parameter_distance" if "parameter_distance" in measured else None
    if shown := result.shown():
        print_tables(console, result.history, result.recorded.study, shown, moved)


def print_tables(
    console: Console,
    history: History,
    study: StudyFile,
    quantities: Sequence[Quantity],
    moved: str | None = None,
) -> None:
    """Print what each row trained on, and what was measured, with mean ± sd over seeds where there
    are several.

    Args:
        console: Where to print.
        history: Of the run.
        study: Its floors.
        quantities: To be shown.
        moved: Key of a quantity without a floor for a last column, the parameters' distance.
    """
    if len(history.rows) == 1 and len(quantities) <= MOST_COLUMNS:
        _print_generations(console, history, study, quantities, moved)
    else:
        _print_data(console, history)
        for quantity in quantities:
            _print_quantity(console, history, quantity, study)


def plain_table(title: str) -> Table:
    """Make a table in the look of all commands.

    Args:
        title: Above it.

    Returns:
        The table.
    """
    return Table(
        title=title,
        box=SIMPLE_HEAD,
        pad_edge=False,
        collapse_padding=True,
        title_style="bold",
        caption_style="",
    )


def mean_sd(values: np.ndarray, style: str = ".3f") -> str:
    """Write values over seeds.

    Args:
        values: One value a seed, (S,).
        style: Format of a number.

    Returns:
        Mean ± standard deviation; the value alone of one seed.
    """
    return f"{values.mean():{style}}" + (
        f" ± {values.std(ddof=1):{style}}" if len(values) > 1 else ""
    )


def lambda_cell(chain: ChainRecord) -> str:
    """Write λ of a training set.

    Args:
        chain: Record of the chain, with the sizes of its training set.

    Returns:
        λ; ∞ without real data.
    """
    return f"{chain.lam:g}" if chain.n else "∞"


def _style(quantity: Quantity) -> str:
    return ".3g" if quantity.log else ".3f"


def _floor(floor: Floor) -> str:
    return "unknown" if math.isnan(floor.mean) else f"{floor.mean:.3f} ± {floor.sd:.3f}"


def _floors(study: StudyFile, quantities: Sequence[Quantity]) -> str:
    """The floors of all quantities, those of one kind together."""
    kinds = {
        kind: ", ".join(
            f"{_short(q)} {_floor(study.floor(q.key))}" for q in quantities if q.floor == kind
        )
        for kind in dict.fromkeys(quantity.floor for quantity in quantities)
    }
    words = "; ".join(f"{kind} {values}" for kind, values in kinds.items())
    return words + _spread([study.floor(quantity.key) for quantity in quantities])


def _spread(floors: Sequence[Floor]) -> str:
    """Note on the ± of floors, with their number of draws; the mean itself is right to that over
    the root of the number.
    """
    draws = next((floor.draws for floor in floors if floor.draws), 0)
    return f" (mean ± sd of {draws} draws)" if draws else ""


def _short(quantity: Quantity) -> str:
    return quantity.title.split(" to ")[0]


def _subject(quantities: Sequence[Quantity]) -> str:
    distances = all(quantity.title.endswith(" to the truth") for quantity in quantities)
    return "distance to the truth" if distances else "what was measured"


def _print_generations(
    console: Console,
    history: History,
    study: StudyFile,
    quantities: Sequence[Quantity],
    moved: str | None,
) -> None:
    first, seeds = history[0].chains[0], len(history[0].chains)
    table = plain_table(
        f"{first.row}, {seeds} seed{'s' if seeds > 1 else ''}: {_subject(quantities)}"
    )
    names = [_short(quantity) for quantity in quantities]
    for column in ("t", "n", "m", "λ = m/n", "m/(n+m)", *names, *(["‖θ − θ₀‖"] if moved else [])):
        table.add_column(column, justify="right")

    for line in history:
        chain = line.chains[0]
        known = [str(line.t), str(chain.n), str(chain.m), lambda_cell(chain), f"{chain.share:.3f}"]
        columns = [(quantity.key, _style(quantity)) for quantity in quantities]
        columns += [(moved, ".3f")] if moved else []
        values = [
            mean_sd(np.array([c.measured[key] for c in line.chains], dtype=float), style)
            for key, style in columns
        ]
        table.add_row(*known, *values)
    table.caption = f"n real and m synthetic points; {_floors(study, quantities)}"
    console.print(table)


def _print_data(console: Console, history: History) -> None:
    last = history[-1]
    table = plain_table(f"what generation {last.t} was trained on")
    for column in ("regime", "n real", "m synthetic", "λ = m/n", "share m/(n+m)", "seeds"):
        table.add_column(column, justify="left" if column == "regime" else "right")
    for name, positions in history.rows.items():
        chain = last.chains[positions[0]]
        counts = (str(chain.n), str(chain.m), lambda_cell(chain), f"{chain.share:.3f}")
        table.add_row(name, *counts, str(len(positions)))
    console.print(table)


def _print_quantity(
    console: Console, history: History, quantity: Quantity, study: StudyFile
) -> None:
    shown, floor = shown_generations(len(history) - 1), study.floor(quantity.key)
    table = plain_table(f"{quantity.title} after t retrainings")
    table.caption = f"{quantity.floor} {_floor(floor)}{_spread([floor])}"
    table.add_column("regime")
    for t in shown:
        table.add_column(f"t = {t}", justify="right")
    for name, values in history.values(quantity.key).items():
        table.add_row(name, *(mean_sd(values[t], _style(quantity)) for t in shown))
    console.print(table)
