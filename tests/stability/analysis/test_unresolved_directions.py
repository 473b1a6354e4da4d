import numpy as np
import pytest
import torch
from torch import Tensor

from stability.analysis.flat_directions import flat_directions
from stability.analysis.unresolved_directions import unresolved_directions


class Bent:
    """N(θ₁, 1) N(θ₂, 1) N(θ₃ + δθ₄x₁ + ½θ₄²x₂, 1): at 0 the curvature along θ₄ is δ²x₁² − x₂x₃."""

    def __init__(self, strength: float):
        self.strength = strength

    def log_prob(self, theta: Tensor, x: Tensor) -> Tensor:
        bend = self.strength * theta[3] * x[:, 0] + theta[3] ** 2 * x[:, 1] / 2
        mean = torch.stack([theta[0].expand(len(x)), theta[1].expand(len(x)), theta[2] + bend], 1)
        return -(x - mean).square().sum(1) / 2

    def sample(self, theta: Tensor, n: int, generator: torch.Generator) -> Tensor:
        raise NotImplementedError


class Rescaled:
    """N(θ₁θ₂, 1) on the line: (cθ₁, θ₂/c) is the same law, along a direction that turns with θ."""

    def log_prob(self, theta: Tensor, x: Tensor) -> Tensor:
        return -((x[:, 0] - theta[0] * theta[1]) ** 2) / 2

    def sample(self, theta: Tensor, n: int, generator: torch.Generator) -> Tensor:
        raise NotImplementedError


def mirrored(rng: np.random.Generator) -> Tensor:
    """Points whose mean of x₂x₃ is 0, and that of no batch."""
    half = rng.standard_normal((2000, 3))
    return torch.from_numpy(np.concatenate([half, half * [1, 1, -1]]))


@pytest.mark.parametrize(("strength", "left_out"), [(0.02, 1), (1.0, 0)])
def test_a_direction_is_left_out_where_its_curvature_is_noise(rng, strength, left_out):
    # noise 1/√4000 of a curvature of strength²: 40 times that, and a sixtieth of it
    theta = torch.zeros(4, dtype=torch.float64)
    found = unresolved_directions(Bent(strength), theta, mirrored(rng), theta.new_zeros(4, 0))
    assert found.shape == (4, left_out)
    assert (found[3].abs() > 0.99).all()


def test_nothing_is_left_of_a_likelihood_that_does_not_bend(rng):
    class Slope(Bent):
        def log_prob(self, theta: Tensor, x: Tensor) -> Tensor:
            return x @ theta[:3]

    theta = torch.zeros(3, dtype=torch.float64)
    found = unresolved_directions(Slope(1.0), theta, mirrored(rng), theta.new_zeros(3, 0))
    assert found.shape == (3, 3)


def test_directions_that_turn_with_theta_are_flat(rng):
    x = torch.from_numpy(rng.standard_normal((100, 1)))
    flat = flat_directions(Rescaled(), torch.tensor([2.0, 0.5], dtype=torch.float64), x)
    assert flat[:, 0].abs().numpy() == pytest.approx(np.array([2, 0.5]) / np.hypot(2, 0.5))
