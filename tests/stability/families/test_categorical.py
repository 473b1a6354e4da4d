import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from stability.families import FAMILIES, LinearLogits, Linkage
from stability.laws.family import hessians, scores
from tests.conftest import FALSE_ALARM
from tests.support import strategies
from tests.support.family_oracles import (
    assert_close,
    assert_constant_hessian,
    assert_derivatives,
    assert_information,
    assert_prefix,
    quotients,
    torch_generator,
)

ANY = st.one_of(strategies.linear_logits(), strategies.linkages())


def probabilities(family, theta):
    """By NumPy."""
    if isinstance(family, Linkage):
        t = theta.item()
        return np.array([2 + t, 1 - t, 1 - t, t]) / 4
    weights = np.exp(family.offset.numpy() + family.features.numpy() @ theta.numpy())
    return weights / weights.sum()


@given(member=ANY)
def test_log_prob_is_the_logarithm_of_the_probabilities(member):
    family, theta = member
    assert_close(family.log_prob(theta, family.atoms), np.log(probabilities(family, theta)), 1e-13)
    off = strategies.tensor(-1, 0.5, len(family.atoms))[:, None]
    assert family.log_prob(theta, off).tolist() == [-math.inf] * 3


@given(member=ANY)
def test_derivatives_are_finite_differences(member):
    family, theta = member
    assert_derivatives(family, theta, family.atoms)


@given(theta=st.floats(0.05, 0.95))
def test_derivatives_of_the_linkage_model_are_the_closed_form(theta):
    score = np.array([1 / (2 + theta), -1 / (1 - theta), -1 / (1 - theta), 1 / theta])
    t, atoms = strategies.tensor(theta), Linkage().atoms
    assert_close(scores(Linkage(), t, atoms)[:, 0], score, 1e-13)
    assert_close(hessians(Linkage(), t, atoms)[:, 0, 0], -(score**2), 1e-13)


@given(member=ANY)
def test_information_identity(member):
    family, theta = member
    assert_information(
        family, theta, family.atoms, torch.from_numpy(probabilities(family, theta)), 1e-11
    )


@given(member=strategies.linear_logits())
def test_linear_logits_have_a_constant_hessian(member):
    family, theta = member
    assert_constant_hessian(family, theta, family.atoms)


@given(member=strategies.linkages())
def test_lipschitz_of_the_linkage_model_is_its_largest_quotient(member):
    family, theta = member
    i, j = np.triu_indices(4, 1)
    largest = quotients(family, theta, family.atoms[i], family.atoms[j]).max().item()
    assert family.lipschitz(theta).value == pytest.approx(largest, rel=1e-12)


@pytest.mark.parametrize("name", ["binomial", "linkage"])
def test_draws_have_the_probabilities(name, rng):
    """Each count is binomial: its exact test, two-sided, for 8 counts in all."""
    family = FAMILIES[name]()
    assert isinstance(family, LinearLogits | Linkage)
    theta = strategies.tensor(0.3)
    x = family.sample(theta, 5000, torch_generator(rng))
    p = probabilities(family, theta)
    counts = (x == family.atoms.T).sum(0).tolist()
    assert sum(counts) == 5000
    for count, probability in zip(counts, p, strict=True):
        assert stats.binomtest(count, 5000, probability).pvalue > FALSE_ALARM / 8
    # control
    assert (
        min(stats.binomtest(c, 5000, q).pvalue for c, q in zip(counts, p[::-1], strict=True)) < 1e-6
    )
    assert_prefix(family, theta)


def test_the_default_is_the_binomial():
    family, theta = FAMILIES["binomial"](), strategies.tensor(0.7)
    assert isinstance(family, LinearLogits)
    p = 1 / (1 + math.exp(-0.7))
    assert_close(
        torch.exp(family.log_prob(theta, family.atoms)), stats.binom.pmf(np.arange(4), 3, p), 1e-13
    )
    assert family.fisher(theta).item() == pytest.approx(3 * p * (1 - p))


def test_start_of_the_linkage_model_is_the_published_estimate():
    # Dempster, Laird and Rubin (1977): counts 125, 18, 20, 34 give 0.626821498
    x = torch.repeat_interleave(Linkage().atoms, torch.tensor([125, 18, 20, 34]), 0)
    assert Linkage().start(x).item() == pytest.approx(0.626821498, abs=1e-9)


def test_start_of_the_linkage_model_stays_inside():
    for atom in (0, 1, 3):
        theta = Linkage().start(torch.full((5, 1), float(atom), dtype=torch.float64))
        assert Linkage().in_domain(theta)


@given(member=strategies.linear_logits())
def test_start_of_linear_logits_is_near_the_parameters_of_expected_counts(member):
    family, theta = member
    counts = torch.from_numpy((probabilities(family, theta) * 1_000_000).round()).long()
    x = torch.repeat_interleave(family.atoms, counts, 0)
    np.testing.assert_allclose(family.start(x), theta, atol=0.02)


def test_bad_arguments_are_refused():
    ones = torch.ones(4, 1, dtype=torch.float64)
    with pytest.raises(ValueError, match="linearly independent"):
        LinearLogits(ones)
    with pytest.raises(ValueError, match="features must be finite float64"):
        LinearLogits(torch.ones(4))
    with pytest.raises(ValueError, match=r"offset must be finite of shape \(4,\)"):
        LinearLogits(ones.cumsum(0), torch.zeros(3))
    with pytest.raises(ValueError, match="x must hold integers 0 … 3, got 4"):
        Linkage().start(4 * ones)
    with pytest.raises(ValueError, match="domain of Linkage"):
        Linkage().lipschitz(strategies.tensor(1.0))
    assert Linkage().log_prob(strategies.tensor(1.5), ones).tolist() == [-math.inf] * 4
