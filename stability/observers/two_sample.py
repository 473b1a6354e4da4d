"""Two-sample tests with exact p-values: energy distance, maximum mean discrepancy, a classifier.

Each p-value is that of a permutation test: how often labels that are dealt out at random give a
statistic as large. So under no change it is at most α with probability <= α for any n and any law.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist
from scipy.stats import rankdata

from stability.loop.arguments import whole_number
from stability.observers.points import first_of_both
from stability.runs.observer import OF_THE_TRUTH, Quantity, TruthDraw, View

__all__ = ["ClassifierTest", "PermutationTest", "TwoSample", "classifier_test", "two_sample"]


@dataclass(frozen=True)
class PermutationTest:
    """A statistic and its p-value.

    Attributes:
        statistic: Larger: further from no change.
        p: Probability, under no change, of one as large.
    """

    statistic: float
    p: float


def _signs(n: int, m: int, permutations: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Weights 1/n and −1/m, (n + m, 1 + permutations): those of the two sets, then dealt out at
    random.
    """
    own = np.repeat([1 / n, -1 / m], (n, m))
    dealt = rng.permuted(np.tile(own, (permutations, 1)), axis=1)
    return np.concatenate([own[None], dealt]).T


def _test(values: NDArray[np.float64]) -> PermutationTest:
    """Permutation test from statistics (1 + B,), the first that of the sets as they are."""
    # equal up to rounding counts as equal, so that the test stays exact with ties
    margin = 1e-12 * float(np.abs(values).max())
    return PermutationTest(float(values[0]), float((values >= values[0] - margin).mean()))


def two_sample(
    x: np.ndarray, y: np.ndarray, permutations: int, rng: np.random.Generator
) -> tuple[PermutationTest, PermutationTest]:
    """Test by energy distance and by maximum mean discrepancy.

    Both compare mean kernels within and between the sets: −‖x − y‖ for the energy distance (Székely
    and Rizzo, 2004), exp(−‖x − y‖²/2s²) for the discrepancy (Gretton et al., JMLR 13, 2012), with s
    the median distance of all points.

    Args:
        x: (n, d).
        y: (m, d).
        permutations: Random ones, >= 1.
        rng: For them.

    Returns:
        Energy distance √(2E‖X−Y‖ − E‖X−X'‖ − E‖Y−Y'‖), in units of √x, and discrepancy, in [0, √2].
    """
    points = np.concatenate([x, y])
    distance = cdist(points, points)
    scale = float(np.median(distance[np.triu_indices(len(points), 1)]))
    kernel = np.exp(-0.5 * (distance / scale) ** 2) if scale > 0 else (distance == 0).astype(float)

    weights = _signs(len(x), len(y), permutations, rng)
    energy, mmd = (
        np.sqrt(np.maximum(np.einsum("ib,ib->b", weights, k @ weights), 0))
        for k in (-distance, kernel)
    )
    return _test(energy), _test(mmd)


def classifier_test(
    x: np.ndarray, y: np.ndarray, classifier: Any, permutations: int, rng: np.random.Generator
) -> PermutationTest:
    """Train a classifier to distinguish the sets on one half, and test its scores on the other.

    Source: Lopez-Paz and Oquab, "Revisiting classifier two-sample tests" (ICLR 2017), with the
    area under the curve in place of the accuracy.

    Args:
        x: (n, d), n >= 4.
        y: (m, d), m >= 4.
        classifier: With scikit-learn's `fit` and `predict_proba`.
        permutations: Random ones of the labels of the other half, >= 1.
        rng: For the halves and the permutations.

    Returns:
        The area under the curve, in [0, 1]: 0.5 cannot tell apart, 1 tells all. And its p-value.
    """
    x, y = rng.permutation(x), rng.permutation(y)
    k, j = len(x) // 2, len(y) // 2
    labels = np.repeat([1, 0], (k, j))
    classifier.fit(np.concatenate([x[:k], y[:j]]), labels)

    held_out = np.concatenate([x[k:], y[j:]])
    n, m = len(x) - k, len(y) - j
    ranks = rankdata(classifier.predict_proba(held_out)[:, 1])
    dealt = _signs(n, m, permutations, rng) > 0
    areas = (ranks @ dealt - n * (n + 1) / 2) / (n * m)
    return _test(areas)


class _BetweenSets:
    """An observer that compares the samples with as many true points."""

    def floor(self, truth: TruthDraw, n: int, rng: np.random.Generator) -> dict[str, float]:
        """Compare two independent draws of the truth.

        Args:
            truth: Draws true points.
            n: Points a set.
            rng: To draw with.

        Returns:
            Value of each quantity.
        """
        return self._measured(truth(n, rng), truth(n, rng), rng)

    def __call__(self, view: View) -> dict[str, float]:
        """Compare the samples with the true points.

        Args:
            view: Samples and true points of one chain in one generation.

        Returns:
            Value of each quantity.
        """
        return self._measured(view.samples, view.truth, view.rng)

    def _measured(self, x: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> dict[str, float]:
        """Compare two sets (n, …) and (m, …)."""
        raise NotImplementedError


@dataclass(frozen=True)
class TwoSample(_BetweenSets):
    """Energy distance and maximum mean discrepancy to the truth, each with a p-value.

    Attributes:
        permutations: Random ones; the least p-value is 1/(permutations + 1).
        most: Points a set, at most: time and memory grow with its square.
    """

    permutations: int = 199
    most: int = 500
    thread_safe = True
    quantities = (
        Quantity("energy", "Energy distance to the truth"),
        Quantity("energy_p", "p-value of the energy distance", floor=OF_THE_TRUTH),
        Quantity("mmd", "Maximum mean discrepancy to the truth"),
        Quantity("mmd_p", "p-value of the discrepancy", floor=OF_THE_TRUTH),
    )

    def __post_init__(self) -> None:
        whole_number(self.permutations, "permutations", 1)
        whole_number(self.most, "most", 2)

    def _measured(self, x: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> dict[str, float]:
        energy, mmd = two_sample(*first_of_both(x, y, self.most), self.permutations, rng)
        return {
            "energy": energy.statistic,
            "energy_p": energy.p,
            "mmd": mmd.statistic,
            "mmd_p": mmd.p,
        }


def _forest(seed: int) -> Any:
    from sklearn.ensemble import RandomForestClassifier

    return RandomForestClassifier(50, min_samples_leaf=5, random_state=seed)


@dataclass(frozen=True)
class ClassifierTest(_BetweenSets):
    """Test of a classifier that tells samples from true points: area under the curve, p-value.

    Attributes:
        classifier: seed -> a new classifier with scikit-learn's `fit` and `predict_proba`. Default:
            a random forest of 50 trees.
        permutations: Random ones; the least p-value is 1/(permutations + 1).
        most: Points a set, at most.
    """

    classifier: Callable[[int], Any] = _forest
    permutations: int = 199
    most: int = 1000
    quantities = (
        Quantity(
            "classifier_auc",
            "AUC of telling samples from the truth (0.5: cannot)",
            "AUC of telling apart",
            from_zero=False,
            floor=OF_THE_TRUTH,
        ),
        Quantity("classifier_p", "p-value of the classifier", floor=OF_THE_TRUTH),
    )

    def __post_init__(self) -> None:
        whole_number(self.permutations, "permutations", 1)
        whole_number(self.most, "most", 4)

    def _measured(self, x: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> dict[str, float]:
        classifier = self.classifier(int(rng.integers(2**31)))
        found = classifier_test(*first_of_both(x, y, self.most), classifier, self.permutations, rng)
        return {"classifier_auc": found.statistic, "classifier_p": found.p}
