import math

import numpy as np
import pytest
import torch

from stability.families import Gaussian, GaussianMean, StudentT
from stability.laws.law import Member, NormalMixture
from stability.transport.w1_bracket import same_law, w1_bracket
from stability.transport.wasserstein_1d import gaussian_w2, w1


def vector(*values):
    return torch.tensor(values, dtype=torch.float64)


def gaussian(*mean, sd=1.0):
    d = len(mean)
    return Member(GaussianMean(sd**2 * torch.eye(d, dtype=torch.float64)), vector(*mean))


class Sampler:
    """A law of which nothing but draws is known."""

    def __init__(self, law):
        self.sample = law.sample


def test_one_member_is_at_distance_zero_exactly():
    family = StudentT(3.0)
    one, two = Member(family, vector(0.1, 0.2)), Member(StudentT(3.0), vector(0.1, 0.2))
    assert same_law(one, two)
    assert (w1_bracket(one, two).low, w1_bracket(one, two).high) == (0, 0)
    assert not same_law(one, Member(family, vector(0.1, 0.3)))
    assert not same_law(one, Sampler(one))


def test_on_the_line_it_is_quadrature():
    p, q = NormalMixture((1.0,), (0.0,), (1.0,)), NormalMixture((1.0,), (2.0,), (1.0,))
    found = w1_bracket(p, q)
    assert found.low <= 2 <= found.high  # a shift
    assert found.high - found.low < 1e-8
    assert found.middle == pytest.approx(w1(p, q).value, rel=1e-14)


def test_a_law_without_a_mean_is_at_infinite_distance():
    found = w1_bracket(Member(StudentT(1.0), vector(0, 0)), Member(StudentT(5.0), vector(0, 0)))
    assert (found.low, found.high) == (math.inf, math.inf)


@pytest.mark.parametrize("wrap", [lambda law: law, Sampler], ids=["densities", "samplers"])
def test_a_shift_in_three_dimensions(wrap, rng):
    """W1 of a law and itself moved is the length of the move, and common latents are optimal."""
    seed = int(rng.integers(2**31))
    found = w1_bracket(wrap(gaussian(0, 0, 0)), wrap(gaussian(1, 1, 1)), seed=seed)
    # an end is off with probability 1e-4 in all of this: 20 such widths are far beyond 1e-6
    width = found.high - found.low
    assert found.low - width <= math.sqrt(3) <= found.high + 1e-9
    assert width < 0.15


def test_a_change_of_scale_in_five_dimensions(rng):
    """Radial: W1(N(0, I), N(0, s²I)) = (s − 1) E|x|, since the map x ↦ s x is radial."""
    d, s = 5, 1.3
    mean_length = math.sqrt(2) * math.exp(math.lgamma((d + 1) / 2) - math.lgamma(d / 2))
    truth = (s - 1) * mean_length
    seed = int(rng.integers(2**31))
    found = w1_bracket(gaussian(*[0] * d), gaussian(*[0] * d, sd=s), seed=seed)
    slack = found.high - found.low
    assert found.low - slack <= truth <= found.high + slack
    assert slack < 0.3 * truth


def test_equal_laws_that_cannot_be_seen_to_be_equal_have_zero_in_their_bracket(rng):
    d = 3
    seed = int(rng.integers(2**31))
    found = w1_bracket(gaussian(*[0] * d), Sampler(gaussian(*[0] * d)), seed=seed)
    assert found.low <= 0.1  # 4e4 draws a witness: 20 standard errors
    assert found.high < 1e-9  # common latents meet


def test_points_are_no_sample_of_anything(rng):
    """An empirical law is at a distance of its own from a density: the bracket says so."""
    points = rng.standard_normal((200, 2))
    found = w1_bracket(gaussian(0, 0), points, seed=1)
    assert 0.05 < found.low < found.high < 1


def test_seeds_change_the_draws_and_nothing_else():
    one, two = gaussian(0, 0, 0), gaussian(0.5, 0, 0)
    assert w1_bracket(one, two, seed=1) == w1_bracket(one, two, seed=1)
    assert w1_bracket(one, two, seed=1) != w1_bracket(one, two, seed=2)


def test_dimensions_must_agree():
    with pytest.raises(ValueError, match="one dimension"):
        w1_bracket(gaussian(0, 0, 0), np.zeros((5, 2)))


class Corners:
    """A law on the corners of the unit square."""

    atoms = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])

    def __init__(self, *masses):
        self.masses = torch.tensor(masses, dtype=torch.float64)

    def log_prob(self, x):
        return self.masses.log()[(x @ vector(2, 1)).long()]

    def sample(self, n, generator):
        picked = torch.multinomial(self.masses, n, replacement=True, generator=generator)
        return torch.from_numpy(self.atoms)[picked]


def test_between_few_atoms_it_is_one_number():
    one, two = Corners(0.5, 0.5, 0.0, 0.0), Corners(0.5, 0.0, 0.2, 0.3)
    found = w1_bracket(one, two)
    # 0.2 from (0, 1) across the diagonal or 0.5 in all: the other way costs the same twice
    assert (found.low, found.high) == pytest.approx((0.3 + 0.2 * math.sqrt(2),) * 2, rel=1e-12)
    points = np.repeat(Corners.atoms, (5, 0, 2, 3), axis=0)
    assert w1_bracket(one, points).high == pytest.approx(found.high, rel=1e-12)


def test_one_point_is_at_the_mean_distance(rng):
    """W1 to a point is the mean distance from it: of N(0, I) in three dimensions 2 √(2/π)."""
    found = w1_bracket(gaussian(0, 0, 0), np.zeros((1, 3)), seed=int(rng.integers(2**31)))
    truth, width = 2 * math.sqrt(2 / math.pi), found.high - found.low
    assert found.low - width <= truth <= found.high + width
    assert width < 0.2


def test_two_normal_laws_are_no_farther_than_w2(rng):
    """The case of samplers whose common latents are far from optimal."""
    family = Gaussian(2)
    covariances = [torch.tensor([[2.0, c], [c, 1.0]], dtype=torch.float64) for c in (1.3, -1.3)]
    means = vector(0, 0), vector(0.5, 0)
    laws = [
        Member(family, family.join(mean, torch.linalg.inv(covariance)))
        for mean, covariance in zip(means, covariances, strict=True)
    ]
    found = w1_bracket(*laws, seed=int(rng.integers(2**31)))
    far = gaussian_w2(
        means[0].numpy(), covariances[0].numpy(), means[1].numpy(), covariances[1].numpy()
    )
    assert found.low < found.high <= far + 1e-12
    assert found.low > 0.5 - 0.2  # no less than the shift of the means, but for noise
