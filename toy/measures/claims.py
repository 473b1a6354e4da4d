"""Claims about curves over generations, stated before a run and tested on its seeds after it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from rich.box import SIMPLE_HEAD
from rich.table import Table

from stability.runs.outcome import Status
from stability.runs.trends import sign_test, slopes, student_interval

__all__ = [
    "CurveClaim",
    "Outcome",
    "claims_table",
    "drifts",
    "drifts_less",
    "ends_below",
    "markdown",
    "stays",
]

Curves = Mapping[str, Mapping[str, NDArray[np.float64]]]
"""quantity -> regime -> (T + 1, S), generations by seeds; seed s has the same random numbers in
every regime."""


@dataclass(frozen=True)
class Outcome:
    """Result of a claim's test on the seeds.

    Attributes:
        status: HOLDS, VIOLATED (the opposite is found) or UNDECIDED.
        measured: The numbers behind it.
    """

    status: Status
    measured: str


@dataclass(frozen=True)
class CurveClaim:
    """A statement that a run decides.

    Attributes:
        words: What is claimed.
        condition: When it holds.
        test: Of the curves.
        error: Greatest probability that, although nothing is there, a claim of a difference holds,
            or one of none is violated.
    """

    words: str
    condition: str
    error: float
    test: Callable[[Curves], Outcome]


def _sign_test(differences: NDArray[np.float64], level: float, unit: str) -> Outcome:
    """Test if more than half of the differences are positive, exactly; a tie counts against it."""
    test = sign_test(differences)
    return Outcome(
        test.outcome(level),
        f"{test.positive} of {test.seeds} seeds, p = {test.p:.1g}; mean {differences.mean():.3g} "
        f"{unit}",
    )


def drifts(quantity: str, regime: str, first: int, level: float) -> CurveClaim:
    """Claim that a quantity grows.

    Args:
        quantity: Its key in the curves.
        regime: Name of the regime.
        first: Generation from which the slope is taken.
        level: Level of the sign test, in (0, 1).

    Returns:
        The claim.
    """
    return CurveClaim(
        f"{regime}: {quantity.upper()} grows",
        f"its slope over t ≥ {first} is positive, sign test over seeds at {level:g}",
        level,
        lambda curves: _sign_test(slopes(curves[quantity][regime], first), level, "a retraining"),
    )


def drifts_less(quantity: str, regime: str, other: str, first: int, level: float) -> CurveClaim:
    """Claim that a quantity grows less than in another regime, seed by seed.

    Args:
        quantity: Its key in the curves.
        regime: Name of the regime where it grows less.
        other: Name of the other regime.
        first: Generation from which the slopes are taken.
        level: Level of the sign test, in (0, 1).

    Returns:
        The claim.
    """
    return CurveClaim(
        f"{regime}: {quantity.upper()} grows less than {other}",
        f"the difference of their slopes over t ≥ {first} is positive, paired sign test at "
        f"{level:g}",
        level,
        lambda curves: _sign_test(
            slopes(curves[quantity][other], first) - slopes(curves[quantity][regime], first),
            level,
            "a retraining",
        ),
    )


def ends_below(quantity: str, regime: str, other: str, level: float) -> CurveClaim:
    """Claim that a quantity is smaller than in another regime in the last generation, seed by seed.

    Args:
        quantity: Its key in the curves.
        regime: Name of the regime where it is smaller.
        other: Name of the other regime.
        level: Level of the sign test, in (0, 1).

    Returns:
        The claim.
    """
    return CurveClaim(
        f"{regime}: {quantity.upper()} ends below {other}",
        f"the difference in the last generation is positive, paired sign test at {level:g}",
        level,
        lambda curves: _sign_test(
            curves[quantity][other][-1] - curves[quantity][regime][-1], level, "at the end"
        ),
    )


def stays(quantity: str, regime: str, control: str, first: int) -> CurveClaim:
    """Claim that a quantity does not grow, or no more than in a control, seed by seed.

    It is violated only where two one-sided t-tests at 2.5 % both find growth, so with no more
    probability than one of them.

    Args:
        quantity: Its key in the curves.
        regime: Name of the regime.
        control: Name of the regime that sees no synthetic data.
        first: Generation from which the slopes are taken.

    Returns:
        The claim.
    """

    def test(curves: Curves) -> Outcome:
        mine, theirs = (slopes(curves[quantity][name], first) for name in (regime, control))
        if len(mine) < 3:
            return Outcome(Status.UNDECIDED, f"{len(mine)} seed{'s' if len(mine) > 1 else ''}")
        alone, beside = student_interval(mine), student_interval(mine - theirs)
        grows = alone.low > 0 and beside.low > 0
        return Outcome(
            Status.VIOLATED if grows else Status.HOLDS,
            f"[{alone.low:.2g}, {alone.high:.2g}] a retraining; difference "
            f"[{beside.low:.2g}, {beside.high:.2g}]",
        )

    return CurveClaim(
        f"{regime}: {quantity.upper()} does not grow",
        f"the 95 % interval of its mean slope over t ≥ {first}, or of the difference from "
        f"{control}, is not above 0",
        0.025,
        test,
    )


def claims_table(claims: Sequence[CurveClaim], outcomes: Sequence[Outcome]) -> Table:
    """Make a table for the terminal: claim, condition, measured numbers and outcome.

    Args:
        claims: The claims.
        outcomes: One outcome per claim.

    Returns:
        The table.
    """
    table = Table(
        title="claims, stated before the run", box=SIMPLE_HEAD, pad_edge=False, title_style="bold"
    )
    table.caption, table.caption_style = _any_error(claims), ""
    for column in ("claim", "condition", "measured", "outcome"):
        table.add_column(column)
    for claim, outcome in zip(claims, outcomes, strict=True):
        table.add_row(claim.words, claim.condition, outcome.measured, outcome.status)
    return table


def markdown(claims: Sequence[CurveClaim], outcomes: Sequence[Outcome]) -> str:
    """Make the same table for a page, with the error rate of each claim.

    Args:
        claims: The claims.
        outcomes: One outcome per claim.

    Returns:
        Markdown.
    """
    lines = ["| claim | condition | error rate | measured | outcome |", "|---|---|---|---|---|"]
    lines += [
        f"| {claim.words} | {claim.condition} | {claim.error:g} | {outcome.measured} | "
        f"**{outcome.status}** |"
        for claim, outcome in zip(claims, outcomes, strict=True)
    ]
    return "\n".join([*lines, "", _any_error(claims)]) + "\n"


def _any_error(claims: Sequence[CurveClaim]) -> str:
    """The union bound over the claims' errors, in words."""
    total = min(1.0, sum(claim.error for claim in claims))
    return f"Probability of any such error among the {len(claims)} claims: at most {total:.2g}."
