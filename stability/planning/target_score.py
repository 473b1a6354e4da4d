"""Scores of a model's draws as training data to predict a column of real rows.

`plan` and `check` train the same model on draws and score it on real rows: a logistic regression
for classes, a linear one for numbers, on standardised coordinates.
"""

import math
import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from stability.planning.embedding import points_of
from stability.planning.scores import ScoreSet
from stability.runs.table_schema import CodedTable

__all__ = [
    "Measure",
    "PrecisionScore",
    "ScoreBudget",
    "TargetScore",
    "parse_budget",
    "precision_score",
    "score_generation",
    "trained_score",
]

Measure = Literal["average precision", "accuracy", "R²"]
"""Score of a class of two (the rarer one), of several classes, and of numbers."""
FOLDS = 10
MOST_ROWS = 4000
FEWEST_ROWS = 20
_BUDGET = re.compile(r"\s*target_ap\s*>=\s*(\d*\.?\d+)\s*(x?)\s*")


@dataclass(frozen=True)
class ScoreBudget:
    """A lower bound on the average precision.

    Attributes:
        least: The bound.
        relative: Whether it is a multiple of the average precision of a classifier trained on the
            real rows.
    """

    least: float
    relative: bool


@dataclass(frozen=True, eq=False)
class PrecisionScore:
    """Average precision, on the real rows, of a classifier trained on other rows.

    Attributes:
        name: Name of the class that is predicted.
        column: Name of the column that it belongs to.
        coordinate: Coordinate whose mean is the class's fraction.
        inputs: Coordinates that predict.
        points: (n, d), the real rows.
        reference: Average precision of classifiers trained on the real rows (out of fold).
    """

    name: str
    column: str
    coordinate: int
    inputs: NDArray[np.int64]
    points: NDArray[np.float64]
    reference: float

    def __call__(self, drawn: NDArray, held_out: NDArray | None = None) -> float:
        """Score draws: the mean over sets of n rows each, as many as the draws hold.

        Args:
            drawn: (k, d), rows to train on, n at least.
            held_out: (h, d), the real rows to score on; default those of this score.

        Returns:
            The average precision; for a set with fewer than two rows of a class, the class's
            fraction, which is that of guessing.
        """
        n = len(self.points)
        tested = self.points if held_out is None else held_out
        sets = [drawn[k * n : (k + 1) * n] for k in range(max(1, len(drawn) // n))]
        return float(np.mean([self.of_one_set(rows, tested) for rows in sets]))

    def of_one_set(self, drawn: NDArray, held_out: NDArray) -> float:
        """Score one set of rows.

        Args:
            drawn: (k, d), the rows to train on.
            held_out: (h, d), real rows.

        Returns:
            As of a call.
        """
        truth = held_out[:, self.coordinate] > 0.5
        labels = drawn[:, self.coordinate] > 0.5
        if min(labels.sum(), (~labels).sum()) < 2:
            return float(truth.mean())
        x, u = drawn[:, self.inputs], held_out[:, self.inputs]
        return trained_score(x, labels, u, truth, "average precision")


def precision_score(points: NDArray, names: Sequence[str], target: str) -> PrecisionScore:
    """Make the score of a target column.

    Args:
        points: (n, d), real rows, encoded.
        names: One a coordinate; a category has `column = level`.
        target: Name of a column of two values.

    Returns:
        The score; the rarer value is the class to predict.

    Raises:
        ValueError: If there is no such column, or it has not two values of 2 rows at least.
    """
    from sklearn.metrics import average_precision_score

    own = [j for j, name in enumerate(names) if name == target or name.startswith(f"{target} = ")]
    values = points[:, own]
    if not own:
        raise ValueError(f"target must be the name of a column, got {target}")
    if len(own) > 2 or not np.isin(values, (0.0, 1.0)).all():
        raise ValueError(f"target {target} must have two values, to be predicted as a class")
    rarer = own[int(values.mean(axis=0).argmin())]
    labels = points[:, rarer] > 0.5
    if min(labels.sum(), (~labels).sum()) < FOLDS:
        raise ValueError(f"target {target} must have {FOLDS} rows of each value at least")

    inputs = np.array([j for j in range(points.shape[1]) if j not in own])
    if not len(inputs):
        raise ValueError(f"target {target} needs other columns that predict it")
    folds = np.empty(len(points), dtype=int)
    for value in (True, False):  # as many rows of each class in each fold
        rows = np.flatnonzero(labels == value)
        folds[rows] = np.arange(len(rows)) % FOLDS
    chances = np.empty(len(points))
    for k in range(FOLDS):
        inside = folds == k
        x = points[:, inputs]
        chances[inside] = _predicted(x[~inside], labels[~inside], x[inside], "average precision")
    reference = float(average_precision_score(labels, chances))
    return PrecisionScore(
        names[rarer], target, rarer, inputs, np.asarray(points, dtype=float), reference
    )


def parse_budget(text: str) -> ScoreBudget:
    """Read `target_ap >= 0.95x` or `target_ap >= 0.4`.

    Args:
        text: The budget; with x, a multiple of what real rows give.

    Returns:
        The budget.

    Raises:
        ValueError: If it is written in another way.
    """
    found = _BUDGET.fullmatch(text)
    if not found or float(found[1]) <= 0:
        raise ValueError(
            f'budget must be like "target_ap >= 0.95x" or "target_ap >= 0.4", got {text}'
        )
    return ScoreBudget(float(found[1]), found[2] == "x")


def trained_score(x: NDArray, y: NDArray, u: NDArray, v: NDArray, measure: Measure) -> float:
    """Train on some rows and score on others.

    Args:
        x: (k, d), rows to train on.
        y: (k,), what to predict; of two classes 1 is the rarer one.
        u: (h, d), rows to score on.
        v: (h,), what they have.
        measure: What to return.

    Returns:
        The score; NaN if one side has a single value.
    """
    from sklearn.metrics import accuracy_score, average_precision_score, r2_score

    if len(v) < 2 or len(np.unique(v)) < 2 or len(np.unique(y)) < 2:
        return math.nan
    found = _predicted(x, y, u, measure)
    if measure == "average precision":
        return float(average_precision_score(np.asarray(v) == 1, found))
    return float((accuracy_score if measure == "accuracy" else r2_score)(v, found))


def _predicted(x: NDArray, y: NDArray, u: NDArray, measure: Measure) -> NDArray[np.float64]:
    """(h,), the rarer class's log-odds, or what is predicted."""
    from sklearn.linear_model import LogisticRegression, Ridge

    centre, scale = x.mean(axis=0), x.std(axis=0)
    scale = np.where(scale > 0, scale, 1.0)
    x, u = (x - centre) / scale, (u - centre) / scale
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # classes that a plane parts: the weights stay finite
        if measure == "R²":
            return Ridge(alpha=1.0).fit(x, y).predict(u)
        model = LogisticRegression(max_iter=200).fit(x, y)
    return model.decision_function(u) if measure == "average precision" else model.predict(u)


@dataclass(frozen=True)
class TargetScore:
    """A model that is trained on a generation and tested on real rows.

    Attributes:
        target: Column that it predicts.
        measure: What is scored.
        real: Score of the same model trained on as many real rows.
        drawn: Score of the one trained on the generation; None: it cannot be trained.
        problem: Why not, in one line.
    """

    target: str
    measure: Measure
    real: float
    drawn: float | None
    problem: str = ""


def score_generation(
    real: CodedTable, drawn: CodedTable, holdout: CodedTable | None, scores: ScoreSet
) -> TargetScore:
    """Train on the generation, test on real rows.

    Args:
        real: Training data of the loop.
        drawn: A generation.
        holdout: Rows to test on; None: half of the real rows, and the other half is trained on for
            comparison.
        scores: Scales and levels.

    Returns:
        Both scores.
    """
    schema = real.schema
    target = schema.target
    assert target is not None
    kind, levels = schema.column(target).kind, schema.column(target).levels
    order = np.random.default_rng(real.rows).permutation(real.rows)
    half = real.rows // 2
    train = real if holdout is not None else real.take(order[:half])
    test = holdout if holdout is not None else real.take(order[half:])
    others = ScoreSet(
        {name: scale for name, scale in scores.scales.items() if name != target},
        {name: shown for name, shown in scores.levels.items() if name != target},
        scores.gaps - {target},
        (),
    )

    def parts(table: CodedTable) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        cells = table.cells[target]
        known = np.isfinite(cells) if kind != "category" else (cells >= 0) & (cells < len(levels))
        rows = np.flatnonzero(known)[:MOST_ROWS]
        return points_of(table.take(rows), others), cells[rows]

    if not (others.scales or others.levels):
        return TargetScore(
            target, "R²", math.nan, None, "there is no other column to predict it from"
        )
    (x, y), (u, v) = parts(train), parts(test)
    measure: Measure = "R²" if kind != "category" else "accuracy"
    if kind == "category" and len(levels) == 2:
        measure = "average precision"
    usual = trained_score(x, y, u, v, measure)
    a, b = parts(drawn)
    if kind == "category" and len(np.unique(b)) < 2:
        only = f" ({levels[int(b[0])]})" if len(b) else ""
        problem = f"{target!r} has one class{only}: nothing can be trained on it"
        return TargetScore(target, measure, usual, None, problem)
    if len(b) < FEWEST_ROWS:
        return TargetScore(target, measure, usual, None, f"only {len(b)} usable rows")
    return TargetScore(target, measure, usual, trained_score(a, b, u, v, measure))
