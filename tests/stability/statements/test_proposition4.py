import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from stability.analysis.operators import infinite_map
from stability.families import GaussianMean
from stability.laws.law import NormalMixture
from stability.statements import proposition4
from stability.statements.proposition4 import GRID, check, counterexamples
from stability.statements.verdict import Status
from tests.support.mutated import controls
from tests.support.problems import few, instances


@pytest.mark.parametrize("where", GRID, ids=lambda where: f"{where['family']}-{where['lam']:g}")
def test_the_grid_holds(where):
    for verdict in check(**where):
        assert verdict.status is Status.HOLDS, verdict
        assert verdict.tolerance < 1e-8
        assert verdict.false_alarm == 0


@few(5)
@given(where=instances(), lam=st.floats(0.01, 1e3))
def test_any_instance(where, lam):
    for verdict in check(where.family, where.law, lam):
        assert verdict.status is Status.HOLDS, verdict


def test_monte_carlo_states_its_false_alarm_probability():
    points = torch.randn(50, 3, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    for verdict in check(GaussianMean(torch.eye(3, dtype=torch.float64)), points, 1.0):
        # all seeds are fixed: this cannot fail by chance
        assert verdict.status is Status.HOLDS, verdict
        assert verdict.false_alarm == 1e-6


def test_every_mutation_is_noticed(rng):
    for verdict in controls(proposition4, rng):
        assert verdict.status is Status.VIOLATED, verdict


def test_a_map_that_fits_other_data_is_rejected(monkeypatch):
    other = NormalMixture((1.0,), (0.0,), (1.0,))
    monkeypatch.setattr(
        proposition4, "infinite_map", lambda family, law, lam: infinite_map(family, other, lam)
    )
    fixed, stationary, largest = check("student_t", "misspecified", 1.0)
    assert fixed.status is Status.VIOLATED
    assert stationary.status is largest.status is Status.HOLDS


def test_a_sampler_at_another_temperature_moves_theta_star():
    for tau, verdict in zip((0.9, 1.1), counterexamples(), strict=True):
        assert verdict.status is Status.VIOLATED
        # λ = 1: the mean of the two variances
        assert verdict.measured == pytest.approx((1 + tau**2) / 2, rel=1e-9)


def test_bad_arguments():
    with pytest.raises(ValueError, match="lam must be finite and >= 0, got inf"):
        check("linkage", "misspecified", math.inf)
    with pytest.raises(ValueError, match="NaN or Inf"):
        check("gaussian", np.array([0.0, math.nan]), 1.0)
