"""Tables of one run of deep.retrain for the terminal."""

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from deep.metrics.real_accuracy import ACCURACY, key_of_class
from stability.runs.history import History
from stability.runs.recorded_run import RecordedRun
from stability.runs.study_file import StudyFile
from stability.runs.tables import lambda_cell, plain_table

__all__ = ["print_tables"]

ALL_GENERATIONS = 5  # retrainings of which each is shown; of more, the paper's and the last


def print_tables(console: Console, run: RecordedRun) -> None:
    """Print the training set of each row, and for each reference the measurements.

    The first row of a table of measurements is that of real images, where it is known.

    Args:
        console: Console to print on.
        run: The run, with its history.
    """
    console.print(_data(run.history))
    groups: dict[tuple[int, str, int], list[str]] = {}
    for quantity in run.study.quantities:
        if "reference" in quantity.about:
            compared = (quantity.about[name] for name in ("images", "reference"))
            images, reference = compared
            count = quantity.about["reference_images"]
            groups.setdefault((images, reference, count), []).append(quantity.key)
    for compared, keys in groups.items():
        console.print(_metrics(run.history, run.study, compared, keys))
    if any(quantity.key == ACCURACY for quantity in run.study.quantities):
        for r in range(len(run.history[0].chains)):
            console.print(_accuracies(run.history, run.study, r))


def _data(history: History) -> Table:
    last = history[-1]
    table = plain_table(f"What generation {last.t} was trained on")
    for column in ("regime", "n", "m", "λ = m/n", "m/(n+m)", "images seen", "‖θ − θ₀‖/p"):
        table.add_column(column, justify="left" if column == "regime" else "right")
    for chain in last.chains:
        measured = chain.measured
        moved = f"{measured['parameter_distance'] / measured['parameters']:.3g}"
        counts = (str(chain.n), str(chain.m), lambda_cell(chain), f"{chain.share:.3f}")
        table.add_row(chain.row, *counts, f"{measured['images_seen']:,}", moved)
    first = last.chains[0].measured
    p = first["parameters"]
    table.caption = (
        f"n real and m synthetic images; θ: average weights, p = {p:,} of them; "
        f"‖θ − θ₀‖/p of new weights: {first['random_parameter_distance'] / p:.3g}"
    )
    return table


def _metrics(
    history: History, study: StudyFile, compared: tuple[int, str, int], keys: Sequence[str]
) -> Table:
    """Args:
    compared: Generated images, reference, and its images.
    keys: What was measured so.
    """
    images, reference, count = compared
    about = {quantity.key: quantity.about for quantity in study.quantities}
    names = [about[key]["metric"].split("-")[0] for key in keys]
    table = plain_table(
        f"{images} generated images against {count} ({reference}), in features of "
        f"{about[keys[0]]['features']}"
    )

    # the name of a row stands above its generations: 80 columns are then enough for every word
    table.add_column("t", justify="left")
    for name in names:
        table.add_column(name, justify="right")
    if keys[0] in study.floors:
        floors = [study.floor(key) for key in keys]
        table.add_row("real\nimages", *(_number(floor.mean) for floor in floors))
        table.add_row("±", *(f"{floor.sd:.2g}" if floor.sd > 0 else "" for floor in floors))
        table.caption = (
            f"real images: {images} others ± standard error; the floor of a distance, "
            "not of a share"
        )

    for r, chain in enumerate(history[0].chains):
        table.add_section()
        table.add_row(chain.row.replace(" synthetic", "\nsynthetic"))
        for line in _shown(history):
            values = [line.chains[r].measured[key] for key in keys]
            table.add_row(str(line.t), *map(_number, values))

    return table


def _accuracies(history: History, study: StudyFile, r: int) -> Table:
    """A class a row: what a classifier trained on each generation's images gets right.

    Args:
        history: Of the run.
        study: Its classes and floors.
        r: The chain.
    """
    shown = _shown(history)
    table = plain_table(f"{history[0].chains[r].row}: {ACCURACY}")
    table.add_column("class", justify="left")

    for column in ("real images", *(f"t = {line.t}" for line in shown)):
        table.add_column(column, justify="right")
    classes = [
        quantity.about["class"] for quantity in study.quantities if "class" in quantity.about
    ]
    rows = {str(k): key_of_class(k) for k in classes} | {"all": ACCURACY}

    for name, key in rows.items():
        if name == "all":
            table.add_section()
        values = [line.chains[r].measured[key] for line in shown]
        table.add_row(name, _floor(study, key), *map(_number, values))

    error = max(line.chains[r].measured[f"{ACCURACY}, standard error"] for line in shown)
    table.caption = (
        "of a classifier trained on the generated images; real images: mean ± sd over classifiers "
        f"trained on as many; standard error of all from the choice of test images: {error:.2g}"
    )

    return table


def _shown(history: History) -> list:
    last = len(history) - 1
    return [line for line in history if last <= ALL_GENERATIONS or line.t in (0, 5, 10, 15, last)]


def _floor(study: StudyFile, key: str) -> str:
    floor = study.floor(key)
    return _number(floor.mean) + (f" ± {floor.sd:.2g}" if floor.sd > 0 else "")


def _number(value: float) -> str:
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"
