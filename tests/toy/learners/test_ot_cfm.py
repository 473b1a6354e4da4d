from dataclasses import replace

import numpy as np
import pytest
import torch

from stability import TrainingSet
from stability.diffusion.dopri5 import dopri5, row_norm
from stability.diffusion.flow import Flow
from tests.conftest import FIXTURES
from tests.support.gaussian_data import AXES, VARIANCES, assert_moments
from tests.support.learners_2d import SMALL_FLOW
from tests.support.plain_networks import plain_mlp
from toy.densities.shapes import SOURCES, two_moons
from toy.learners.coupling import Coupling, blocks
from toy.learners.ot_cfm import OTCFMLearner
from toy.learners.settings import OTCFMConfig

STEPS = {"euler": {"ode_steps": 99}, "dopri5": {"tolerance": 1e-6}}


def moons(*sizes, seed=0):
    return [
        TrainingSet(two_moons(size, np.random.default_rng([seed, size])), real=size)
        for size in sizes
    ]


def rngs(count, seed=0):
    return [np.random.default_rng([seed, r]) for r in range(count)]


def trained(data, settings=SMALL_FLOW, fits=1, **options):
    learner = OTCFMLearner(len(data), settings, **options)
    learner.reset(rngs(len(data), seed=1))
    for fit in range(fits):
        learner.fit(data, rngs(len(data), seed=2 + fit))
    return learner


@pytest.mark.parametrize(
    "settings",
    [SMALL_FLOW, replace(SMALL_FLOW, pairs="permutation", sigma=0.2, source="8gaussians")],
)
def test_chains_train_as_plain_networks_do_one_at_a_time(settings):
    """Different lengths, two fits: each chain equals a torch module trained by torch's Adam on
    the same batches.
    """
    data = moons(70, 32, 100)
    together = trained(data, settings, fits=2, workers=2)
    start = trained(data, settings, fits=0)
    coupling = Coupling(
        SOURCES[settings.source],
        settings.batch,
        settings.batch,
        settings.sigma,
        settings.pairs,
        "pot",
    )
    for chain in range(3):
        module = plain_mlp(start.network, chain)
        adam = torch.optim.Adam(module.parameters(), lr=settings.learning_rate)
        for fit in range(2):
            stream = np.random.default_rng([2 + fit, chain])
            for block in blocks(
                [data[chain].points], [stream], settings.epochs, coupling, workers=1
            ):
                for step in range(block.steps[0]):
                    size = int((block.weights[step, 0] > 0).sum())
                    inputs, targets = (
                        torch.from_numpy(x[step, 0, :size]) for x in (block.inputs, block.targets)
                    )
                    adam.zero_grad()
                    ((module(inputs) - targets) ** 2).mean().backward()
                    adam.step()
        expected = torch.cat([p.detach().flatten() for p in module.parameters()])
        torch.testing.assert_close(together.network.theta[chain], expected, rtol=1e-4, atol=1e-5)


def test_a_chain_does_not_depend_on_the_chains_beside_it():
    data = moons(70, 32, 100)
    together, alone = trained(data), OTCFMLearner(1, SMALL_FLOW)
    alone.reset([np.random.default_rng([1, 1])])
    alone.fit(data[1:2], [np.random.default_rng([2, 1])])
    # random draws are identical; batched products may round differently
    torch.testing.assert_close(
        together.network.theta[1], alone.network.theta[0], rtol=1e-5, atol=1e-6
    )


def test_going_on_from_a_state_is_exact():
    data = moons(40, 64)
    whole, first, second = trained(data, fits=2), trained(data), OTCFMLearner(2, SMALL_FLOW)
    state = first.state_dict()
    first.fit(data, rngs(2, seed=9))  # the state is a copy
    second.load_state_dict(state)
    second.fit(data, rngs(2, seed=3))
    assert torch.equal(second.network.theta, whole.network.theta)
    for one, two in zip(second.sample([5, 3], rngs(2)), whole.sample([5, 3], rngs(2)), strict=True):
        np.testing.assert_array_equal(one, two)


def test_a_fit_goes_on_from_parameters_and_optimiser():
    """Dropping Adam's state (the only difference) gives other parameters."""
    data = moons(40)
    kept, dropped = trained(data, fits=2), trained(data)
    dropped.load_state_dict(
        {**dropped.state_dict(), "adam": OTCFMLearner(1, SMALL_FLOW).state_dict()["adam"]}
    )
    dropped.fit(data, rngs(1, seed=3))
    assert not torch.equal(kept.network.theta, dropped.network.theta)


def published():
    data = np.load(FIXTURES / "otcfm_mlp.npz")
    state = {
        name.removeprefix("state."): torch.from_numpy(data[name])
        for name in data
        if name.startswith("state.")
    }
    return data, state


@pytest.mark.parametrize(
    ("settings", "expected", "tolerance"),
    [
        (OTCFMConfig(), "euler_99_final", 1e-5),
        (OTCFMConfig(integrator="dopri5", tolerance=1e-7), "exact_final_float64", 2e-3),
    ],
)
def test_the_published_end_points(settings, expected, tolerance, monkeypatch):
    data, state = published()
    monkeypatch.setitem(SOURCES, "normal", lambda n, rng: data["x"][:n])
    learner = OTCFMLearner(2, settings)
    learner.network.load_state_of(1, state)
    samples = learner.sample([3, len(data["x"])], rngs(2))
    assert samples[0].shape == (3, 2)
    np.testing.assert_allclose(samples[1], data[expected], rtol=tolerance, atol=tolerance)


def test_the_published_end_points_of_dopri5_with_the_error_taken_over_the_batch_as_there():
    data, state = published()
    learner = OTCFMLearner(1, OTCFMConfig())
    learner.network.load_state_of(0, state)
    layers = learner.network.layers()

    def batch_norm(error):
        return row_norm(error.reshape(1, -1)).expand(len(error))

    def field(t, x):
        return learner._velocity(layers, t[None], x[None])[0]

    with torch.no_grad():
        end = dopri5(field, torch.from_numpy(data["x"]), 1e-5, batch_norm)
    np.testing.assert_allclose(end, data["dopri5_1e-5_final"], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("integrator", ["euler", "dopri5"])
@pytest.mark.parametrize("sigma", [0.0, 0.1])
def test_samples_of_gaussian_data_with_the_exact_velocity(integrator, sigma, rng, monkeypatch):
    """Independent pairs: mean, covariance and correlation by the width map, from a network
    replaced by the truth.
    """
    settings = OTCFMConfig(integrator=integrator, **STEPS[integrator])
    flow, learner = Flow(settings.make_integrator(), sigma), OTCFMLearner(2, settings)

    def velocity(layers, t, x):
        axes, gain = (
            torch.from_numpy(AXES),
            torch.from_numpy(flow.velocity(VARIANCES, t.double()[..., None])),
        )
        return (x.double() @ axes * gain @ axes.T).to(x.dtype)

    monkeypatch.setattr(learner, "_velocity", velocity)
    assert_moments(learner.sample([20_000, 1], rng.spawn(2))[0], flow.variance(VARIANCES))


@pytest.mark.parametrize("integrator", ["euler", "dopri5"])
def test_samples_do_not_depend_on_how_many_or_on_other_chains(integrator):
    learner = trained(
        moons(40, 64), replace(SMALL_FLOW, integrator=integrator, **STEPS[integrator])
    )
    few, many = learner.sample([3, 8], rngs(2)), learner.sample([20, 20], rngs(2))
    assert [len(x) for x in few] == [3, 8]
    # a point takes steps of its own; products of other sizes round differently, which moves steps
    # of dopri5
    for one, two in zip(few, many, strict=True):
        np.testing.assert_allclose(
            one, two[: len(one)], atol=1e-6 if integrator == "euler" else 1e-4
        )


def test_a_loss_that_is_not_finite_stops_with_chain_and_step():
    learner = OTCFMLearner(2, replace(SMALL_FLOW, learning_rate=1e38))
    learner.reset(rngs(2))
    with (
        pytest.raises(FloatingPointError, match=r"the loss of chain 0 is (inf|nan) at step \d"),
        np.errstate(invalid="ignore"),
    ):
        learner.fit(moons(200, 200), rngs(2))


def test_progress_reaches_one_and_never_falls():
    shares = []
    trained(moons(40, 100), on_progress=shares.append)
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
    assert len(shares) == 3 * 4  # the longest chain's steps


def test_training_brings_samples_to_the_data():
    """An untrained flow leaves the source where it is; a trained one moves the mean most of the
    way.
    """
    data = moons(500)
    settings = replace(SMALL_FLOW, epochs=30, batch=128, width=32)
    untrained, learner = trained(data, settings, fits=0), trained(data, settings)
    target = data[0].points.mean(axis=0)
    gaps = [
        np.linalg.norm(m.sample([500], rngs(1))[0].mean(axis=0) - target)
        for m in (untrained, learner)
    ]
    assert gaps[1] < 0.5 * gaps[0]


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"epochs": 0}, "epochs must be >= 1, got 0"),
        ({"batch": 0}, "batch must be >= 1"),
        ({"plan": 100}, "plan must be 0 or divide batch 256, got 100"),
        ({"plan": -1}, "plan must be 0 or divide"),
        ({"width": -1}, "width must be >= 1"),
        ({"ode_steps": 0}, "ode_steps must be >= 1"),
        ({"learning_rate": 0.0}, "learning_rate must be finite and > 0, got 0.0"),
        ({"learning_rate": float("nan")}, "learning_rate must be finite"),
        ({"integrator": "dopri5", "tolerance": -1.0}, "tolerance must be from 1e-09 to below 1"),
        (
            {"integrator": "dopri5", "ode_steps": 9},
            "ode_steps has no meaning for integrator dopri5",
        ),
        ({"tolerance": 1e-3}, "tolerance has no meaning for integrator euler"),
        ({"sigma": -0.1}, "sigma must be finite and >= 0, got -0.1"),
        ({"sigma": float("inf")}, "sigma must be finite"),
    ],
)
def test_bad_settings(setting, message):
    with pytest.raises(ValueError, match=message):
        OTCFMConfig(**setting)


def test_a_state_of_another_network_is_refused():
    with pytest.raises(ValueError, match=r"parameters of shape \(1, "):
        OTCFMLearner(1, SMALL_FLOW).load_state_dict(OTCFMLearner(2, SMALL_FLOW).state_dict())
