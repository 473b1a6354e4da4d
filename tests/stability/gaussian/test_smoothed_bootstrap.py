import numpy as np
import pytest

from stability import Mix, retrain
from stability.gaussian.smoothed_bootstrap import SmoothedBootstrap
from stability.loop.regimes import TrainingSet


def fitted(x, **options):
    learner = SmoothedBootstrap(1, x.shape[1], **options)
    learner.fit([TrainingSet(x, len(x))], [])
    return learner


def test_without_noise_it_draws_its_points(rng):
    x = rng.standard_normal((5, 3))
    (drawn,) = fitted(x, noise=0.0).sample([200], [rng])
    assert {tuple(row) for row in drawn} <= {tuple(row) for row in x}
    (half,) = fitted(x, noise=0.0, shrink=0.5).sample([200], [rng])
    assert {tuple(row) for row in half} <= {tuple(row) for row in x / 2}


def test_variances_are_those_of_many_draws(rng):
    x = rng.standard_normal((30, 2)) @ np.array([[2.0, 0.0], [0.7, 0.5]])
    for options in ({}, {"noise": 0.4}, {"noise": 0.4, "shrink": 0.8}):
        learner = fitted(x, **options)
        (drawn,) = learner.sample([100_000], [rng])
        # draws are bounded plus normal: their fourth moments are below 20 variances squared
        slack = 7 * np.sqrt(20 / 100_000)
        np.testing.assert_allclose(drawn.var(axis=0), learner.variances[0], rtol=slack)


def test_scott_is_the_rule_of_the_unbiased_covariance(rng):
    x = rng.standard_normal((10, 1))
    kernel = 10 ** (-2 / 5) * x.var(ddof=1)
    assert fitted(x).variances[0, 0] == pytest.approx(x.var() + kernel)


def test_a_loop_goes_on_from_its_state(rng):
    real = [rng.standard_normal((8, 2))]
    learner, other = SmoothedBootstrap(1, 2), SmoothedBootstrap(1, 2)
    generations = list(retrain(learner, real, [Mix(1.0)], 2, seed=1))
    other.load_state_dict(learner.state_dict())
    one, two = (each.sample([5], [np.random.default_rng(3)])[0] for each in (learner, other))
    np.testing.assert_array_equal(one, two)
    assert len(generations) == 3


def test_bad_arguments():
    with pytest.raises(ValueError, match="noise must be finite and >= 0, got -1"):
        SmoothedBootstrap(1, 2, noise=-1.0)
    with pytest.raises(ValueError, match="dimension must be"):
        SmoothedBootstrap(1, 0)
