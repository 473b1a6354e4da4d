"""Two-sample tests: their statistics, and the p-values that hold for any n."""

import numpy as np
import pytest
from scipy.stats import binom, energy_distance
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from stability.observers.two_sample import (
    ClassifierTest,
    TwoSample,
    classifier_test,
    two_sample,
)
from tests.conftest import FALSE_ALARM
from tests.support.views import view_of


def test_the_energy_distance_is_that_of_scipy_in_one_dimension(rng):
    x, y = rng.standard_normal((30, 1)), rng.standard_normal((50, 1)) + 0.5
    energy, _ = two_sample(x, y, 1, rng)
    # scipy has √2 (∫ (F − G)²)^½, which is the same
    assert energy.statistic == pytest.approx(energy_distance(x[:, 0], y[:, 0]))


def test_the_discrepancy_is_a_double_sum(rng):
    x, y = rng.standard_normal((12, 3)), rng.standard_normal((9, 3))
    _, mmd = two_sample(x, y, 1, rng)
    points = np.concatenate([x, y])
    distances = np.linalg.norm(points[:, None] - points[None], axis=2)
    scale = np.median(distances[np.triu_indices(21, 1)])

    def kernel(a, b):
        squares = np.square(a[:, None] - b[None]).sum(axis=2)
        return np.exp(-squares / (2 * scale**2)).mean()

    assert mmd.statistic == pytest.approx(np.sqrt(kernel(x, x) + kernel(y, y) - 2 * kernel(x, y)))


def forest(seed):
    return ClassifierTest().classifier(seed)


@pytest.mark.parametrize("n", [5, 40])
def test_under_no_change_small_p_values_are_as_rare_as_they_say(n, rng):
    """Exact at any n: P(p <= 0.1) <= 0.1."""
    repeats, small = 300, np.zeros(3)
    for _ in range(repeats):
        x, y = rng.standard_normal((2, n, 2))
        tests = [*two_sample(x, y, 19, rng)]
        tests.append(classifier_test(x, y, LogisticRegression(), 19, rng))
        small += [test.p <= 0.1 for test in tests]
    allowed = binom.isf(FALSE_ALARM / 6, repeats, 0.1)
    assert (small <= allowed).all(), small


def test_a_clear_shift_is_noticed_by_all(rng):
    """Sets that do not overlap: every permutation is less extreme but with chance 2/C(80, 40)."""
    x, y = rng.standard_normal((40, 2)), rng.standard_normal((40, 2)) + 100
    measured = TwoSample(permutations=99)(view_of(x, y, rng=rng))
    measured |= ClassifierTest(permutations=99)(view_of(x, y, rng=rng))
    assert measured["energy_p"] == measured["mmd_p"] == measured["classifier_p"] == 0.01
    assert measured["classifier_auc"] == 1


def test_the_area_is_that_of_scikit_learn(rng):
    x, y = rng.standard_normal((60, 2)), rng.standard_normal((60, 2)) + 0.5

    class Kept(LogisticRegression):
        def predict_proba(self, X):  # scikit-learn's name
            self.points = X
            return super().predict_proba(X)

    classifier = Kept()
    found = classifier_test(x, y, classifier, 1, rng)
    scores = LogisticRegression.predict_proba(classifier, classifier.points)[:, 1]
    assert found.statistic == pytest.approx(roc_auc_score(np.repeat([1, 0], 30), scores))


def test_equal_points_are_no_change(rng):
    x = np.zeros((20, 2))
    measured = TwoSample(permutations=9)(view_of(x, x, rng=rng))
    assert measured["energy"] == measured["mmd"] == 0
    assert measured["energy_p"] == measured["mmd_p"] == 1


def test_the_same_view_gives_the_same_numbers():
    x, y = np.random.default_rng(0).standard_normal((2, 30, 2))
    for observer in (TwoSample(), ClassifierTest()):
        first, second = (observer(view_of(x, y, rng=np.random.default_rng(5))) for _ in range(2))
        assert first == second


def test_counts_that_are_none_are_refused():
    with pytest.raises(ValueError, match="permutations must be >= 1"):
        TwoSample(permutations=0)
    with pytest.raises(ValueError, match="most must be >= 4"):
        ClassifierTest(most=3)
