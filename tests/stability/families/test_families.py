import dataclasses
import math

import pytest
import torch

import stability.families
from stability.families import FAMILIES, ParametricFamily
from stability.laws.family import hessians


@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_goes_from_start_to_constant(name):
    """Fit crudely, sample, differentiate: one pass through everything that a family promises."""
    family = FAMILIES[name]()
    assert isinstance(family, ParametricFamily)
    d, P = family.dimension, len(family.parameter_names)
    assert len(family.support) == d
    assert len(set(family.parameter_names)) == P
    x = (torch.arange(1, 13, dtype=torch.float64)[:, None] * torch.tensor([1.0, -0.7])[:d]) % 4
    x = x + 0.1 * (x == 0) if name.startswith("gamma") else x
    theta = family.start(x)
    assert theta.shape == (P,)
    assert family.in_domain(theta)
    assert torch.equal(theta, family.start(x))
    draws = family.sample(theta, 5, torch.Generator().manual_seed(1))
    for column, (lower, upper) in zip(draws.T, family.support, strict=True):
        assert ((column >= lower) & (column <= upper)).all()
    assert torch.isfinite(family.log_prob(theta, draws)).all()
    H = hessians(family, theta, draws)
    torch.testing.assert_close(H, H.mT)
    assert family.lipschitz(theta).reason
    assert not family.in_domain(theta[:-1])
    assert not family.in_domain(theta * math.nan)


def test_families_are_frozen():
    for constructor in FAMILIES.values():
        family = constructor()
        assert dataclasses.is_dataclass(family)
        with pytest.raises(dataclasses.FrozenInstanceError):
            family.dimension = 7  # pyright: ignore[reportAttributeAccessIssue]


def test_each_public_family_can_be_named():
    shipped = {type(constructor()).__name__ for constructor in FAMILIES.values()}
    assert shipped | {"FAMILIES", "Lipschitz", "ParametricFamily"} == set(
        stability.families.__all__
    )
