import math

import pytest
import torch

from stability.families import FAMILIES, Linkage
from stability.laws.capabilities import (
    Bounded,
    Discrete,
    HasDomain,
    HasLandmarks,
    HasLandmarksAt,
    HasLipschitz,
    HasStart,
    in_domain,
)
from stability.laws.expectation import rule
from stability.laws.law import Member, NormalMixture


class Exponential:
    """A user's law e^(−x) on x > 0, which inherits nothing of ours."""

    def log_prob(self, x):
        return torch.where(x[:, 0] > 0, -x[:, 0], -math.inf)

    def sample(self, n, generator):
        return -torch.log1p(-torch.rand(n, 1, generator=generator, dtype=torch.float64))


class OnTheHalfLine(Exponential):
    support = ((0.0, math.inf),)


class Nowhere(Exponential):
    support = None


def test_a_law_with_support_is_integrated_inside_it():
    assert isinstance(OnTheHalfLine(), Bounded)
    assert not isinstance(Exponential(), Bounded)
    bounded, free, none = (rule(law()) for law in (OnTheHalfLine, Exponential, Nowhere))

    assert (bounded.points > 0).all()
    mean = bounded.expect(bounded.points)
    assert abs(mean.value.item() - 1) <= mean.error.item() + 1e-12
    assert torch.equal(free.points, none.points)  # None says the same as no attribute
    assert not torch.equal(free.points[: len(bounded.points)], bounded.points)


@pytest.mark.parametrize("name", FAMILIES)
def test_every_shipped_family_has_the_capabilities_of_its_protocol(name):
    family = FAMILIES[name]()
    for capability in (Bounded, HasDomain, HasStart, HasLipschitz):
        assert isinstance(family, capability)
    assert not in_domain(family, torch.tensor([math.nan], dtype=torch.float64))


def test_what_a_family_does_not_say_is_none():
    mixture, theta = FAMILIES["mixture"](), torch.tensor([0.0, -1.0, 1.0], dtype=torch.float64)
    assert isinstance(mixture, HasLandmarksAt)
    assert Member(mixture, theta).landmarks.shape == (2, 1)
    assert Member(mixture, theta).atoms is None
    assert isinstance(Linkage(), Discrete)
    assert isinstance(NormalMixture((1.0,), (0.0,), (1.0,)), HasLandmarks)

    class Bare:
        def log_prob(self, theta, x):
            return -((x[:, 0] - theta[0]) ** 2)

        def sample(self, theta, n, generator):
            return theta + torch.randn(n, 1, generator=generator, dtype=torch.float64)

    bare = Member(Bare(), theta[:1])
    assert (bare.support, bare.atoms, bare.landmarks) == (None, None, None)
    assert in_domain(bare.family, theta)  # any vector, where the family says nothing
