"""Does a quantity grow over generations? Slopes, intervals and exact sign tests over seeds.

Sign tests are exact without any assumption but independent seeds. That something does not grow
cannot be shown by a test: the interval of its slope says how much it may grow.
"""

import html
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from stability.runs.console import make_console
from stability.runs.outcome import Status

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["Interval", "SignTest", "Trend", "Trends", "sign_test", "slopes", "student_interval"]


@dataclass(frozen=True)
class Interval:
    """A mean over seeds, and an interval for it by Student's t; infinite with one seed.

    Attributes:
        mean: Of the values.
        low: Lower end.
        high: Upper end.
        level: Probability that the interval leaves out the true mean, for normal values.
    """

    mean: float
    low: float
    high: float
    level: float

    @property
    def half_width(self) -> float:
        """Half of its width."""
        return (self.high - self.low) / 2 if math.isfinite(self.high) else math.inf

    @property
    def leaves_out_zero(self) -> bool:
        """Return whether the whole interval lies on one side of 0."""
        return self.low > 0 or self.high < 0


@dataclass(frozen=True)
class SignTest:
    """Is the median of the differences positive?

    Attributes:
        positive: Seeds whose difference is > 0; a tie counts against it.
        seeds: All of them.
        p: Exact one-sided p-value of a positive median.
        p_opposite: That of a negative median.
    """

    positive: int
    seeds: int
    p: float
    p_opposite: float

    def outcome(self, level: float) -> Status:
        """Decide.

        Args:
            level: Greatest probability to find a sign although there is none.

        Returns:
            HOLDS: the median is positive; VIOLATED: it is negative; UNDECIDED: neither is found.
        """
        if self.p <= level:
            return Status.HOLDS
        return Status.VIOLATED if self.p_opposite <= level else Status.UNDECIDED


def slopes(values: NDArray[np.float64], first: int = 0) -> NDArray[np.float64]:
    """Fit a line over generations to each seed by least squares.

    Args:
        values: Generations by seeds, (T + 1, S).
        first: Generation from which on.

    Returns:
        Slopes (S,), in units of the values a retraining.

    Raises:
        ValueError: If there is only one generation.
    """
    window = np.asarray(values, dtype=float)[first:]
    if len(window) < 2:
        raise ValueError(f"a slope needs two generations from {first} on, got {len(values)} in all")
    t = np.arange(len(window)) - (len(window) - 1) / 2
    return t @ window / (t @ t)


def student_interval(values: NDArray[np.float64], level: float = 0.05) -> Interval:
    """Interval of a mean by Student's t.

    Args:
        values: One a seed, (S,).
        level: Probability that it leaves out the true mean, for normal values.

    Returns:
        The interval.
    """
    from scipy.special import stdtrit

    n, mean = len(values), float(np.mean(values))
    if n < 2:
        return Interval(mean, -math.inf, math.inf, level)
    half = float(stdtrit(n - 1, 1 - level / 2)) * float(np.std(values, ddof=1)) / math.sqrt(n)
    return Interval(mean, mean - half, mean + half, level)


def sign_test(differences: NDArray[np.float64]) -> SignTest:
    """Test the sign of a median over seeds, exactly.

    Args:
        differences: One a seed, (S,).

    Returns:
        Counts, and one-sided p-values in both directions.
    """
    from scipy.special import bdtrc

    n = len(differences)
    positive, negative = int((differences > 0).sum()), int((differences < 0).sum())
    # P(B >= k) for B ~ binomial(n, 1/2)
    p, opposite = (float(bdtrc(k - 1, n, 0.5)) if k else 1.0 for k in (positive, negative))
    return SignTest(positive, n, p, opposite)


@dataclass(frozen=True)
class Trend:
    """One quantity of one row over the generations.

    Attributes:
        row: Name of the row.
        quantity: Key of the quantity.
        slope: Mean slope over seeds, a retraining, and its interval.
        test: Of the signs of the slopes.
        status: Whether it grows: HOLDS; VIOLATED: it falls; UNDECIDED.
    """

    row: str
    quantity: str
    slope: Interval
    test: SignTest
    status: Status


@dataclass(frozen=True)
class Trends:
    """All rows and quantities of a run.

    Attributes:
        rows: One a row and quantity.
        level: Probability that any of the tests finds a trend in either direction although there is
            none (Bonferroni over rows, quantities and both directions).
        first: Generation from which on slopes are taken.
        covers: What the intervals cover.
    """

    rows: Sequence[Trend]
    level: float
    first: int
    covers: str

    @property
    def caption(self) -> str:
        """Caption of the table: the tests and their error rate, in words."""
        return (
            f"slopes over t ≥ {self.first}, 95 % intervals by Student's t over seeds; sign tests: "
            f"probability that any of them finds a trend that is not there: at most "
            f"{self.level:g}; {self.covers}"
        )

    def table(self) -> "Table":
        """The rows as a table for the terminal."""
        from rich.box import SIMPLE_HEAD
        from rich.table import Table

        table = Table(title="trends over generations", box=SIMPLE_HEAD, pad_edge=False)
        for column in _HEADS:
            words = column in ("regime", "quantity", "it grows")
            table.add_column(column, justify="left" if words else "right")
        for row in self.cells():
            table.add_row(*row)
        table.caption = self.caption
        return table

    def cells(self) -> list[list[str]]:
        """The rows as text, one cell for each of regime, quantity, slope, interval, sign test, p
        and outcome.
        """
        return [
            [
                row.row,
                row.quantity,
                f"{row.slope.mean:.3g}",
                f"[{row.slope.low:.3g}, {row.slope.high:.3g}]",
                f"{row.test.positive} of {row.test.seeds}",
                f"{row.test.p:.2g}",
                row.status.value,
            ]
            for row in self.rows
        ]

    def __str__(self) -> str:
        console = make_console(width=110)
        with console.capture() as shown:
            console.print(self.table())
        return shown.get()

    def _repr_html_(self) -> str:
        """A table for notebooks."""
        head = "".join(f"<th>{html.escape(cell)}</th>" for cell in _HEADS)
        body = "".join(
            "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>"
            for row in self.cells()
        )
        return f"<table><tr>{head}</tr>{body}</table><p>{html.escape(self.caption)}</p>"


_HEADS = ("regime", "quantity", "slope", "95 % interval", "seeds that grow", "p", "it grows")


def all_trends(
    values: Mapping[str, Mapping[str, NDArray[np.float64]]],
    level: float,
    first: int,
    covers: str,
) -> Trends:
    """Take slopes, intervals and sign tests of several quantities.

    Args:
        values: Quantity -> row -> (T + 1, S).
        level: Family-wise error rate of the tests.
        first: Generation from which on slopes are taken.
        covers: What the intervals cover, in words.

    Returns:
        A row for each row and quantity.

    Raises:
        ValueError: If there is only one generation from `first` on, or `level` is no probability.
    """
    if not 0 < level < 1:
        raise ValueError(f"level must be in (0, 1), got {level}")
    each = level / max(1, 2 * sum(map(len, values.values())))
    rows = []
    for quantity, by_row in values.items():
        for row, curve in by_row.items():
            taken = slopes(curve, first)
            test = sign_test(taken)
            rows.append(Trend(row, quantity, student_interval(taken), test, test.outcome(each)))
    return Trends(rows, level, first, covers)
