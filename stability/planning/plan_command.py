"""The command `plan`: how much synthetic data a loop can take, and at which price."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import tyro
from rich.box import SIMPLE_HEAD
from rich.table import Table

from stability.planning.labels import RegimeError
from stability.planning.plan_record import TITLES, Plan, columns_of, shown
from stability.planning.planner import plan
from stability.planning.prices import Measure
from stability.runs.command_line import UsageError, command
from stability.runs.console import make_console, print_paths
from stability.runs.option_error import OptionError

__all__ = ["PlanOptions", "plan_main"]

OPTION_NAMES = {"lam": "lambda", "known_round": "round"}
"""Options whose names are not those of arguments of `plan`."""
RegimeChoice = Literal["mix", "synthetic", "accumulate", "fresh", "replace", "subsample"]


@dataclass(frozen=True)
class PlanOptions:
    """Plan a retraining loop before it runs.

    With a number of real points, from theory alone: leave out one of --real, --lambda,
    --generations and --tolerate, and it is solved for. With the real data and --learner, a pilot
    of two rounds is run; with --round, the files of one round are read.
    """

    help_groups: ClassVar = (
        dict.fromkeys(
            ("real", "on", "error", "response", "bias", "cost_real", "cost_synthetic"),
            "a plan from theory, without data",
        )
        | dict.fromkeys(
            ("learner", "known_round", "run", "repeats"),
            "a plan from data: give one of the first three",
        )
        | dict.fromkeys(
            ("target", "budget", "categories", "features", "array"), "reading and scoring the data"
        )
    )
    """Headings of `--help`; options without one are common."""

    data: Annotated[Path | None, tyro.conf.Positional] = None
    """The real data: .csv, .parquet, .npy, .npz, or a folder of pictures."""
    real: int | None = None
    """Number of real points n, for a plan from theory."""
    regime: tuple[RegimeChoice, ...] = ("mix",)
    """Rule for the next training set; one or more. mix: the real points and m new samples;
    synthetic: n samples alone; accumulate: the real points and all samples so far; fresh: n new
    real points and m samples; replace: samples take the place of real points; subsample: n of
    what accumulate would see."""
    lam: Annotated[tuple[float, ...], tyro.conf.arg(name="lambda", metavar="λ [λ ...]")] = ()
    """Synthetic points per real point, one or more. None: from theory, the largest that is
    tolerated; with data, 0.1, 0.3 and 1."""
    generations: int | None = None
    """Retrainings. None: for ever; with data, 10."""
    tolerate: str | None = None
    """Largest acceptable increase: 10% or 0.1."""
    on: Measure = "error"
    """The error that must not increase by more: root mean squared error, variance, or bias."""
    error: float | None = None
    """Root mean squared error that is wanted, in standard deviations of a feature; finds --real."""
    response: float = 1.0
    """J: how far a model follows its training set; 1 for maximum likelihood."""
    bias: float = 0.0
    """δ: bias of one fit, in standard deviations of a feature."""
    cost_real: float | None = None
    """Price of a real point, in any currency."""
    cost_synthetic: float | None = None
    """Price of a synthetic point, in the same currency."""
    learner: str | None = None
    """Class in a file, such as synth.py:Synth, whose objects have fit and sample. The file is run.
    The class may take a seed."""
    known_round: Annotated[
        tuple[Path, Path] | None, tyro.conf.arg(name="round", metavar="TRAIN SAMPLES")
    ] = None
    """Files of one round: the training set of a model, and its samples."""
    run: Path | None = None
    """Folder of a recorded run that began with the real data: its generations are the pilot."""
    target: str | None = None
    """Column of two values that a classifier predicts, trained on samples."""
    budget: str | None = None
    """Such as "target_ap >= 0.95x": 0.95 of the average precision that real rows give."""
    categories: tuple[str, ...] = ()
    """Columns of whole numbers that are codes, not quantities."""
    features: str = "random-conv"
    """Features of pictures: random-conv, pixels, inception:FILE, or module:function."""
    array: str | None = None
    """Name of the array in .npz files."""
    repeats: int = 3
    """Repeats of the pilot, >= 2."""
    seed: int = 0
    """Determines the pilot and the forecasts."""
    out: Path | None = None
    """Folder for plan.json, plan.html, gate.yaml and the figure. None: print only."""

    def __post_init__(self) -> None:
        fraction(self.tolerate, "--tolerate")
        if self.data is not None and self.real is not None:
            raise OptionError("give the real data or --real, their number, not both")
        sources = (self.learner, self.known_round, self.run)
        if self.data is not None and sum(source is not None for source in sources) != 1:
            raise OptionError(
                "give one of --learner (a pilot is run), --round and --run with the real data"
            )


def fraction(text: str | None, option: str) -> float | None:
    """Read `10%` or `0.1`.

    Args:
        text: As given; None stays.
        option: Its name.

    Returns:
        The fraction.

    Raises:
        ValueError: If it is none, not > 0, or > 1 without a percent sign.
    """
    if text is None:
        return None
    try:
        value = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        value = float("nan")
    if value > 1 and not text.endswith("%"):
        raise ValueError(f"{option} {text} must end with % (or be a fraction <= 1 such as 0.1)")
    if not 0 < value < float("inf"):
        raise ValueError(f"{option} must be a fraction > 0 such as 10% or 0.1, got {text}")
    return value


def plan_main(arguments: Sequence[str] | None = None) -> None:
    """Run the command.

    Args:
        arguments: Default: of this process.
    """
    command(PlanOptions, run, arguments)


def run(options: PlanOptions) -> Plan:
    """Plan, print and write.

    Args:
        options: The command line.

    Returns:
        The plan.

    Raises:
        UsageError: If the options do not fit together, or the pilot fails.
    """
    try:
        found = plan(**_arguments(options))
    except RegimeError as error:
        raise UsageError(str(error)) from error
    except ValueError as error:
        raise UsageError(_by_options(str(error))) from error
    except ArithmeticError as error:
        raise UsageError(f"the pilot: {error}") from error

    console = make_console()
    for title, rows in (
        ("", found.rows),
        ("What the pilot measured", found.functionals),
        ("Rare categories", found.categories),
    ):
        if rows:
            console.print(_table(title, rows))
    for sentence in found.conditions:
        console.print(f"- {sentence}", style="dim")
    console.print()
    console.print(found.verdict, style="bold")
    if options.out is not None:
        from stability.planning.plan_page import write_plan

        print_paths(console, write_plan(found, options.out))
    return found


def _by_options(message: str) -> str:
    """A message about an argument of `plan`, which names it first, by the option's name."""
    named = re.match(r"(\w+)(?= must | needs | is for |: )", message)
    if named is None or named[1] not in {field.name for field in fields(PlanOptions)}:
        return message
    option = OPTION_NAMES.get(named[1], named[1].replace("_", "-"))
    return f"--{option}{message[named.end() :]}"


def _arguments(options: PlanOptions) -> dict[str, Any]:
    given = {key: value for key, value in vars(options).items() if key not in ("out", "data")}
    real = options.real if options.data is None else options.data
    return given | {"real": real, "tolerate": fraction(options.tolerate, "--tolerate")}


def _table(title: str, rows: Sequence[Any]) -> Table:
    table = Table(box=SIMPLE_HEAD, title=title or None, title_justify="left")
    keys = columns_of(rows)
    if "target" in keys:  # the page has all columns, a terminal of 80 characters has not
        keys = [key for key in keys if key not in ("error", "seeds", "synthetic_fraction")]
    for key in keys:
        longest = max(map(len, TITLES[key].split()))
        table.add_column(TITLES[key], overflow="fold", min_width=longest)
    for row in rows:
        table.add_row(*(shown(row, key) for key in keys))
    return table
