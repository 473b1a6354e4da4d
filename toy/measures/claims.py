"""Claims about curves over generations, stated before a run and tested on its seeds after it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from rich.box import SIMPLE_HEAD
from rich.table import Table

from stability.runs.atomic import atomic_write
from stability.runs.console import make_console, print_paths
from stability.runs.result import Result
from stability.runs.trends import slopes
from stability.statements.claim import Claim
from stability.statements.run_claims import (
    ENOUGH_SEEDS,
    GROWTH_ERROR,
    any_error,
    growth_verdict,
    sign_verdict,
    write_verdicts,
)
from stability.statements.verdict import Verdict

__all__ = ["CurveClaim", "Figure", "claims_table", "decide", "markdown"]

Curves = Mapping[str, Mapping[str, NDArray[np.float64]]]
"""quantity -> regime -> (T + 1, S), generations by seeds; seed s has the same random numbers in
every regime."""

_NO_EVIDENCE = "A single seed, and curves of which no claim was stated before the run."


@dataclass(frozen=True)
class CurveClaim:
    """A claim that the curves of a run decide.

    Attributes:
        claim: The claim, with its error rate.
        test: Makes the verdict from the curves.
    """

    claim: Claim
    test: Callable[[Curves], Verdict]


@dataclass(frozen=True)
class Figure:
    """States claims about one figure of the paper.

    Attributes:
        name: Of the figure, e.g. "Figure 8".
        first: Generation from which slopes are taken.
        level: Level of each sign test, in (0, 1).
    """

    name: str
    first: int
    level: float

    def drifts(self, quantity: str, regime: str) -> CurveClaim:
        """Claim that a quantity grows.

        Args:
            quantity: Its key in the curves.
            regime: Name of the regime.

        Returns:
            The claim.
        """
        return self._signed(
            f"{regime}: {_shown(quantity)} grows",
            f"its slope over t ≥ {self.first} is positive",
            lambda curves: slopes(curves[quantity][regime], self.first),
            "a retraining",
        )

    def drifts_less(self, quantity: str, regime: str, other: str) -> CurveClaim:
        """Claim that a quantity grows less than in another regime, seed by seed.

        Args:
            quantity: Its key in the curves.
            regime: Name of the regime where it grows less.
            other: Name of the other regime.

        Returns:
            The claim.
        """
        return self._signed(
            f"{regime}: {_shown(quantity)} grows less than {other}",
            f"the difference of their slopes over t ≥ {self.first} is positive, seed by seed",
            lambda curves: (
                slopes(curves[quantity][other], self.first)
                - slopes(curves[quantity][regime], self.first)
            ),
            "a retraining",
        )

    def shrinks(self, quantity: str, regime: str) -> CurveClaim:
        """Claim that a quantity falls.

        Args:
            quantity: Its key in the curves.
            regime: Name of the regime.

        Returns:
            The claim.
        """
        return self._signed(
            f"{regime}: {_shown(quantity)} falls",
            f"its slope over t ≥ {self.first} is negative",
            lambda curves: -slopes(curves[quantity][regime], self.first),
            "down a retraining",
        )

    def ends_below(self, quantity: str, regime: str, other: str) -> CurveClaim:
        """Claim that a quantity is smaller than in another regime at the end, seed by seed.

        Args:
            quantity: Its key in the curves.
            regime: Name of the regime where it is smaller.
            other: Name of the other regime.

        Returns:
            The claim.
        """
        return self._signed(
            f"{regime}: {_shown(quantity)} ends below {other}",
            "the difference in the last generation is positive, seed by seed",
            lambda curves: curves[quantity][other][-1] - curves[quantity][regime][-1],
            "at the end",
        )

    def stays(self, quantity: str, regime: str, control: str) -> CurveClaim:
        """Claim that a quantity does not grow, or no more than in a control, seed by seed.

        Args:
            quantity: Its key in the curves.
            regime: Name of the regime.
            control: Name of the regime that sees no synthetic data.

        Returns:
            The claim.
        """
        title = f"{regime}: {_shown(quantity)} does not grow"
        claim = Claim(
            id=f"{self.name}, {title}",
            words=f"{title}: the 95 % interval of its mean slope over t ≥ {self.first}, or of the "
            f"difference from {control}, is not above 0",
            relation="<=",
            source=f"{self.name} of the paper",
            falsified_by="Both intervals are above 0.",
            no_evidence=_NO_EVIDENCE,
            needs=(ENOUGH_SEEDS,),
            error_rate=GROWTH_ERROR,
        )

        return CurveClaim(
            claim,
            lambda curves: growth_verdict(
                claim,
                regime,
                slopes(curves[quantity][regime], self.first),
                slopes(curves[quantity][control], self.first),
                "a retraining",
            ),
        )

    def _signed(
        self,
        title: str,
        condition: str,
        differences: Callable[[Curves], NDArray[np.float64]],
        unit: str,
    ) -> CurveClaim:
        """A claim of a sign, tested over seeds."""
        claim = Claim(
            id=f"{self.name}, {title}",
            words=f"{title}: {condition}, sign test over seeds at {self.level:g}",
            relation="<=",
            source=f"{self.name} of the paper",
            falsified_by=f"The opposite sign, found by the same test at {self.level:g}.",
            no_evidence=_NO_EVIDENCE,
            error_rate=self.level,
        )
        return CurveClaim(
            claim,
            lambda curves: sign_verdict(
                claim, title.partition(":")[0], differences(curves), self.level, unit
            ),
        )


def _shown(quantity: str) -> str:
    return quantity.upper() if quantity in ("w1", "w2") else quantity.replace("_", " ")


def decide(
    command: str, stated: Sequence[CurveClaim], result: Result, quantities: Sequence[str]
) -> None:
    """Decide the claims on a run, write them to its folder as claims.md, and print them.

    `python -m stability --runs FOLDER --out report` shows them in its report.

    Args:
        command: Name of the command that states them, e.g. "toy.figure8".
        stated: The claims.
        result: The run.
        quantities: Keys of the curves that they are about.
    """
    curves = {quantity: result.history.values(quantity) for quantity in quantities}
    verdicts = [each.test(curves) for each in stated]
    page = result.folder / "claims.md"
    with atomic_write(page) as file:
        file.write(markdown(stated, verdicts).encode())
    console = make_console()
    console.print(claims_table(stated, verdicts))
    title = f"Claims about {result.folder.name}, stated before the run."
    print_paths(console, [page, write_verdicts(result.folder, command, title, verdicts)])


def claims_table(claims: Sequence[CurveClaim], verdicts: Sequence[Verdict]) -> Table:
    """Make a table for the terminal: claim, measured numbers and status.

    Args:
        claims: The claims.
        verdicts: One verdict per claim.

    Returns:
        The table.
    """
    table = Table(
        title="claims, stated before the run", box=SIMPLE_HEAD, pad_edge=False, title_style="bold"
    )
    table.caption, table.caption_style = _any_error(claims), ""
    for column in ("claim", "measured", "status"):
        table.add_column(column)
    for verdict in verdicts:
        table.add_row(verdict.words, verdict.note, verdict.status)
    return table


def markdown(claims: Sequence[CurveClaim], verdicts: Sequence[Verdict]) -> str:
    """Make the same table for a page, with the error rate of each claim.

    Args:
        claims: The claims.
        verdicts: One verdict per claim.

    Returns:
        Markdown.
    """
    lines = ["| claim | falsified by | error rate | measured | status |", "|---|---|---|---|---|"]
    lines += [
        f"| {each.claim.words} | {each.claim.falsified_by} | {each.claim.error_rate:g} | "
        f"{verdict.note} | **{verdict.status}** |"
        for each, verdict in zip(claims, verdicts, strict=True)
    ]
    return "\n".join([*lines, "", _any_error(claims)]) + "\n"


def _any_error(claims: Sequence[CurveClaim]) -> str:
    """The union bound over the claims' errors, in words."""
    total = any_error([each.claim for each in claims])
    return f"Probability of any such error among the {len(claims)} claims: at most {total:.2g}."
