import math

import numpy as np
import pytest
import torch

from stability.families import GaussianMean, StudentT
from stability.laws.law import Member, NormalMixture
from stability.transport.w1_bracket import same_law, w1_bracket
from stability.transport.wasserstein_1d import w1


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
