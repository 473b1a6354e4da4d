"""python -m stability: every statement checked, with errata, negative controls and proofs, in
one table.
"""

import math
import textwrap
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import tyro
from rich.box import SIMPLE_HEAD
from rich.progress import track
from rich.table import Table
from rich.text import Text

from stability.runs.command_line import UsageError, command
from stability.runs.console import make_console, print_paths
from stability.runs.option_error import OptionError
from stability.runs.output_folder import claim_output_folder
from stability.runs.ranges import LARGEST_SEED, require_range
from stability.runs.untrusted import UntrustedFileError
from stability.statements import GROUPS, STATEMENTS
from stability.statements.examination import (
    ClaimVerdicts,
    Examination,
    examine_all,
    grouped,
    machine_checked,
    summary,
)
from stability.statements.run_claims import FILE, read_verdicts
from stability.statements.verdict import Status, Verdict

EXIT_VIOLATED = 1
_WIDTHS = 18, 20, 11, 7  # of columns beside the statement: they wrap, so that it need not
OWN = ("theorem1", "theorem2", "family_regimes")
"""Statements that take a family of one's own from the command line."""
WORDS = 80  # characters of a statement that the table shows; the report has all


@dataclass(frozen=True)
class Stability:
    """Check the paper's statements, and what holds instead where one fails.

    Status 1 if a check comes out wrong.

    Without options, everything is checked on fixed instances, together with negative controls (the
    same checks with a spoiled constant, each of which must come out violated), counterexamples to
    what is false, proofs by computer algebra, and proofs by machine where Coq is installed.
    """

    statements: tyro.conf.Positional[tuple[Literal[STATEMENTS], ...]] = ()  # type: ignore[valid-type]
    """Only these; default: all."""
    family: tuple[str, ...] = ()
    """Families to examine instead of the fixed instances, each on data inside it and outside it."""
    lam: Annotated[tuple[float, ...], tyro.conf.arg(name="lambda", metavar="λ [λ ...]")] = ()
    """Synthetic points per real point, one or more values, instead of those of the fixed
    instances."""
    data: Path | None = None
    """Points for a family of one's own (--family module:attribute): .npy, or .csv with a point a
    line."""
    start: tuple[float, ...] = ()
    """Parameters where the search for θ* begins, if a family of one's own has no `start`."""
    draws: int = 100_000
    """Draws of each law for a family of one's own in more than two dimensions, >= 40."""
    steps: int | None = None
    """Newton steps of each fit in theorem2 for a family of one's own, which then stops early, >= 1.
    Default: as many as the maximum takes."""
    controls: bool = False
    """List each negative control and counterexample with its measurement."""
    out: Path | None = None
    """Folder for verdicts.json, report.html and figures."""
    runs: tuple[Path, ...] = ()
    """Folders with verdicts.json of claims about runs (toy.figure8, toy.eight_gaussians,
    deep.contraction, deep.degradation): listed beside those of the statements."""
    seed: int | None = None
    """Determines every random draw, >= 0. Default: a fresh one; it is printed."""

    def __post_init__(self) -> None:
        for lam in self.lam:
            if not (math.isfinite(lam) and lam >= 0):
                raise OptionError(
                    f"--lambda must be finite and >= 0, got {lam:g} (∞ is no real data at all)"
                )
        if self.seed is not None:
            require_range(self, seed=(0, LARGEST_SEED))
        if self.family:
            self._require_own()
        if self.family and not self.own:
            from stability.families import FAMILIES  # --help need not wait for torch

            for family in self.family:
                if family not in FAMILIES:
                    raise OptionError(
                        f"--family must be one of {', '.join(FAMILIES)}, got {family}"
                    )
        if (self.family or self.lam) and not self.statements:
            raise OptionError(
                "--family and --lambda need a statement, e.g. theorem1 --family student_t "
                "--lambda 0.05 1"
            )

    @property
    def own(self) -> bool:
        """Return whether one of the families is the user's."""
        return any(":" in family for family in self.family)

    def _require_own(self) -> None:
        """ValueError if the options of a family of one's own do not fit together."""
        if not self.own:
            if self.data or self.start or self.steps is not None:
                raise OptionError(
                    "--data, --start and --steps need a family of one's own, e.g. --family "
                    f"mymodule:Weibull, got --family {' '.join(self.family)}"
                )
            return
        one = len(self.statements) == 1 and self.statements[0] in OWN
        if len(self.family) > 1 or not one or not self.data:
            raise OptionError(
                f"--family module:attribute needs one of {', '.join(OWN)}, one family and --data, "
                "e.g. theorem1 --family mymodule:Weibull --data x.csv --lambda 0.05 1"
            )
        if self.steps is not None and self.statements != ("theorem2",):
            raise OptionError(f"--steps is for theorem2, got {self.statements[0]}")
        require_range(self, draws=(40, 10**8))
        if self.steps is not None:
            require_range(self, steps=(1, 10**6))


def run(config: Stability) -> None:
    """Examine the statements, print, write.

    Args:
        config: Options of the command.

    Raises:
        SystemExit: With status 1 if something did not come out as it must.
    """
    if config.own:
        _run_own(config)
        return
    started = time.monotonic()
    if config.out:
        claim_output_folder(config.out, "stability")  # or its fault would show after the work
    console = make_console()
    if not console.is_terminal:
        console.width = 120
    seed = (
        int(np.random.SeedSequence().generate_state(1)[0]) if config.seed is None else config.seed
    )
    recorded = [_recorded(folder) for folder in config.runs]
    names, screen = _available(config.statements), make_console(stderr=True)
    watched = partial(
        track,
        description="checking",
        total=len(names),
        console=screen,
        disable=not screen.is_terminal,
    )
    examinations = list(
        watched(examine_all(names, seed, config.family, config.lam), transient=True)
    )
    examinations += recorded
    if config.family or config.lam:
        console.print(_verdicts_table(examinations))
    else:
        for title, group in grouped(examinations).items():
            console.print(_claims_table(title, group))
    if machine_checked(examinations):
        console.print(_machine_table(examinations))
    if config.controls:
        console.print(_rejections_table(examinations))
    if config.out:
        # matplotlib only where there is something to draw
        from stability.report import write_report

        print_paths(console, write_report(config.out, examinations, seed))
    for note, verdicts in _skipped(examinations).items():
        console.print(f"skipped: {'; '.join(verdict.claim for verdict in verdicts)}. {note}")
    # what a run refutes is no fault of this program
    examined = [each for each in examinations if each not in recorded]
    failures = [failure for examination in examined for failure in examination.failures]
    for failure in failures:
        console.print(failure, style="bold red")
    console.rule("Summary", style="dim")
    took = f"{time.monotonic() - started:.0f} s; --seed {seed}"
    console.print(f"{summary(examinations)}; {took}", style="bold red" if failures else "bold")
    if failures:
        raise SystemExit(EXIT_VIOLATED)


def _recorded(folder: Path) -> Examination:
    """The verdicts in the folder of a run. UsageError if there are none."""
    try:
        return read_verdicts(folder)
    except (OSError, UntrustedFileError) as error:
        raise UsageError(f"--runs {folder}: {FILE} {error}") from error


def _skipped(examinations: Sequence[Examination]) -> dict[str, list[Verdict]]:
    """Verdicts that were skipped, by their reason."""
    found: dict[str, list[Verdict]] = {}
    for verdict in (verdict for each in examinations for verdict in each.verdicts):
        if verdict.status is Status.SKIPPED:
            found.setdefault(verdict.note, []).append(verdict)
    return found


def _run_own(config: Stability) -> None:
    """A statement for a family of one's own on data of one's own."""
    if config.out:
        claim_output_folder(config.out, "stability")
    from stability.report import own_family

    console = make_console()
    if not console.is_terminal:
        console.width = 120
    assert config.data is not None
    seed = 0 if config.seed is None else config.seed
    family, points = own_family.load_family(config.family[0]), own_family.load_points(config.data)
    statement, lams = config.statements[0], config.lam or (0.05, 0.2, 1.0)
    if statement != "theorem1":
        _print_own(statement, family, points, lams, config)
        return
    local = own_family.analysed(family, points, lams[0], config.start, seed, config.draws)
    console.print(local)
    console.print(own_family.lambda_table(local, lams))
    console.print(own_family.parameters(local, family))
    if config.out:
        print_paths(console, own_family.write_curve(local, lams, config.out))


def _print_own(
    statement: str, family: Any, points: np.ndarray, lams: Sequence[float], config: Stability
) -> None:
    """The verdicts on a statement at each λ; SystemExit with status 1 if one is violated."""
    from stability.report import own_family

    console = make_console()
    if not console.is_terminal:
        console.width = 120
    seed = 0 if config.seed is None else config.seed
    verdicts = [
        verdict
        for lam in lams
        for verdict in own_family.own_verdicts(
            statement, family, points, lam, config.start, seed, config.steps
        )
    ]
    own = Examination(statement, statement, tuple(verdicts), (), (), 0.0)
    console.print(_verdicts_table([own]))
    if statement == "family_regimes":
        console.print("S5 is about Gaussians: not applicable")
    console.print(f"{summary([own])}; --seed {seed}")
    if config.out:
        print_paths(console, own_family.write_verdicts(verdicts, config.out))
    if own.failures:
        raise SystemExit(EXIT_VIOLATED)


def _available(asked: Sequence[str]) -> Sequence[str]:
    """The statements to examine; what an extra is missing for is left out with a warning, or
    refused if asked for.
    """
    everything = [name for names in GROUPS.values() for name in names]
    needing = [name for name in STATEMENTS if name.startswith("certified")]
    if find_spec("flint"):
        return asked or everything
    missing = " and ".join(needing) + " need python-flint: pip install python-flint"
    if set(needing) & set(asked):
        raise UsageError(missing)
    if not asked:
        warnings.warn(f"{missing}; the rest is examined without it", stacklevel=2)
        return [name for name in everything if name not in needing]
    return asked


def _claims_table(title: str, examinations: Sequence[Examination]) -> Table:
    """A row a claim: its worst status, and the instance nearest to failing with both of its
    numbers.
    """
    table = _table(title, "statement", "status", "tightest margin", "notices", "erratum")
    for column, width in zip(table.columns[1:], _WIDTHS, strict=True):
        column.max_width = width
    for examination in examinations:
        for claim in examination.claims:
            tightest = claim.tightest
            table.add_row(
                Text.assemble(
                    (claim.name, "bold"),
                    "\n",
                    textwrap.shorten(tightest.words, WORDS, placeholder=" …"),
                ),
                _tally(claim),
                _comparison(tightest),
                claim.notices,
                ", ".join(claim.errata),
            )
        table.add_section()
    return table


def _verdicts_table(examinations: Sequence[Examination]) -> Table:
    """A row a verdict."""
    table = _table(
        "Verdicts", "statement", "instance", "status", "measured, stated", "assumptions", "note"
    )
    for verdict in (verdict for examination in examinations for verdict in examination.verdicts):
        assumed = ", ".join(f"{name} = {value:.4g}" for name, value in verdict.assumptions.items())
        status, comparison = _status(verdict.status), _comparison(verdict)
        table.add_row(verdict.claim, verdict.instance, status, comparison, assumed, verdict.note)
    return table


def _machine_table(examinations: Sequence[Examination]) -> Table:
    """A row a file of theorems that Coq has checked."""
    table = _table(
        "Machine-checked proofs", "statement", "theorems", "axioms", "seconds", "spoiled copies"
    )
    for file, copies in machine_checked(examinations):
        rejected = sum(each.status is Status.VIOLATED for each in copies)
        table.add_row(
            Text(file.statement, "bold"),
            ", ".join(file.theorems),
            ", ".join(axiom.rpartition(".")[2] for axiom in file.axioms),
            f"{file.seconds:.1f}",
            f"{rejected} of {len(copies)} rejected",
        )
    return table


def _rejections_table(examinations: Sequence[Examination]) -> Table:
    """Every negative control and counterexample: each must be violated."""
    table = _table(
        "Negative controls and counterexamples",
        "kind",
        "statement",
        "instance",
        "measured, stated",
        "",
    )

    for examination in examinations:
        for kind, verdicts in (
            ("control", examination.controls),
            ("as printed", examination.counterexamples),
        ):
            for verdict in verdicts:
                is_rejected = verdict.status is Status.VIOLATED
                rejected = (
                    Text("rejected", "green") if is_rejected else Text("NOT REJECTED", "bold red")
                )
                table.add_row(kind, verdict.claim, verdict.instance, _comparison(verdict), rejected)

    return table


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, box=SIMPLE_HEAD, pad_edge=False, title_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def _status(status: Status) -> Text:
    colour = {Status.VIOLATED: "bold red", Status.HOLDS: "green", Status.CORRECTED: "yellow"}.get(
        status, "dim"
    )
    return Text(status.value, colour)


def _tally(claim: ClaimVerdicts) -> Text:
    """Number of verdicts by status, in the colour of the worst."""
    return Text(claim.tally, _status(claim.status).style)


def _comparison(verdict: Verdict) -> str:
    """Both numbers, with the tolerance where there is one."""
    tolerance = f" ± {verdict.tolerance:.1g}" if verdict.tolerance else ""
    return f"{verdict.comparison}{tolerance}"


if __name__ == "__main__":
    command(Stability, run)
