import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stability.laws.bracket import Bracket
from stability.statements.claim import FINITE_L, Claim, Premise
from stability.statements.verdict import Status

BELOW = Claim(
    id="C",
    words="w",
    relation="<=",
    source="here",
    falsified_by="a larger number",
    no_evidence="nothing",
)
sizes = st.floats(0.01, 100)
factors = st.floats(1.001, 50)


def verdict(claim=BELOW, measured=1.0, claimed: float | Bracket = 2.0, **rest):
    return claim.verdict("i", measured=measured, claimed=claimed, method="m", **rest)


@pytest.mark.parametrize(
    ("relation", "measured", "status"),
    [
        ("<=", 2.1, Status.VIOLATED),
        ("<=", 2.0, Status.HOLDS),
        (">=", 1.9, Status.VIOLATED),
        ("==", 2.0, Status.HOLDS),
        ("==", 2.1, Status.VIOLATED),
        ("<", 2.0, Status.VIOLATED),
        ("<=", math.nan, Status.VIOLATED),
    ],
)
def test_the_status_is_computed_from_the_numbers(relation, measured, status):
    assert verdict(replace(BELOW, relation=relation), measured).status is status


def test_a_need_that_is_not_met_silences_the_claim():
    needy = replace(BELOW, needs=(FINITE_L, Premise("λ", "<", 0.5)))
    assert verdict(needy, 3.0, assumptions={"L": math.inf, "λ": 1}).status is Status.NOT_APPLICABLE
    assert verdict(needy, 3.0, assumptions={"L": 1.0, "λ": 0.5}).status is Status.VACUOUS
    assert verdict(needy, 3.0, assumptions={"L": 1.0, "λ": math.nan}).status is Status.VACUOUS
    assert verdict(needy, 3.0, assumptions={"L": 1.0, "λ": 0.4}).status is Status.VIOLATED


def test_a_bound_outside_of_what_can_be_measured_says_nothing():
    share = replace(BELOW, values=(0.0, 1.0))
    assert verdict(share, 0.5, 1.0).status is Status.VACUOUS
    assert verdict(share, 0.5, 0.9).status is Status.HOLDS
    assert verdict(replace(share, relation=">="), 0.5, 0.0).status is Status.VACUOUS
    assert verdict(claimed=math.inf).status is Status.VACUOUS


def test_a_claim_that_holds_where_the_printed_one_does_not_is_a_correction():
    printed = verdict(measured=3.0)
    assert verdict(in_place_of=printed).status is Status.CORRECTED
    assert verdict(in_place_of=verdict()).status is Status.HOLDS
    assert verdict(measured=3.0, in_place_of=printed).status is Status.VIOLATED


def test_an_interval_decides_where_both_ends_agree():
    assert verdict(claimed=Bracket(1.5, 2.0)).status is Status.HOLDS
    assert verdict(claimed=Bracket(1.5, math.inf)).stated == 1.5
    assert verdict(measured=1.7, claimed=Bracket(1.5, 2.0)).status is Status.UNDECIDED
    assert verdict(measured=2.1, claimed=Bracket(1.5, 2.0)).status is Status.VIOLATED
    # a constant that was only searched for refutes nothing
    assert verdict(measured=2.1, claimed=Bracket(1.5, math.inf)).status is Status.UNDECIDED
    assert verdict(claimed=Bracket(math.inf, math.inf)).status is Status.VACUOUS
    needy = replace(BELOW, needs=(Premise("λ", "<", 0.5), FINITE_L))
    open_ = {"λ": Bracket(0.1, 0.6), "L": 1.0}
    assert verdict(needy, assumptions=open_).status is Status.UNDECIDED
    searched = {"λ": 0.1, "L": Bracket(1.0, math.inf)}
    assert verdict(needy, assumptions=searched).status is Status.HOLDS


@given(measured=sizes, slack=st.floats(0, 0.5), room=st.floats(0, 0.99), factor=factors)
def test_the_resolution_is_where_rejection_begins(measured, slack, room, factor):
    """Just beyond it the comparison fails, just before it holds; so it does for any factor."""
    tolerance = slack * measured
    for relation, claimed in (
        ("<=", measured * (1 + room)),
        (">=", measured * (1 - room)),
        ("==", measured + room * tolerance),
    ):
        good = verdict(replace(BELOW, relation=relation), measured, claimed, tolerance=tolerance)
        resolution = good.resolution
        assert not resolution <= 1
        if 1 + 1e-6 < resolution < math.inf:
            assert good.is_rejected_at(resolution * (1 + 1e-9))
            assert not good.is_rejected_at(1 + (resolution - 1) * (1 - 1e-6))
            assert good.is_rejected_at(factor) == (factor >= resolution) or math.isclose(
                factor, resolution, rel_tol=1e-9
            )


def test_the_resolution_in_closed_form():
    assert verdict(measured=1.0, claimed=2.0).resolution == pytest.approx(2)
    equal = replace(BELOW, relation="==")
    # 1/f < 1 − 0.1
    assert verdict(equal, 1.0, 1.0, tolerance=0.1).resolution == pytest.approx(1 / 0.9)
    gap = verdict(equal, 0.0, 0.0, tolerance=0.1, scale=2.0)
    assert gap.resolution == pytest.approx(1.05)
    assert math.isnan(verdict(equal, 0.0, 0.0).resolution)  # a sign alone
    assert math.isnan(verdict(measured=3.0).resolution)  # violated already
    assert verdict(replace(BELOW, relation=">="), 1.0, 0.5, tolerance=1.0).resolution == (
        pytest.approx(4)
    )


def test_a_verdict_has_the_words_of_its_claim():
    one = verdict(replace(BELOW, erratum="E1"), note="n", false_alarm=1e-6)
    assert (one.claim, one.words, one.relation, one.erratum) == ("C", "w", "<=", "E1")
    assert one.to_dict()["resolution"] == pytest.approx(2)
    assert str(Premise("L", "<", math.inf)) == "L < ∞"
