"""Generation against real data by models: a classifier, and nearest neighbours."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import roc_auc_score
from sklearn.neighbors import NearestNeighbors

__all__ = ["Fidelity", "classifier_auc", "fidelity"]

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

    model = HistGradientBoostingClassifier(max_iter=60, random_state=0)
    model.fit(x[trained], y[trained])
    auc = roc_auc_score(y[~trained], model.predict_proba(x[~trained])[:, 1])
    m = size - size // 2
    return float(auc), math.sqrt((2 * m + 1) / (12 * m * m))


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
