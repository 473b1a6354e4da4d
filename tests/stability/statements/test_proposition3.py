import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from stability.analysis.operators import NoMaximum
from stability.statements import proposition3
from stability.statements.instances import instance
from stability.statements.proposition3 import GRID, check
from stability.statements.verdict import Status
from tests.support.mutated import controls
from tests.support.problems import few, instances, local_analyses
from tests.support.small_families import Redundant

PRINTED, WIDER, CORRECTED, CONCAVE, UNIQUE = range(5)


def test_the_grid_has_every_case():
    locals_ = [instance(where["family"], where["data"]).local for where in GRID]
    ratios = [local.k.high for local in locals_]
    assert any(ratio < 1 for ratio in ratios)
    assert any(1 < ratio < math.inf for ratio in ratios)
    assert any(ratio == math.inf for ratio in ratios)


@pytest.mark.parametrize("where", GRID, ids=lambda where: f"{where['family']}-{where['lam']:g}")
def test_the_grid_holds(where):
    verdicts = check(**where)
    assert not any(verdict.status is Status.VIOLATED for verdict in verdicts), verdicts
    met = verdicts[PRINTED].assumptions["εL/α"] < 1
    assert verdicts[CORRECTED].status is (Status.HOLDS if met else Status.CORRECTED)
    expected = Status.HOLDS if met else Status.VACUOUS
    assert verdicts[PRINTED].status is (
        Status.NOT_APPLICABLE if where["family"] == "curved_normal" else expected
    )
    assert verdicts[CONCAVE].status is verdicts[UNIQUE].status is Status.HOLDS
    assert verdicts[UNIQUE].assumptions["radius of U"] >= 1 / 8


@few(4)
@given(where=instances(), lam=st.floats(0.01, 1e3))
def test_any_instance(where, lam):
    verdicts = check(where.family, where.law, lam)
    assert not any(verdict.status is Status.VIOLATED for verdict in verdicts), verdicts


@given(local_analyses())
def test_any_curvatures(local):
    """(67) and E9 for random A ≺ 0 and B ≼ 0, whatever family they come from."""
    printed, wider, corrected = proposition3._curvature(
        instance("linkage", "well specified"), local
    )
    assert printed.status in (Status.HOLDS, Status.VACUOUS)
    assert wider.status in (Status.HOLDS, Status.VACUOUS)
    assert wider.status is Status.HOLDS or printed.status is Status.VACUOUS
    assert wider.status is Status.VACUOUS or wider.stated < 0  # E14
    assert corrected.status in (Status.HOLDS, Status.CORRECTED)
    assert corrected.stated <= -local.alpha
    if printed.status is Status.HOLDS:
        assert printed.stated < 0


@given(local_analyses())
def test_a_constant_too_small_for_a_and_b_is_rejected(local):
    """With L = 0 (67) says A + λB ≼ −α(1 + λ): wrong where B is the weaker.

    Then L of the data makes it right.
    """
    flat = replace(local, lipschitz=replace(local.lipschitz, value=0.0))
    printed, *_ = proposition3._curvature(instance("linkage", "well specified"), flat)
    weaker = (
        np.linalg.eigvalsh(local.A + local.lam * local.B)[-1]
        > -local.alpha * (1 + local.lam) + printed.tolerance
    )
    assert (printed.status is Status.VIOLATED) == weaker


def test_every_mutation_is_noticed(rng):
    rejected = controls(proposition3, rng)
    for verdict in rejected:
        assert verdict.status is Status.VIOLATED, verdict
    # two maximisers: the labels of a mixture switched
    assert 0.1 < rejected[-1].measured < math.inf


def test_an_l_that_was_only_searched_for_refutes_nothing():
    local = instance("linkage", "misspecified").local.at(5.0)
    low = replace(local, lipschitz=replace(local.lipschitz, value=0.0, is_upper_bound=False))
    assert (
        proposition3._curvature(instance("linkage", "misspecified"), low)[0].status
        is Status.UNDECIDED
    )


def test_without_strong_concavity_there_is_nothing_to_check():  # Assumption 2
    with pytest.raises(NoMaximum, match="not strongly concave: p_θ does not change along"):
        check(Redundant(), np.array([0.0, 1.0]), 1.0, torch.zeros(2, dtype=torch.float64))


@pytest.mark.parametrize("lam", [-1.0, math.nan, math.inf])
def test_lambda_must_be_finite(lam):
    with pytest.raises(ValueError, match="lam must be finite and >= 0"):
        check("linkage", "misspecified", lam)
