from dataclasses import replace

import numpy as np
import pytest
import torch

from stability import TrainingSet
from tests.support.learners_2d import moons, rngs
from toy.densities.shapes import checkerboard
from toy.learners.flow import SplineFlowLearner
from toy.learners.settings import SplineFlowConfig

SMALL = SplineFlowConfig(epochs=4, batch=32, width=8, couplings=3, bins=4)


def test_at_first_it_is_a_standard_normal():
    flow = SplineFlowLearner(2, SMALL)
    flow.reset(rngs(2, 0))
    x = np.array([[0.0, 0.0], [1.0, -2.0], [7.0, 0.0]])
    np.testing.assert_allclose(
        flow.log_prob([x, x])[1], -np.log(2 * np.pi) - np.square(x).sum(axis=1) / 2, rtol=1e-5
    )
    z = rngs(1, 1)[0].standard_normal((5, 2), dtype=np.float32)
    np.testing.assert_allclose(flow.sample([5, 5], rngs(2, 1))[0], z, atol=1e-5)


def test_the_log_density_is_that_of_the_change_of_variables():
    """log N(z) + log |det ∂z/∂x| by automatic differentiation of the whole map, z found by
    undoing the sampler.
    """
    flow = SplineFlowLearner(1, SMALL)
    flow.reset(rngs(1, 0))
    flow.fit(moons(64), rngs(1, 1))
    z = rngs(1, 2)[0].standard_normal((6, 2), dtype=np.float32)
    (x,) = flow.sample([6], rngs(1, 2))

    def to_latent(point):
        coordinates = list(point)
        for changed, conditioner in flow._couplings(flow.theta):
            spline = conditioner(coordinates[1 - changed][None, None])
            coordinates[changed] = spline.forward(coordinates[changed][None, None])[0][0, 0]
        return torch.stack(coordinates)

    for start, end, value in zip(z, x, flow.log_prob([x])[0], strict=True):
        point = torch.from_numpy(end)
        np.testing.assert_allclose(to_latent(point), start, atol=1e-4)
        determinant = torch.linalg.det(torch.autograd.functional.jacobian(to_latent, point)).abs()
        expected = float(determinant.log()) - np.square(start).sum() / 2 - np.log(2 * np.pi)
        assert value == pytest.approx(expected, abs=2e-3)


def test_training_raises_the_likelihood_of_new_data(rng):
    data = [TrainingSet(checkerboard(500, rng), 500)]
    flow = SplineFlowLearner(
        1, replace(SMALL, epochs=30, batch=100, width=32, bins=8, couplings=4, learning_rate=1e-2)
    )
    new = [checkerboard(500, rng)]
    flow.reset(rngs(1, 0))
    before = flow.log_prob(new)[0].mean()
    flow.fit(data, rngs(1, 1))
    # a uniform law on 8 of the 16 squares has −log 32 = −3.47; a Gaussian of the same variance has
    # −4.5
    assert flow.log_prob(new)[0].mean() > max(before, -4.2)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"epochs": 0}, "epochs must be >= 1, got 0"),
        ({"couplings": 0}, "couplings must be >= 1"),
        ({"bins": 1}, "bins must be >= 2, got 1"),
        ({"box": 0.0}, "box must be finite and > 0, got 0.0"),
        ({"learning_rate": float("nan")}, "learning_rate must be finite"),
    ],
)
def test_bad_settings(setting, message):
    with pytest.raises(ValueError, match=message):
        SplineFlowConfig(**setting)
