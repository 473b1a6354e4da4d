import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from stability.analysis.bounds import contraction_bound
from stability.analysis.operators import NoMaximum
from stability.laws.bracket import Bracket
from stability.laws.law import NormalMixture
from stability.statements import theorem1
from stability.statements.instances import instance
from stability.statements.theorem1 import GRID, check, counterexamples
from stability.statements.verdict import Status
from tests.support.mutated import controls
from tests.support.problems import few, instances, local_analyses
from tests.support.small_families import FreeMixture, StudentT, vector

BOUND, SHARP, BASIN, RATE, BELOW_ONE = range(5)
MIXTURE = NormalMixture((0.7, 0.3), (-1.0, 2.0), (0.6, 1.0))


@pytest.mark.parametrize("where", GRID, ids=lambda where: f"{where['family']}-{where['lam']:g}")
def test_the_grid(where):
    verdicts = check(**where)
    condition = verdicts[BOUND].assumptions["λ(1 + Lε/α)"]
    expected = (
        Status.NOT_APPLICABLE
        if condition >= math.inf
        else Status.HOLDS
        if condition < 0.5
        else Status.VACUOUS
    )
    for k in (BOUND, BASIN, RATE, BELOW_ONE):
        assert verdicts[k].status is expected, verdicts[k]
    assert verdicts[SHARP].status is not Status.VIOLATED
    assert verdicts[BASIN].measured > 0.1  # a stable iteration, whatever the theorem says
    assert verdicts[RATE].measured < 0.7


def test_the_numbers_of_the_student_t_example():
    bound, sharp, _, rate, *_ = check("student_t", "misspecified", 0.05)
    assumed = {name: float(f"{value:.6g}") for name, value in bound.assumptions.items()}
    assert assumed == pytest.approx(
        {"α": 0.41082, "L": 2.0083, "ε": 0.48414, "λ(1 + Lε/α)": 0.16833}, abs=1e-4
    )
    assert (bound.measured, bound.stated) == (
        pytest.approx(0.06062, abs=5e-6),
        pytest.approx(0.2024, abs=5e-5),
    )
    assert sharp.stated == pytest.approx(0.14408, abs=5e-6)
    assert rate.measured == pytest.approx(0.05899, rel=0.05)  # ρ, in a few steps from afar
    local = instance("student_t", "misspecified").local
    assert local.theta == pytest.approx([-0.36099, 0.26693], abs=5e-6)
    assert local.mu == pytest.approx([1.25381, 0.82666], abs=5e-6)


@few(3)
@given(where=instances(), share=st.floats(0.05, 0.95))
def test_any_instance_that_meets_the_condition(where, share):
    limit = where.local.lam_limit_theorem.low
    verdicts = check(where.family, where.law, share * limit if limit else 0.1)
    if limit:
        assert all(verdict.status is Status.HOLDS for verdict in verdicts), verdicts
    else:  # L is infinite
        assert all(verdict.status is Status.NOT_APPLICABLE for verdict in verdicts), verdicts


@given(local_analyses())
def test_any_matrices(local):
    bound, sharp = theorem1._norms("random", local)
    assert bound.status is (Status.HOLDS if local.condition.high < 0.5 else Status.VACUOUS)
    assert sharp.status is (Status.HOLDS if math.isfinite(sharp.stated) else Status.VACUOUS)


def test_every_mutation_is_noticed(rng):
    for verdict in controls(theorem1, rng):
        assert verdict.status is Status.VIOLATED, verdict


def test_section_6_quotes_a_condition_that_is_not_enough():  # E4
    example, matrices = counterexamples()
    for verdict in (example, matrices):
        assert verdict.status is Status.VIOLATED
        assert verdict.erratum == "E4"
        assert 0.5 < verdict.assumptions["λ(1 + Lε/α)"] < 1
    assert example.measured == pytest.approx(2.06128, abs=5e-6)
    assert matrices.measured == pytest.approx(0.72 / 0.28)


@settings(max_examples=25)
@given(share=st.floats(0.501, 0.999), alpha=st.floats(0.1, 10), k=st.floats(0, 10))
def test_from_one_half_on_11_is_not_below_one(share, alpha, k):
    assert contraction_bound(share / (1 + k), alpha, k * alpha, 1.0) > 1


def test_ones_own_family_without_a_known_l():
    """L is searched for, and only a lower bound: it can refute the condition, not confirm it."""
    start = vector(0.0, 0.0)
    verdicts = check(StudentT(), MIXTURE, 0.05, start)
    for verdict in verdicts:
        decided = verdict.claim in (
            theorem1.SHARP.id,
            theorem1.LIMIT.id,
            theorem1.UNITS.id,
        )  # true of any larger L
        assert verdict.status is (Status.HOLDS if decided else Status.UNDECIDED), verdict
    assert "not refuted; the bound is ≥ 0.2024" in verdicts[BOUND].note
    assert all(
        verdict.status is Status.VACUOUS for verdict in check(StudentT(), MIXTURE, 1.0, start)[:1]
    )


def test_on_its_own_law_a_family_of_the_plane_meets_the_condition():
    """ε = 0 there, exactly: no noise of samples decides."""
    local = instance("gaussian_2d", "well specified").local.at(0.45)
    bound, sharp = theorem1._norms("", local)
    assert bound.assumptions["ε"] == 0
    assert bound.assumptions["λ(1 + Lε/α)"] == 0.45
    assert (bound.status, sharp.status) == (Status.HOLDS, Status.HOLDS)
    assert bound.stated == pytest.approx(0.45 / 0.55)
    assert local.lam_limit_theorem.low == 0.5
    away = instance("gaussian_2d", "misspecified").local.at(0.45)
    assert 0 < away.eps.low < away.eps.high < 1
    assert theorem1._norms("", away)[0].status in (Status.UNDECIDED, Status.VACUOUS)


def test_an_interval_that_holds_the_limit_leaves_the_theorem_open():
    local = instance("linkage", "misspecified").local.at(0.4)  # met up to 0.4071
    open_ = replace(local, eps=Bracket(local.eps.low, 2 * local.eps.high))
    for verdict in theorem1._norms("", open_)[:1]:
        assert verdict.status is Status.UNDECIDED
        assert "known up to an interval" in verdict.note


def test_an_infinite_epsilon_is_not_applicable():
    local = replace(instance("linkage", "misspecified").local, eps=Bracket(math.inf, math.inf))
    for verdict in theorem1._norms("", local.at(0.1)):
        assert verdict.status is Status.NOT_APPLICABLE


def test_at_lambda_zero_one_fit_is_all():
    for verdict in check("linkage", "misspecified", 0.0):
        assert verdict.status is Status.HOLDS, verdict


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: check("linkage", "misspecified", math.inf),
            ValueError,
            "lam must be finite and >= 0, got inf",
        ),
        (lambda: check("gaussian", np.array([1.0, np.inf]), 0.1), ValueError, "NaN or Inf"),
        (
            lambda: check(FreeMixture(), np.array([3.0, 0.0]), 0.1, vector(3.0, -1.0)),
            NoMaximum,
            "no maximum|not finite",
        ),
        (lambda: check("gamma", torch.tensor([-1.0]).double(), 0.1), ValueError, "x must be"),
    ],
)
def test_what_cannot_be_checked_says_why(call, error, message):
    with pytest.raises(error, match=message):
        call()
