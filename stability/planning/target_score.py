"""How well draws of a model serve to predict a rare class of real rows: average precision."""

import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["PrecisionScore", "ScoreBudget", "parse_budget", "target_score"]

FOLDS = 10
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

    The classifier is a logistic regression on standardised columns.

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
        chances = _predicted(drawn[:, self.inputs], labels, held_out[:, self.inputs])
        return _average_precision(truth, chances)


def target_score(points: NDArray, names: Sequence[str], target: str) -> PrecisionScore:
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
        chances[inside] = _predicted(x[~inside], labels[~inside], x[inside])
    reference = _average_precision(labels, chances)
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


def _predicted(x: NDArray, labels: NDArray, held_out: NDArray) -> NDArray[np.float64]:
    from sklearn.linear_model import LogisticRegression

    centre, scale = x.mean(axis=0), x.std(axis=0)
    scale = np.where(scale > 0, scale, 1.0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # classes that a plane parts: the weights stay finite
        model = LogisticRegression(max_iter=200).fit((x - centre) / scale, labels)
    return model.decision_function((held_out - centre) / scale)


def _average_precision(truth: NDArray, chances: NDArray) -> float:
    from sklearn.metrics import average_precision_score

    return float(average_precision_score(truth, chances))
