import numpy as np
import pytest

from stability import Mix, Weighted, retrain
from stability.gaussian.regression import RegressionLearner, labelled
from stability.loop.regimes import TrainingSet


def problem(rng, rows, models, dimension, noise=1.0):
    x = rng.standard_normal((rows, models, dimension))
    truth = rng.standard_normal((models, dimension))
    return x, truth, labelled(x, truth, noise, rng)


@pytest.mark.parametrize(("rows", "dimension"), [(9, 3), (4, 7)])
def test_a_fit_is_that_of_least_norm(rows, dimension, rng):
    x, _, points = problem(rng, rows, 5, dimension)
    learner = RegressionLearner(5, dimension)
    learner.fit([TrainingSet(points, rows)], [])
    for w in range(5):
        expected = np.linalg.lstsq(x[:, w], points[:, w, -1])[0]
        np.testing.assert_allclose(learner.coefficients[w], expected, atol=1e-6)


def test_a_weight_of_two_is_a_point_twice(rng):
    _, _, points = problem(rng, 6, 4, 2)
    one, two = RegressionLearner(4, 2), RegressionLearner(4, 2)
    one.fit([TrainingSet(points, 6, np.array([2.0, 1, 1, 1, 1, 1]))], [])
    two.fit([TrainingSet(np.concatenate([points[:1], points]), 7)], [])
    np.testing.assert_allclose(one.coefficients, two.coefficients, atol=1e-9)


def test_samples_have_labels_of_the_model_and_inputs_as_asked(rng):
    x, truth, _ = problem(rng, 3, 2, 2)
    learner = RegressionLearner(2, 2, noise=0.0, inputs=x)
    learner.coefficients = truth
    (points,) = learner.sample([7], [rng])
    np.testing.assert_array_equal(points[..., :-1], np.concatenate([x, x, x[:1]]))
    np.testing.assert_allclose(points[..., -1], (points[..., :-1] * truth).sum(axis=2))
    (fresh,) = RegressionLearner(2, 2).sample([4], [rng])
    assert fresh.shape == (4, 2, 3)


def test_a_loop_goes_on_from_its_state(rng):
    _, _, points = problem(rng, 8, 3, 2)
    learner, other = RegressionLearner(3, 2), RegressionLearner(3, 2)
    assert len(list(retrain(learner, [points], [Weighted(Mix(1.0), 0.4)], 2, seed=1))) == 3
    other.load_state_dict(learner.state_dict())
    one, two = (each.sample([5], [np.random.default_rng(3)])[0] for each in (learner, other))
    np.testing.assert_array_equal(one, two)


def test_bad_arguments():
    with pytest.raises(ValueError, match="noise must be finite and >= 0, got -1"):
        RegressionLearner(1, 2, noise=-1.0)
    with pytest.raises(ValueError, match=r"inputs must have shape \(T, 2, 3\), got \(5, 2, 2\)"):
        RegressionLearner(2, 3, inputs=np.zeros((5, 2, 2)))
