"""A torch module as a family: θ is its parameters, and redundant ones are left out."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from stability.analysis.flat_directions import flat_directions
from stability.analysis.local_analysis import analyse
from stability.analysis.matrix_free import climb_matrix_free
from stability.analysis.torch_family import TorchFamily, as_family
from tests.support.small_families import Normal

POINTS = np.random.default_rng(0).normal(size=(300, 3)) * [1.0, 2.0, 0.5] + [0.0, 1.0, -1.0]


class Affine(nn.Module):
    """x = shift + scale z in three dimensions, in the style of normflows; `spare` does nothing."""

    def __init__(self):
        super().__init__()
        self.shift = nn.Parameter(torch.zeros(3))
        self.log_scale = nn.Parameter(torch.zeros(3))
        self.spare = nn.Parameter(torch.ones(2))

    def log_prob(self, x):
        value = torch.zeros(len(x), dtype=x.dtype)
        z = (x - self.shift) * torch.exp(-self.log_scale)
        value += -(z**2).sum(1) / 2  # in place, as there
        return value - self.log_scale.sum() - 1.5 * math.log(2 * math.pi)

    def sample(self, n):
        return self.shift + torch.exp(self.log_scale) * torch.randn(n, 3), None


class Called(nn.Module):
    """The same, in the style of zuko: a call gives a distribution."""

    def __init__(self):
        super().__init__()
        self.flow = Affine()

    def forward(self):
        scale = torch.exp(self.flow.log_scale)
        return torch.distributions.Independent(
            torch.distributions.Normal(self.flow.shift, scale, validate_args=False), 1
        )


@pytest.mark.parametrize("flow", [Affine(), Called()], ids=["normflows", "zuko"])
def test_a_flow_goes_in_as_it_is(flow):
    local = analyse(flow, POINTS, 0.5, draws=4000, bounds=False)
    assert local.flat.shape == (8, 2)
    named = [name for name, _ in flow.named_parameters()]
    assert [name.rpartition(".")[2] for name in named] == ["shift", "log_scale", "spare"]
    assert local.theta[:3] == pytest.approx(POINTS.mean(0), abs=1e-5)
    assert local.theta[3:6] == pytest.approx(np.log(POINTS.std(0)), abs=1e-5)
    # an exponential family: every μ is 1, here up to the noise of E s sᵀ
    assert len(local.mu) == 6
    assert (np.abs(local.mu - 1) < 6 * local.error("mu")).all()
    assert all(p.dtype == torch.float32 and p.requires_grad for p in flow.parameters())


def test_it_moves_no_global_state_and_draws_from_its_generator():
    family = TorchFamily(Affine())
    before = torch.get_rng_state()
    one, two = (
        family.sample(family.start(torch.zeros(1, 3)), 5, torch.Generator().manual_seed(seed))
        for seed in (0, 0)
    )
    assert torch.equal(one, two)
    assert one.dtype == torch.float64
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.get_default_dtype() == torch.float32


def test_a_family_stays_what_it_is_and_a_module_without_parameters_is_none():
    assert isinstance(as_family(Normal()), Normal)
    with pytest.raises(ValueError, match="parameters that require gradients"):
        TorchFamily(nn.ReLU())


class Redundant3(Normal):
    """N(θ₁ + θ₂, 1) on the first coordinate, N(θ₃, 1) and N(θ₃², 1) on the others."""

    def mean(self, theta):
        return torch.stack([theta[0] + theta[1], theta[2], theta[2] ** 2])

    def log_prob(self, theta, x):
        return Normal(3).log_prob(self.mean(theta), x)

    def sample(self, theta, n, generator):
        return Normal(3).sample(self.mean(theta), n, generator)


class Squares(Normal):
    """N(θ², I): the score vanishes at 0 for every x, and θ is not redundant."""

    def log_prob(self, theta, x):
        return Normal(3).log_prob(theta**2, x)


def test_flat_directions_are_those_along_which_nothing_changes():
    x = torch.from_numpy(POINTS)
    flat = flat_directions(Redundant3(3), torch.tensor([0.3, 0.1, 0.5], dtype=torch.float64), x)
    assert flat.shape == (3, 1)
    assert flat[:, 0].abs().numpy() == pytest.approx([2**-0.5, 2**-0.5, 0], abs=1e-6)
    assert flat_directions(Squares(3), torch.zeros(3, dtype=torch.float64), x).shape == (3, 0)
    zeros = torch.zeros(3, dtype=torch.float64)
    local = analyse(Redundant3(3), POINTS, 0.5, zeros, draws=4000, bounds=False)
    assert local.theta[:2].sum() == pytest.approx(POINTS[:, 0].mean(), abs=1e-5)
    assert local.A.shape == (2, 2)


def test_a_climb_without_matrices_ends_at_the_maximum():
    x = torch.from_numpy(POINTS)
    weights = torch.full((len(x),), 1 / len(x), dtype=torch.float64)
    found = climb_matrix_free(Normal(3), x, weights, torch.full((3,), 5.0, dtype=torch.float64))
    assert found.ended
    assert found.theta.numpy() == pytest.approx(POINTS.mean(0), abs=1e-6)
