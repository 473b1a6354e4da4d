"""Result of `check`: a verdict first, then everything it rests on."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, is_dataclass
from html import escape
from typing import TYPE_CHECKING, Any, Literal

from stability.planning.alarm import LevelLoss
from stability.planning.column_changes import ColumnChange
from stability.planning.copies import Copies
from stability.planning.embedding import RealDistance
from stability.planning.target_score import TargetScore
from stability.planning.trend import DistanceTrend
from stability.planning.two_sample import Fidelity

if TYPE_CHECKING:
    import pandas as pd

    from stability.runs.figure_style import Figure

__all__ = ["CheckResult", "Endangered", "Look", "plain"]

Outcome = Literal["no change found", "degrading", "undecided"]
STATUS: Mapping[str, int] = {"no change found": 0, "degrading": 1, "undecided": 3}


@dataclass(frozen=True)
class Endangered:
    """A category that the next generation may lack.

    Attributes:
        column: Name of the column.
        level: The category.
        count: Its rows in the last generation.
        chance: Probability that as many rows drawn at its present share lack it.
        later: The same after ten fully synthetic rounds.
    """

    column: str
    level: str
    count: int
    chance: float
    later: float


@dataclass(frozen=True)
class Look:
    """Measurements of one generation.

    Attributes:
        name: Its name.
        time: Its number.
        digest: SHA-256 of what was read.
        rows: Rows that were used.
        distance: To the real data, all columns together; None if there are too few rows.
        evidence: Logarithm (base 10) of the e-process after it; None for a reference generation.
        losses: Categories that it lacks.
        columns: Change of each column.
        notes: Remarks, a line each.
    """

    name: str
    time: float
    digest: str
    rows: int
    distance: RealDistance | None
    evidence: float | None
    losses: tuple[LevelLoss, ...]
    columns: tuple[ColumnChange, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class CheckResult:
    """Verdict on whether a loop is degrading, and what it rests on.

    Attributes:
        outcome: `no change found`, `degrading` or `undecided`.
        since: Name of the generation from which on the loop is degrading; None otherwise.
        alpha: Probability of ever raising a false alarm, over all looks.
        null: What the alarm speaks against: `real`, `rows` or `stationary`.
        tolerance: τ of the null, in standard deviations of a score.
        needed: Evidence at which the alarm is raised, as logarithm with base 10.
        looks: One a generation, in order.
        trend: Slope and forecast; None for fewer than three generations.
        leading: Scores with the most evidence, and its logarithm with base 10.
        smallest: The smallest change that would have been found with power 80 %, by column: its
            size (inf: none is large enough) and its unit.
        schema: Kind of each column.
        remarks: What else a reader must know, a line each.
        limits: What the intervals do not cover, a line each.
        fidelity: Quality and diversity of the last generation. This and what follows is known only
            when the last generation was read.
        auc: Area under the curve of a classifier, last generation against real, and its standard
            error without a difference.
        target: A model trained on the last generation; None without a target.
        endangered: Categories that the next generation may lack.
        copies: Copies of training rows in the last generation.
        pairs: Rank correlations that changed most, before and after.
    """

    outcome: Outcome
    since: str | None
    alpha: float
    null: str
    tolerance: float
    needed: float
    looks: tuple[Look, ...]
    trend: DistanceTrend | None
    leading: tuple[tuple[str, float], ...]
    smallest: Mapping[str, tuple[float, str]]
    schema: Mapping[str, str]
    remarks: tuple[str, ...]
    limits: tuple[str, ...]
    fidelity: Fidelity | None = None
    auc: tuple[float, float] | None = None
    target: TargetScore | None = None
    endangered: tuple[Endangered, ...] = ()
    copies: Copies | None = None
    pairs: tuple[tuple[str, str, float, float], ...] = ()

    @property
    def verdict(self) -> str:
        """The answer: `no change found`, `degrading since gen4` or `undecided`."""
        return f"degrading since {self.since}" if self.outcome == "degrading" else self.outcome

    @property
    def status(self) -> int:
        """Exit status of the command: 0 no change found, 1 degrading, 3 undecided."""
        return STATUS[self.outcome]

    def frame(self) -> "pd.DataFrame":
        """Tidy table: generation, quantity, value."""
        import pandas as pd

        rows = []
        for look in self.looks:
            values = {"rows": float(look.rows)}
            if look.distance is not None:
                values |= {
                    "distance": look.distance.ratio,
                    "distance_error": look.distance.ratio_error,
                }
            if look.evidence is not None:
                values["log10_evidence"] = look.evidence
            values |= {f"{c.measure} {c.column}": c.distance for c in look.columns}
            rows += [
                {"generation": look.name, "quantity": key, "value": value}
                for key, value in values.items()
            ]
        return pd.DataFrame(rows, columns=["generation", "quantity", "value"])

    def to_dict(self) -> dict[str, Any]:
        """Everything as JSON values; a number that is not finite becomes None."""
        content = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return {"verdict": self.verdict, "status": self.status, **plain(content)}

    def plot(self) -> "Figure":
        """Draw distance and evidence over the generations."""
        from stability.planning.check_report import draw

        return draw(self)

    def _repr_html_(self) -> str:
        from stability.planning.check_report import facts

        rows = "".join(
            f"<tr><th>{escape(name)}</th><td>{escape(value)}</td></tr>"
            for name, value in facts(self)
        )
        return f"<p><b>{escape(self.verdict)}</b></p><table>{rows}</table>"


def plain(value: Any) -> Any:
    """JSON values of records, mappings and sequences.

    Args:
        value: Numbers, texts, records and containers of them.

    Returns:
        The same as dictionaries and lists; a number that is not finite is None.
    """
    if is_dataclass(value) and not isinstance(value, type):
        extra = {"ratio": value.ratio} if isinstance(value, RealDistance) else {}
        return plain({**asdict(value), **extra})
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, bool | str | int) or value is None:
        return value
    number = float(value)  # type: ignore[arg-type]
    return number if math.isfinite(number) else None
