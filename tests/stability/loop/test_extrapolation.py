import numpy as np
import pytest
import torch

from stability import FullySynthetic, Mix, from_estimator, retrain
from stability.gaussian.learner import GaussianLearner
from stability.loop.extrapolation import (
    ExtrapolatedDensity,
    ExtrapolatedLearner,
    extrapolating,
)
from stability.loop.regimes import Extrapolated
from stability.loop.temperature import tempered


def rows(rng, *sizes):
    return [rng.standard_normal((n, 2)) * (1.0, 0.3) for n in sizes]


def run(learner, real, regimes, generations, seed, after=None):
    whole = extrapolating(learner, regimes)
    return whole, list(retrain(whole, real, regimes, generations, seed=seed, after=after))


class Exact:
    """A learner of one number, its mean square, with the sampler φ(v) = slope · v + bias and no
    noise: all its samples are equal.
    """

    chains = 1

    def __init__(self, slope, bias=0.0):
        self.slope, self.bias, self.v = slope, bias, 0.0

    def reset(self, rngs):
        self.v = 0.0

    def fit(self, datasets, rngs):
        self.v = float(np.square(datasets[0].points).mean())

    def sample(self, counts, rngs):
        return [np.full((counts[0], 1), (self.slope * self.v + self.bias) ** 0.5)]

    def state_dict(self):
        return {"v": torch.tensor([self.v], dtype=torch.float64)}

    def load_state_dict(self, state):
        self.v = float(state["v"][0])

    def extrapolated(self, base, weights):
        return {"v": base["v"] - torch.from_numpy(weights) * (self.v - base["v"])}


@pytest.mark.parametrize(("slope", "bias"), [(0.8, 0.0), (1.25, 0.0), (0.8, 0.1)])
@pytest.mark.parametrize("regime", [Mix(1.0), FullySynthetic()], ids=str)
def test_at_one_over_the_slope_a_linear_sampler_is_undone(slope, bias, regime):
    """φ(v − w(φ(v) − v)) = v at w = 1/φ', exactly if φ is linear: the loop stays at the data."""
    real = [np.array([[1.0], [-1.0], [1.0], [-1.0]])]
    w = 1 / slope
    for weight, stays in ((w, True), (-w, False), (slope, False)):
        _, generations = run(Exact(slope, bias), real, [Extrapolated(regime, weight)], 6, seed=0)
        ends = np.square(generations[-1].samples[0])
        assert np.allclose(ends, 1.0, rtol=1e-9) == stays


def test_weights_of_none_and_of_minus_one_are_plain_samplings(rng):
    """w = 0: the learner itself. w = −1: samples of θ'."""
    real = rows(rng, 20)[0]
    seed = int(rng.integers(2**32))
    regimes = [Extrapolated(Mix(1.0), -1.0), Mix(1.0)]
    whole, (first, *_) = run(GaussianLearner(2, 2), [real, real], regimes, 0, seed)
    plain = next(
        iter(retrain(GaussianLearner(1, 2), [real], [Mix(1.0)], 0, seed=seed, streams=[1]))
    )
    np.testing.assert_array_equal(first.samples[1], plain.samples[0])
    base = whole.state_dict()["base"]
    np.testing.assert_allclose(base["mean"][0], real.mean(axis=0))
    np.testing.assert_array_equal(base["mean"][1], whole.state_dict()["extrapolated"]["mean"][1])
    assert not np.allclose(whole.state_dict()["extrapolated"]["mean"][0], base["mean"][0])


@pytest.mark.parametrize("stop", [0, 2])
def test_going_on_after_a_generation_equals_not_stopping(stop, rng):
    """The next fit goes on from θ, which the state holds beside what samples are drawn with."""
    real, seed = rows(rng, 30, 40), int(rng.integers(2**32))
    regimes = [Extrapolated(Mix(1.0), 0.1), Mix(0.5)]
    _, whole = run(GaussianLearner(2, 2), real, regimes, 4, seed)
    before, _ = run(GaussianLearner(2, 2), real, regimes, stop, seed)
    again = extrapolating(GaussianLearner(2, 2), regimes)
    again.load_state_dict(before.state_dict())
    rest = list(retrain(again, real, regimes, 4, seed=seed, after=whole[stop]))
    assert len(rest) == 4 - stop
    for one, two in zip(rest, whole[stop + 1 :], strict=True):
        for x, y in zip(one.samples, two.samples, strict=True):
            np.testing.assert_array_equal(x, y)


class Density(GaussianLearner):
    """Has a density, in name."""

    def log_prob(self, points):
        return [-np.square(x).sum(axis=1) for x in points]


def test_a_learner_is_wrapped_only_where_it_must_be():
    learner = GaussianLearner(2, 2)
    assert extrapolating(learner, [Mix(1.0), FullySynthetic()]) is learner
    assert extrapolating(learner, [Extrapolated(Mix(1.0), 0.0)]) is learner
    wrapped = extrapolating(learner, [Extrapolated(Mix(1.0), 1.0)])
    assert type(wrapped) is ExtrapolatedLearner
    assert wrapped.extrapolation.tolist() == [1.0, 1.0]
    assert wrapped.chains == 2
    assert wrapped.weighs
    dense = extrapolating(Density(1, 2), [Extrapolated(Mix(1.0), 1.0)])
    assert isinstance(dense, ExtrapolatedDensity)
    assert dense.log_prob([np.ones((1, 2))])[0].tolist() == [-2.0]
    cooled = extrapolating(tempered(learner, 0.5), [Extrapolated(Mix(1.0), 1.0)])
    assert isinstance(cooled, ExtrapolatedLearner)


def test_what_cannot_be_extrapolated_is_refused(rng):
    with pytest.raises(ValueError, match="needs a learner that extrapolates: pass extrapolating"):
        retrain(GaussianLearner(1, 2), rows(rng, 9), [Extrapolated(Mix(1.0), 1.0)], 1, seed=0)
    with pytest.raises(ValueError, match="one entry for each of the 2 chains, got 1"):
        ExtrapolatedLearner(GaussianLearner(2, 2), [1.0])

    class Fixed:
        def fit(self, x):
            return self

        def sample(self, n):
            return np.zeros((n, 1)), None

    with pytest.raises(TypeError, match="parameters that can be extrapolated"):
        extrapolating(from_estimator(lambda seed: Fixed())(1), [Extrapolated(Mix(1.0), 1.0)])


def test_a_covariance_that_is_none_is_refused():
    """Σ − 1 · (2Σ − Σ) = 0."""
    learner = GaussianLearner(1, 2)
    learner.mean, learner.covariance = np.zeros((1, 2)), np.eye(2)[None]
    base = learner.state_dict()
    learner.covariance = 2 * learner.covariance
    half = learner.extrapolated(base, np.array([0.5]))
    np.testing.assert_array_equal(half["covariance"][0], 0.5 * np.eye(2))
    with pytest.raises(FloatingPointError, match="covariance of chain 0 is not positive definite"):
        learner.extrapolated(base, np.array([1.0]))
