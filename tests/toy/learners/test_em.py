from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from sklearn.mixture import GaussianMixture as SklearnMixture

from stability import TrainingSet
from tests.support.learners_2d import moons, rngs
from toy.densities.shapes import eight_gaussians
from toy.learners.em import MixtureLearner
from toy.learners.settings import MixtureConfig

SETTINGS = MixtureConfig(components=4, iterations=5000, gain=1e-12, floor=1e-6)


def fitted(data, settings=SETTINGS, seed=0):
    learner = MixtureLearner(len(data), settings)
    learner.reset(rngs(len(data), seed))
    learner.fit(data, rngs(len(data), seed))
    return learner


def reference(learner, chain, data) -> Any:
    """The parameters of a chain after one EM step of scikit-learn."""
    model = SklearnMixture(
        learner.settings.components,
        reg_covar=learner.settings.floor,
        weights_init=learner.weights[chain],
        means_init=learner.means[chain],
        precisions_init=np.linalg.inv(learner.covariances[chain]),
        max_iter=1,
        random_state=0,  # of starts that it makes itself; here it makes none
    )
    with pytest.warns(Warning, match="did not converge"):
        return model.fit(data.points.astype(float))


def test_a_step_is_scikit_learn_s():
    """From the same start, for chains of different size side by side."""
    data = moons(150, 90, 200)
    start = fitted(data, replace(SETTINGS, iterations=1))
    learner = MixtureLearner(3, replace(SETTINGS, iterations=1))
    learner.load_state_dict(start.state_dict())
    learner.fit(data, rngs(3, 1))
    for chain, x in enumerate(data):
        model = reference(start, chain, x)
        np.testing.assert_allclose(learner.weights[chain], model.weights_, atol=1e-9)
        np.testing.assert_allclose(learner.means[chain], model.means_, atol=1e-9)
        np.testing.assert_allclose(learner.covariances[chain], model.covariances_, atol=1e-9)
        np.testing.assert_allclose(
            learner.log_prob([x.points] * 3)[chain], model.score_samples(x.points), rtol=1e-6
        )


def test_it_climbs_to_a_fixed_point_and_stays_there():
    data = moons(150, 90)
    learner = fitted(data)
    values = [learner.log_prob([d.points for d in data])[r].mean() for r in range(2)]
    before = learner.parameters
    learner.fit(data, rngs(2, 1))  # going on from a maximum
    np.testing.assert_allclose(learner.parameters, before, atol=1e-3)
    short = fitted(data, replace(SETTINGS, iterations=5)).log_prob([d.points for d in data])
    assert all(x.mean() < value for x, value in zip(short, values, strict=True))
    for r in range(2):
        assert reference(learner, r, data[r]).score(data[r].points) == pytest.approx(
            values[r], abs=1e-6
        )


def test_integer_weights_are_repeated_points(rng):
    (data,) = moons(100)
    repeats = rng.integers(1, 4, 100)
    repeated = np.repeat(data.points, repeats, axis=0)
    start = fitted([data], replace(SETTINGS, iterations=3))
    ends = []
    for x in (replace(data, weights=2.0 * repeats), TrainingSet(repeated, len(repeated))):
        learner = MixtureLearner(1, replace(SETTINGS, iterations=20))
        learner.load_state_dict(start.state_dict())
        learner.fit([x], rngs(1, 1))
        ends.append(learner.parameters)
    np.testing.assert_allclose(*ends, atol=1e-9)


def test_it_finds_eight_gaussians(rng):
    """From k-means++: all eight modes in at least seven of twelve seeds, with their small width.

    A seed misses a mode with a chance of about .01 (27 of 3000): below .02, six or more of twelve
    miss one with a chance below 1e-7.
    """
    data = [TrainingSet(eight_gaussians(400, rng), 400) for _ in range(12)]
    learner = fitted(data, MixtureConfig(components=8), seed=int(rng.integers(2**32)))
    found = (
        np.linalg.norm(eight_gaussians.centres[:, None] - learner.means[:, None], axis=3).min(
            axis=2
        )
        < 0.02
    )
    assert found.all(axis=1).sum() >= 7
    widths = np.sqrt(learner.covariances[..., 0, 0])
    assert np.median(widths) == pytest.approx(0.02 / np.sqrt(2.0004), rel=0.15)


def test_a_component_on_one_point_keeps_the_floor():
    data = [TrainingSet(np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0]]), 3)]
    learner = fitted(data, MixtureConfig(components=3, floor=1e-4))
    np.testing.assert_allclose(
        learner.covariances[0], np.tile(1e-4 * np.eye(2), (3, 1, 1)), atol=1e-12
    )


def test_fewer_different_points_than_components():
    learner = fitted([TrainingSet(np.zeros((5, 2)), 5)], MixtureConfig(components=3))
    assert np.isfinite(learner.parameters).all()
    assert np.abs(learner.sample([100], rngs(1, 0))[0]).max() < 0.01


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"components": 0}, "components must be >= 1, got 0"),
        ({"iterations": 0}, "iterations must be >= 1"),
        ({"floor": 0.0}, "floor must be finite and > 0, got 0.0"),
        ({"gain": float("nan")}, "gain must be finite"),
    ],
)
def test_bad_settings(setting, message):
    with pytest.raises(ValueError, match=message):
        MixtureConfig(**setting)
