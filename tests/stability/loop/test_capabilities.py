import numpy as np
import pytest

from stability import GaussianLearner, HasLogProb, Mix, SupportsWeights, Weighted, retrain
from stability.loop.capabilities import HasLambda, uses_weights
from stability.loop.regimes import FullySynthetic


class OwnLearner:
    """A user's class: it wraps, inherits nothing of ours, and names its attributes."""

    def __init__(self) -> None:
        self.learner = GaussianLearner(1, 1)
        self.weights: list[np.ndarray | None] = []

    @property
    def chains(self):
        return self.learner.chains

    def reset(self, rngs):
        self.learner.reset(rngs)

    def fit(self, datasets, rngs):
        self.weights += [data.weights for data in datasets]
        self.learner.fit(datasets, rngs)

    def sample(self, counts, rngs):
        return self.learner.sample(counts, rngs)

    def state_dict(self):
        return self.learner.state_dict()

    def load_state_dict(self, state):
        self.learner.load_state_dict(state)


class Weighing(OwnLearner):
    weighs = True


class Refusing(OwnLearner):
    weighs = False


def run(learner):
    real = [np.arange(4.0)[:, None]]
    return list(retrain(learner, real, [Weighted(Mix(1.0), 0.75)], 1, seed=0))


def test_a_class_with_the_attribute_is_given_weights():
    learner = Weighing()
    run(learner)
    assert isinstance(learner, SupportsWeights)
    weights = learner.weights[-1]
    assert weights is not None
    assert weights[:4].sum() == pytest.approx(0.75)  # the share of the real points


@pytest.mark.parametrize("kind", [OwnLearner, Refusing])
def test_a_class_without_it_or_with_false_is_refused_weights(kind):
    learner = kind()
    assert not uses_weights(learner)
    with pytest.raises(ValueError, match=f"which {kind.__name__} does not support"):
        run(learner)


def test_log_prob_and_lambda_are_found_by_their_names():
    assert not isinstance(OwnLearner(), HasLogProb)
    assert isinstance(type("Scored", (OwnLearner,), {"log_prob": lambda self, x: x})(), HasLogProb)
    assert isinstance(Mix(0.5), HasLambda)
    assert not isinstance(FullySynthetic(), HasLambda)
