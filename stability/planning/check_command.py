"""The command `check`: is the loop degrading? One word first, and an exit status for CI."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, ClassVar, Literal

import tyro
import yaml
from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from stability.planning.alarm import Null
from stability.planning.check_record import CheckResult
from stability.planning.check_report import changes, facts, write_check
from stability.planning.fail_if import FailCondition, parse_conditions
from stability.planning.monitor import (
    CheckSettings,
    Watch,
    digest_of,
    named_generations,
    open_watch,
)
from stability.planning.watch_state import load_watch, save_watch
from stability.runs.command_line import UsageError, command
from stability.runs.console import make_console, print_paths
from stability.runs.option_error import OptionError
from stability.runs.output_folder import require_output_folder
from stability.runs.untrusted import UntrustedFileError, printable, read_bytes

__all__ = ["CheckOptions", "check_main", "read_gate"]

LARGEST_GATE = 2**16
COLOURS = {"degrading": "bold red", "undecided": "bold yellow", "no change found": "bold green"}
GATE_NAMES = ("alpha", "null", "tolerance", "effect", "share", "target", "categorical", "keys")


@dataclass(frozen=True)
class CheckOptions:
    """Check whether a loop is degrading, from the samples of each generation.

    Exit status 0: no change found, and one of the size --effect would have been. 1: degrading.
    3: undecided. 2: bad input. With --fail-if: 1 if a condition holds, otherwise 0.
    """

    help_groups: ClassVar = (
        dict.fromkeys(
            ("null", "tolerance", "effect", "share", "reference_rounds", "rows"),
            "the alarm, and the smallest change that it must be able to see",
        )
        | dict.fromkeys(
            ("features", "array", "categorical", "target", "id"), "reading and scoring the data"
        )
        | dict.fromkeys(("regime", "seed"), "a recorded run")
    )
    """Headings of `--help`; options without one are common."""

    generations: tyro.conf.Positional[tuple[Path, ...]] = ()
    """Samples of the model: CSV, Parquet, .npy, .npz, or a folder of pictures; one a generation.
    Sorted naturally: gen2 before gen10. Or the folder of a run: all its generations."""
    real: Path | None = None
    """Real data that the loop began with."""
    holdout: Path | None = None
    """Real data that were not trained on: for copies and --target."""
    alpha: float | None = None
    """Probability of ever raising a false alarm, over all looks. Default: 0.05."""
    null: Null | None = None
    """The null hypothesis of the alarm. real (default): no worse than real data by more than the
    tolerance. rows: no worse than these real rows, which the model was trained on; sees smaller
    changes. stationary: no drift from the loop's first generations."""
    tolerance: float | None = None
    """Shift that counts as nothing, in standard deviations. Default: the noise of retraining on as
    many points as there are real ones."""
    effect: float | None = None
    """Shift that must be visible for "no change found", in standard deviations. Default: 0.1."""
    share: float | None = None
    """The same for categories: relative loss of the most frequent level. Default: 0.2."""
    reference_rounds: int | None = None
    """Generations that --null stationary compares with. Default: 3."""
    fail_if: tuple[str, ...] = ()
    """Conditions for status 1: degrading, undecided, copies, lost, "distance > 1.5", "auc > 0.7",
    "quality < 0.8", "diversity < 0.8", "target < 0.95x"."""
    gate: Path | None = None
    """gate.yaml of a plan: options in a file. Options of the command line go first."""
    state: Path | None = None
    """JSON file that remembers the watch. Made with --real; later calls add generations."""
    out: Path | None = None
    """Folder for check.html, check.json and check.xml (JUnit)."""
    features: str | None = None
    """Features of pictures: pixels (default), random-conv, inception:FILE, or module:function."""
    array: str | None = None
    """Name of the array in .npz files."""
    categorical: tuple[str, ...] = ()
    """Columns whose numbers are codes."""
    target: str | None = None
    """Column to predict: a model is trained on drawn rows and tested on real ones."""
    id: tuple[str, ...] = ()
    """Columns that name rows, left out."""
    regime: str | None = None
    """Name of the row of a run folder, as its table has it. Default: the only one."""
    seed: int | None = None
    """Seed of the chain of a run folder. Default: 0."""
    rows: Literal["auto", "independent"] | None = None
    """independent: the order of rows means nothing. Default: rows that depend on their neighbours
    are counted less."""

    def __post_init__(self) -> None:
        try:
            parse_conditions(self.fail_if)
        except ValueError as error:
            raise ValueError(f"--{error}") from None
        if self.real is None and self.state is None:
            raise OptionError("--real must name the real data (or --state a watch that knows them)")


def check_main(arguments: Sequence[str]) -> None:
    """Run the command.

    Args:
        arguments: Of the command line, after the name of the command.
    """
    command(CheckOptions, run, arguments)


def run(options: CheckOptions) -> None:
    """Check, print, write; leave with the status.

    Args:
        options: Options of the command.

    Raises:
        SystemExit: With the status of the verdict; with `--fail-if`, 1 if a condition is met and
            0 if none is.
    """
    given, conditions = _given(options)
    if options.out is not None:
        require_output_folder(options.out, "check")  # before minutes of work
    watch, real, holdout = _opened(options, given)
    settings = watch.monitor.settings
    for source, name in named_generations(options.generations, settings):
        watch = watch.add(source, name)
    result = watch.result()

    # a look counts once it is shown: it is remembered before, even if nobody reads to the end
    if options.state is not None:
        save_watch(options.state, watch, real, holdout)
    _print(result)
    if options.out is not None:
        print_paths(make_console(), write_check(options.out, result, conditions))
    if conditions:
        met = [condition.text for condition in conditions if condition.holds(result)]
        if met:
            make_console().print(f"fails: {', '.join(met)}", style="bold red")
        raise SystemExit(1 if met else 0)
    raise SystemExit(result.status)


def _given(options: CheckOptions) -> tuple[dict[str, Any], list[FailCondition]]:
    """Settings from the gate and the command line, and the conditions."""
    names = {field.name for field in fields(CheckSettings)}
    given = {
        name: value
        for name, value in {**asdict(options), "keys": options.id}.items()
        if name in names and value not in (None, ())
    }
    gate, texts = read_gate(options.gate) if options.gate is not None else ({}, [])
    return {**gate, **given}, parse_conditions([*options.fail_if, *texts])


def read_gate(path: Path) -> tuple[dict[str, Any], list[str]]:
    """Read gate.yaml.

    Args:
        path: The file.

    Returns:
        Settings by name, and the conditions of `fail_if`.

    Raises:
        UsageError: If it is not such a file, or names something else.
        OSError: If it cannot be opened.
    """
    try:
        content = yaml.safe_load(read_bytes(path, LARGEST_GATE).decode())
    except (UntrustedFileError, UnicodeDecodeError, yaml.YAMLError, RecursionError) as error:
        raise UsageError(f"{path}: {printable(' '.join(str(error).split()))}") from None
    if not isinstance(content, dict):
        raise UsageError(f"{path}: want lines such as alpha: 0.05")

    # YAML reads the name null as None
    content = {"null" if name is None else name: value for name, value in content.items()}
    texts = content.pop("fail_if", [])
    texts = [texts] if isinstance(texts, str) else texts
    unknown = [name for name in content if name not in GATE_NAMES]
    if unknown:
        allowed = ", ".join((*GATE_NAMES, "fail_if"))
        raise UsageError(f"{path}: unknown option {printable(str(unknown[0]))}; want {allowed}")
    settings: dict[str, Any] = {}
    for name, value in content.items():
        listed = name in ("categorical", "keys")
        settings[name] = tuple(map(str, value)) if listed and isinstance(value, list) else value
        wanted = tuple if listed else str if name in ("null", "target") else (int, float)
        if not isinstance(settings[name], wanted) or isinstance(value, bool):
            raise UsageError(f"{path}: {name} must not be {printable(repr(value))}")
    try:
        parse_conditions(texts)
        CheckSettings(**settings)
    except (ValueError, TypeError, AttributeError) as error:
        raise UsageError(f"{path}: {error}") from None
    return settings, list(texts)


def _opened(options: CheckOptions, given: dict[str, Any]) -> tuple[Watch, Path, Path | None]:
    """The watch that the state remembers, or a new one."""
    if options.state is not None and options.state.exists():
        watch, real, holdout = load_watch(options.state)
        kept = watch.monitor.settings
        changed = [name for name, value in given.items() if getattr(kept, name) != value]
        if changed:
            raise UsageError(
                f"--{changed[0].replace('_', '-')}: {options.state} was begun with "
                f"{printable(getattr(kept, changed[0]))}; what is fixed before the first look "
                "cannot change"
            )
        if options.real is not None and digest_of(options.real) != watch.monitor.digest:
            raise UsageError(f"--real {options.real}: {options.state} watches {real}")
        return watch, real, holdout

    if options.real is None:
        raise UsageError(f"--state {options.state}: not there yet; begin it with --real")
    if not options.generations:
        raise UsageError("no generation to check; name what the model drew")
    try:
        settings = replace(CheckSettings(), **given)
    except ValueError as error:
        raise UsageError(f"--{str(error).replace('_', '-', 1)}") from None
    return open_watch(options.real, settings, options.holdout), options.real, options.holdout


def _print(result: CheckResult) -> None:
    console = make_console()
    if not console.is_terminal:
        console.width = 120
    console.print(Text(result.verdict, COLOURS[result.outcome]))

    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for name, text in facts(result):
        table.add_row(name, printable(text, 1000))
    console.print(table)

    rows = changes(result.looks[-1])
    columns = Table(box=SIMPLE_HEAD, pad_edge=False)
    for name in rows[0] if rows else ():
        columns.add_column(name, overflow="fold")
    for row in rows:
        columns.add_row(*(printable(cell) for cell in row.values()))
    console.print(columns)
    for line in result.limits:
        console.print(f"not covered: {line}" if line.startswith("one chain") else line, style="dim")
