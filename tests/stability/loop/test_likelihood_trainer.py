"""Flows as learners: their density, their draws, and a fit that goes on where it stopped."""

import math

import normflows
import numpy as np
import pytest
import torch
import zuko
from scipy.stats import norm

from stability.loop.capabilities import HasLogProb, uses_weights
from stability.loop.likelihood_trainer import from_log_prob
from stability.loop.regimes import FullySynthetic, Mix, TrainingSet, Weighted
from stability.loop.retraining import RetrainingError, retrain
from stability.loop.streams import Purpose, stream
from stability.runs.state_file import read_state, write_state
from tests.conftest import FALSE_ALARM

QUICK = {"first_epochs": 3, "epochs": 2, "batch_size": 32}


class Normal(torch.nn.Module):
    """N(mu, exp(s)²): what maximum likelihood gives is known."""

    def __init__(self):
        super().__init__()
        self.mu = torch.nn.Parameter(torch.randn(1))
        self.s = torch.nn.Parameter(torch.zeros(1))

    def log_prob(self, x):
        z = (x[:, 0] - self.mu) / self.s.exp()
        return -0.5 * z**2 - self.s - 0.5 * math.log(2 * math.pi)

    def sample(self, n):
        return self.mu + self.s.exp() * torch.randn(n, 1)


def zuko_flow():
    return zuko.flows.NSF(features=2, transforms=1, hidden_features=(8,))


def normflows_flow():
    base = normflows.distributions.DiagGaussian(2)
    return normflows.NormalizingFlow(
        base, [normflows.flows.AffineCouplingBlock(normflows.nets.MLP([1, 8, 2]))]
    )


def streams(chains, purpose=Purpose.SAMPLE, t=0):
    return [stream(0, purpose, r, t) for r in range(chains)]


def test_the_fit_is_maximum_likelihood(rng):
    x = rng.normal(3, 2, (300, 1))
    learner = from_log_prob(Normal, first_epochs=500, batch_size=300, learning_rate=0.05)(1)
    learner.reset(streams(1, Purpose.INIT))
    learner.fit([TrainingSet(x, 300)], streams(1, Purpose.FIT))
    fitted = learner.modules[0].state_dict()
    assert fitted["mu"].item() == pytest.approx(x.mean(), abs=1e-3)
    assert fitted["s"].exp().item() == pytest.approx(x.std(), abs=1e-3)
    (value,) = learner.log_prob([x[:9]])
    np.testing.assert_allclose(value, norm.logpdf(x[:9, 0], x.mean(), x.std()), atol=5e-3)


def test_weights_are_those_of_the_loss(rng):
    x = np.concatenate([np.zeros((50, 1)), np.ones((50, 1))]) + 0.01 * rng.normal(size=(100, 1))
    weights = np.repeat([3.0, 1.0], 50)
    learner = from_log_prob(Normal, first_epochs=500, batch_size=100, learning_rate=0.05)(1)
    assert uses_weights(learner)
    learner.fit([TrainingSet(x, 50, weights)], streams(1))
    expected = np.average(x[:, 0], weights=weights)
    fitted = learner.modules[0].state_dict()
    assert fitted["mu"].item() == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize("build", [zuko_flow, normflows_flow, Normal])
def test_a_run_that_is_resumed_equals_the_one_that_was_not(build, rng, tmp_path):
    d = 1 if build is Normal else 2
    real = [rng.standard_normal((60, d)).astype(np.float32)] * 2
    regimes = [Weighted(Mix(1.0), 0.7), FullySynthetic()]
    whole = list(retrain(from_log_prob(build, **QUICK)(2), real, regimes, 3, seed=1))

    first = from_log_prob(build, **QUICK)(2)
    begun = list(retrain(first, real, regimes, 1, seed=1))
    write_state(tmp_path / "state.pt", first.state_dict())
    again = from_log_prob(build, **QUICK)(2)
    again.load_state_dict(read_state(tmp_path / "state.pt"))
    rest = list(retrain(again, real, regimes, 3, seed=1, after=begun[-1]))
    for one, two in zip(whole[2:], rest, strict=True):
        for x, y in zip(one.samples, two.samples, strict=True):
            assert x.dtype == np.float32
            np.testing.assert_array_equal(x, y)


@pytest.mark.parametrize("build", [zuko_flow, normflows_flow])
def test_the_density_is_that_of_the_draws(build, rng):
    """E p(x)/q(x) over x ~ q is 1 for a density p, here that of the flow and q a wide normal."""
    learner = from_log_prob(build, **QUICK)(1)
    learner.fit([TrainingSet(rng.standard_normal((100, 2)), 100)], streams(1))
    assert isinstance(learner, HasLogProb)
    proposal = 3 * rng.standard_normal((20000, 2))
    log_q = norm.logpdf(proposal, scale=3).sum(axis=1)
    ratio = np.exp(learner.log_prob([proposal])[0] - log_q)
    error = ratio.std(ddof=1) / math.sqrt(len(ratio))
    assert abs(ratio.mean() - 1) < norm.isf(FALSE_ALARM / 4) * error + 1e-3


def test_chains_of_one_replica_start_alike_and_a_longer_draw_begins_like_a_shorter_one(rng):
    real = [rng.standard_normal((60, 2))] * 2
    learner = from_log_prob(zuko_flow, **QUICK)(2)
    (start,) = retrain(learner, real, [Mix(0.5), Mix(2.0)], 0, seed=1, streams=[0, 0])
    np.testing.assert_array_equal(start.samples[0], start.samples[1][:30])
    assert learner.parameters.shape[0] == 2
    np.testing.assert_array_equal(*learner.parameters)


def test_a_loss_that_is_not_finite_names_chain_and_step():
    class Broken(Normal):
        def log_prob(self, x):
            return super().log_prob(x) + torch.nan

    learner = from_log_prob(Broken, **QUICK)(1)
    with pytest.raises(RetrainingError, match="generation 0: the loss of chain 0 is nan at step 0"):
        list(retrain(learner, [np.zeros((40, 1))], [Mix(1.0)], 1, seed=0))


def test_a_density_of_each_coordinate_is_refused():
    class PerCoordinate(Normal):
        def log_prob(self, x):
            return -0.5 * (x - self.mu) ** 2

    learner = from_log_prob(PerCoordinate, **QUICK)(1)
    with pytest.raises(ArithmeticError, match=r"log_prob gave \(50, 3\), want \(50,\)"):
        learner.log_prob([np.zeros((50, 3))])


def test_a_module_that_draws_the_same_points_at_each_call_is_refused(rng):
    class Fixed(Normal):
        def sample(self, n):
            return torch.randn(n, 1, generator=torch.Generator().manual_seed(5))

    learner = from_log_prob(Fixed, **QUICK)(1)
    with pytest.raises(RetrainingError, match=r"Fixed gives the same rows on each call"):
        list(retrain(learner, [rng.standard_normal((40, 1))], [Mix(1.0)], 1, seed=0))


def test_what_is_no_density_is_refused():
    with pytest.raises(TypeError, match="build must return a torch module, got int"):
        from_log_prob(int)  # pyright: ignore[reportArgumentType]
    with pytest.raises(TypeError, match="a module with a method sample"):
        from_log_prob(type("NoSample", (Normal,), {"sample": None}))
    with pytest.raises(ValueError, match="batch_size must be >= 1, got 0"):
        from_log_prob(Normal, batch_size=0)
    with pytest.raises(ValueError, match="learning_rate must be finite and > 0, got 0"):
        from_log_prob(Normal, learning_rate=0)


def test_what_a_recipe_says_of_itself():
    one, two = (from_log_prob(Normal, epochs=epochs).as_data() for epochs in (2, 3))
    assert one["epochs"] == 2
    assert one != two
