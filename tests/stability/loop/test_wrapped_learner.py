import numpy as np

from stability import FullySynthetic, GaussianLearner, HasLogProb, retrain
from stability.loop.wrapped_learner import WithDensity, WrappedLearner, unwrapped


def test_it_does_as_the_learner_does(rng):
    real, seed = list(rng.standard_normal((3, 20, 2))), int(rng.integers(2**32))
    learner = GaussianLearner(3, 2)
    around = WrappedLearner(GaussianLearner(3, 2))
    loops = [retrain(one, real, [FullySynthetic()] * 3, 2, seed=seed) for one in (learner, around)]
    for one, other in zip(*loops, strict=True):
        np.testing.assert_array_equal(one.samples, other.samples)
    assert around.chains == 3
    assert around.weighs is True

    later = WrappedLearner(GaussianLearner(3, 2))
    later.load_state_dict(around.state_dict())
    np.testing.assert_array_equal(later.state_dict()["mean"], learner.state_dict()["mean"])


class Dense(GaussianLearner):
    """A learner with a density."""

    def log_prob(self, points):
        return [-np.square(x).sum(axis=1) for x in points]


def test_it_has_a_density_where_it_is_asked_for(rng):
    points = [rng.standard_normal((5, 2))]
    learner = Dense(1, 2)
    assert not isinstance(WrappedLearner(learner), HasLogProb)
    around = WithDensity(learner)
    assert isinstance(around, HasLogProb)
    np.testing.assert_array_equal(around.log_prob(points), learner.log_prob(points))


def test_the_innermost_learner_is_found():
    learner = GaussianLearner(3, 2)
    assert unwrapped(WrappedLearner(WrappedLearner(learner))) is learner
    assert unwrapped(learner) is learner
