import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from stability.analysis.jacobian import jacobian
from stability.analysis.operators import infinite_map
from stability.statements import lemma_e1
from stability.statements.instances import instance
from stability.statements.lemma_e1 import GRID, check, counterexamples
from stability.statements.verdict import Status
from tests.support.mutated import controls
from tests.support.problems import few, instances, local_analyses

AWAY, HESSIANS, JACOBIAN, KANTOROVICH, RATIO, ANALYSED = range(6)


@pytest.mark.parametrize("where", GRID, ids=lambda where: f"{where['family']}-{where['lam']:g}")
def test_the_grid_holds(where):
    verdicts = check(**where)
    assert verdicts[AWAY].status is verdicts[JACOBIAN].status is Status.CORRECTED, verdicts
    assert verdicts[HESSIANS].status is verdicts[ANALYSED].status is Status.HOLDS
    finite = verdicts[RATIO].assumptions["L"] < math.inf
    expected = Status.HOLDS if finite else Status.NOT_APPLICABLE
    assert verdicts[KANTOROVICH].status is verdicts[RATIO].status is expected


@few(3)
@given(where=instances(), lam=st.floats(0.01, 1e3))
def test_any_instance(where, lam):
    verdicts = check(where.family, where.law, lam)
    assert not any(verdict.status is Status.VIOLATED for verdict in verdicts), verdicts


@given(local_analyses())
def test_78_is_the_jacobian_and_with_the_printed_sign_it_is_not(local):
    A, B, lam = local.A, local.B, local.lam
    # condition numbers up to 1e8
    assert np.abs(lemma_e1.formula_78(A, B, lam) - jacobian(A, B, lam)).max() < 1e-5
    mu = local.mu[0]
    if 0.01 < lam * mu < 0.9:
        printed = np.abs(np.linalg.eigvals(lemma_e1.formula_78(A, -B, lam))).max()
        assert printed == pytest.approx(lam * mu / (1 - lam * mu), rel=1e-4)


@given(local_analyses())
def test_79_follows_from_80(local):
    """With the least Lε that (80) allows, for any A ≺ 0 and B; a hundredth less violates (80)
    unless A = B.
    """
    for spread in (1.0, 0.99):
        eps = local.eps.map(lambda value, spread=spread: spread * value)
        first, second = lemma_e1._norms(replace(local, eps=eps), "")
        if spread == 1:
            assert first.status is second.status is Status.HOLDS
        else:
            assert first.status is Status.VIOLATED


def test_the_linkage_family_in_closed_form():
    """G∞ is a root of a polynomial: by implicit differentiation of f₀/(2+t) − (f₁+f₂)/(1−t) +
    f₃/t at any θ.
    """
    where, lam, theta = instance("linkage", "misspecified"), 2.0, 0.5
    f = np.array([125, 18, 20, 34]) / 197

    def slope(t, at):  # d/dt and d/dat of the gradient of H
        p = np.array([2 + at, 1 - at, 1 - at, at]) / 4
        curve = -((f + lam * p) @ np.array([(2 + t) ** -2, (1 - t) ** -2, (1 - t) ** -2, t**-2]))
        return curve, lam * np.array([1, -1, -1, 1]) / 4 @ np.array(
            [1 / (2 + t), -1 / (1 - t), -1 / (1 - t), 1 / t]
        )

    G = infinite_map(where.family, where.law, lam)
    seen = lemma_e1._differences(
        lambda point: G(point).theta.numpy(), np.array([theta]), np.eye(1)
    )[0, 0]
    curve, mixed = slope(float(G(torch.tensor([theta], dtype=torch.float64)).theta), theta)
    assert seen == pytest.approx(-mixed / curve, rel=1e-5)


def test_every_mutation_is_noticed(rng):
    for verdict in controls(lemma_e1, rng):
        assert verdict.status is Status.VIOLATED, verdict


def test_the_counterexamples():
    away, sign = counterexamples()
    assert away.status is sign.status is Status.VIOLATED
    assert (away.erratum, sign.erratum) == ("E8", "E3")
    assert away.measured > 100 * away.tolerance
    # −λ/(1 − λ) = −1 against λ/(1 + λ) = 1/3 at λ = ½
    assert sign.measured == pytest.approx(1 + 1 / 3)


def test_at_lambda_zero_there_is_no_sign_to_correct():
    verdicts = check("linkage", "misspecified", 0.0)
    assert all(verdict.status is Status.HOLDS for verdict in verdicts), verdicts


def test_an_l_that_was_only_searched_for_refutes_nothing():
    local = instance("linkage", "misspecified").local
    low = replace(local, lipschitz=replace(local.lipschitz, value=0.0, is_upper_bound=False))
    assert lemma_e1._norms(low, "")[0].status is Status.UNDECIDED
