"""Generation against real data by models: a classifier, a task, and nearest neighbours."""

import math
import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.metrics import accuracy_score, average_precision_score, r2_score, roc_auc_score
from sklearn.neighbors import NearestNeighbors

from stability.planning.scores import ScoreSet
from stability.planning.tables import MonitoredTable

__all__ = ["Fidelity", "TargetScore", "classifier_auc", "fidelity", "target_score"]

MOST_ROWS = 4000
MOST_NEIGHBOURS = 1000
NEIGHBOURS = 5
FEWEST_ROWS = 20


@dataclass(frozen=True)
class Fidelity:
    """Quality and diversity, each beside its value for real data against real data.

    Attributes:
        quality: Fraction of drawn rows among the real ones (precision): within the distance of
            some real row to its fifth neighbour.
        diversity: Fraction of real rows among the drawn ones (recall).
        real_quality: Quality of other real rows of the same number.
        error: Standard error of a fraction.
    """

    quality: float
    diversity: float
    real_quality: float
    error: float


@dataclass(frozen=True)
class TargetScore:
    """A model that is trained on a generation and tested on real rows.

    Attributes:
        target: Column that it predicts.
        measure: "average precision" (of the rarer class of two), "accuracy" or "R²".
        real: Score of the same model trained on as many real rows.
        drawn: Score of the one trained on the generation; None: it cannot be trained.
        problem: Why not, in one line.
    """

    target: str
    measure: str
    real: float
    drawn: float | None
    problem: str = ""


def classifier_auc(
    real: NDArray[np.float64], drawn: NDArray[np.float64]
) -> tuple[float, float] | None:
    """Area under the curve of a classifier that tells real from drawn rows it was not trained on.

    Args:
        real: Points (n, d).
        drawn: Points (m, d).

    Returns:
        AUC (1/2: cannot tell them apart) and its standard error without a difference; None: fewer
        than 20 rows on one side.
    """
    size = min(len(real), len(drawn), MOST_ROWS)
    if size < FEWEST_ROWS:
        return None
    rng = np.random.default_rng(size)
    x = np.concatenate([part[rng.permutation(len(part))[:size]] for part in (real, drawn)])
    y = np.repeat([0, 1], size)
    trained = np.concatenate([np.arange(size) < size // 2] * 2)

    model = _classifier().fit(x[trained], y[trained])
    auc = roc_auc_score(y[~trained], model.predict_proba(x[~trained])[:, 1])
    m = size - size // 2
    return float(auc), math.sqrt((2 * m + 1) / (12 * m * m))


def _classifier() -> HistGradientBoostingClassifier:
    return HistGradientBoostingClassifier(max_iter=60, random_state=0)


def fidelity(real: NDArray[np.float64], drawn: NDArray[np.float64]) -> Fidelity | None:
    """Measure quality and diversity apart.

    Source: Kynkäänniemi et al. 2019 (precision and recall by nearest neighbours).

    Args:
        real: Points (n, d).
        drawn: Points (m, d).

    Returns:
        The fractions; None: too few rows.
    """
    size = min(len(real) // 2, len(drawn), MOST_NEIGHBOURS)
    if size < FEWEST_ROWS:
        return None
    rng = np.random.default_rng(size)
    order = rng.permutation(len(real))
    one, other = real[order[:size]], real[order[size : 2 * size]]
    some = drawn[rng.permutation(len(drawn))[:size]]
    quality, diversity, usual = _covered(one, some), _covered(some, one), _covered(one, other)
    error = math.sqrt(max(usual * (1 - usual), 1 / size) / size)
    return Fidelity(quality, diversity, usual, error)


def _covered(support: NDArray[np.float64], points: NDArray[np.float64]) -> float:
    """Fraction of points within the radius of some point of the support."""
    neighbours = NearestNeighbors(n_neighbors=NEIGHBOURS + 1).fit(support)
    radii = neighbours.kneighbors(support)[0][:, -1]
    squares = np.square(points).sum(axis=1)[:, None] + np.square(support).sum(axis=1)
    gaps = np.sqrt(np.maximum(squares - 2 * points @ support.T, 0))
    return float((gaps <= radii * (1 + 1e-9) + 1e-6).any(axis=1).mean())


def target_score(
    real: MonitoredTable, drawn: MonitoredTable, holdout: MonitoredTable | None, scores: ScoreSet
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
    from stability.planning.embedding import points_of

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

    def parts(table: MonitoredTable) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        cells = table.cells[target]
        known = np.isfinite(cells) if kind != "category" else (cells >= 0) & (cells < len(levels))
        rows = np.flatnonzero(known)[:MOST_ROWS]
        return points_of(table.take(rows), others), cells[rows]

    if not (others.scales or others.levels):
        return TargetScore(
            target, "", math.nan, None, "there is no other column to predict it from"
        )
    (x, y), (u, v) = parts(train), parts(test)
    measure = "R²" if kind != "category" else "accuracy"
    if kind == "category" and len(levels) == 2:
        measure = "average precision"
    usual = _trained_score(x, y, u, v, measure)
    a, b = parts(drawn)
    if kind == "category" and len(np.unique(b)) < 2:
        only = f" ({levels[int(b[0])]})" if len(b) else ""
        problem = f"{target!r} has one class{only}: nothing can be trained on it"
        return TargetScore(target, measure, usual, None, problem)
    if len(b) < FEWEST_ROWS:
        return TargetScore(target, measure, usual, None, f"only {len(b)} usable rows")
    return TargetScore(target, measure, usual, _trained_score(a, b, u, v, measure))


def _trained_score(
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    u: NDArray[np.float64],
    v: NDArray[np.float64],
    measure: str,
) -> float:
    """Score on (u, v) of a model that was trained on (x, y); NaN if the test rows allow none."""
    if len(v) < 2 or len(np.unique(v)) < 2 or len(np.unique(y)) < 2:
        return math.nan
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if measure == "R²":
            model = HistGradientBoostingRegressor(max_iter=60, random_state=0).fit(x, y)
            return float(r2_score(v, model.predict(u)))
        classifier = _classifier().fit(x, y)
        if measure == "accuracy":
            return float(accuracy_score(v, classifier.predict(u)))
        # levels are sorted by frequency: 1 is the rarer one
        return float(average_precision_score(v == 1, classifier.predict_proba(u)[:, 1]))
